// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "api/codec/reader.h"
#include "api/validate/testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::api {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

std::string Np(const std::string& spec) { return Problems(Doc(kCalico, "NetworkPolicy", spec)); }
std::string Gnp(const std::string& spec) {
  return Problems(Doc(kCalico, "GlobalNetworkPolicy", spec));
}
std::string Rule(const std::string& rule) { return Gnp(absl::StrCat("{ingress: [", rule, "]}")); }
std::string K8s(const std::string& spec) {
  return Problems(Doc("networking.k8s.io/v1", "NetworkPolicy", spec));
}
std::string Cnp(const std::string& spec) {
  return Problems(Doc("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", spec));
}
std::string Pool(const std::string& spec) { return Problems(Doc(kCalico, "IPPool", spec)); }
std::string Peer(const std::string& spec) { return Problems(Doc(kCalico, "BGPPeer", spec)); }
std::string Config(const std::string& spec, const std::string& name = "default") {
  return Problems(Doc(kCalico, "BGPConfiguration", spec, name));
}

TEST(ValidateTest, AProblemCarriesFileLineResourcePathValueAndRemedy) {
  const Decoded decoded = DecodeText(R"(apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  ingress:
  - action: Allow
    source:
      nets:
      - 192.0.2.0/24
      - 192.0.2.0/33
)",
                                     "web.yaml");
  ASSERT_THAT(decoded.resources, SizeIs(1));
  EXPECT_EQ(ToString(Validate(decoded.resources[0])),
            "web.yaml:10: NetworkPolicy shop/web: spec.ingress[0].source.nets[1]: "
            "\"192.0.2.0/33\" is not a CIDR; write an address and a prefix length, such as "
            "192.0.2.0/24 or 2001:db8::/32");
}

TEST(ValidateTest, GoodDocumentsOfEveryKindHaveNoProblem) {
  for (const std::string& text :
       {Doc(kCalico, "NetworkPolicy",
            "{tier: sec, order: 1, selector: all(), types: [Ingress, Egress], ingress: [{action: "
            "Allow, protocol: TCP, source: {nets: [10.0.0.5/8], notNets: []}, destination: "
            "{ports: [80, '1:2', http]}}], egress: [{action: Allow, destination: {services: "
            "{name: dns, namespace: kube-system}}}]}"),
        Doc(kCalico, "GlobalNetworkPolicy",
            "{preDNAT: true, applyOnForward: true, ingress: [{action: Deny, protocol: ICMPv6, "
            "icmp: {type: 128, code: 0}}], namespaceSelector: all()}"),
        Doc(kCalico, "StagedNetworkPolicy", "{stagedAction: Set}"),
        Doc(kCalico, "StagedGlobalNetworkPolicy", "{stagedAction: Delete}"),
        Doc(kCalico, "StagedKubernetesNetworkPolicy", "{podSelector: {}}"),
        Doc(kCalico, "NetworkSet", "{nets: [192.0.2.1, 192.0.2.7/24]}"),
        Doc(kCalico, "GlobalNetworkSet", "{nets: ['2001:db8::/32']}"),
        Doc(kCalico, "Tier", "{order: 10, defaultAction: Pass}"),
        Doc(kCalico, "Tier", "{order: 1000000, defaultAction: Deny}", "default"),
        Doc(kCalico, "Profile", "{labelsToApply: {a: b}, ingress: [{action: Allow}]}"),
        Doc(kCalico, "WorkloadEndpoint",
            "{node: n1, ipNetworks: [192.0.2.1/32, '2001:db8::1'], interfaceName: cali1, mac: "
            "'02:00:5e:10:00:01', ports: [{name: http, protocol: TCP, port: 80}]}"),
        Doc(kCalico, "HostEndpoint", "{node: n1, interfaceName: '*', expectedIPs: [192.0.2.1]}"),
        Doc(kCalico, "Node",
            "{bgp: {asNumber: 64496, ipv4Address: 192.0.2.1/24, "
            "routeReflectorClusterID: 192.0.2.9}, addresses: [{address: 192.0.2.1/24}]}"),
        Doc(kCalico, "IPPool", "{cidr: 10.65.0.0/16, vxlanMode: CrossSubnet, blockSize: 26}"),
        Doc(kCalico, "IPPool", "{cidr: '2001:db8:1::/64', allowedUses: [Workload]}"),
        Doc(kCalico, "BGPConfiguration",
            "{asNumber: 1.10, listenPort: 179, serviceClusterIPs: [{cidr: 10.96.0.0/12}], "
            "communities: [{name: c, value: '64496:100'}], prefixAdvertisements: [{cidr: "
            "10.65.0.0/16, communities: [c, '64496:1:2']}], nodeMeshMaxRestartTime: 120s, "
            "programClusterRoutes: EnabledNoEncapOnly}",
            "default"),
        Doc(kCalico, "BGPPeer", "{peerIP: '[2001:db8::1]:1790', asNumber: 64497}"),
        Doc(kCalico, "BGPPeer", "{peerSelector: has(rr), nodeSelector: all()}"),
        Doc("networking.k8s.io/v1", "NetworkPolicy",
            "{ingress: [{}, {ports: [{port: 80, endPort: 90}, {port: http, protocol: SCTP}, {}], "
            "from: [{podSelector: {}}, {ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}], "
            "policyTypes: [Ingress]}"),
        Doc("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy",
            "{tier: Admin, priority: 0, subject: {namespaces: {}}, egress: [{action: Accept, to: "
            "[{networks: [192.0.2.0/24]}], protocols: [{tcp: {destinationPort: {number: 80}}}, "
            "{udp: {destinationPort: {number: 53}}}]}]}"),
        std::string(
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {a.b/c: d}}\n"),
        std::string("{apiVersion: v1, kind: Pod, metadata: {name: a.b}, spec: {containers: "
                    "[{ports: [{containerPort: 80}]}]}, status: {podIPs: [{ip: 192.0.2.1}]}}"),
        std::string("{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s}, "
                    "addressType: IPv6, endpoints: [{addresses: ['2001:db8::1']}]}")}) {
    EXPECT_EQ(Problems(text), "") << text;
  }
}

TEST(ValidateTest, MetadataIsChecked) {
  EXPECT_THAT(Problems(Doc(kCalico, "NetworkPolicy", "{}", "Web_1")),
              HasSubstr("metadata.name: \"Web_1\" is not a name (RFC 1123)"));
  EXPECT_EQ(Problems("apiVersion: v1\nkind: Namespace\nmetadata: {}\n"),
            "metadata.name: is missing; write a name");
  EXPECT_THAT(Problems("apiVersion: v1\nkind: Namespace\nmetadata: {name: a.b}\n"),
              HasSubstr("is not a name (RFC 1123 label)"));
  EXPECT_EQ(Problems("apiVersion: v1\nkind: Namespace\nmetadata: {name: a, namespace: b}\n"),
            "metadata.namespace: \"b\" is given, and a Namespace has no namespace; remove it");
  EXPECT_THAT(
      Problems("apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {'a b': c}}\n"),
      HasSubstr("metadata.labels[a b]: \"a b\" is not a label key"));
  EXPECT_THAT(Problems("apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {a: '-'}}\n"),
              HasSubstr("metadata.labels[a]: \"-\" is not a label value"));
}

TEST(ValidateTest, CalicoRulesAreRefusedWithARemedy) {
  struct Case {
    const char* rule;
    const char* problem;
  };
  for (const Case& c : std::vector<Case>{
           {"{action: allow}",
            "spec.ingress[0].action: \"allow\" is not a value known here; did you mean Allow? "
            "Known: Allow, Deny, Log, Pass"},
           {"{}", "spec.ingress[0].action: is missing; write one of Allow, Deny, Log, Pass"},
           {"{action: Allow, ipVersion: 5}",
            "spec.ingress[0].ipVersion: \"5\" is not an IP version; write 4 or 6"},
           {"{action: Allow, protocol: TPC}",
            "spec.ingress[0].protocol: \"TPC\" is not a protocol; write TCP, UDP, ICMP, ICMPv6, "
            "SCTP, UDPLite or 1 to 255"},
           {"{action: Allow, protocol: 0}",
            "spec.ingress[0].protocol: \"0\" is not a protocol; write TCP, UDP, ICMP, ICMPv6, "
            "SCTP, UDPLite or 1 to 255"},
           {"{action: Allow, destination: {ports: [80]}}",
            "spec.ingress[0].destination.ports: [80] needs a protocol; write protocol: TCP, UDP, "
            "SCTP "
            "or UDPLite in the rule"},
           {"{action: Allow, protocol: ICMP, destination: {ports: [80]}}",
            "spec.ingress[0].destination.ports: [80] makes no sense with protocol ICMP; write "
            "protocol: "
            "TCP, UDP, SCTP or UDPLite in the rule, or remove the ports"},
           {"{action: Allow, protocol: TCP, destination: {ports: ['90:80']}}",
            "spec.ingress[0].destination.ports[0]: \"90:80\" is not a port; write 1 to 65535, a "
            "range such as \"8000:8010\" with the lower first, or a name"},
           {"{action: Allow, protocol: TCP, source: {notPorts: [65536]}}",
            "spec.ingress[0].source.notPorts[0]: \"65536\" is not a port; write 1 to 65535, a "
            "range such as \"8000:8010\" with the lower first, or a name"},
           {"{action: Allow, protocol: TCP, source: {ports: []}}",
            "spec.ingress[0].source.ports: [] is an empty list; list ports, or remove it to match "
            "every port"},
           {"{action: Allow, source: {nets: []}}",
            "spec.ingress[0].source.nets: [] is an empty list; list CIDRs, or remove it to match "
            "every address"},
           {"{action: Allow, ipVersion: 6, source: {nets: [192.0.2.0/24]}}",
            "spec.ingress[0].source.nets[0]: \"192.0.2.0/24\" is not IPv6, which the rule's "
            "ipVersion says; remove ipVersion, or write a CIDR of that family"},
           {"{action: Allow, icmp: {type: 8}}",
            "spec.ingress[0].icmp: {\"type\":8} needs protocol ICMP or ICMPv6; write protocol: "
            "ICMP or ICMPv6"},
           {"{action: Allow, protocol: ICMP, notICMP: {code: 256}}",
            "spec.ingress[0].notICMP.code: \"256\" is out of range; write 0 to 255\n"
            "spec.ingress[0].notICMP.code: 256 needs a type; write type beside it"},
           {"{action: Allow, http: {methods: [GET]}}",
            "spec.ingress[0].http: {\"methods\":[\"GET\"]} is refused; the datapath does not read "
            "HTTP; "
            "match by ports"},
           {"{action: Allow, source: {services: {name: cart}, nets: [192.0.2.0/24]}}",
            "spec.ingress[0].source.services.namespace: is missing; a global policy must name the "
            "namespace\n"
            "spec.ingress[0].source.nets: [\"192.0.2.0/24\"] cannot stand beside services; remove "
            "it: the service "
            "says which addresses and ports"}}) {
    EXPECT_EQ(Rule(c.rule), c.problem) << c.rule;
  }
  EXPECT_THAT(Rule("{action: Allow, source: {selector: \"a = 'b'\"}}"),
              HasSubstr("spec.ingress[0].source.selector: \"a = 'b'\" is not a selector; "));
  EXPECT_THAT(Rule("{action: Allow, source: {serviceAccounts: {selector: \"a ==\"}}}"),
              HasSubstr("spec.ingress[0].source.serviceAccounts.selector: "));
}

TEST(ValidateTest, FieldsOfAnotherKindOfPolicyAreRefused) {
  EXPECT_EQ(Np("{doNotTrack: true, applyOnForward: true}"),
            "spec.doNotTrack: true belongs to GlobalNetworkPolicy; remove it, or write a "
            "GlobalNetworkPolicy\n"
            "spec.applyOnForward: true belongs to GlobalNetworkPolicy; remove it, or write a "
            "GlobalNetworkPolicy");
  EXPECT_THAT(Np("{namespaceSelector: all()}"), HasSubstr("belongs to GlobalNetworkPolicy"));
  EXPECT_EQ(Np("{stagedAction: Set}"),
            "spec.stagedAction: \"Set\" belongs to the staged kinds; remove it");
  EXPECT_THAT(Gnp("{doNotTrack: true}"), HasSubstr("write applyOnForward: true"));
  EXPECT_THAT(Gnp("{doNotTrack: true, preDNAT: true, applyOnForward: true}"),
              HasSubstr("cannot stand beside doNotTrack"));
  EXPECT_THAT(Gnp("{preDNAT: true, applyOnForward: true, types: [Egress]}"),
              HasSubstr("is for ingress only"));
  EXPECT_THAT(Gnp("{types: [ingress]}"), HasSubstr("did you mean Ingress?"));
  EXPECT_THAT(Gnp("{types: [Ingress, Ingress]}"), HasSubstr("appears twice"));
  EXPECT_THAT(Gnp("{tier: a.b}"), HasSubstr("spec.tier: \"a.b\""));
}

TEST(ValidateTest, BuiltInTiersKeepTheirPlace) {
  EXPECT_THAT(Problems(Doc(kCalico, "Tier", "{order: 5}", "default")),
              HasSubstr("spec.order: \"5\" cannot change for a built-in tier"));
  EXPECT_THAT(Problems(Doc(kCalico, "Tier", "{defaultAction: Deny}", "kube-admin")),
              HasSubstr("write Pass, or use a tier of your own"));
  EXPECT_THAT(Problems(Doc(kCalico, "Tier", "{defaultAction: Allow}")),
              HasSubstr("write one of Deny, Pass"));
}

TEST(ValidateTest, KubernetesPolicies) {
  const auto port = [](const std::string& p) {
    return K8s(absl::StrCat("{ingress: [{ports: [", p, "]}]}"));
  };
  const auto peer = [](const std::string& p) {
    return K8s(absl::StrCat("{egress: [{to: [", p, "]}]}"));
  };
  EXPECT_EQ(port("{port: 0}"),
            "spec.ingress[0].ports[0].port: \"0\" is out of range; write 1 to 65535");
  EXPECT_EQ(port("{port: '80'}"),
            "spec.ingress[0].ports[0].port: \"80\" is not the name of a port; write 80 without "
            "quotes");
  EXPECT_THAT(port("{port: HTTP}"), HasSubstr("at least one of them a letter"));
  EXPECT_EQ(port("{port: 80, protocol: tcp}"),
            "spec.ingress[0].ports[0].protocol: \"tcp\" is not a value known here; did you mean "
            "TCP? Known: TCP, UDP, SCTP");
  EXPECT_EQ(port("{port: 80, endPort: 79}"),
            "spec.ingress[0].ports[0].endPort: \"79\" is below port; write 80 or more");
  EXPECT_THAT(port("{port: http, endPort: 79}"), HasSubstr("needs a port that is a number"));
  EXPECT_THAT(port("{endPort: 79}"), HasSubstr("needs a port that is a number"));
  EXPECT_THAT(peer("{}"), HasSubstr("spec.egress[0].to[0]: {} is a peer that says nothing"));
  EXPECT_THAT(peer("{ipBlock: {cidr: 192.0.2.0/24}, podSelector: {}}"),
              HasSubstr("cannot stand beside a selector"));
  EXPECT_EQ(peer("{ipBlock: {cidr: 192.0.2.1}}"),
            "spec.egress[0].to[0].ipBlock.cidr: \"192.0.2.1\" is not a CIDR; write 192.0.2.1/32");
  for (const char* except :
       {"198.51.100.0/25", "192.0.2.0/24", "192.0.0.0/16", "'2001:db8::/64'"}) {
    EXPECT_THAT(peer(absl::StrCat("{ipBlock: {cidr: 192.0.2.0/24, except: [", except, "]}}")),
                HasSubstr("is not a part of 192.0.2.0/24"))
        << except;
  }
  EXPECT_THAT(peer("{podSelector: {matchExpressions: [{key: a, operator: In}]}}"),
              HasSubstr("values: is missing or empty, and In needs values"));
  EXPECT_THAT(peer("{podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}"),
              HasSubstr("values: [\"b\"] is given, and Exists takes none"));
  EXPECT_THAT(peer("{podSelector: {matchExpressions: [{key: a, operator: Is}]}}"),
              HasSubstr("operator: \"Is\" is not a value known here"));
  EXPECT_THAT(K8s("{policyTypes: [Both]}"), HasSubstr("write one of Ingress, Egress"));
}

TEST(ValidateTest, ClusterNetworkPolicies) {
  EXPECT_EQ(Cnp("{}"),
            "spec.tier: is missing; write one of Admin, Baseline\n"
            "spec.priority: is missing; write 0 to 1000; lower goes first\n"
            "spec.subject: is missing; write namespaces or pods");
  const auto egress = [](const std::string& rule) {
    return Cnp(
        absl::StrCat("{tier: Admin, priority: 1, subject: {pods: {}}, egress: [", rule, "]}"));
  };
  EXPECT_THAT(egress("{action: Allow, to: [{pods: {}}]}"), HasSubstr("Accept, Deny, Pass"));
  EXPECT_THAT(egress("{action: Accept}"), HasSubstr("spec.egress[0].to: is missing or empty"));
  EXPECT_THAT(egress("{action: Accept, to: [{}]}"), HasSubstr("has 0 fields"));
  EXPECT_THAT(egress("{action: Accept, to: [{}]}"),
              HasSubstr("write namespaces, pods, networks or nodes"));
  EXPECT_THAT(egress("{action: Accept, to: [{domainNames: [a.example]}]}"),
              HasSubstr("spec.egress[0].to[0].domainNames: [\"a.example\"] is experimental and "
                        "not enforced here; write namespaces, pods, networks or nodes"));
  EXPECT_THAT(egress("{action: Accept, to: [{pods: {}}], protocols: []}"),
              HasSubstr("spec.egress[0].protocols: [] is missing or empty"));
  EXPECT_THAT(egress("{action: Accept, to: [{pods: {}}], protocols: [{tcp: {}, udp: {}}]}"),
              HasSubstr("has not exactly one field"));
  EXPECT_THAT(egress("{action: Accept, to: [{pods: {}}], protocols: [{tcp: {destinationPort: "
                     "{range: {start: 9, end: 9}}}}]}"),
              HasSubstr("is not above start"));
  EXPECT_THAT(Cnp("{tier: Admin, priority: 1001, subject: {pods: {}}, ingress: [{action: Deny, "
                  "from: [{networks: [192.0.2.0/24]}]}]}"),
              testing::AllOf(HasSubstr("write 0 to 1000"), HasSubstr("is for egress only")));
}

TEST(ValidateTest, NodePeersAreForEgressOnly) {
  const auto rule = [](const std::string& peer, bool ingress = false) {
    return Cnp(absl::StrCat("{tier: Admin, priority: 1, subject: {namespaces: {}}, ",
                            ingress ? "ingress" : "egress", ": [{action: Deny, ",
                            ingress ? "from" : "to", ": [", peer, "]}]}"));
  };
  EXPECT_EQ(rule("{nodes: {}}"), "");
  EXPECT_EQ(rule("{nodes: {matchLabels: {node-role.kubernetes.io/worker: ''}}}"), "");
  EXPECT_EQ(rule("{nodes: {matchExpressions: [{key: zone, operator: In, values: [a, b]}, {key: "
                 "gpu, operator: DoesNotExist}]}}"),
            "");
  EXPECT_EQ(rule("{nodes: {}}", true),
            "spec.ingress[0].from[0].nodes: {} is for egress only; write namespaces or pods");
  EXPECT_THAT(rule("{domainNames: [a.example]}", true), HasSubstr("is for egress only"));
  EXPECT_THAT(rule("{nodes: {}, pods: {podSelector: {}}}"), HasSubstr("has 2 fields"));
  EXPECT_THAT(rule("{nodes: {matchExpressions: [{key: zone, operator: Is}]}}"),
              HasSubstr("spec.egress[0].to[0].nodes.matchExpressions[0].operator: \"Is\""));
  EXPECT_THAT(rule("{nodes: {matchLabels: {'a b': c}}}"),
              HasSubstr("spec.egress[0].to[0].nodes.matchLabels"));
}

TEST(ValidateTest, Pools) {
  EXPECT_EQ(Pool("{}"), "spec.cidr: is missing; write the pool's prefix");
  EXPECT_EQ(Pool("{cidr: 10.65.0.1/16}"),
            "spec.cidr: \"10.65.0.1/16\" has bits set after its prefix; write 10.65.0.0/16");
  EXPECT_EQ(Pool("{cidr: 10.65.0.0/16, blockSize: 19}"),
            "spec.blockSize: \"19\" is out of range; write 20 to 32");
  EXPECT_EQ(Pool("{cidr: 10.65.0.0/28}"),
            "spec.cidr: \"10.65.0.0/28\" is smaller than one block (/26); write a prefix of at "
            "most /26, or a blockSize of 28 to 32");
  EXPECT_THAT(Pool("{cidr: '2001:db8::/64', blockSize: 26}"), HasSubstr("write 116 to 128"));
  EXPECT_THAT(Pool("{cidr: '2001:db8::/64', ipipMode: Always}"), HasSubstr("IPv4 pools only"));
  EXPECT_THAT(Pool("{cidr: 10.65.0.0/16, ipipMode: Always, vxlanMode: Always}"),
              HasSubstr("cannot stand beside vxlanMode"));
  EXPECT_THAT(Pool("{cidr: 10.65.0.0/16, vxlanMode: crosssubnet}"),
              HasSubstr("did you mean CrossSubnet?"));
  EXPECT_THAT(Pool("{cidr: 169.254.0.0/20}"), HasSubstr("overlaps the link-local addresses"));
}

TEST(ValidateTest, PoolsThatOverlapAreNamed) {
  const Decoded decoded =
      DecodeText(absl::StrCat(Doc(kCalico, "IPPool", "{cidr: 10.65.0.0/16}", "a"), "---\n",
                              Doc(kCalico, "IPPool", "{cidr: 10.66.0.0/16}", "b"), "---\n",
                              Doc(kCalico, "IPPool", "{cidr: 10.65.128.0/17}", "c")),
                 "");
  EXPECT_EQ(ToString(ValidateTogether(decoded.resources)),
            "IPPool c: spec.cidr: \"10.65.128.0/17\" overlaps 10.65.0.0/16 of IPPool a; write a "
            "prefix of its own");
}

TEST(ValidateTest, BgpPeersAndConfigurations) {
  EXPECT_EQ(
      Peer("{}"),
      "spec: {} has not exactly one of peerIP and peerSelector; write the address of a router, "
      "or a selector of nodes");
  EXPECT_EQ(Peer("{peerIP: 192.0.2.1}"), "spec.asNumber: is missing; write the peer's AS number");
  EXPECT_THAT(Peer("{peerIP: '192.0.2.1:0', asNumber: 64496}"), HasSubstr("nor one with a port"));
  EXPECT_THAT(Peer("{peerIP: router, asNumber: 0}"),
              testing::AllOf(HasSubstr("is not an address"), HasSubstr("RFC 7607")));
  EXPECT_THAT(Peer("{peerSelector: all(), asNumber: 1}"),
              HasSubstr("cannot stand beside peerSelector"));
  EXPECT_THAT(Peer("{peerSelector: all(), node: a, nodeSelector: all()}"),
              HasSubstr("cannot stand beside nodeSelector"));
  EXPECT_THAT(Peer("{peerSelector: all(), password: {}}"),
              HasSubstr("spec.password.secretKeyRef: is missing"));
  EXPECT_THAT(Config("{}", "other"), HasSubstr("is not a name that is looked at"));
  EXPECT_THAT(Config("{asNumber: 1}", "node.n1"), HasSubstr("is for the whole cluster"));
  EXPECT_THAT(Config("{nodeMeshPassword: {secretKeyRef: {name: s, key: k}}}", "node.n1"),
              HasSubstr("is for the whole cluster"));
  EXPECT_THAT(Config("{nodeMeshPassword: {secretKeyRef: {name: s, key: ../k}}}"),
              HasSubstr("is not a key of a secret"));
  EXPECT_THAT(Config("{ipv4NormalRoutePriority: 0}"), HasSubstr("is out of range"));
  const std::string router = "peerIP: 192.0.2.1, asNumber: 1, ";
  EXPECT_EQ(Peer("{" + router + "numAllowedLocalASNumbers: 256}"),
            "spec.numAllowedLocalASNumbers: \"256\" is out of range; write 0 to 255");
  EXPECT_THAT(Peer("{" + router + "keepaliveTime: 0s}"), HasSubstr("is not 1s to 21845s"));
  EXPECT_THAT(Peer("{" + router + "keepaliveTime: 7h}"), HasSubstr("is not 1s to 21845s"));
  EXPECT_THAT(Config("{listenPort: 70000}"), HasSubstr("write 1 to 65535"));
  EXPECT_THAT(Config("{communities: [{name: c, value: '70000:1'}]}"),
              HasSubstr("is not a community"));
  EXPECT_THAT(Config("{prefixAdvertisements: [{cidr: 10.0.0.1/8, communities: [x]}]}"),
              testing::AllOf(HasSubstr("write 10.0.0.0/8"), HasSubstr("nor the name of one")));
  EXPECT_THAT(Config("{nodeMeshMaxRestartTime: soon}"), HasSubstr("is not a duration"));
}

TEST(ValidateTest, EndpointsAndNodes) {
  const auto wep = [](const std::string& s) {
    return Problems(Doc(kCalico, "WorkloadEndpoint", s));
  };
  EXPECT_EQ(wep("{ipNetworks: [192.0.2.0/24]}"),
            "spec.ipNetworks[0]: \"192.0.2.0/24\" is more than one address; write it with /32");
  EXPECT_THAT(wep("{mac: '02:00'}"), HasSubstr("is not a MAC address"));
  EXPECT_THAT(wep("{interfaceName: 'a/b'}"), HasSubstr("is not an interface name"));
  EXPECT_THAT(wep("{ports: [{port: 0}]}"),
              testing::AllOf(HasSubstr("ports[0].name: is missing"),
                             HasSubstr("ports[0].protocol: is missing"),
                             HasSubstr("ports[0].port: \"0\" is out of range")));
  const auto hep = [](const std::string& s) { return Problems(Doc(kCalico, "HostEndpoint", s)); };
  EXPECT_EQ(
      Problems("{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: h}}"),
      "spec.node: is missing; write a name\n"
      "spec: {} says neither interfaceName nor expectedIPs; write interfaceName: with a name or "
      "\"*\", or expectedIPs");
  EXPECT_THAT(hep("{node: n1}"), HasSubstr("neither interfaceName nor expectedIPs"));
  EXPECT_THAT(hep("{node: n1, expectedIPs: [192.0.2.0/24]}"), HasSubstr("is not an IP address"));
  const auto node = [](const std::string& s) { return Problems(Doc(kCalico, "Node", s)); };
  EXPECT_THAT(node("{bgp: {ipv4Address: '2001:db8::1/64'}}"), HasSubstr("is not IPv4"));
  EXPECT_THAT(node("{bgp: {routeReflectorClusterID: '2001:db8::1'}}"), HasSubstr("RFC 4456"));
  EXPECT_THAT(Problems("{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: "
                       "[{ports: [{containerPort: 70000, protocol: ICMP}]}]}, status: {podIP: x}}"),
              testing::AllOf(HasSubstr("containerPort: \"70000\""), HasSubstr("\"ICMP\""),
                             HasSubstr("status.podIP: \"x\" is not an IP address")));
  EXPECT_THAT(Problems("{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: "
                       "s}, addressType: IPv4, endpoints: [{addresses: ['2001:db8::1']}]}"),
              HasSubstr("endpoints[0].addresses[0]: \"2001:db8::1\" is not IPv4"));
}

}  // namespace
}  // namespace ripstop::api
