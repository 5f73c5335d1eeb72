// SPDX-License-Identifier: Apache-2.0
//
// FelixConfiguration: bounds and words as Felix takes them, also of fields that nothing acts
// on, so that a document does not turn wrong on the day that one of them acts.
#include <re2/re2.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "api/felix_values.h"
#include "api/proto/felix.pb.h"
#include "api/validate/validators.h"

namespace ripstop::api {
namespace {

using Spec = v1::FelixConfigurationSpec;
using Words = std::vector<std::string>;

// Below it IPv6 has no place on a link (RFC 8200 section 5).
constexpr int64_t kMtuMin = 1280;

struct WordField {
  const char* name;  // in JSON
  Words words;
  bool any_case = false;
};

const std::vector<WordField>& WordFields() {
  static const Words on_off = {"Enabled", "Disabled"}, filter = {"Accept", "Return"},
                     deny = {"Drop", "Reject"},
                     severity = {"Trace", "Debug", "Info", "Warning", "Error", "Fatal"};
  static const auto* fields = new std::vector<WordField>{
      {"awsSrcDstCheck", {"DoNothing", "Enable", "Disable"}},
      {"bpfAttachType", {"TC", "TCX", "Netkit"}},
      {"bpfConnectTimeLoadBalancing", {"TCP", "Enabled", "Disabled"}},
      {"bpfConntrackLogLevel", {"Off", "Debug"}},
      {"bpfConntrackMode", {"Auto", "Userspace", "BPFProgram"}},
      {"bpfEnforceRPF", {"Disabled", "Strict", "Loose"}, true},
      {"bpfExternalServiceMode", {"Tunnel", "DSR"}, true},
      {"bpfHostNetworkedNATWithoutCTLB", on_off},
      {"bpfJITHardening", {"Auto", "Strict"}},
      {"bpfLogLevel", {"Off", "Info", "Debug"}, true},
      {"bpfMapSizeConntrackScaling", {"Disabled", "DoubleIfFull"}, true},
      {"bpfOverlayHostSourceIP", {"TunnelAddress", "HostAddress"}},
      {"bpfProfiling", on_off},
      {"bpfRedirectToPeer", on_off},
      {"chainInsertMode", {"Insert", "Append"}, true},
      {"defaultEndpointToHostAction", {"Drop", "Accept", "Return"}, true},
      {"floatingIPs", on_off},
      {"flowLogsLocalReporter", on_off},
      {"flowLogsPolicyEvaluationMode", {"None", "Continuous"}},
      {"ipForwarding", on_off},
      {"iptablesBackend", {"Legacy", "NFT", "Auto"}},
      {"iptablesFilterAllowAction", filter, true},
      {"iptablesFilterDenyAction", deny, true},
      {"iptablesMangleAllowAction", filter, true},
      {"istioAmbientMode", on_off},
      {"localSubnetL2Reachability", {"Disabled", "PodsAndLoadBalancers"}},
      {"logSeverityFile", severity, true},
      {"logSeverityScreen", severity, true},
      {"logSeveritySys", severity, true},
      {"natOutgoingExclusions", {"IPPoolsOnly", "IPPoolsAndHostIPs"}},
      {"nftablesFilterAllowAction", filter, true},
      {"nftablesFilterDenyAction", deny, true},
      {"nftablesFlowTableOffload", {"All", "Disabled"}},
      {"nftablesMangleAllowAction", filter, true},
      {"nftablesMode", {"Disabled", "Enabled", "Auto"}},
      {"programClusterRoutes", {"Enabled", "Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly"}},
      {"prometheusMetricsClientAuth",
       {"RequireAndVerifyClientCert", "RequireAnyClientCert", "VerifyClientCertIfGiven",
        "NoClientCert"}},
      {"routeSource", {"WorkloadIPs", "CalicoIPAM"}, true},
      {"serviceLoopPrevention", {"Drop", "Reject", "Disabled"}, true},
      {"windowsManageFirewallRules", on_off},
      {"workloadSourceSpoofing", {"Disabled", "Any"}, true},
  };
  return *fields;
}

const char* const kDurationFields[] = {
    "bpfIPFragTimeout",
    "bpfKubeProxyMinSyncPeriod",
    "dataplaneWatchdogTimeout",
    "debugSimulateCalcGraphHangAfter",
    "debugSimulateDataplaneApplyDelay",
    "debugSimulateDataplaneHangAfter",
    "endpointReportingDelay",
    "flowLogsFlushInterval",
    "interfaceRefreshInterval",
    "ipsetsRefreshInterval",
    "iptablesLockProbeInterval",
    "iptablesPostWriteCheckInterval",
    "iptablesRefreshInterval",
    "liveMigrationRouteConvergenceTime",
    "localSubnetL2ReachabilityRefreshInterval",
    "netlinkTimeout",
    "nftablesRefreshInterval",
    "reportingInterval",
    "reportingTTL",
    "routeRefreshInterval",
    "usageReportingInitialDelay",
    "usageReportingInterval",
    "wireguardKeepAlive",
    "xdpRefreshInterval",
};

struct NumberField {
  const char* name;
  int64_t min, max;
};

constexpr NumberField kNumberFields[] = {
    {"bpfKubeProxyHealthzPort", 0, 65535},
    {"bpfMapSizeConntrackCleanupQueue", 1, INT32_MAX},
    {"debugPort", 0, 65535},
    {"deviceRouteProtocol", 0, 255},
    {"healthPort", 0, 65535},
    {"iptablesMarkMask", 0, UINT32_MAX},
    {"logActionRateLimitBurst", 0, 9999},
    {"metadataPort", 0, 65535},
    {"nftablesMarkMask", 0, UINT32_MAX},
    {"prometheusMetricsPort", 0, 65535},
    {"vxlanPort", 1, 65535},
    {"vxlanVNI", 1, (1 << 24) - 1},  // 24 bits (RFC 7348 section 5)
    {"wireguardListeningPort", 0, 65535},
    {"wireguardListeningPortV6", 0, 65535},
};

const google::protobuf::FieldDescriptor* FieldNamed(const char* json_name) {
  static const auto* fields = [] {
    auto* all = new std::map<std::string_view, const google::protobuf::FieldDescriptor*>();
    const auto* type = Spec::descriptor();
    for (int i = 0; i < type->field_count(); ++i) {
      (*all)[type->field(i)->json_name()] = type->field(i);
    }
    return all;
  }();
  return fields->at(json_name);
}

std::string TextOf(const Spec& spec, const char* name) {
  return spec.GetReflection()->GetString(spec, FieldNamed(name));
}

void CheckTimeout(const std::string& path, const std::string& text, bool limit, Checker& check) {
  if (text.empty() || text == "Auto") return;
  const auto duration = FlowTimeoutOf(text);
  const absl::Duration least = limit ? kFlowTimeoutMin : absl::ZeroDuration();
  if (!duration.has_value()) {
    check.Bad(path, text, "is not a duration", "write Auto, or one such as 60s or 2h15m");
  } else if (*duration > kFlowTimeoutMax || *duration < least) {
    check.Bad(path, text, limit ? "is not 2s to 8760h" : "is not 0s to 8760h",
              limit ? "write Auto, or a duration of 2s or more: when a flow was last seen is known "
                      "to the second"
                    : "write Auto, or one such as 10s");
  }
}

void CheckTimeouts(const v1::BpfConntrackTimeouts& timeouts, Checker& check) {
  const std::string at = "spec.bpfConntrackTimeouts";
  CheckTimeout(Field(at, "creationGracePeriod"), timeouts.creation_grace_period(), false, check);
  for (const auto& [name, text] : {std::pair("tcpSynSent", &timeouts.tcp_syn_sent()),
                                   std::pair("tcpEstablished", &timeouts.tcp_established()),
                                   std::pair("tcpFinsSeen", &timeouts.tcp_fins_seen()),
                                   std::pair("tcpResetSeen", &timeouts.tcp_reset_seen()),
                                   std::pair("udpTimeout", &timeouts.udp_timeout()),
                                   std::pair("genericTimeout", &timeouts.generic_timeout()),
                                   std::pair("icmpTimeout", &timeouts.icmp_timeout())}) {
    CheckTimeout(Field(at, name), *text, true, check);
  }
}

// 1000, or 1000:2000.
void CheckPortRange(const std::string& path, const v1::IntOrString& value, Checker& check) {
  if (!PortRangeOf(value).has_value()) {
    const bool number = value.value_case() == v1::IntOrString::kNumber;
    check.Bad(path, number ? absl::StrCat(value.number()) : value.text(), "is not a range of ports",
              "write one such as 32768:60999");
  }
}

void CheckMtu(const std::string& path, bool present, int64_t mtu, Checker& check) {
  if (present && mtu != 0) check.Range(path, mtu, kMtuMin, 65535);
}

void CheckAddressOf(const char* path, const std::string& text, std::optional<bool> v4,
                    Checker& check) {
  if (text.empty()) return;
  const auto address = check.Address(path, text);
  if (address.has_value() && v4.has_value() && address->is_v4() != *v4) {
    check.Bad(path, text, *v4 ? "is not IPv4" : "is not IPv6", "write it in the other field");
  }
}

void CheckFailsafe(const char* path, const v1::ProtoPortList& list, Checker& check) {
  for (int i = 0; i < list.items_size(); ++i) {
    const v1::ProtoPort& one = list.items(i);
    const std::string at = Index(path, i);
    const Words known = {"TCP", "UDP", "SCTP"};
    const bool good = std::any_of(known.begin(), known.end(), [&](const std::string& word) {
      return absl::EqualsIgnoreCase(word, one.protocol());
    });
    if (!good) check.Enum(Field(at, "protocol"), one.protocol(), known);
    if (!one.has_port()) {
      check.Wrong(Field(at, "port"), "is missing", "write 0 to 65535");
    } else {
      check.Range(Field(at, "port"), one.port(), 0, 65535);
    }
    if (!one.net().empty()) check.Cidr(Field(at, "net"), one.net(), false);
  }
}

void CheckPattern(const char* path, const std::string& pattern, Checker& check) {
  if (pattern.empty()) return;
  const RE2 compiled(pattern, RE2::Quiet);
  if (!compiled.ok()) {
    check.Bad(path, pattern, absl::StrCat("is not a regular expression: ", compiled.error()),
              "write one such as ^eth.*");
  }
}

void CheckName(const std::string& name, Checker& check) {
  if (name == "default" || (absl::StartsWith(name, "node.") && name.size() > 5)) return;
  check.Bad("metadata.name", name, "is not a name that is looked at",
            "write default, or node. and the name of a node");
}

}  // namespace

void CheckFelixConfiguration(const v1::FelixConfiguration& configuration, Checker& check) {
  const Spec& spec = configuration.spec();
  CheckName(configuration.metadata().name(), check);
  for (const WordField& field : WordFields()) {
    const std::string text = TextOf(spec, field.name);
    const bool good =
        text.empty() || std::any_of(field.words.begin(), field.words.end(), [&](const auto& word) {
          return field.any_case ? absl::EqualsIgnoreCase(word, text) : word == text;
        });
    if (!good) check.Enum(Field("spec", field.name), text, field.words);
  }
  for (const char* name : kDurationFields) {
    if (const std::string text = TextOf(spec, name); !text.empty()) {
      check.Duration(Field("spec", name), text);
    }
  }
  for (const NumberField& field : kNumberFields) {
    const auto* descriptor = FieldNamed(field.name);
    if (!spec.GetReflection()->HasField(spec, descriptor)) continue;
    check.Range(Field("spec", field.name), spec.GetReflection()->GetInt64(spec, descriptor),
                field.min, field.max);
  }
  CheckTimeouts(spec.bpf_conntrack_timeouts(), check);
  CheckMtu("spec.vxlanMTU", spec.has_vxlan_mtu(), spec.vxlan_mtu(), check);
  CheckMtu("spec.vxlanMTUV6", spec.has_vxlan_mtu_v6(), spec.vxlan_mtu_v6(), check);
  CheckPattern("spec.mtuIfacePattern", spec.mtu_iface_pattern(), check);
  CheckAddressOf("spec.natOutgoingAddress", spec.nat_outgoing_address(), std::nullopt, check);
  CheckAddressOf("spec.deviceRouteSourceAddress", spec.device_route_source_address(), true, check);
  CheckAddressOf("spec.deviceRouteSourceAddressIPv6", spec.device_route_source_address_ipv6(),
                 false, check);
  if (spec.has_nat_port_range()) {
    CheckPortRange("spec.natPortRange", spec.nat_port_range(), check);
  }
  const std::string& rate = spec.log_action_rate_limit();
  if (!rate.empty() && !RateIntervalOf(rate).has_value()) {
    check.Bad("spec.logActionRateLimit", rate, "is not a rate",
              "write 1 to 9999, /, and second, minute, hour or day, such as 100/second");
  }
  for (int i = 0; i < spec.kube_node_port_ranges().items_size(); ++i) {
    CheckPortRange(Index("spec.kubeNodePortRanges", i), spec.kube_node_port_ranges().items(i),
                   check);
  }
  for (int i = 0; i < spec.external_nodes_list().items_size(); ++i) {
    check.Cidr(Index("spec.externalNodesList", i), spec.external_nodes_list().items(i), true);
  }
  CheckFailsafe("spec.failsafeInboundHostPorts", spec.failsafe_inbound_host_ports(), check);
  CheckFailsafe("spec.failsafeOutboundHostPorts", spec.failsafe_outbound_host_ports(), check);
  check.Selector("spec.nodeSelector", spec.node_selector());
}

}  // namespace ripstop::api
