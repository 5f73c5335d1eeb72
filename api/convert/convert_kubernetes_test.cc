// SPDX-License-Identifier: Apache-2.0
#include "api/convert/testing.h"

namespace ripstop::api {
namespace {

TEST(KubernetesPolicyTest, TypesDefaultAsTheApiServerDoes) {
  const auto types = [](const std::string& spec) {
    const policy::Policy p = K8s(spec);
    return std::pair(p.ingress, p.egress);
  };
  EXPECT_EQ(types("{podSelector: {}}"), std::pair(true, false));
  EXPECT_EQ(types("{egress: []}"), std::pair(true, false));
  EXPECT_EQ(types("{egress: [{}]}"), std::pair(true, true));
  EXPECT_EQ(types("{policyTypes: [Egress], ingress: [{}]}"), std::pair(false, true));
  EXPECT_THAT(K8s("{policyTypes: [Egress], ingress: [{}]}").ingress_rules, IsEmpty());
  const policy::Policy p = K8s("{}");
  EXPECT_EQ(p.tier, "default");
  EXPECT_EQ(p.order, 1000);
  EXPECT_TRUE(Matches(p.selector, PodIn("shop", {})));
  EXPECT_FALSE(Matches(p.selector, PodIn("other", {})));
}

TEST(KubernetesPolicyTest, NilAndEmptyAtEachPlace) {
  const auto source = [](const std::string& rule) {
    const policy::Policy p = K8s(absl::StrCat("{ingress: [", rule, "]}"));
    EXPECT_THAT(p.ingress_rules, SizeIs(1)) << rule;
    return p.ingress_rules.at(0);
  };
  for (const char* anything : {"{}", "{from: []}", "{from: null, ports: []}"}) {
    EXPECT_EQ(source(anything).source, policy::EntityMatch{}) << anything;
    EXPECT_EQ(source(anything).protocol, std::nullopt);
  }
  EXPECT_THAT(K8s("{ingress: []}").ingress_rules, IsEmpty());
  struct Case {
    const char* peer;
    bool own, own_b, other, set;
  };
  for (const Case& c : std::vector<Case>{
           {"{podSelector: {}}", true, true, false, false},
           {"{namespaceSelector: {}}", true, true, true, false},
           {"{namespaceSelector: {}, podSelector: {}}", true, true, true, false},
           {"{podSelector: {matchLabels: {a: b}}}", false, true, false, false},
           {"{namespaceSelector: {matchLabels: {team: other}}}", false, false, true, false},
           {"{namespaceSelector: {matchLabels: {team: shop}}, podSelector: {matchLabels: {a: b}}}",
            false, true, false, false},
           {"{namespaceSelector: {matchExpressions: [{key: team, operator: NotIn, values: "
            "[shop]}]}}",
            false, false, true, false},
           {"{namespaceSelector: {matchExpressions: [{key: none, operator: DoesNotExist}]}}", true,
            true, true, false}}) {
    const std::string text = source(absl::StrCat("{from: [", c.peer, "]}")).source.selector.value();
    EXPECT_EQ(Matches(text, PodIn("shop", {})), c.own) << text;
    EXPECT_EQ(Matches(text, PodIn("shop", {{"a", "b"}})), c.own_b) << text;
    EXPECT_EQ(Matches(text, PodIn("other", {})), c.other) << text;
    EXPECT_EQ(Matches(text, SetIn("shop", {{"a", "b"}})), c.set) << "a network set is no pod";
    EXPECT_FALSE(Matches(text, {{"a", "b"}})) << "nor is a host";
  }
}

TEST(KubernetesPolicyTest, BlocksKeepTheirExceptionsAndPortsTheirProtocols) {
  const policy::Policy p = K8s(R"({egress: [{to: [{ipBlock: {cidr: 10.0.0.5/8,
    except: ["10.1.0.0/16"]}}, {podSelector: {}}],
    ports: [{port: 80}, {protocol: TCP, port: 8000, endPort: 8010}, {port: http},
            {protocol: SCTP}, {protocol: UDP, port: 53}]}]})");
  ASSERT_THAT(p.egress_rules, SizeIs(6)) << "two peers, three protocols";
  const policy::Rule& tcp = p.egress_rules[0];
  EXPECT_EQ(tcp.protocol, policy::kProtocolTcp);
  EXPECT_EQ(tcp.name, "egress[0].to[0]");
  EXPECT_THAT(tcp.destination.nets, Optional(ElementsAre(*Cidr::Parse("10.0.0.0/8"))));
  EXPECT_THAT(tcp.destination.not_nets, ElementsAre(*Cidr::Parse("10.1.0.0/16")));
  EXPECT_THAT(tcp.destination.ports->ranges, ElementsAre(PortRange{80, 80}, PortRange{8000, 8010}));
  EXPECT_THAT(tcp.destination.ports->names, ElementsAre("http"));
  EXPECT_EQ(p.egress_rules[1].protocol, policy::kProtocolSctp);
  EXPECT_EQ(p.egress_rules[1].destination.ports, std::nullopt) << "every port of SCTP";
  EXPECT_EQ(p.egress_rules[2].protocol, policy::kProtocolUdp);
  EXPECT_EQ(p.egress_rules[3].name, "egress[0].to[1]");
}

TEST(KubernetesPolicyTest, PeersAndPortsOfTheFutureAdmitNothing) {
  const policy::Policy p =
      K8s("{ingress: [{from: [{}, {podSelector: {}}]}, {ports: [{protocol: QUIC, port: 1}]}, "
          "{from: [{podSelector: {matchExpressions: [{key: a, operator: Near}]}}]}]}");
  ASSERT_THAT(p.ingress_rules, SizeIs(4));
  for (const int i : {0, 2, 3}) {
    EXPECT_TRUE(p.ingress_rules[i].degraded) << i;
    EXPECT_THAT(p.ingress_rules[i].source.nets, Optional(IsEmpty())) << i;
  }
  EXPECT_FALSE(p.ingress_rules[1].degraded);
}

TEST(ClusterPolicyTest, TierPriorityActionsPeersAndProtocols) {
  const policy::Policy p = Cnp(R"({tier: Admin, priority: 7, subject: {namespaces: {}},
   ingress: [{name: one, action: Accept, from: [{namespaces: {matchLabels: {team: shop}}}],
              protocols: [{tcp: {destinationPort: {number: 80}}},
                          {udp: {destinationPort: {range: {start: 1, end: 9}}}},
                          {destinationNamedPort: http}]},
             {action: Pass, from: [{pods: {podSelector: {matchLabels: {a: b}}}}]}],
   egress: [{action: Deny, to: [{networks: [192.0.2.0/24]}], protocols: [{sctp: {}}]}]})");
  EXPECT_EQ(p.tier, "kube-admin");
  EXPECT_EQ(p.order, 7);
  EXPECT_TRUE(p.ingress && p.egress);
  EXPECT_TRUE(Matches(p.selector, PodIn("any", {})));
  EXPECT_FALSE(Matches(p.selector, {}));
  ASSERT_THAT(p.ingress_rules, SizeIs(6));
  EXPECT_EQ(p.ingress_rules[0].action, Action::kAllow);
  EXPECT_EQ(p.ingress_rules[0].name, "one");
  EXPECT_THAT(p.ingress_rules[1].destination.ports->ranges, ElementsAre(PortRange{1, 9}));
  EXPECT_EQ(p.ingress_rules[4].protocol, policy::kProtocolSctp) << "a name, on each protocol";
  EXPECT_TRUE(Matches(*p.ingress_rules[5].source.selector, PodIn("x", {{"a", "b"}})));
  EXPECT_EQ(p.ingress_rules[5].action, Action::kPass);
  EXPECT_EQ(p.egress_rules[0].action, Action::kDeny);
  EXPECT_EQ(p.egress_rules[0].destination.ports, std::nullopt);
  EXPECT_EQ(Cnp("{tier: Baseline, priority: 0, subject: {pods: {}}}").tier, "kube-baseline");
}

TEST(ClusterPolicyTest, NodesAreSelectedByTheirOwnLabelsOnEgressOnly) {
  const policy::Policy p = Cnp(R"({tier: Admin, priority: 1, subject: {pods: {}}, egress: [
    {action: Deny, to: [{nodes: {}}, {nodes: {matchLabels: {pcns.team: x}, matchExpressions: [
      {key: zone, operator: NotIn, values: [a, b]}]}}]},
    {action: Deny, to: [{nodes: {}, pods: {}}, {nodes: {matchExpressions: [
      {key: zone, operator: Near}]}}]}],
   ingress: [{action: Deny, from: [{nodes: {}}]}, {action: Accept, from: [{nodes: {}}]}]})");
  ASSERT_THAT(p.egress_rules, SizeIs(4));
  EXPECT_EQ(p.egress_rules[0].destination, policy::EntityMatch{.nodes = ""}) << "every node";
  EXPECT_FALSE(p.egress_rules[0].degraded);
  const auto labelled = [](const char* zone) {
    return policy::Labels{{"pcns.team", "x"}, {"zone", zone}};
  };
  EXPECT_TRUE(Matches(*p.egress_rules[1].destination.nodes, labelled("c")));
  EXPECT_FALSE(Matches(*p.egress_rules[1].destination.nodes, labelled("a")));
  EXPECT_FALSE(Matches(*p.egress_rules[1].destination.nodes, {{"zone", "c"}}));
  EXPECT_EQ(p.egress_rules[1].destination.selector, std::nullopt) << "no pods";
  for (const int i : {2, 3}) {
    EXPECT_TRUE(p.egress_rules[i].degraded) << i;
    EXPECT_EQ(p.egress_rules[i].destination, policy::EntityMatch{}) << "denies all";
  }
  EXPECT_TRUE(p.ingress_rules[0].degraded);
  EXPECT_EQ(p.ingress_rules[0].source, policy::EntityMatch{}) << "denies all";
  EXPECT_THAT(p.ingress_rules[1].source.nets, Optional(IsEmpty()));
}

TEST(ClusterPolicyTest, UnknownPeersFailClosedByAction) {
  const policy::Policy p = Cnp(R"({tier: Admin, priority: 1, subject: {pods: {}}, egress: [
    {action: Accept, to: [{}]}, {action: Deny, to: [{domainNames: [a.example]}]},
    {action: Pass, to: [{}]},
    {action: Accept, to: []}, {action: Accept, to: [{networks: []}]}]})");
  EXPECT_THAT(p.egress_rules[0].source.nets, Optional(IsEmpty()));
  EXPECT_EQ(p.egress_rules[1].destination, policy::EntityMatch{}) << "denies all";
  EXPECT_EQ(p.egress_rules[2].action, Action::kDeny);
  EXPECT_THAT(p.egress_rules[3].source.nets, Optional(IsEmpty()));
  EXPECT_THAT(p.egress_rules[4].destination.nets, Optional(IsEmpty()));
}

}  // namespace
}  // namespace ripstop::api
