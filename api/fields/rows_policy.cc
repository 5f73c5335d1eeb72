// SPDX-License-Identifier: Apache-2.0
//
// projectcalico.org/v3: policies, tiers, sets, profiles.
#include "api/fields/rows.h"

namespace ripstop::api {
namespace {

constexpr char kHostOnly[] =
    "it is for interfaces of the host, where nothing is enforced yet; write the policy without "
    "it to have it enforced at pods";
constexpr char kStagedHostOnly[] =
    "it is for interfaces of the host, of which nothing is reported yet";
constexpr char kHttp[] = "the datapath does not read HTTP; match by ports";

constexpr Row kEntity[] = {
    {"nets[]"},
    {"notNets[]"},
    {"selector"},
    {"notSelector"},
    {"namespaceSelector"},
    {"ports[]"},
    {"notPorts[]"},
    {"serviceAccounts.names[]"},
    {"serviceAccounts.selector"},
    {"services.name"},
    {"services.namespace"},
};

constexpr Row kHttpMatch[] = {
    {"methods[]"},
    {"paths[].exact"},
    {"paths[].prefix"},
};

constexpr Row kRule[] = {
    {"action"},
    {"ipVersion"},
    {"protocol"},
    {"notProtocol"},
    {"icmp.type"},
    {"icmp.code"},
    {"notICMP.type"},
    {"notICMP.code"},
    {.path = "source", .inside = kEntity},
    {.path = "destination", .inside = kEntity},
    {"http", kRefused, kHttp, "", kHttpMatch},
    {"metadata.annotations{}", kActs, "`name` is what verdicts and counters call the rule"},
};

constexpr Row kRules[] = {
    {.path = "spec.ingress[]", .inside = kRule},
    {.path = "spec.egress[]", .inside = kRule},
};

constexpr Row kPolicy[] = {
    {"spec.tier"},
    {"spec.order"},
    {"spec.selector"},
    {"spec.serviceAccountSelector"},
    {"spec.types[]"},
    {"spec.performanceHints[]", kKept, "policies are compiled where they select something"},
};

constexpr Row kGlobal[] = {
    {"spec.namespaceSelector"},
    {"spec.applyOnForward", kOffline, kHostOnly, "false"},
    {"spec.preDNAT", kOffline, kHostOnly, "false"},
    {"spec.doNotTrack", kOffline, kHostOnly, "false"},
};

constexpr Row kStagedGlobal[] = {
    {"spec.namespaceSelector"},
    {"spec.applyOnForward", kKept, kStagedHostOnly, "false"},
    {"spec.preDNAT", kKept, kStagedHostOnly, "false"},
    {"spec.doNotTrack", kKept, kStagedHostOnly, "false"},
};

// The reader takes these for all six kinds, and validation says to which they belong.
constexpr Row kNotGlobal[] = {
    {"spec.namespaceSelector", kRefused, "it belongs to the global kinds"},
    {"spec.applyOnForward", kRefused, "it belongs to the global kinds"},
    {"spec.preDNAT", kRefused, "it belongs to the global kinds"},
    {"spec.doNotTrack", kRefused, "it belongs to the global kinds"},
};
constexpr Row kNotStaged[] = {
    {"spec.stagedAction", kRefused, "it belongs to the staged kinds"},
};

constexpr Row kStaged[] = {
    {"spec.stagedAction"},
};

constexpr Row kKubernetesSelector[] = {
    {"matchLabels{}"},
    {"matchExpressions[].key"},
    {"matchExpressions[].operator"},
    {"matchExpressions[].values[]"},
};

constexpr Row kKubernetesPeer[] = {
    {.path = "podSelector", .inside = kKubernetesSelector},
    {.path = "namespaceSelector", .inside = kKubernetesSelector},
    {"ipBlock.cidr"},
    {"ipBlock.except[]"},
};

constexpr Row kKubernetesPolicy[] = {
    {.path = "spec.podSelector", .inside = kKubernetesSelector},
    {"spec.policyTypes[]"},
    {"spec.ingress[].ports[].protocol"},
    {"spec.ingress[].ports[].port"},
    {"spec.ingress[].ports[].endPort"},
    {.path = "spec.ingress[].from[]", .inside = kKubernetesPeer},
    {"spec.egress[].ports[].protocol"},
    {"spec.egress[].ports[].port"},
    {"spec.egress[].ports[].endPort"},
    {.path = "spec.egress[].to[]", .inside = kKubernetesPeer},
};

constexpr Row kTier[] = {
    {"spec.order"},
    {"spec.defaultAction"},
};

constexpr Row kSet[] = {
    {"spec.nets[]"},
};

constexpr Row kProfile[] = {
    {"spec.labelsToApply{}"},
};

constexpr Row kConditions[] = {
    {"type"}, {"status"}, {"observedGeneration"}, {"lastTransitionTime"}, {"reason"}, {"message"},
};
constexpr Row kStatus[] = {
    {"status.conditions[]", kLeftOut, "written by the system", "", kConditions},
};

}  // namespace

absl::Span<const Row> ConditionRows() { return kStatus; }

std::vector<Kind> PolicyKinds() {
  return {
      {.api_version = kCalicoV3,
       .kind = "NetworkPolicy",
       .rows = {kPolicy, kRules, kNotGlobal, kNotStaged}},
      {.api_version = kCalicoV3,
       .kind = "GlobalNetworkPolicy",
       .rows = {kPolicy, kRules, kGlobal, kNotStaged}},
      {.api_version = kCalicoV3,
       .kind = "StagedNetworkPolicy",
       .rows = {kStaged, kPolicy, kRules, kNotGlobal}},
      {.api_version = kCalicoV3,
       .kind = "StagedGlobalNetworkPolicy",
       .rows = {kStaged, kPolicy, kRules, kStagedGlobal}},
      {.api_version = kCalicoV3,
       .kind = "StagedKubernetesNetworkPolicy",
       .rows = {kStaged, kKubernetesPolicy}},
      {.api_version = "networking.k8s.io/v1", .kind = "NetworkPolicy", .rows = {kKubernetesPolicy}},
      {.api_version = kCalicoV3, .kind = "NetworkSet", .rows = {kSet}},
      {.api_version = kCalicoV3, .kind = "GlobalNetworkSet", .rows = {kSet}},
      {.api_version = kCalicoV3, .kind = "Tier", .rows = {kTier, kStatus}},
      {.api_version = kCalicoV3, .kind = "Profile", .rows = {kProfile, kRules}},
  };
}

}  // namespace ripstop::api
