// SPDX-License-Identifier: Apache-2.0
#include "policy/labels.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "policy/model.h"

namespace ripstop::policy {
namespace {

constexpr char kNamespaceMark[] = "ns:";
constexpr char kInheritedMark[] = "inherited:";

// What the document of a namespace says stands in its profile behind the prefix, but for the
// name, which is a converter's word there.
const std::string& ConvertersNameKey() {
  static const auto& key = *new std::string(absl::StrCat(kNamespacePrefix, kNameLabel));
  return key;
}

bool IsApart(const std::string& key) { return key.find(':') != std::string::npos; }

const Profile* NamespaceOf(const Labels& own, const std::map<std::string, Profile>& known) {
  const auto ns = own.find(kNamespaceLabel);
  if (ns == own.end()) return nullptr;
  const auto profile = known.find(NamespaceProfileName(ns->second));
  return profile == known.end() ? nullptr : &profile->second;
}

const std::string* FindIn(const Labels& labels, const std::string& key) {
  const auto it = labels.find(key);
  return it == labels.end() ? nullptr : &it->second;
}

}  // namespace

bool IsReservedLabel(std::string_view key) {
  return key == kNamespaceLabel || key == kServiceAccountLabel || key == kOrchestratorLabel ||
         key.starts_with(kNamespacePrefix) || key.starts_with(kServiceAccountPrefix);
}

bool IsLabelKey(std::string_view key) {
  return !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '/' || c == '-';
  });
}

std::string KeyOfPod(const std::string& key) {
  return IsReservedLabel(key) ? absl::StrCat(kPodView, key) : key;
}

std::string KeyOfNamespace(const std::string& key) {
  return absl::StrCat(key == kNameLabel ? kNamespaceView : kNamespacePrefix, key);
}

std::string NamespaceProfileName(const std::string& ns) { return absl::StrCat("kns.", ns); }

Labels EffectiveLabels(const Labels& own, const std::vector<std::string>& profiles,
                       const std::map<std::string, Profile>& known) {
  Labels labels = own;
  const auto mark_inherited = [&](const std::string& key) {
    labels.emplace(absl::StrCat(kInheritedMark, key), "");
  };
  for (const std::string& name : profiles) {
    const auto profile = known.find(name);
    if (profile == known.end()) continue;
    for (const auto& [key, value] : profile->second.labels_to_apply) {
      if (IsApart(key) || !labels.emplace(key, value).second) continue;
      if (!IsReservedLabel(key)) mark_inherited(key);
    }
  }
  const Profile* ns = NamespaceOf(own, known);
  static const Labels& none = *new Labels();
  const Labels& of_namespace = ns == nullptr ? none : ns->labels_to_apply;
  for (auto it = labels.lower_bound(kNamespacePrefix);
       it != labels.end() && it->first.starts_with(kNamespacePrefix); ++it) {
    if (it->first != ConvertersNameKey() && !of_namespace.contains(it->first)) {
      mark_inherited(it->first);
    }
  }
  for (const auto& [key, value] : of_namespace) {
    if (key.starts_with(kNamespaceView)) {
      labels.emplace(key, value);
    } else if (key.starts_with(kNamespacePrefix) && key != ConvertersNameKey()) {
      const std::string* joined = FindIn(labels, key);
      if (joined == nullptr || *joined != value) {
        labels.emplace(absl::StrCat(kNamespaceMark, key), value);
      }
    }
  }
  return labels;
}

std::vector<std::string> LabelProfiles(const Labels& own,
                                       const std::vector<std::string>& profiles) {
  std::vector<std::string> sources = profiles;
  const auto ns = own.find(kNamespaceLabel);
  if (ns == own.end()) return sources;
  std::string name = NamespaceProfileName(ns->second);
  if (std::find(sources.begin(), sources.end(), name) == sources.end()) {
    sources.push_back(std::move(name));
  }
  return sources;
}

LabelViews ViewsOf(const Labels& own, const std::vector<std::string>& profiles,
                   const std::map<std::string, Profile>& known) {
  LabelViews views;
  for (const auto& [key, value] : own) {
    if (key.starts_with(kPodView)) {
      views.pod[key.substr(std::string_view(kPodView).size())] = value;
      continue;
    }
    views.joined[key] = value;
    if (!IsReservedLabel(key)) views.pod[key] = value;
  }
  for (const std::string& name : profiles) {
    const auto profile = known.find(name);
    if (profile == known.end()) continue;
    for (const auto& [key, value] : profile->second.labels_to_apply) {
      if (!IsApart(key)) views.joined.emplace(key, value);
    }
  }
  if (const Profile* ns = NamespaceOf(own, known)) {
    for (const auto& [key, value] : ns->labels_to_apply) {
      if (key.starts_with(kNamespaceView)) {
        views.ns[key.substr(std::string_view(kNamespaceView).size())] = value;
      } else if (key.starts_with(kNamespacePrefix) && key != ConvertersNameKey()) {
        views.ns[key.substr(std::string_view(kNamespacePrefix).size())] = value;
      }
    }
  }
  return views;
}

LabelKey::LabelKey(std::string text) : text_(std::move(text)) {
  const size_t colon = text_.find(':');
  if (colon == std::string::npos) return;
  view_ = text_.starts_with(kPodView) ? View::kPod : View::kNamespace;
  joined_ = text_.substr(colon + 1);
  inherited_ = absl::StrCat(kInheritedMark, joined_);
  only_apart_ = view_ == View::kPod ? IsReservedLabel(joined_) : joined_ == ConvertersNameKey();
  said_apart_ = only_apart_ || view_ == View::kNamespace;
}

const std::string* LabelKey::In(const Labels& effective) const {
  if (view_ == View::kJoined) return FindIn(effective, text_);
  if (said_apart_) {
    const std::string* apart = FindIn(effective, text_);
    if (apart != nullptr || only_apart_) return apart;
  }
  const std::string* joined = FindIn(effective, joined_);
  return joined == nullptr || effective.contains(inherited_) ? nullptr : joined;
}

const std::string* LabelKey::In(const LabelViews& views) const {
  switch (view_) {
    case View::kJoined: return FindIn(views.joined, text_);
    case View::kPod: return FindIn(views.pod, joined_);
    case View::kNamespace: break;
  }
  return FindIn(views.ns, joined_.substr(std::string_view(kNamespacePrefix).size()));
}

std::optional<absl::string_view> IndexName(absl::string_view key) {
  if (absl::StartsWith(key, kInheritedMark)) return std::nullopt;
  const size_t colon = key.find(':');
  return colon == absl::string_view::npos ? key : key.substr(colon + 1);
}

}  // namespace ripstop::policy
