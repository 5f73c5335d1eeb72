// SPDX-License-Identifier: Apache-2.0
//
// Kubernetes' own kinds. Of those that a cluster stores for other purposes too (Pod,
// Service, …) only what bears on networks is read; the rest is left out without a word.
#include "api/fields/rows.h"

namespace ripstop::api {
namespace {

constexpr char kNoService[] = "addresses of services are translated by kube-proxy, not here";
constexpr char kAddressAnnotation[] =
    "a pod's address is the runtime's to ask for, by CNI's `ips` or IP=";
constexpr char kBandwidth[] = "done by the bandwidth plugin, if the runtime chains it";
constexpr char kPoolsChoose[] = "pools choose: nodeSelector, namespaceSelector";
constexpr char kSystem[] = "a note";

constexpr Row kSelector[] = {
    {"matchLabels{}"},
    {"matchExpressions[].key"},
    {"matchExpressions[].operator"},
    {"matchExpressions[].values[]"},
};
constexpr Row kPods[] = {
    {.path = "namespaceSelector", .inside = kSelector},
    {.path = "podSelector", .inside = kSelector},
};
constexpr Row kTransport[] = {
    {"destinationPort.number"},
    {"destinationPort.range.start"},
    {"destinationPort.range.end"},
};
constexpr Row kClusterRule[] = {
    {"name"},
    {"action"},
    {.path = "protocols[].tcp", .inside = kTransport},
    {.path = "protocols[].udp", .inside = kTransport},
    {.path = "protocols[].sctp", .inside = kTransport},
    {"protocols[].destinationNamedPort"},
};
constexpr char kNames[] = "nobody here looks up names; write networks";
constexpr char kEgressOnly[] = "it is for egress only; write namespaces or pods";
constexpr Row kClusterPolicy[] = {
    {"spec.tier"},
    {"spec.priority"},
    {.path = "spec.subject.namespaces", .inside = kSelector},
    {.path = "spec.subject.pods", .inside = kPods},
    {.path = "spec.ingress[]", .inside = kClusterRule},
    {.path = "spec.ingress[].from[].namespaces", .inside = kSelector},
    {.path = "spec.ingress[].from[].pods", .inside = kPods},
    {"spec.ingress[].from[].networks[]", kRefused, kEgressOnly},
    {"spec.ingress[].from[].nodes", kRefused, kEgressOnly, "", kSelector},
    {"spec.ingress[].from[].domainNames[]", kRefused, kEgressOnly},
    {.path = "spec.egress[]", .inside = kClusterRule},
    {.path = "spec.egress[].to[].namespaces", .inside = kSelector},
    {.path = "spec.egress[].to[].pods", .inside = kPods},
    {"spec.egress[].to[].networks[]"},
    {.path = "spec.egress[].to[].nodes", .inside = kSelector},
    {"spec.egress[].to[].domainNames[]", kRefused, kNames},
};

constexpr Row kAnnotated[] = {
    {"metadata.annotations{cni.projectcalico.org/ipv4pools}", kKept, kPoolsChoose},
    {"metadata.annotations{cni.projectcalico.org/ipv6pools}", kKept, kPoolsChoose},
};
constexpr Row kPodAnnotated[] = {
    {"metadata.annotations{cni.projectcalico.org/ipAddrs}", kKept, kAddressAnnotation},
    {"metadata.annotations{cni.projectcalico.org/ipAddrsNoIpam}", kKept, kAddressAnnotation},
    {"metadata.annotations{cni.projectcalico.org/hwAddr}", kKept,
     "a pod's MAC is the runtime's to ask for, by CNI's `mac` or MAC="},
    {"metadata.annotations{cni.projectcalico.org/floatingIPs}", kKept,
     "floating addresses are not translated"},
    {"metadata.annotations{cni.projectcalico.org/allowedSourcePrefixes}", kKept,
     "a pod sends with its own addresses only"},
    {"metadata.annotations{kubernetes.io/ingress-bandwidth}", kActs, kBandwidth},
    {"metadata.annotations{kubernetes.io/egress-bandwidth}", kActs, kBandwidth},
};

constexpr Row kContainer[] = {
    {"name", kActs, kSystem},
    {"restartPolicy", kActs, kSystem},
    {"ports[].name"},
    {"ports[].protocol"},
    {"ports[].containerPort"},
    {"ports[].hostPort", kActs, "done by the portmap plugin, if the runtime chains it"},
};
constexpr Row kPod[] = {
    {"spec.nodeName", kActs, kSystem},
    {"spec.hostNetwork", kActs, "true: the pod is the node, not an endpoint"},
    {"spec.serviceAccountName"},
    {.path = "spec.containers[]", .inside = kContainer},
    {.path = "spec.initContainers[]", .inside = kContainer},
    {"status.phase"},
    {"status.podIP"},
    {"status.podIPs[].ip"},
    {"status.hostIP", kActs, kSystem},
};

constexpr Row kService[] = {
    {"spec.type", kKept},
    {"spec.clusterIP", kKept},
    {"spec.clusterIPs[]", kKept},
    {"spec.externalIPs[]", kKept},
    {"spec.loadBalancerIP", kKept},
    {"spec.externalTrafficPolicy", kKept},
    {"spec.selector{}", kKept},
    {"spec.ports[].name", kKept},
    {"spec.ports[].protocol", kKept},
    {"spec.ports[].port", kKept},
    {"spec.ports[].targetPort", kKept},
    {"spec.ports[].nodePort", kKept},
    {"status.loadBalancer.ingress[].ip", kKept},
    {"status.loadBalancer.ingress[].hostname", kKept},
};

constexpr Row kSlice[] = {
    {"addressType"},
    {"endpoints[].addresses[]"},
    {"endpoints[].conditions.ready", kActs, "rules match addresses that are not ready too"},
    {"endpoints[].conditions.serving", kActs, "likewise"},
    {"endpoints[].conditions.terminating", kActs, "likewise"},
    {"endpoints[].nodeName", kActs, kSystem},
    {"ports[].name", kActs, kSystem},
    {"ports[].protocol"},
    {"ports[].port"},
};

constexpr Row kLabels[] = {
    {"metadata.labels{}"},
};

constexpr char kCoreVersion[] = "v1";

constexpr char kSuperseded[] =
    "this version of the API has been replaced, and its policies would not be enforced; write it "
    "as a ClusterNetworkPolicy of policy.networking.k8s.io/v1alpha2";

}  // namespace

std::vector<Kind> KubernetesKinds() {
  return {
      {.api_version = "policy.networking.k8s.io/v1alpha2",
       .kind = "ClusterNetworkPolicy",
       .rows = {kClusterPolicy}},
      {.api_version = "policy.networking.k8s.io/v1alpha1",
       .kind = "AdminNetworkPolicy",
       .effect = kRefused,
       .why = kSuperseded},
      {.api_version = "policy.networking.k8s.io/v1alpha1",
       .kind = "BaselineAdminNetworkPolicy",
       .effect = kRefused,
       .why = kSuperseded},
      {.api_version = kCoreVersion, .kind = "Namespace", .rows = {kLabels, kAnnotated}},
      {.api_version = kCoreVersion, .kind = "ServiceAccount", .rows = {kLabels}},
      {.api_version = kCoreVersion, .kind = "Pod", .rows = {kPod, kAnnotated, kPodAnnotated}},
      {.api_version = kCoreVersion, .kind = "Service", .why = kNoService, .rows = {kService}},
      {.api_version = "discovery.k8s.io/v1", .kind = "EndpointSlice", .rows = {kSlice}},
  };
}

}  // namespace ripstop::api
