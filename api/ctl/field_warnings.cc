// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/field_warnings.h"

#include <iterator>

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

std::vector<api::Problem> Problems(const std::vector<api::Resource>& resources,
                                   api::Effect effect) {
  std::vector<api::Problem> all;
  for (const api::Resource& resource : resources) {
    auto some = api::FieldProblems(resource, api::InspectFields(resource), effect);
    std::move(some.begin(), some.end(), std::back_inserter(all));
  }
  return all;
}

}  // namespace

void WarnOfKept(const std::vector<api::Resource>& resources, std::ostream& err) {
  for (const api::Resource& resource : resources) {
    const std::string text = api::KeptText(api::InspectFields(resource));
    if (!text.empty()) err << "Warning: " << Where(resource) << text << "\n";
  }
}

std::vector<api::Problem> KeptProblems(const std::vector<api::Resource>& resources) {
  return Problems(resources, api::Effect::kKept);
}

std::vector<api::Problem> OfflineProblems(const std::vector<api::Resource>& resources) {
  return Problems(resources, api::Effect::kOffline);
}

void NoteOffline(const std::vector<api::Resource>& resources, std::ostream& err) {
  for (const api::Resource& resource : resources) {
    const api::FieldReport report = api::InspectFields(resource);
    if (report.refused.empty()) continue;
    err << "Note: " << Where(resource)
        << "answered for here, but apply refuses it: " << api::RefusedText(report) << "\n";
  }
}

}  // namespace ripstop::ctl
