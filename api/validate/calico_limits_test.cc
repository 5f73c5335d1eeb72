// SPDX-License-Identifier: Apache-2.0
//
// The limits and cross-field rules of projectcalico.org/v3, each by a document that breaks
// it alone and, where it is a limit, by one that just does not.
#include "absl/strings/str_join.h"
#include "api/validate/testing.h"

namespace ripstop::api {
namespace {

using testing::HasSubstr;

std::string Gnp(const std::string& spec) {
  return Problems(Doc(kCalico, "GlobalNetworkPolicy", spec));
}
std::string Rules(const char* direction, const std::string& rules) {
  return Problems(Doc(kCalico, "NetworkPolicy", absl::StrCat("{", direction, ": [", rules, "]}")));
}
std::string Ingress(const std::string& rule) { return Rules("ingress", rule); }
std::string Egress(const std::string& rule) { return Rules("egress", rule); }

// `count` items made from their number, joined.
template <typename F>
std::string List(int count, F item) {
  std::vector<std::string> items;
  for (int i = 0; i < count; ++i) items.push_back(item(i));
  return absl::StrJoin(items, ", ");
}
std::string Selector(size_t bytes) {
  const std::string shell = "a == ''";
  return absl::StrCat("a == '", std::string(bytes - shell.size(), 'b'), "'");
}

struct Case {
  std::string spec;
  std::string problem;
};

TEST(CalicoLimitsTest, SelectorsHave1024Bytes) {
  for (const char* field : {"selector", "namespaceSelector", "serviceAccountSelector"}) {
    EXPECT_EQ(Gnp(absl::StrCat("{", field, ": \"", Selector(1024), "\"}")), "") << field;
    EXPECT_EQ(Gnp(absl::StrCat("{", field, ": \"", Selector(1025), "\"}")),
              absl::StrCat("spec.", field,
                           ": \"1025 bytes\" is longer than 1024; give what it "
                           "selects a label of its own"));
  }
  for (const char* field : {"selector", "notSelector", "namespaceSelector"}) {
    const auto rule = [&](size_t bytes) {
      return Ingress(
          absl::StrCat("{action: Allow, source: {", field, ": \"", Selector(bytes), "\"}}"));
    };
    EXPECT_EQ(rule(1024), "") << field;
    EXPECT_THAT(rule(1025), HasSubstr(absl::StrCat("spec.ingress[0].source.", field,
                                                   ": \"1025 bytes\" is longer than 1024")));
  }
}

TEST(CalicoLimitsTest, ListsOfARuleAndOfAPolicyAreBounded) {
  const auto net = [](int i) { return absl::StrCat("10.0.", i / 256, ".", i % 256, "/32"); };
  const auto port = [](int i) { return absl::StrCat(1000 + i); };
  for (const char* field : {"nets", "notNets"}) {
    const auto rule = [&](int count) {
      return Ingress(
          absl::StrCat("{action: Deny, source: {", field, ": [", List(count, net), "]}}"));
    };
    EXPECT_EQ(rule(256), "");
    EXPECT_EQ(rule(257), absl::StrCat("spec.ingress[0].source.", field,
                                      ": \"257 items\" is longer than 256; put them into a "
                                      "GlobalNetworkSet and select it by a label"));
  }
  for (const char* field : {"ports", "notPorts"}) {
    const auto rule = [&](int count) {
      return Ingress(absl::StrCat("{action: Deny, protocol: TCP, destination: {", field, ": [",
                                  List(count, port), "]}}"));
    };
    EXPECT_EQ(rule(50), "");
    EXPECT_EQ(rule(51), absl::StrCat("spec.ingress[0].destination.", field,
                                     ": \"51 items\" is longer than 50; join ports to ranges, or "
                                     "write two rules"));
  }
  const auto allow = [](int) { return std::string("{action: Allow}"); };
  EXPECT_EQ(Egress(List(1024, allow)), "");
  EXPECT_EQ(Egress(List(1025, allow)),
            "spec.egress: \"1025 items\" is longer than 1024; divide the policy into several");
}

TEST(CalicoLimitsTest, SetsHaveEachItemOnce) {
  EXPECT_EQ(Ingress("{action: Deny, source: {nets: [192.0.2.0/24, 192.0.2.0/24]}}"),
            "spec.ingress[0].source.nets[1]: \"192.0.2.0/24\" appears twice; keep one of the two");
  EXPECT_EQ(Ingress("{action: Deny, source: {serviceAccounts: {names: [a, b, a]}}}"),
            "spec.ingress[0].source.serviceAccounts.names[2]: \"a\" appears twice; keep one of the "
            "two");
  EXPECT_EQ(Problems(Doc(kCalico, "HostEndpoint",
                         "{node: node-1, expectedIPs: [192.0.2.1, 192.0.2.1], profiles: [a, a]}")),
            "spec.expectedIPs[1]: \"192.0.2.1\" appears twice; keep one of the two\n"
            "spec.profiles[1]: \"a\" appears twice; keep one of the two");
}

TEST(CalicoLimitsTest, ServicesStandForThePeersAndNothingElse) {
  EXPECT_EQ(Ingress("{action: Allow, destination: {services: {name: a}}}"),
            "spec.ingress[0].destination.services: {\"name\":\"a\"} cannot be the destination of "
            "an ingress rule; "
            "write it as source, or select the pods behind it");
  EXPECT_EQ(Egress("{action: Allow, source: {services: {name: a}}}"),
            "spec.egress[0].source.services: {\"name\":\"a\"} cannot be the source of an egress "
            "rule; write it as "
            "destination, or select the pods behind it");
  const auto beside = [](const std::string& field) {
    return Egress(absl::StrCat("{action: Allow, protocol: TCP, destination: {services: {name: a}, ",
                               field, "}}"));
  };
  for (const auto& [name, value] :
       {std::pair("ports", "[80]"), std::pair("notPorts", "[80]"),
        std::pair("nets", "[\"192.0.2.0/24\"]"), std::pair("notNets", "[\"192.0.2.0/24\"]"),
        std::pair("selector", "\"has(a)\""), std::pair("notSelector", "\"has(a)\""),
        std::pair("namespaceSelector", "\"has(a)\""),
        std::pair("serviceAccounts", "{\"names\":[\"a\"]}")}) {
    EXPECT_EQ(beside(absl::StrCat(name, ": ", value)),
              absl::StrCat("spec.egress[0].destination.", name, ": ", value,
                           " cannot stand beside services; "
                           "remove it: the service says which addresses and ports"));
  }
  // As sources, services say addresses only, so ports may be asked for beside them.
  EXPECT_EQ(Ingress("{action: Allow, protocol: TCP, source: {services: {name: a}, ports: [1]}}"),
            "");
  EXPECT_EQ(Ingress("{action: Allow, source: {services: {namespace: b}}}"),
            "spec.ingress[0].source.services.name: is missing; write a name");
}

TEST(CalicoLimitsTest, IcmpIsOfItsVersionAndHasTypesTo254) {
  for (const Case& c : std::vector<Case>{
           {"{action: Allow, protocol: ICMP, icmp: {type: 254, code: 255}}", ""},
           {"{action: Allow, protocol: ICMP, icmp: {type: 255}}",
            "spec.ingress[0].icmp.type: \"255\" is out of range; write 0 to 254"},
           {"{action: Allow, protocol: ICMP, icmp: {code: 0}}",
            "spec.ingress[0].icmp.code: 0 needs a type; write type beside it"},
           {"{action: Allow, protocol: TCP, icmp: {type: 8}}",
            "spec.ingress[0].icmp: {\"type\":8} needs protocol ICMP or ICMPv6; write protocol: "
            "ICMP or ICMPv6"},
           {"{action: Allow, protocol: ICMP, ipVersion: 4}", ""},
           {"{action: Allow, protocol: ICMP, ipVersion: 6}",
            "spec.ingress[0].ipVersion: \"6\" is not that of ICMP; write 4, or remove it"},
           {"{action: Allow, protocol: 58, ipVersion: 4}",
            "spec.ingress[0].ipVersion: \"4\" is not that of 58; write 6, or remove it"},
           {"{action: Allow, notProtocol: ICMPv6, ipVersion: 4}",
            "spec.ingress[0].ipVersion: \"4\" is not that of ICMPv6; write 6, or remove it"}}) {
    EXPECT_EQ(Ingress(c.spec), c.problem) << c.spec;
  }
}

TEST(CalicoLimitsTest, ARuleThatNoPacketCanMatchIsRefused) {
  EXPECT_EQ(Ingress("{action: Deny, source: {nets: [192.0.2.0/24]}, destination: {nets: "
                    "['2001:db8::/32']}}"),
            "spec.ingress[0].destination.nets: [\"2001:db8::/32\"] is IPv6 and source.nets is "
            "IPv4; write a rule for "
            "each version");
  EXPECT_EQ(Ingress("{action: Deny, source: {nets: [192.0.2.0/24, '2001:db8::/32']}, destination: "
                    "{nets: ['2001:db8::/32']}}"),
            "");
}

TEST(CalicoLimitsTest, GlobalIsTheNamespaceSelectorOfARuleAndStandsAlone) {
  EXPECT_EQ(Ingress("{action: Allow, source: {namespaceSelector: global()}}"), "");
  EXPECT_EQ(Ingress("{action: Allow, source: {namespaceSelector: global() && has(a)}}"),
            "spec.ingress[0].source.namespaceSelector: \"global() && has(a)\" uses global(); write "
            "it alone, as the namespaceSelector of a rule's source or destination");
  EXPECT_THAT(Ingress("{action: Allow, source: {selector: global()}}"), HasSubstr("uses global()"));
  for (const char* field : {"selector", "namespaceSelector", "serviceAccountSelector"}) {
    EXPECT_THAT(Gnp(absl::StrCat("{", field, ": global()}")),
                HasSubstr(absl::StrCat("spec.", field, ": \"global()\" uses global()")));
  }
}

TEST(CalicoLimitsTest, PreDnatAndDoNotTrackExcludeEachOtherAndNeedApplyOnForward) {
  for (const char* kind : {"GlobalNetworkPolicy", "StagedGlobalNetworkPolicy"}) {
    for (const Case& c : std::vector<Case>{
             {"{preDNAT: true, applyOnForward: true}", ""},
             {"{doNotTrack: true, applyOnForward: true, egress: [{action: Allow}]}", ""},
             {"{preDNAT: false, doNotTrack: true, applyOnForward: true}", ""},
             {"{preDNAT: true}",
              "spec.applyOnForward: is missing beside doNotTrack or preDNAT; "
              "write applyOnForward: true"},
             {"{doNotTrack: true, applyOnForward: false}",
              "spec.applyOnForward: false is not for doNotTrack or preDNAT; write "
              "applyOnForward: true"},
             {"{preDNAT: true, doNotTrack: true, applyOnForward: true}",
              "spec.preDNAT: true cannot stand beside doNotTrack; keep one of the two"},
             {"{preDNAT: true, applyOnForward: true, egress: [{action: Allow}]}",
              "spec.preDNAT: true is for ingress only; remove the egress rules and type"},
             {"{preDNAT: true, applyOnForward: true, types: [Ingress, Egress]}",
              "spec.preDNAT: true is for ingress only; remove the egress rules and type"}}) {
      EXPECT_EQ(Problems(Doc(kCalico, kind, c.spec)), c.problem) << kind << " " << c.spec;
    }
  }
}

TEST(CalicoLimitsTest, AStagedDeletionNamesThePolicyAndItsTierOnly) {
  for (const char* kind : {"StagedNetworkPolicy", "StagedGlobalNetworkPolicy"}) {
    EXPECT_EQ(Problems(Doc(kCalico, kind, "{stagedAction: Delete, tier: net}")), "");
    for (const char* more :
         {"order: 1", "selector: all()", "ingress: [{action: Allow}]", "types: [Egress]"}) {
      EXPECT_THAT(Problems(Doc(kCalico, kind, absl::StrCat("{stagedAction: Delete, ", more, "}"))),
                  testing::AllOf(testing::StartsWith("spec: {\"stagedAction\":\"Delete\","),
                                 HasSubstr("} says more than tier, and stagedAction is Delete; "
                                           "remove the rest, or write stagedAction: Set")))
          << more;
    }
  }
  const auto kubernetes = [](const std::string& spec) {
    return Problems(Doc(kCalico, "StagedKubernetesNetworkPolicy", spec));
  };
  EXPECT_EQ(kubernetes("{stagedAction: Delete, podSelector: {}}"), "");
  EXPECT_THAT(kubernetes("{stagedAction: Delete, policyTypes: [Ingress]}"),
              HasSubstr("stagedAction is Delete"));
  EXPECT_THAT(kubernetes("{stagedAction: Remove}"),
              HasSubstr("spec.stagedAction: \"Remove\" is not a value known here"));
  // What would be refused of the enforced kind is refused of the staged one.
  EXPECT_THAT(Problems(Doc(kCalico, "StagedNetworkPolicy", "{ingress: [{action: Alow}]}")),
              HasSubstr("did you mean Allow?"));
  EXPECT_THAT(Problems(Doc(kCalico, "StagedNetworkPolicy", "{applyOnForward: true}")),
              HasSubstr("belongs to GlobalNetworkPolicy"));
}

TEST(CalicoLimitsTest, CalicosOwnTiersHaveTheirOrder) {
  const auto tier = [](const char* name, const char* spec) {
    return Problems(Doc(kCalico, "Tier", spec, name));
  };
  EXPECT_EQ(tier("adminnetworkpolicy", "{order: 1000}"), "");
  EXPECT_EQ(tier("adminnetworkpolicy", "{order: 5}"),
            "spec.order: \"5\" is not the order of adminnetworkpolicy; write 1000");
  EXPECT_EQ(tier("baselineadminnetworkpolicy", "{order: 10000000}"), "");
  EXPECT_THAT(tier("baselineadminnetworkpolicy", "{}"), HasSubstr("write 10000000"));
  EXPECT_EQ(tier("default", "{order: 1000000, defaultAction: Deny}"), "");
  // Names of policies carry no tier any more (Calico 3.30 and before asked for "tier.name").
  EXPECT_EQ(Problems(Doc(kCalico, "NetworkPolicy", "{tier: net}", "web")), "");
  EXPECT_EQ(Problems(Doc(kCalico, "NetworkPolicy", "{tier: net}", "net.web")), "");
}

TEST(CalicoLimitsTest, AnnotationsAndReservedLabels) {
  const auto set = [](const std::string& metadata) {
    return Problems(
        absl::StrCat("{apiVersion: projectcalico.org/v3, kind: NetworkSet, metadata: "
                     "{name: s, namespace: shop, ",
                     metadata, "}}"));
  };
  EXPECT_EQ(set("annotations: {Example.com/a: b}"), "");
  EXPECT_THAT(set("annotations: {'a b': c}"),
              HasSubstr("metadata.annotations[a b]: \"a b\" is not an annotation key"));
  EXPECT_EQ(set(absl::StrCat("annotations: {a: ", std::string(262143, 'x'), "}")), "");
  EXPECT_EQ(set(absl::StrCat("annotations: {a: ", std::string(262144, 'x'), "}")),
            "metadata.annotations: \"262145 bytes\" is larger than 262144; keep what is large in a "
            "ConfigMap");
  EXPECT_EQ(set("labels: {projectcalico.org/namespace: other}"),
            "metadata.labels[projectcalico.org/namespace]: \"other\" is reserved; remove it; "
            "metadata.namespace says where the set is");
  EXPECT_EQ(
      set("labels: {pcns.team: other}"),
      "metadata.labels[pcns.team]: \"other\" is reserved; remove it; such labels come from the "
      "namespace and the service account");
  EXPECT_THAT(Ingress("{action: Allow, metadata: {annotations: {'a b': c}}}"),
              HasSubstr("spec.ingress[0].metadata.annotations[a b]"));
}

TEST(CalicoLimitsTest, WorkloadEndpoints) {
  const auto wep = [](const std::string& spec) {
    return Problems(Doc(kCalico, "WorkloadEndpoint", spec));
  };
  EXPECT_EQ(wep("{ipNetworks: [192.0.2.1/32], ipNATs: [{internalIP: 192.0.2.1, externalIP: "
                "198.51.100.1}], ipv4Gateway: 192.0.2.9, qosControls: {ingressBandwidth: 1000000, "
                "egressMaxConnections: 10}}"),
            "");
  EXPECT_EQ(wep("{ipNetworks: [192.0.2.1/32], ipNATs: [{internalIP: 192.0.2.2, externalIP: "
                "'2001:db8::1'}]}"),
            "spec.ipNATs[0].externalIP: \"2001:db8::1\" is not of the version of internalIP; write "
            "an IPv4 address\n"
            "spec.ipNATs[0].internalIP: \"192.0.2.2\" is none of ipNetworks; write an address of "
            "the endpoint");
  EXPECT_EQ(wep("{ipv6Gateway: 192.0.2.9}"),
            "spec.ipv6Gateway: \"192.0.2.9\" is not IPv6; write it in the other field");
  EXPECT_EQ(wep("{qosControls: {ingressBandwidth: 999, egressPacketRate: 10001}}"),
            "spec.qosControls.ingressBandwidth: \"999\" is out of range; write 1000 to "
            "1000000000000000\n"
            "spec.qosControls.egressPacketRate: \"10001\" is out of range; write 1 to 10000");
}

TEST(CalicoLimitsTest, PoolsAndBgp) {
  const auto pool = [](const std::string& spec) {
    return Problems(Doc(kCalico, "IPPool", absl::StrCat("{cidr: 10.65.0.0/16, ", spec, "}")));
  };
  EXPECT_EQ(pool("allowedUses: [LoadBalancer], nodeSelector: all()"), "");
  EXPECT_EQ(pool("allowedUses: [LoadBalancer, Workload]"),
            "spec.allowedUses[1]: \"Workload\" cannot stand beside LoadBalancer; write a pool of "
            "its own");
  EXPECT_THAT(pool("allowedUses: [LoadBalancer], vxlanMode: Always"),
              HasSubstr("spec.vxlanMode: \"Always\" is not for a LoadBalancer pool"));
  EXPECT_THAT(pool("allowedUses: [LoadBalancer], nodeSelector: has(a)"), HasSubstr("write all()"));
  EXPECT_THAT(pool("allowedUses: [LoadBalancer], disableBGPExport: true"),
              HasSubstr("nobody would reach the addresses"));
  const auto config = [](const std::string& spec) {
    return Problems(Doc(kCalico, "BGPConfiguration", spec, "default"));
  };
  EXPECT_THAT(config("{nodeToNodeMeshEnabled: false, nodeMeshMaxRestartTime: 120s}"),
              HasSubstr("spec.nodeMeshMaxRestartTime: \"120s\" is for the mesh"));
  EXPECT_EQ(config("{programClusterRoutes: Sometimes}"),
            "spec.programClusterRoutes: \"Sometimes\" is not a value known here; write one of "
            "Disabled, EnabledIPIPOnly, EnabledNoEncapOnly, Enabled");
  const auto peer = [](const std::string& spec) { return Problems(Doc(kCalico, "BGPPeer", spec)); };
  EXPECT_THAT(peer("{peerSelector: all(), reachableBy: 192.0.2.1}"), HasSubstr("needs a peerIP"));
  EXPECT_THAT(peer("{peerIP: '2001:db8::1', asNumber: 1, reachableBy: 192.0.2.1}"),
              HasSubstr("write an IPv6 address"));
  EXPECT_EQ(peer("{peerIP: 192.0.2.7, asNumber: 1, reachableBy: 192.0.2.1}"), "");
  EXPECT_THAT(peer("{localWorkloadSelector: all()}"), HasSubstr("spec.asNumber: is missing"));
}

}  // namespace
}  // namespace ripstop::api
