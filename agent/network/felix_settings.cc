// SPDX-License-Identifier: Apache-2.0
#include "agent/network/felix_settings.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <tuple>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bpf/abi/flows.h"

namespace ripstop::agent {
namespace {

using FelixSpec = api::v1::FelixConfigurationSpec;

// The documents as one: what `over` says replaces what `under` does, lists and all.
FelixSpec Overlaid(FelixSpec under, const FelixSpec& over) {
  // Merging would append them.
  const google::protobuf::Reflection* r = over.GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> said;
  r->ListFields(over, &said);
  for (const auto* field : said) {
    const bool list =
        field->is_repeated() || (field->message_type() != nullptr &&
                                 field->message_type()->options().GetExtension(api::v1::as_list));
    if (list) r->ClearField(&under, field);
  }
  under.MergeFrom(over);
  return under;
}

FelixSpec SpecOf(const ClusterView& cluster, const std::string& node) {
  const auto& all = cluster.felix_configurations;
  FelixSpec spec;
  for (const std::string& name : {std::string("default"), absl::StrCat("node.", node)}) {
    if (const auto it = all.find(name); it != all.end()) spec = Overlaid(spec, it->second.spec());
  }
  return spec;
}

flow_timeouts TimeoutsOf(const api::v1::BpfConntrackTimeouts& said) {
  // What has been quiet for that long is that old: the promise of the grace period.
  const absl::Duration grace =
      api::FlowTimeoutOf(said.creation_grace_period()).value_or(absl::ZeroDuration());
  const auto limit = [grace](const std::string& text, uint64_t usual) -> uint64_t {
    const auto duration = api::FlowTimeoutOf(text);
    if (!duration.has_value() && grace <= absl::Nanoseconds(static_cast<int64_t>(usual))) return 0;
    const absl::Duration longest = std::max(duration.value_or(absl::ZeroDuration()), grace);
    return static_cast<uint64_t>(
        absl::ToInt64Nanoseconds(std::clamp(longest, api::kFlowTimeoutMin, api::kFlowTimeoutMax)));
  };
  return {.tcp_syn_sent_ns = limit(said.tcp_syn_sent(), FLOW_TCP_SYN_SENT_IDLE_NS),
          .tcp_established_ns = limit(said.tcp_established(), FLOW_TCP_IDLE_NS),
          .tcp_fins_seen_ns = limit(said.tcp_fins_seen(), FLOW_TCP_CLOSED_IDLE_NS),
          .tcp_reset_seen_ns = limit(said.tcp_reset_seen(), FLOW_TCP_RESET_IDLE_NS),
          .udp_ns = limit(said.udp_timeout(), FLOW_UDP_IDLE_NS),
          .icmp_ns = limit(said.icmp_timeout(), FLOW_ICMP_IDLE_NS),
          .other_ns = limit(said.generic_timeout(), FLOW_OTHER_IDLE_NS)};
}

std::string LevelOf(const std::string& severity) {
  const std::string lower = absl::AsciiStrToLower(severity);
  if (lower == "warning") return "warn";
  if (lower == "fatal") return "critical";
  return lower;
}

std::optional<LogRate> LogRateOf(const FelixSpec& spec) {
  const auto interval = api::RateIntervalOf(spec.log_action_rate_limit());
  if (!interval.has_value()) return std::nullopt;
  LogRate rate{.interval = *interval};
  if (spec.has_log_action_rate_limit_burst()) {
    rate.burst = static_cast<uint32_t>(spec.log_action_rate_limit_burst());
  }
  return rate;
}

std::optional<policy::Cidr> PrefixOf(const std::string& text) {
  if (const auto address = policy::Address::Parse(text); address.ok()) {
    return policy::Cidr::Of(*address, 128);
  }
  const auto prefix = policy::Cidr::Parse(text);
  return prefix.ok() ? std::optional(*prefix) : std::nullopt;
}

TunnelSettings TunnelOf(const FelixSpec& spec) {
  TunnelSettings tunnel;
  if (spec.has_vxlan_vni()) tunnel.vni = static_cast<uint32_t>(spec.vxlan_vni());
  if (spec.has_vxlan_port()) tunnel.port = static_cast<uint16_t>(spec.vxlan_port());
  tunnel.mtu_v4 = static_cast<uint32_t>(spec.vxlan_mtu());
  tunnel.mtu_v6 = static_cast<uint32_t>(spec.vxlan_mtu_v6());
  for (const std::string& text : spec.external_nodes_list().items()) {
    if (const auto prefix = PrefixOf(text)) tunnel.external_nodes.insert(*prefix);
  }
  return tunnel;
}

NatSettings NatOf(const FelixSpec& spec) {
  NatSettings nat;
  if (spec.has_nat_port_range()) nat.ports = api::PortRangeOf(spec.nat_port_range());
  const auto address = policy::Address::Parse(spec.nat_outgoing_address());
  if (address.ok()) nat.address = *address;
  if (spec.nat_outgoing_exclusions() == "IPPoolsAndHostIPs") {
    nat.exclusions = NatExclusions::kPoolsAndHosts;
  }
  return nat;
}

std::vector<FailsafePort> FailsafeOf(const api::v1::ProtoPortList& list) {
  std::vector<FailsafePort> ports;
  for (const api::v1::ProtoPort& one : list.items()) {
    const std::string protocol = absl::AsciiStrToUpper(one.protocol());
    ports.push_back({.protocol = static_cast<uint8_t>(protocol == "TCP"   ? IPPROTO_TCP
                                                      : protocol == "UDP" ? IPPROTO_UDP
                                                                          : IPPROTO_SCTP),
                     .port = static_cast<uint16_t>(one.port()),
                     .net = PrefixOf(one.net())});
  }
  return ports;
}

std::vector<FailsafePort> Ports(std::initializer_list<uint16_t> tcp,
                                std::initializer_list<uint16_t> udp) {
  std::vector<FailsafePort> ports;
  for (const uint16_t port : tcp) ports.push_back({IPPROTO_TCP, port, std::nullopt});
  for (const uint16_t port : udp) ports.push_back({IPPROTO_UDP, port, std::nullopt});
  return ports;
}

}  // namespace

std::vector<FailsafePort> DefaultFailsafeInbound() {
  return Ports({22, 179, 2379, 2380, 5473, 6443, 6666, 6667}, {68});
}

std::vector<FailsafePort> DefaultFailsafeOutbound() {
  return Ports({179, 2379, 2380, 5473, 6443, 6666, 6667}, {53, 67});
}

bool FelixSettings::operator==(const FelixSettings& other) const {
  const auto parts = [](const FelixSettings& s) {
    return std::tie(s.log_level, s.log_rate, s.tunnel, s.mtu_interfaces, s.nat, s.reject_denied,
                    s.gro_off_interfaces, s.failsafe_inbound, s.failsafe_outbound);
  };
  return std::memcmp(&timeouts, &other.timeouts, sizeof(timeouts)) == 0 &&
         parts(*this) == parts(other);
}

FelixSettings FelixSettingsOf(const ClusterView& cluster, const std::string& node) {
  const FelixSpec spec = SpecOf(cluster, node);
  FelixSettings settings;
  settings.timeouts = TimeoutsOf(spec.bpf_conntrack_timeouts());
  settings.log_level = LevelOf(spec.log_severity_screen());
  settings.log_rate = LogRateOf(spec);
  settings.tunnel = TunnelOf(spec);
  settings.mtu_interfaces = spec.mtu_iface_pattern();
  settings.nat = NatOf(spec);
  settings.reject_denied = absl::EqualsIgnoreCase(spec.nftables_filter_deny_action(), "Reject") ||
                           absl::EqualsIgnoreCase(spec.iptables_filter_deny_action(), "Reject");
  settings.gro_off_interfaces = spec.bpf_disable_gro_for_ifaces();
  if (spec.has_failsafe_inbound_host_ports()) {
    settings.failsafe_inbound = FailsafeOf(spec.failsafe_inbound_host_ports());
  }
  if (spec.has_failsafe_outbound_host_ports()) {
    settings.failsafe_outbound = FailsafeOf(spec.failsafe_outbound_host_ports());
  }
  return settings;
}

}  // namespace ripstop::agent
