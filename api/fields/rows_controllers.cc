// SPDX-License-Identifier: Apache-2.0
//
// projectcalico.org/v3: what Calico's controllers read and write.
#include "api/fields/rows.h"

namespace ripstop::api {
namespace {

constexpr char kNoController[] = "there is no controller yet";
constexpr char kHostEndpointsNotMade[] =
    "no HostEndpoint is made, and none would be enforced; protect hosts by their own firewall";
constexpr char kWritten[] = "written by the system";

constexpr Row kTemplates[] = {
    {"generateName"},     {"nodeSelector"}, {"interfaceCIDRs[]"},
    {"interfacePattern"}, {"labels{}"},     {"annotations{}"},
};

constexpr Row kControllers[] = {
    {"controllers.loadBalancer.assignIPs", kKept},
    {"controllers.migration.policyNameMigrator", kKept},
    {"controllers.namespace.reconcilerPeriod", kKept},
    {"controllers.node.hostEndpoint.autoCreate", kRefused, kHostEndpointsNotMade, "Disabled"},
    {"controllers.node.hostEndpoint.createDefaultHostEndpoint", kKept, kHostEndpointsNotMade},
    {"controllers.node.hostEndpoint.templates[]", kKept, kHostEndpointsNotMade, "", kTemplates},
    {"controllers.node.leakGracePeriod", kKept},
    {"controllers.node.reconcilerPeriod", kKept},
    {"controllers.node.syncLabels", kKept},
    {"controllers.policy.reconcilerPeriod", kKept},
    {"controllers.serviceAccount.reconcilerPeriod", kKept},
    {"controllers.workloadEndpoint.reconcilerPeriod", kKept},
    {"debugProfilePort", kKept},
    {"etcdV3CompactionPeriod", kKept},
    {"healthChecks", kKept},
    {"logSeverityScreen", kKept},
    {"prometheusMetricsPort", kKept},
};
constexpr Row kKubeControllers[] = {
    {.path = "spec", .inside = kControllers},
    {"status.environmentVars{}", kLeftOut, kWritten},
    {"status.runningConfig", kLeftOut, kWritten, "", kControllers},
};

constexpr Row kBird[] = {
    {"state"}, {"version"}, {"routerID"}, {"lastBootTime"}, {"lastReconfigurationTime"},
};
constexpr Row kSession[] = {{"peerIP"}, {"type"}, {"state"}, {"since"}};
constexpr Row kRoute[] = {
    {"type"},
    {"destination"},
    {"gateway"},
    {"interface"},
    {"learnedFrom.sourceType"},
    {"learnedFrom.peerIP"},
};

constexpr Row kNodeStatus[] = {
    {"spec.node", kKept},
    {"spec.classes[]", kKept},
    {"spec.updatePeriodSeconds", kKept},
    {"status.lastUpdated", kLeftOut, kWritten},
    {"status.agent.birdV4", kLeftOut, kWritten, "", kBird},
    {"status.agent.birdV6", kLeftOut, kWritten, "", kBird},
    {"status.bgp.numberEstablishedV4", kLeftOut, kWritten},
    {"status.bgp.numberEstablishedV6", kLeftOut, kWritten},
    {"status.bgp.numberNotEstablishedV4", kLeftOut, kWritten},
    {"status.bgp.numberNotEstablishedV6", kLeftOut, kWritten},
    {"status.bgp.peersV4[]", kLeftOut, kWritten, "", kSession},
    {"status.bgp.peersV6[]", kLeftOut, kWritten, "", kSession},
    {"status.routes.routesV4[]", kLeftOut, kWritten, "", kRoute},
    {"status.routes.routesV6[]", kLeftOut, kWritten, "", kRoute},
};

constexpr Row kClusterInformation[] = {
    {"spec.calicoVersion", kKept},  {"spec.clusterGUID", kKept}, {"spec.clusterType", kKept},
    {"spec.datastoreReady", kKept}, {"spec.variant", kKept},
};

}  // namespace

std::vector<Kind> ControllerKinds() {
  return {
      {.api_version = kCalicoV3,
       .kind = "KubeControllersConfiguration",
       .why = kNoController,
       .rows = {kKubeControllers}},
      {.api_version = kCalicoV3,
       .kind = "CalicoNodeStatus",
       .why = "nobody fills in its status; `ripstopctl node status` on the node shows it",
       .rows = {kNodeStatus}},
      {.api_version = kCalicoV3,
       .kind = "ClusterInformation",
       .why = "a note of Calico about itself",
       .rows = {kClusterInformation}},
  };
}

}  // namespace ripstop::api
