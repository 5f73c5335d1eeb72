// SPDX-License-Identifier: Apache-2.0
//
// projectcalico.org/v3: endpoints.
#include "api/fields/rows.h"

namespace ripstop::api {
namespace {

constexpr char kNoLimits[] =
    "only the CNI plugin bandwidth limits a pod's traffic, and nothing marks it";

constexpr Row kQos[] = {
    {"ingressBandwidth"},      {"egressBandwidth"},      {"ingressBurst"},
    {"egressBurst"},           {"ingressPeakrate"},      {"egressPeakrate"},
    {"ingressMinburst"},       {"egressMinburst"},       {"ingressPacketRate"},
    {"egressPacketRate"},      {"ingressPacketBurst"},   {"egressPacketBurst"},
    {"ingressMaxConnections"}, {"egressMaxConnections"}, {"dscp"},
};

constexpr Row kWorkload[] = {
    {"spec.orchestrator"},
    {"spec.workload"},
    {"spec.node"},
    {"spec.containerID"},
    {"spec.pod"},
    {"spec.endpoint"},
    {"spec.serviceAccountName"},
    {"spec.ipNetworks[]"},
    {"spec.ipNATs[].internalIP", kKept, "floating addresses are not translated"},
    {"spec.ipNATs[].externalIP", kKept, "floating addresses are not translated"},
    {"spec.ipv4Gateway", kKept, "a pod's gateway is always its host's side of the link"},
    {"spec.ipv6Gateway", kKept, "a pod's gateway is always its host's side of the link"},
    {"spec.profiles[]"},
    {"spec.interfaceName", kActs, "a note: the agent knows its pods' interfaces from CNI"},
    {"spec.mac", kActs, "a note, likewise"},
    {"spec.ports[].name"},
    {"spec.ports[].protocol"},
    {"spec.ports[].port"},
    {"spec.ports[].hostPort", kKept, "ports of the host are given by the portmap plugin", "0"},
    {"spec.ports[].hostIP", kKept, "ports of the host are given by the portmap plugin"},
    {"spec.allowSpoofedSourcePrefixes[]", kKept, "a pod sends with its own addresses only"},
    {"spec.qosControls", kKept, kNoLimits, "", kQos},
};

constexpr Row kHost[] = {
    {"spec.node"},         {"spec.interfaceName"},    {"spec.expectedIPs[]"}, {"spec.profiles[]"},
    {"spec.ports[].name"}, {"spec.ports[].protocol"}, {"spec.ports[].port"},
};

}  // namespace

std::vector<Kind> EndpointKinds() {
  return {
      {.api_version = kCalicoV3, .kind = "WorkloadEndpoint", .rows = {kWorkload}},
      {.api_version = kCalicoV3,
       .kind = "HostEndpoint",
       .effect = kOffline,
       .why = "no policy is enforced at an interface of a host yet; protect the host by its own "
              "firewall, and give addresses that rules name to a GlobalNetworkSet",
       .rows = {kHost}},
  };
}

}  // namespace ripstop::api
