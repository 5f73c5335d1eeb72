// SPDX-License-Identifier: Apache-2.0
#include "api/fields/judge.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "api/codec/writer.h"
#include "api/fields/matcher.h"
#include "api/fields/tree_judge.h"

namespace ripstop::api {
namespace {

struct Judge {
  const KindRow* row;
  FieldMatcher matcher;
};

// By kind; a kind without a row does not exist (fields_test).
const Judge& JudgeOf(const KindInfo& kind) {
  static const auto* judges = [] {
    auto* all = new std::map<const KindInfo*, Judge>();
    for (const KindInfo& info : AllKinds()) {
      const KindRow* row = FindKindRow(info.api_version, info.kind);
      static const auto* none = new KindRow();
      if (row == nullptr) row = none;
      all->emplace(&info, Judge{row, FieldMatcher(*row, *info.prototype)});
    }
    return all;
  }();
  return judges->at(&kind);
}

std::string Text(const FieldFinding& finding, const std::string& kind_why) {
  if (finding.why.empty() || finding.why == kind_why) return finding.path;
  return absl::StrCat(finding.path, " (", finding.why, ")");
}

}  // namespace

FieldReport InspectFields(const Resource& resource) {
  return InspectFields(resource.kind(), resource.message());
}

FieldReport InspectFields(const KindInfo& kind, const google::protobuf::Message& message) {
  const Judge& judge = JudgeOf(kind);
  FieldReport report;
  const Effect effect = judge.row->effect;
  if (effect == Effect::kKept) report.kept.push_back({"", effect, judge.row->why});
  if (effect == Effect::kRefused || effect == Effect::kOffline) {
    report.refused.push_back({"", effect, judge.row->why});
    return report;
  }
  if (const auto* kept = dynamic_cast<const v1::KeptResource*>(&message)) {
    JudgeTree(*judge.row, kept->spec().json(), &report);
  } else {
    judge.matcher.Match(message, &report);
  }
  return report;
}

std::string KeptText(const FieldReport& report) {
  if (report.kept.empty()) return "";
  const bool kind = report.kept[0].path.empty();
  const std::string why = kind ? report.kept[0].why : "";
  std::vector<std::string> fields;
  for (const FieldFinding& one : report.kept) {
    if (!one.path.empty()) fields.push_back(Text(one, why));
  }
  const std::string list = absl::StrJoin(fields, ", ");
  if (!kind) return absl::StrCat("nothing acts on ", list);
  return absl::StrCat("nothing acts on this kind yet: ", why, list.empty() ? "" : "; it has ",
                      list);
}

std::string RefusedText(const FieldReport& report) {
  return absl::StrJoin(report.refused, "; ", [](std::string* out, const FieldFinding& one) {
    absl::StrAppend(out, one.path.empty() ? "the kind" : one.path, " is refused: ", one.why);
  });
}

std::vector<Problem> FieldProblems(const Resource& resource, const FieldReport& report,
                                   Effect effect) {
  const bool kept = effect == Effect::kKept;
  std::vector<Problem> problems;
  for (const FieldFinding& one : kept ? report.kept : report.refused) {
    if (one.effect != effect) continue;
    const bool kind = one.path.empty();
    problems.push_back(
        {.file = resource.file,
         .line = kind ? resource.line : resource.LineOf(one.path),
         .resource = absl::StrCat(resource.kind().kind, " ", resource.ns(),
                                  resource.ns().empty() ? "" : "/", resource.name()),
         .path = kind ? "kind" : one.path,
         .value = ShownValue(kind ? resource.kind().kind : FieldText(resource.message(), one.path),
                             false),
         .what = kept ? "would be kept, and nothing acts on it" : "is refused",
         .remedy = one.why});
  }
  return problems;
}

}  // namespace ripstop::api
