// SPDX-License-Identifier: Apache-2.0
#include "api/fields/document.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "api/fields/field_table.h"

namespace ripstop::api {
namespace {

constexpr char kHead[] = R"(<!-- SPDX-License-Identifier: Apache-2.0 -->
<!-- Generated from api/fields; see api/fields/fields_doc_test.cc. -->
# What becomes of each field

Everything that a document may say, kind by kind:

- **acts**: it does what it says.
- **kept**: it is stored, and `ripstopctl get` gives it back; nothing acts on it. `ripstopctl apply` says so in a
  warning, with `--strict` it refuses, and `ripstopctl node status` lists it.
- **refused**: `ripstopctl apply` refuses the document, since what it asks for would not be there. An agent that finds
  it in its store names it, and uses nothing of it that would be less safe than without it.
- **offline**: refused likewise, but `ripstopctl evaluate` answers for it.
- **left out**: a system writes it, not its users; it is not stored.

`[]` stands for the items of a list, `{}` for the values of a map with keys of one's own. A field that is not here is an
error, with the nearest name that is; in kinds of which nothing acts it is kept and named, and in documents of
Kubernetes that say much else (Pod, Service, …) it is left out.

)";

const char* Word(Effect effect) {
  switch (effect) {
    case Effect::kActs: return "acts";
    case Effect::kKept: return "kept";
    case Effect::kRefused: return "refused";
    case Effect::kOffline: return "offline";
    case Effect::kLeftOut: return "left out";
  }
  return "";
}

std::string Counts(const KindRow& kind) {
  std::array<int, 5> counts{};
  for (const FieldRow& row : kind.fields) {
    if (!row.common) ++counts[static_cast<size_t>(row.effect)];
  }
  std::vector<std::string> parts;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] > 0) parts.push_back(absl::StrCat(counts[i], " ", Word(Effect(i))));
  }
  return absl::StrJoin(parts, ", ");
}

std::string Line(const FieldRow& row, const std::string& kind_why) {
  const std::string but =
      row.harmless.empty()
          ? ""
          : absl::StrCat(" (", absl::StrJoin(row.harmless, ", "), ": as it happens anyway)");
  const std::string why = row.why == kind_why ? "" : row.why;
  return absl::StrCat("| `", row.path, "` | ", Word(row.effect), but, " | ",
                      absl::StrReplaceAll(why, {{"|", "\\|"}}), " |\n");
}

// A paragraph before the fields; empty when there is nothing to say of all.
std::string AboutKind(const KindRow& kind) {
  std::vector<std::string> sentences;
  if (kind.effect != Effect::kActs) {
    sentences.push_back(absl::StrCat("The kind as a whole: ", Word(kind.effect), "."));
  }
  if (!kind.why.empty()) {
    sentences.push_back(absl::StrCat("Where nothing else is said: ", kind.why, "."));
  }
  if (sentences.empty()) return "";
  return absl::StrCat("\n", absl::StrJoin(sentences, " "), "\n");
}

std::string Rows(const KindRow& kind, bool common) {
  std::string text = "\n| field | | |\n|---|---|---|\n";
  for (const FieldRow& row : kind.fields) {
    if (row.common == common) absl::StrAppend(&text, Line(row, kind.why));
  }
  return text;
}

}  // namespace

std::string FieldTableDocument() {
  std::string text = kHead;
  absl::StrAppend(&text, "| kind | as a whole | fields |\n|---|---|---|\n");
  for (const KindRow& kind : FieldTable()) {
    absl::StrAppend(&text, "| ", kind.kind, " (", kind.api_version, ") | ",
                    kind.effect == Effect::kActs ? "" : Word(kind.effect), " | ", Counts(kind),
                    " |\n");
  }
  absl::StrAppend(&text, "\n## Metadata of all kinds\n", Rows(FieldTable().front(), true));
  for (const KindRow& kind : FieldTable()) {
    absl::StrAppend(&text, "\n## ", kind.kind, " (", kind.api_version, ")\n");
    absl::StrAppend(&text, AboutKind(kind));
    if (kind.fields.empty()) continue;
    absl::StrAppend(&text, Rows(kind, false));
  }
  return text;
}

}  // namespace ripstop::api
