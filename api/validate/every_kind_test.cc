// SPDX-License-Identifier: Apache-2.0
//
// One good document of every kind, broken in every place: a field that nobody knows, a value
// of another type, a value of the same type that means nothing. Each is refused by itself,
// where it is, with the value and what would be right; or it is one of the places where any
// value will do, which are listed.
#include <algorithm>
#include <functional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "api/codec/writer.h"
#include "api/validate/testing.h"
#include "nlohmann/json.hpp"

namespace ripstop::api {
namespace {

using Json = nlohmann::ordered_json;
using testing::IsEmpty;

const char kPolicy[] =
    "{tier: net, order: 5, selector: has(a), serviceAccountSelector: has(b), types: [Ingress, "
    "Egress], performanceHints:"
    " [AssumeNeededOnEveryNode], ingress: [{action: Allow, ipVersion: 4, protocol: TCP, "
    "notProtocol: UDP, source: {nets:"
    " [192.0.2.0/24], notNets: [192.0.2.0/25], selector: has(c), notSelector: has(d), "
    "namespaceSelector: has(e), ports:"
    " [80], notPorts: ['90:91'], serviceAccounts: {names: [sa], selector: has(f)}}, destination: "
    "{ports: [http]},"
    " metadata: {annotations: {name: x}}}, {action: Deny, protocol: ICMP, icmp: {type: 8, code: "
    "0}, notICMP: {type: 8,"
    " code: 1}}], egress: [{action: Pass, destination: {services: {name: dns, namespace: "
    "kube-system}}}]";
const char kKubernetes[] =
    "podSelector: {matchLabels: {a: b}, matchExpressions: [{key: c, operator: In, values: [d]}]}, "
    "policyTypes: [Ingress,"
    " Egress], ingress: [{from: [{podSelector: {matchLabels: {e: f}}, namespaceSelector: "
    "{matchLabels: {g: h}}}], ports:"
    " [{port: 80, endPort: 90, protocol: TCP}]}], egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24, "
    "except:"
    " [192.0.2.0/25]}}], ports: [{port: http, protocol: SCTP}]}]";
const char kPodPorts[] =
    "[{name: c, ports: [{name: http, protocol: TCP, containerPort: 80, hostPort: 8080}]}]";

std::vector<std::string> GoodDocuments() {
  const auto calico = [](const char* kind, const std::string& spec, const std::string& name = "p") {
    return Doc(kCalico, kind, spec, name);
  };
  const std::string policy = kPolicy, kubernetes = kKubernetes;
  const auto whole = [](const std::string& rest) {
    return absl::StrCat(
        "{", rest,
        ", metadata: {name: p, namespace: shop, labels: {a.b/c: d}, annotations: {a.b/c: d e}}}");
  };
  return {
      calico("NetworkPolicy", policy + "}"),
      calico("GlobalNetworkPolicy",
             policy + ", namespaceSelector: has(g), doNotTrack: false, preDNAT: false,"
                      " applyOnForward: true}"),
      calico("StagedNetworkPolicy", policy + ", stagedAction: Set}"),
      calico("StagedGlobalNetworkPolicy", policy + ", stagedAction: Learn}"),
      calico("StagedKubernetesNetworkPolicy",
             absl::StrCat("{stagedAction: Set, ", kubernetes, "}")),
      Doc("networking.k8s.io/v1", "NetworkPolicy", absl::StrCat("{", kubernetes, "}")),
      Doc("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy",
          "{tier: Admin, priority: 7, subject: {pods: {namespaceSelector: {matchLabels: {a: b}}, "
          "podSelector:"
          " {matchExpressions: [{key: c, operator: Exists}]}}}, ingress: [{name: one, action: "
          "Accept, from: [{namespaces:"
          " {matchLabels: {d: e}}}], protocols: [{tcp: {destinationPort: {number: 80}}}]}], "
          "egress: [{name: two, action:"
          " Deny, to: [{networks: [192.0.2.0/24]}, {pods: {podSelector: {}}}], protocols: [{udp: "
          "{destinationPort: {range:"
          " {start: 1, end: 9}}}}, {sctp: {destinationPort: {range: {start: 1, end: 65535}}}}, "
          "{destinationNamedPort: http}]}]}"),
      calico("Tier", "{order: 10, defaultAction: Pass}"),
      calico("Profile",
             "{labelsToApply: {a: b}, ingress: [{action: Allow}], egress: [{action: Deny, "
             "protocol: 47}]}"),
      calico("NetworkSet", "{nets: [192.0.2.0/24]}"),
      calico("GlobalNetworkSet", "{nets: ['2001:db8::/32']}"),
      calico(
          "WorkloadEndpoint",
          "{orchestrator: k8s, workload: w, node: n1, containerID: c, pod: p, endpoint: eth0, "
          "serviceAccountName: sa,"
          " ipNetworks: [192.0.2.1/32], ipNATs: [{internalIP: 192.0.2.1, externalIP: "
          "198.51.100.1}], ipv4Gateway:"
          " 192.0.2.9, ipv6Gateway: '2001:db8::9', profiles: [kns.shop], interfaceName: cali1, mac:"
          " '02:00:5e:10:00:01', ports: [{name: http, protocol: TCP, port: 80, hostPort: 8080, "
          "hostIP: 192.0.2.2}],"
          " allowSpoofedSourcePrefixes: [192.0.2.0/24], qosControls: {ingressBandwidth: 1000000, "
          "egressPacketRate:"
          " 10}}"),
      calico(
          "HostEndpoint",
          "{node: n1, interfaceName: eth0, expectedIPs: [192.0.2.1], profiles: [a], ports: [{name:"
          " ssh, protocol: TCP, port: 22}]}"),
      calico(
          "Node",
          "{bgp: {asNumber: 64496, ipv4Address: 192.0.2.1/24, ipv6Address: '2001:db8::1/64',"
          " ipv4IPIPTunnelAddr: 192.0.2.3, routeReflectorClusterID: 192.0.2.9, interfaceName: "
          "eth0},"
          " ipv4VXLANTunnelAddr: 192.0.2.4, ipv6VXLANTunnelAddr: '2001:db8::4', vxlanTunnelMACAddr:"
          " '02:00:5e:10:00:01', vxlanTunnelMACAddrV6: '02:00:5e:10:00:02', orchRefs: [{nodeName: "
          "n1,"
          " orchestrator: k8s}], wireguard: {interfaceIPv4Address: 192.0.2.5, interfaceIPv6Address:"
          " '2001:db8::5'}, addresses: [{address: 192.0.2.1, type: InternalIP}]}"),
      calico(
          "IPPool",
          "{cidr: 10.65.0.0/16, vxlanMode: CrossSubnet, ipipMode: Never, natOutgoing: true, "
          "disabled: false,"
          " disableBGPExport: false, blockSize: 26, nodeSelector: all(), allowedUses: [Workload],"
          " assignmentMode: Automatic, namespaceSelector: all()}"),
      calico(
          "BGPConfiguration",
          "{logSeverityScreen: Info, nodeToNodeMeshEnabled: true, asNumber: 64496, "
          "serviceLoadBalancerIPs: [{cidr:"
          " 198.51.100.0/24}], serviceExternalIPs: [{cidr: 198.51.100.0/25}], "
          "serviceClusterIPs: [{cidr:"
          " 10.96.0.0/12}], communities: [{name: c, value: '64496:100'}], prefixAdvertisements: "
          "[{cidr: 10.65.0.0/16,"
          " communities: [c]}], listenPort: 179, nodeMeshPassword: {secretKeyRef: {name: s, "
          "key: k, optional: true}},"
          " nodeMeshMaxRestartTime: 120s, bindMode: NodeIP, ignoredInterfaces: [eth9], "
          "localWorkloadPeeringIPV4:"
          " 192.0.2.1, localWorkloadPeeringIPV6: '2001:db8::1', serviceLoadBalancerAggregation: "
          "Enabled,"
          " programClusterRoutes: Enabled, ipv4NormalRoutePriority: 32, ipv6NormalRoutePriority: "
          "1024}",
          "default"),
      calico("BGPPeer",
             "{node: n1, peerIP: '192.0.2.1:179', asNumber: 64497, keepOriginalNextHop: true, "
             "password:"
             " {secretKeyRef: {name: s, key: k}}, sourceAddress: UseNodeIP, maxRestartTime: 120s,"
             " numAllowedLocalASNumbers: 1, ttlSecurity: 2, reachableBy: 192.0.2.2, localASNumber: "
             "64498,"
             " keepaliveTime: 30s, reversePeering: Manual}"),
      calico("FelixConfiguration",
             "{bpfConntrackTimeouts: {creationGracePeriod: 10s, genericTimeout: 10m, icmpTimeout: "
             "5s, tcpEstablished: 1h, tcpFinsSeen: Auto, tcpResetSeen: 40s, tcpSynSent: 20s, "
             "udpTimeout: 60s}, defaultEndpointToHostAction: Accept, externalNodesList: "
             "[192.0.2.0/24], failsafeInboundHostPorts: [{protocol: TCP, port: 22, net: "
             "192.0.2.0/24}], failsafeOutboundHostPorts: [{protocol: UDP, port: 53}], "
             "logActionRateLimit: 10/second, logActionRateLimitBurst: 5, logSeverityScreen: Info, "
             "mtuIfacePattern: ^eth, natOutgoingAddress: 192.0.2.1, natOutgoingExclusions: "
             "IPPoolsOnly, natPortRange: '1000:2000', nftablesFilterDenyAction: Reject, "
             "prometheusMetricsEnabled: false, vxlanMTU: 1400, vxlanMTUV6: 1400, vxlanPort: 4789, "
             "vxlanVNI: 4096, iptablesRefreshInterval: 90s}",
             "default"),
      whole("apiVersion: v1, kind: ServiceAccount"),
      "{apiVersion: v1, kind: Namespace, metadata: {name: p, labels: {a: b}}}",
      whole(absl::StrCat("apiVersion: v1, kind: Pod, spec: {nodeName: n1, hostNetwork: false, "
                         "serviceAccountName: sa,"
                         " containers: ",
                         kPodPorts, ", initContainers: ", kPodPorts,
                         "}, status: {phase: Running, podIP: 192.0.2.1, podIPs: [{ip: 192.0.2.1}], "
                         "hostIP: 192.0.2.9}")),
      whole("apiVersion: v1, kind: Service, spec: {type: LoadBalancer, clusterIP: 10.96.0.1, "
            "clusterIPs: [10.96.0.1],"
            " externalIPs: [198.51.100.1], loadBalancerIP: 198.51.100.2, externalTrafficPolicy: "
            "Local, selector: {a: b},"
            " ports: [{name: web, protocol: TCP, port: 80, targetPort: http, nodePort: 30080}]}, "
            "status: {loadBalancer:"
            " {ingress: [{ip: 198.51.100.2}]}}"),
      whole("apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, endpoints: "
            "[{addresses:"
            " [192.0.2.1], conditions: {ready: true}, nodeName: n1}], ports: [{name: web, "
            "protocol: TCP, port: 80}]"),
  };
}

// Every place of `json`: an object, a list or a value; with its path as problems write it.
void Walk(Json& json, const std::string& path,
          const std::function<void(Json&, const std::string&)>& visit) {
  visit(json, path);
  if (!json.is_structured()) return;
  int index = 0;
  for (auto& [key, child] : json.items()) {
    Walk(child,
         json.is_array() ? absl::StrCat(path, "[", index++, "]")
         : path.empty()  ? key
                         : absl::StrCat(path, ".", key),
         visit);
  }
}

// The problems of a document, of its form or else of its meaning.
std::vector<Problem> ProblemsOf(const Json& document) {
  const Decoded decoded = DecodeText(document.dump(), "");
  std::vector<Problem> problems = decoded.problems;
  for (const Resource& resource : decoded.resources) {
    for (Problem& problem : Validate(resource)) problems.push_back(std::move(problem));
  }
  return problems;
}

// Calls `with` for each good document changed at one place: `change` says whether it did.
void Broken(
    const std::function<bool(Json&, const std::string&)>& change,
    const std::function<void(const Json&, const std::string&, const std::vector<Problem>&)>& with) {
  for (const std::string& text : GoodDocuments()) {
    const Decoded decoded = DecodeText(text, "");
    ASSERT_EQ(decoded.resources.size(), 1u) << ToString(decoded.problems);
    Json original = ToJsonValue(decoded.resources[0]);
    std::vector<std::string> places;
    Walk(original, "", [&](Json&, const std::string& path) { places.push_back(path); });
    for (const std::string& place : places) {
      Json document = original;
      bool changed = false;
      Walk(document, "", [&](Json& json, const std::string& path) {
        if (path == place && !changed) changed = change(json, path);
      });
      if (changed) with(document, place, ProblemsOf(document));
    }
  }
}

bool IsMap(const std::string& path) {
  for (const char* name : {"labels", "annotations", "matchLabels", "labelsToApply", "selector"}) {
    if (absl::EndsWith(path, absl::StrCat(".", name))) return true;
  }
  return false;
}

TEST(EveryKindTest, EveryKindHasAGoodDocumentThatNobodyRefuses) {
  std::set<std::string> kinds;
  for (const std::string& text : GoodDocuments()) {
    EXPECT_EQ(Problems(text), "") << text;
    for (const Resource& resource : DecodeText(text, "").resources)
      kinds.insert(resource.kind().store_kind);
  }
  // What nothing reads yet is kept whatever it says; api/fields has its tests.
  for (const KindInfo& kind : AllKinds()) {
    if (kind.prototype->GetDescriptor() == v1::KeptResource::descriptor()) continue;
    EXPECT_TRUE(kinds.contains(kind.store_kind)) << kind.store_kind;
  }
}

TEST(EveryKindTest, AnUnknownFieldIsRefusedWhereverItStandsButInDocumentsOfKubernetesThatSayMore) {
  int refused = 0;
  Broken(
      [](Json& json, const std::string& path) {
        if (!json.is_object() || IsMap(path)) return false;
        json["futureField"] = Json::array({1});
        return true;
      },
      [&](const Json& document, const std::string& place, const std::vector<Problem>& problems) {
        const std::string api = document["apiVersion"];
        const bool lenient = (api == "v1" || api == "discovery.k8s.io/v1") && place != "metadata";
        if (lenient) {
          EXPECT_THAT(problems, IsEmpty()) << place << document;
          return;
        }
        ASSERT_EQ(problems.size(), 1u) << place << document << ToString(problems);
        EXPECT_EQ(problems[0].path, place.empty() ? "futureField" : place + ".futureField");
        EXPECT_EQ(problems[0].value, "a list");
        EXPECT_EQ(problems[0].what, "is an unknown field");
        ExpectWhole(problems[0]);
        ++refused;
      });
  EXPECT_GT(refused, 150);
}

TEST(EveryKindTest, AValueOfAnotherTypeIsRefusedWhereverItStands) {
  int refused = 0;
  Broken(
      [](Json& json, const std::string& path) {
        if (path.empty() || path == "apiVersion" || path == "kind") return false;
        json = json.is_array()    ? Json("word")
               : json.is_object() ? Json::array({"word"})
                                  : Json::object({{"a", 1}});
        return true;
      },
      [&](const Json& document, const std::string& place, const std::vector<Problem>& problems) {
        // A Kubernetes document's status of another kind says nothing that is read.
        ASSERT_FALSE(problems.empty()) << place << document;
        ExpectWhole(problems[0]);
        EXPECT_TRUE(absl::StartsWith(problems[0].path, place) ||
                    absl::StrContains(problems[0].path, "["))
            << place << ToString(problems);
        ++refused;
      });
  EXPECT_GT(refused, 500);
}

// Kind and place of what this version only passes on, or compares with what others say.
const std::set<std::string>& AnyWord() {
  static const auto& places = *new std::set<std::string>{
      "NetworkPolicy spec.ingress[0].metadata.annotations.name",
      "GlobalNetworkPolicy spec.ingress[0].metadata.annotations.name",
      "StagedNetworkPolicy spec.ingress[0].metadata.annotations.name",
      "StagedGlobalNetworkPolicy spec.ingress[0].metadata.annotations.name",
      "ClusterNetworkPolicy spec.ingress[0].name",
      "ClusterNetworkPolicy spec.egress[0].name",
      "WorkloadEndpoint spec.orchestrator",
      "WorkloadEndpoint spec.workload",
      "WorkloadEndpoint spec.containerID",
      "WorkloadEndpoint spec.pod",
      "WorkloadEndpoint spec.endpoint",
      "Node spec.orchRefs[0].nodeName",
      "Node spec.orchRefs[0].orchestrator",
      "BGPConfiguration spec.ignoredInterfaces[0]",
      "FelixConfiguration spec.mtuIfacePattern",
      "ServiceAccount metadata.annotations.a.b/c",
      "Pod metadata.annotations.a.b/c",
      "Pod spec.containers[0].name",
      "Pod spec.initContainers[0].name",
      "Service metadata.annotations.a.b/c",
      "Service spec.selector.a",
      "Service spec.ports[0].name",
      "EndpointSlice metadata.annotations.a.b/c",
      "EndpointSlice endpoints[0].nodeName",
      "EndpointSlice ports[0].name"};
  return places;
}

TEST(EveryKindTest, AWordWithoutMeaningIsRefusedWhereverAWordMeansSomething) {
  int refused = 0;
  Broken(
      [](Json& json, const std::string& path) {
        if (!json.is_string() || path == "apiVersion" || path == "kind") return false;
        json = "no\x01such thing!";
        return true;
      },
      [&](const Json& document, const std::string& place, const std::vector<Problem>& problems) {
        for (const Problem& problem : problems) ExpectWhole(problem);
        refused += !problems.empty();
        if (!problems.empty()) return;
        const std::string what = absl::StrCat(document["kind"].get<std::string>(), " ", place);
        EXPECT_TRUE(AnyWord().contains(what)) << "accepted: " << what;
      });
  EXPECT_GT(refused, 150);
}

TEST(EveryKindTest, ANumberOutOfRangeIsRefusedWhereverANumberMeansSomething) {
  for (const int64_t number : {int64_t{-7}, int64_t{1} << 40}) {
    int refused = 0;
    Broken(
        [&](Json& json, const std::string&) {
          if (!json.is_number()) return false;
          json = number;
          return true;
        },
        [&](const Json& document, const std::string& place, const std::vector<Problem>& problems) {
          for (const Problem& problem : problems) ExpectWhole(problem);
          refused += !problems.empty();
          if (!problems.empty()) return;
          // An order is any number, and a bandwidth may be this large.
          EXPECT_TRUE(place == "spec.order" || (number > 0 && absl::EndsWith(place, "Bandwidth")))
              << "accepted: " << number << " for " << place << " of " << document["kind"];
        });
    EXPECT_GT(refused, 30);
  }
}

}  // namespace
}  // namespace ripstop::api
