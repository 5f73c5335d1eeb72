// SPDX-License-Identifier: Apache-2.0
#include "api/fields/field_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "api/fields/rows.h"

namespace ripstop::api {
namespace {

constexpr Row kMetadata[] = {
    {"metadata.name"},
    {"metadata.namespace"},
    {"metadata.labels{}"},
    {"metadata.annotations{}", kActs, "a note: given back, read by nobody unless named here"},
    {"metadata.uid"},
    {"metadata.resourceVersion", kActs, "the write is refused when the store has another one"},
    {"metadata.creationTimestamp"},
    {"metadata.deletionTimestamp"},
    {"metadata.generateName", kActs, "a note: metadata.name is what counts"},
};

std::vector<std::string> Values(const char* text) {
  if (*text == '\0') return {};
  return absl::StrSplit(text, '|');
}

// `part`: the part around these rows that does not act, if any.
void Flatten(absl::Span<const Row> rows, const std::string& prefix, const Row* part,
             std::vector<FieldRow>* fields) {
  for (const Row& row : rows) {
    const Row& said = part != nullptr ? *part : row;
    const std::string path = absl::StrCat(prefix, row.path);
    if (row.inside.empty() || said.effect != kActs) {
      fields->push_back({path, said.effect, said.why, Values(row.harmless), false});
    }
    Flatten(row.inside, absl::StrCat(path, "."), said.effect == kActs ? nullptr : &said, fields);
  }
}

KindRow ToKindRow(const Kind& kind) {
  KindRow out{kind.api_version, kind.kind, kind.effect, kind.why, {}, {}};
  for (const auto& rows : kind.rows) Flatten(rows, "", nullptr, &out.fields);
  const auto acts = [](const FieldRow& row) { return row.effect == kActs; };
  if (kind.effect == kActs && std::none_of(out.fields.begin(), out.fields.end(), acts)) {
    out.effect = kKept;
  }
  const bool whole = kind.effect == kRefused || kind.effect == kOffline;
  for (FieldRow& row : out.fields) {
    if (whole && row.effect == kActs) row.effect = kind.effect;
    if (row.why.empty() && row.effect != kActs) row.why = kind.why;
  }
  std::vector<FieldRow> metadata;
  if (!out.fields.empty() && kind.metadata) Flatten(kMetadata, "", nullptr, &metadata);
  for (FieldRow& row : metadata) {
    const bool said = std::any_of(out.fields.begin(), out.fields.end(),
                                  [&](const FieldRow& one) { return one.path == row.path; });
    if (said) continue;
    row.common = true;
    out.fields.push_back(std::move(row));
  }
  for (size_t i = 0; i < out.fields.size(); ++i) out.by_path.emplace(out.fields[i].path, i);
  return out;
}

}  // namespace

const FieldRow* KindRow::Find(std::string_view path) const {
  const auto it = by_path.find(path);
  return it == by_path.end() ? nullptr : &fields[it->second];
}

const std::vector<KindRow>& FieldTable() {
  static const auto* table = [] {
    auto* rows = new std::vector<KindRow>();
    for (const auto& kinds : {PolicyKinds(), EndpointKinds(), NetworkKinds(), BgpKinds(),
                              FelixKinds(), ControllerKinds(), KubernetesKinds(), CniKinds()}) {
      for (const Kind& kind : kinds) rows->push_back(ToKindRow(kind));
    }
    return rows;
  }();
  return *table;
}

const KindRow* FindKindRow(std::string_view api_version, std::string_view kind) {
  for (const KindRow& row : FieldTable()) {
    if (row.kind == kind && row.api_version == api_version) return &row;
  }
  return nullptr;
}

}  // namespace ripstop::api
