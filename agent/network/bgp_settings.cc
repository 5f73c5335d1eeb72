// SPDX-License-Identifier: Apache-2.0
#include "agent/network/bgp_settings.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"

namespace ripstop::agent {
namespace {

using Spec = api::v1::BGPConfigurationSpec;

bgp::LogSeverity SeverityOf(const std::string& text) {
  const std::string lower = absl::AsciiStrToLower(text);
  if (lower == "debug" || lower == "trace") return bgp::LogSeverity::kDebug;
  if (lower == "warning") return bgp::LogSeverity::kWarning;
  if (lower == "error") return bgp::LogSeverity::kError;
  if (lower == "fatal") return bgp::LogSeverity::kFatal;
  return bgp::LogSeverity::kInfo;
}

// The name of one in spec.communities, 65001:100 or 65001:1:2. False: none of these.
bool ParseCommunity(const Spec& spec, const std::string& text, bgp::Community* community) {
  const auto named =
      std::find_if(spec.communities().begin(), spec.communities().end(),
                   [&](const api::v1::Community& one) { return one.name() == text; });
  const std::vector<std::string> parts =
      absl::StrSplit(named == spec.communities().end() ? text : named->value(), ':');
  if (parts.size() != 2 && parts.size() != 3) return false;
  community->large = parts.size() == 3;
  const uint32_t max = community->large ? UINT32_MAX : UINT16_MAX;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (!absl::SimpleAtoi(parts[i], &community->parts[i]) || community->parts[i] > max) {
      return false;
    }
  }
  return true;
}

std::vector<bgp::Advertisement> AdvertisementsOf(const Spec& spec) {
  std::vector<bgp::Advertisement> all;
  for (const api::v1::PrefixAdvertisement& from : spec.prefix_advertisements()) {
    bgp::Advertisement one{.cidr = from.cidr(), .communities = {}};
    for (const std::string& text : from.communities()) {
      bgp::Community community;
      // Validation refused what is none; a store edited by hand may hold it.
      if (ParseCommunity(spec, text, &community)) one.communities.push_back(community);
    }
    all.push_back(std::move(one));
  }
  return all;
}

void Overlay(const Spec& spec, BgpSettings* settings) {
  if (spec.has_listen_port()) settings->listen_port = static_cast<uint16_t>(spec.listen_port());
  if (!spec.bind_mode().empty()) settings->bind_node_address = spec.bind_mode() == "NodeIP";
  if (!spec.log_severity_screen().empty()) {
    settings->log_severity = SeverityOf(spec.log_severity_screen());
  }
  if (spec.ignored_interfaces_size() > 0) {
    settings->ignored_interfaces.assign(spec.ignored_interfaces().begin(),
                                        spec.ignored_interfaces().end());
  }
  if (spec.prefix_advertisements_size() > 0) settings->advertisements = AdvertisementsOf(spec);
}

}  // namespace

uint32_t SecondsOf(const std::string& text) {
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration)) return 0;
  const int64_t seconds = absl::ToInt64Seconds(absl::Ceil(duration, absl::Seconds(1)));
  return static_cast<uint32_t>(std::clamp<int64_t>(seconds, 1, INT32_MAX));
}

BgpSettings SettingsOf(const ClusterView& cluster, const std::string& node) {
  BgpSettings settings;
  const auto& all = cluster.bgp_configurations;
  if (const auto it = all.find("default"); it != all.end()) {
    const Spec& spec = it->second.spec();
    if (spec.has_as_number()) settings.as_number = spec.as_number();
    if (spec.has_node_to_node_mesh_enabled()) {
      settings.node_mesh = spec.node_to_node_mesh_enabled();
    }
    settings.node_mesh_restart_s = SecondsOf(spec.node_mesh_max_restart_time());
    Overlay(spec, &settings);
  }
  if (const auto it = all.find(absl::StrCat("node.", node)); it != all.end()) {
    Overlay(it->second.spec(), &settings);
  }
  return settings;
}

}  // namespace ripstop::agent
