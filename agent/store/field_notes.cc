// SPDX-License-Identifier: Apache-2.0
#include "agent/store/field_notes.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"

namespace ripstop::agent {
namespace {

std::string RefusedLine(const api::FieldReport& report) {
  const std::string text = api::RefusedText(report);
  const bool partly =
      std::any_of(report.refused.begin(), report.refused.end(),
                  [](const api::FieldFinding& one) { return one.effect == api::Effect::kOffline; });
  return absl::StrCat(text, partly ? "; what of it concerns pods is in force" : "");
}

}  // namespace

bool FieldNotes::IsElsewhere(const api::Resource& resource) const {
  if (const auto* r = resource.As<api::v1::WorkloadEndpoint>()) return r->spec().node() != node_;
  if (const auto* r = resource.As<api::v1::HostEndpoint>()) return r->spec().node() != node_;
  if (const auto* r = resource.As<api::v1::Pod>()) return r->spec().node_name() != node_;
  return false;
}

void FieldNotes::Put(const api::Resource& resource) {
  if (IsElsewhere(resource)) return Delete(resource.key());
  const api::FieldReport report = api::InspectFields(resource);
  Note(resource.key(), api::KeptText(report), &unheeded_);
  Note(resource.key(), report.refused.empty() ? "" : RefusedLine(report), &refused_);
}

void FieldNotes::Delete(const api::ResourceKey& key) {
  unheeded_.erase(key);
  refused_.erase(key);
}

void FieldNotes::Note(const api::ResourceKey& key, const std::string& text, Notes* notes) {
  if (text.empty()) {
    notes->erase(key);
    return;
  }
  std::string& known = (*notes)[key];
  if (known == text) return;
  known = text;
  spdlog::warn("{}: {}", key.ToString(), text);
}

std::vector<std::string> FieldNotes::Lines(const Notes& notes) {
  std::vector<std::string> lines;
  for (const auto& [key, text] : notes) {
    if (lines.size() == kLinesMax) {
      lines.push_back(absl::StrCat("and ", notes.size() - kLinesMax, " more"));
      break;
    }
    lines.push_back(absl::StrCat(key.ToString(), ": ", text));
  }
  return lines;
}

}  // namespace ripstop::agent
