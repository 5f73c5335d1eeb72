// SPDX-License-Identifier: Apache-2.0
//
// What Kubernetes' API server and Calico take is taken, what they refuse is refused.
#include "api/validate/testing.h"

namespace ripstop::api {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kCluster[] = "policy.networking.k8s.io/v1alpha2";

std::string Ingress(const std::string& rule) {
  return Problems(Doc(kCalico, "GlobalNetworkPolicy",
                      absl::StrCat("{selector: all(), ingress: [", rule, "]}")));
}

std::string Egress(const std::string& rule) {
  return Problems(Doc(kCluster, "ClusterNetworkPolicy",
                      absl::StrCat("{tier: Admin, priority: 1, subject: {namespaces: {}}, egress: "
                                   "[{action: Deny, ",
                                   rule, "}]}")));
}

TEST(NamesTest, HaveUpTo253CharactersInOneLabelToo) {
  const std::string longest(253, 'a'), too_long(254, 'a');
  for (const char* kind : {"NetworkPolicy", "GlobalNetworkPolicy", "Node", "NetworkSet"}) {
    EXPECT_EQ(Problems(Doc(kCalico, kind, "{}", longest)), "") << kind;
    EXPECT_THAT(Problems(Doc(kCalico, kind, "{}", too_long)), HasSubstr("is not a name")) << kind;
  }
  for (const char* kind : {"Pod", "ServiceAccount"}) {
    const std::string text = absl::StrCat("apiVersion: v1\nkind: ", kind, "\nmetadata: {name: ");
    EXPECT_EQ(Problems(absl::StrCat(text, longest, ", namespace: shop}\n")), "") << kind;
    EXPECT_NE(Problems(absl::StrCat(text, too_long, ", namespace: shop}\n")), "") << kind;
  }
  EXPECT_EQ(Problems(Doc("networking.k8s.io/v1", "NetworkPolicy", "{podSelector: {}}", longest)),
            "");
  EXPECT_EQ(
      Ingress(absl::StrCat("{action: Deny, source: {serviceAccounts: {names: [", longest, "]}}}")),
      "");
}

TEST(NamesTest, OfServicesAndNamespacesHave63) {
  const std::string longest(63, 'a'), too_long(64, 'a');
  EXPECT_EQ(Problems(Doc("v1", "Service", "{}", longest)), "");
  EXPECT_THAT(Problems(Doc("v1", "Service", "{}", too_long)), HasSubstr("RFC 1123 label"));
  const std::string ns = "apiVersion: v1\nkind: Namespace\nmetadata: {name: ";
  EXPECT_EQ(Problems(absl::StrCat(ns, longest, "}\n")), "");
  EXPECT_NE(Problems(absl::StrCat(ns, too_long, "}\n")), "");
}

TEST(NamesTest, AProfileNamesTheServiceAccountItIsOf) {
  const std::string account(253, 'a');
  EXPECT_EQ(Problems(Doc(kCalico, "WorkloadEndpoint",
                         absl::StrCat("{serviceAccountName: ", account, ", node: ", account,
                                      ", profiles: [kns.shop, ksa.shop.", account, "]}"))),
            "");
  EXPECT_THAT(Problems(Doc(kCalico, "WorkloadEndpoint",
                           absl::StrCat("{profiles: [ksa.Shop.", account, "]}"))),
              HasSubstr("spec.profiles[0]: "));
}

TEST(PortsTest, NamesAloneNeedNoProtocolAndNumbersDo) {
  for (const char* entity : {"destination: {ports: [sql]}", "source: {ports: [a, b]}",
                             "destination: {notPorts: [sql]}"}) {
    EXPECT_EQ(Ingress(absl::StrCat("{action: Allow, ", entity, "}")), "") << entity;
  }
  for (const char* ports : {"[80]", "[sql, 80]", "['80:90']"}) {
    EXPECT_THAT(Ingress(absl::StrCat("{action: Allow, destination: {ports: ", ports, "}}")),
                HasSubstr("spec.ingress[0].destination.ports: "))
        << ports;
    EXPECT_THAT(Ingress(absl::StrCat("{action: Allow, source: {notPorts: ", ports, "}}")),
                HasSubstr("needs a protocol"))
        << ports;
  }
  EXPECT_THAT(Ingress("{action: Allow, protocol: ICMP, destination: {ports: [sql]}}"),
              HasSubstr("makes no sense with protocol ICMP"));
}

TEST(PortsTest, ZeroIsNone) {
  for (const char* port : {"0", "'0:80'", "'0:0'"}) {
    EXPECT_THAT(
        Ingress(absl::StrCat("{action: Allow, protocol: TCP, destination: {ports: [", port, "]}}")),
        HasSubstr("is not a port; write 1 to 65535"));
  }
}

TEST(PortsTest, APortOfTheHostNeedsNoName) {
  const auto endpoint = [](const std::string& port) {
    return Problems(Doc(kCalico, "WorkloadEndpoint", absl::StrCat("{ports: [{", port, "}]}")));
  };
  EXPECT_EQ(endpoint("protocol: TCP, port: 80, hostPort: 8080"), "");
  EXPECT_THAT(endpoint("protocol: TCP, port: 80"), HasSubstr("spec.ports[0].name: is missing"));
}

TEST(BgpTest, SeverityIsReadInAnyCaseAndAServiceMayHaveOneAddress) {
  const auto configuration = [](const std::string& spec) {
    return Problems(Doc(kCalico, "BGPConfiguration", spec, "default"));
  };
  for (const char* severity : {"info", "WARNING", "Trace", "trace", "Fatal"})
    EXPECT_EQ(configuration(absl::StrCat("{logSeverityScreen: ", severity, "}")), "");
  EXPECT_THAT(configuration("{logSeverityScreen: loud}"),
              HasSubstr("write one of Trace, Debug, Info"));
  for (const char* list : {"serviceClusterIPs", "serviceExternalIPs", "serviceLoadBalancerIPs"}) {
    EXPECT_EQ(
        configuration(absl::StrCat("{", list, ": [{cidr: 10.96.0.1}, {cidr: '2001:db8::1'}]}")),
        "");
    EXPECT_THAT(configuration(absl::StrCat("{", list, ": [{cidr: 10.96.0.1/24}]}")),
                HasSubstr("write 10.96.0.0/24"));
  }
  EXPECT_EQ(configuration("{ipv4NormalRoutePriority: 1024, ipv6NormalRoutePriority: 1}"), "");
  EXPECT_THAT(configuration("{ipv4NormalRoutePriority: 0}"), HasSubstr("is out of range"));
}

TEST(BgpTest, PeersAsCalicoTakesThem) {
  const auto peer = [](const std::string& spec) {
    return Problems(
        Doc(kCalico, "BGPPeer", absl::StrCat("{peerIP: 192.0.2.1, asNumber: 64512, ", spec, "}")));
  };
  EXPECT_EQ(peer("nextHopMode: Self, keepOriginalNextHop: false"), "");
  EXPECT_THAT(peer("nextHopMode: Self, keepOriginalNextHop: true"),
              HasSubstr("cannot stand beside nextHopMode"));
  EXPECT_EQ(peer("numAllowedLocalASNumbers: 255"), "");
  EXPECT_THAT(peer("numAllowedLocalASNumbers: 256"), HasSubstr("write 0 to 255"));
}

TEST(PoolTest, ADisabledOneMayBeSmallerThanABlock) {
  EXPECT_EQ(Problems(Doc(kCalico, "IPPool", "{cidr: 192.0.2.0/28, disabled: true}")), "");
  EXPECT_THAT(Problems(Doc(kCalico, "IPPool", "{cidr: 192.0.2.0/28, disabled: false}")),
              HasSubstr("is smaller than one block"));
}

TEST(NodeTest, SaysItsInterfaces) {
  EXPECT_EQ(Problems(Doc(kCalico, "Node",
                         "{interfaces: [{name: eth0, addresses: [192.0.2.1, '2001:db8::1/64']}]}")),
            "");
  EXPECT_THAT(Problems(Doc(kCalico, "Node", "{interfaces: [{name: a/b, addresses: [x]}]}")),
              testing::AllOf(HasSubstr("spec.interfaces[0].name: "),
                             HasSubstr("spec.interfaces[0].addresses[0]: ")));
}

TEST(WorkloadTest, MarksItsPacketsByNumberOrName) {
  const auto endpoint = [](const std::string& dscp) {
    return Problems(
        Doc(kCalico, "WorkloadEndpoint", absl::StrCat("{qosControls: {dscp: ", dscp, "}}")));
  };
  for (const char* dscp : {"0", "63", "EF", "af11", "CS7", "DF"}) EXPECT_EQ(endpoint(dscp), "");
  for (const char* dscp : {"64", "-1", "AF44", "'46'"})
    EXPECT_THAT(endpoint(dscp), HasSubstr("is not a DSCP; write 0 to 63"));
}

TEST(KubernetesPolicyTest, HasTwoTypesAtMost) {
  const auto policy = [](const std::string& types) {
    return Problems(Doc("networking.k8s.io/v1", "NetworkPolicy",
                        absl::StrCat("{podSelector: {}, policyTypes: [", types, "]}")));
  };
  EXPECT_EQ(policy("Ingress, Egress"), "");
  EXPECT_THAT(policy("Ingress, Egress, Ingress"), HasSubstr("spec.policyTypes: "));
}

TEST(ClusterPolicyTest, ListsNetworksOnce) {
  EXPECT_THAT(Egress("to: [{networks: [192.0.2.0/24, 198.51.100.0/24, 192.0.2.0/24]}]"),
              HasSubstr("spec.egress[0].to[0].networks[2]: \"192.0.2.0/24\" appears twice"));
}

TEST(ClusterPolicyTest, SaysWhichPortsAndWhichPods) {
  for (const char* protocol : {"tcp", "udp", "sctp"}) {
    EXPECT_THAT(Egress(absl::StrCat("to: [{namespaces: {}}], protocols: [{", protocol, ": {}}]")),
                HasSubstr(absl::StrCat("protocols[0].", protocol, ".destinationPort: is missing")));
  }
  EXPECT_THAT(Egress("to: [{pods: {namespaceSelector: {}}}]"),
              HasSubstr("spec.egress[0].to[0].pods.podSelector: is missing; write {} for all"));
  EXPECT_EQ(Egress("to: [{pods: {podSelector: {}}}]"), "");
  EXPECT_THAT(Problems(Doc(kCluster, "ClusterNetworkPolicy",
                           "{tier: Admin, priority: 1, subject: {pods: {namespaceSelector: {}}}}")),
              HasSubstr("spec.subject.pods.podSelector: is missing"));
}

TEST(ClusterPolicyTest, ANumberAsANameLeadsToTheFieldForNumbers) {
  EXPECT_THAT(Egress("to: [{namespaces: {}}], protocols: [{destinationNamedPort: \"8080\"}]"),
              HasSubstr("\"8080\" is not the name of a port; write tcp: {destinationPort: {number: "
                        "8080}}"));
  EXPECT_EQ(Egress("to: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 8080}}}]"),
            "");
}

TEST(RuleTest, NotNetsLeaveSomethingToMatch) {
  EXPECT_THAT(Ingress("{action: Deny, source: {notNets: [192.0.2.0/24, 0.0.0.0/0]}}"),
              HasSubstr("spec.ingress[0].source.notNets[1]: \"0.0.0.0/0\" excepts every address"));
  EXPECT_THAT(Ingress("{action: Deny, destination: {notNets: ['::/0']}}"),
              HasSubstr("excepts every address; write ipVersion: 4 if IPv6 is not meant"));
  EXPECT_EQ(Ingress("{action: Deny, source: {nets: [0.0.0.0/0], notNets: [128.0.0.0/1]}}"), "");
}

TEST(SelectorTest, LabelNamesHave512Characters) {
  const auto policy = [](size_t bytes) {
    return Problems(Doc(kCalico, "GlobalNetworkPolicy",
                        absl::StrCat("{selector: \"has(", std::string(bytes, 'a'), ")\"}")));
  };
  EXPECT_EQ(policy(512), "");
  EXPECT_THAT(policy(513), HasSubstr("has a label of 513 bytes; write at most 512"));
  EXPECT_THAT(Problems(Doc(kCalico, "GlobalNetworkPolicy",
                           absl::StrCat("{selector: \"a == '", std::string(600, 'a'), "'\"}"))),
              IsEmpty())
      << "a value is no label";
}

TEST(SelectorTest, ALineBreakAtTheEndComesFromABlock) {
  EXPECT_THAT(Problems("apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\n"
                       "metadata: {name: p}\nspec:\n  selector: |\n    has(a)\n"),
              HasSubstr("has a line break at its end; write it on the line of its name, or begin "
                        "the block with >- or |-"));
}

}  // namespace
}  // namespace ripstop::api
