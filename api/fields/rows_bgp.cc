// SPDX-License-Identifier: Apache-2.0
//
// projectcalico.org/v3: BGP.
#include "api/fields/rows.h"

namespace ripstop::api {
namespace {

constexpr char kNoServices[] = "addresses of services are not told to peers";
constexpr char kNoPods[] = "no session is made with pods";

constexpr Row kSecret[] = {
    {"secretKeyRef.name"},
    {"secretKeyRef.key"},
    {"secretKeyRef.optional", kActs, "true: without the secret the session has no password"},
};

constexpr Row kBgpConfiguration[] = {
    {"spec.asNumber"},
    {"spec.nodeToNodeMeshEnabled"},
    {"spec.listenPort"},
    {"spec.bindMode"},
    {"spec.logSeverityScreen", kActs, "of BIRD's log"},
    {.path = "spec.nodeMeshPassword", .inside = kSecret},
    {"spec.nodeMeshMaxRestartTime"},
    {"spec.ignoredInterfaces[]"},
    {"spec.communities[].name"},
    {"spec.communities[].value"},
    {"spec.prefixAdvertisements[].cidr"},
    {"spec.prefixAdvertisements[].communities[]"},
    {"spec.serviceClusterIPs[].cidr", kKept, kNoServices},
    {"spec.serviceExternalIPs[].cidr", kKept, kNoServices},
    {"spec.serviceLoadBalancerIPs[].cidr", kKept, kNoServices},
    {"spec.serviceLoadBalancerAggregation", kKept, kNoServices},
    {"spec.localWorkloadPeeringIPV4", kKept, kNoPods},
    {"spec.localWorkloadPeeringIPV6", kKept, kNoPods},
    {"spec.ipv4NormalRoutePriority", kKept, "BIRD's routes have metric 32", "32"},
    {"spec.ipv6NormalRoutePriority", kKept, "BIRD's routes have metric 32", "32"},
    {"spec.programClusterRoutes", kKept,
     "BIRD programs the routes of pools without encapsulation, the agent those of VXLAN",
     "EnabledNoEncapOnly"},
};

constexpr Row kPeer[] = {
    {"spec.node"},
    {"spec.nodeSelector"},
    {"spec.peerIP"},
    {"spec.peerSelector"},
    {"spec.reversePeering"},
    {"spec.asNumber"},
    {"spec.localASNumber"},
    {"spec.numAllowedLocalASNumbers"},
    {"spec.sourceAddress"},
    {"spec.reachableBy"},
    {"spec.nextHopMode"},
    {"spec.keepOriginalNextHop"},
    {.path = "spec.password", .inside = kSecret},
    {"spec.keepaliveTime"},
    {"spec.maxRestartTime"},
    {"spec.ttlSecurity"},
    {"spec.filters[]", kRefused,
     "no filter is applied, and routes that it holds back would be told; remove it: IPPool "
     "disableBGPExport says which pools are not announced"},
    {"spec.localWorkloadSelector", kKept, kNoPods},
};

constexpr Row kFilterRule[] = {
    {"action"},
    {"source"},
    {"interface"},
    {"matchOperator"},
    {"cidr"},
    {"prefixLength.min"},
    {"prefixLength.max"},
    {"peerType"},
    {"priority"},
    {"communities.values[]"},
    {"asPathPrefix[]"},
    {"operations[].addCommunity.value"},
    {"operations[].prependASPath.prefix[]"},
    {"operations[].setPriority.value"},
};

constexpr char kUnused[] = "a BGPPeer that names a filter is refused, so none is applied";

constexpr Row kFilter[] = {
    {"spec.exportV4[]", kKept, kUnused, "", kFilterRule},
    {"spec.exportV6[]", kKept, kUnused, "", kFilterRule},
    {"spec.importV4[]", kKept, kUnused, "", kFilterRule},
    {"spec.importV6[]", kKept, kUnused, "", kFilterRule},
};

}  // namespace

std::vector<Kind> BgpKinds() {
  return {
      {.api_version = kCalicoV3, .kind = "BGPConfiguration", .rows = {kBgpConfiguration}},
      {.api_version = kCalicoV3, .kind = "BGPPeer", .rows = {kPeer}},
      {.api_version = kCalicoV3, .kind = "BGPFilter", .why = kUnused, .rows = {kFilter}},
      {.api_version = kCalicoV3,
       .kind = "BFDConfiguration",
       .effect = kKept,
       .why = "sessions end by their hold time, 90 s, not by BFD"},
  };
}

}  // namespace ripstop::api
