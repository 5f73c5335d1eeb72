// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/field_warnings.h"

#include "absl/strings/str_cat.h"
#include "api/fields/judge.h"

namespace ripstop::ctl {
namespace {

// "web.yaml:12: IPPool p: ", as problems begin.
std::string Where(const api::Resource& resource) {
  return absl::StrCat(resource.file, resource.file.empty() ? "" : ":",
                      resource.file.empty() ? "" : absl::StrCat(resource.line, ": "),
                      resource.key().ToString(), ": ");
}

}  // namespace

void JudgeFields(const api::Resource& resource, bool strict,
                 const std::function<void(const api::Problem&)>& problem, std::ostream& err) {
  const api::FieldReport report = api::InspectFields(resource);
  const auto tell = [&](api::Effect effect) {
    for (const api::Problem& one : api::FieldProblems(resource, report, effect)) problem(one);
  };
  tell(api::Effect::kOffline);
  if (strict) return tell(api::Effect::kKept);
  const std::string kept = api::KeptText(report);
  if (!kept.empty()) err << "Warning: " << Where(resource) << kept << "\n";
}

void NoteOffline(const api::Resource& resource, std::ostream& err) {
  const api::FieldReport report = api::InspectFields(resource);
  if (report.refused.empty()) return;
  err << "Note: " << Where(resource)
      << "answered for here, but apply refuses it: " << api::RefusedText(report) << "\n";
}

}  // namespace ripstop::ctl
