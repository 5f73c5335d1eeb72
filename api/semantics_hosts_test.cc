// SPDX-License-Identifier: Apache-2.0
//
// HostEndpoint documents and the GlobalNetworkPolicies that select them: which of the four
// groups asks whom, and what the reference and the tables say.
#include "api/semantics_testing.h"

namespace ripstop::api {
namespace {

using policy::HostGroup;

constexpr uint32_t kEth0 = 2, kEth1 = 3;

class HostSemanticsTest : public SemanticsTest {
 protected:
  // A HostEndpoint of this node with its interface, as the agent would find it.
  void Host(const std::string& name, uint32_t interface, const std::string& spec) {
    const Decoded decoded =
        DecodeText(absl::StrCat("{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: "
                                "{name: ",
                                name, ", labels: {role: node}}, spec: ", spec, "}"),
                   "f.yaml");
    ASSERT_TRUE(decoded.problems.empty()) << ToString(decoded.problems);
    auto objects = ToModel(decoded.resources.at(0), {.this_host = "n1"});
    ASSERT_TRUE(objects.ok()) << objects.status();
    auto& host = std::get<policy::HostEndpoint>(objects->at(0));
    host.interfaces = {interface};
    SemanticsTest::Put(host);
  }
  void Global(const std::string& name, const std::string& spec) {
    SemanticsTest::Put(absl::StrCat(
        "{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: ", name,
        "}, spec: ", spec, "}"));
  }

  // "allow", "deny", "next group" or "nobody", and by whom.
  std::string Judge(HostGroup group, Direction direction, const std::string& from,
                    const std::string& to, uint16_t port, uint32_t interface = kEth0) {
    image_.Apply(engine_.Flush());
    image_.set_l4_table(engine_.l4_table());
    policy::Packet p;
    p.source = *policy::Address::Parse(from);
    p.destination = *policy::Address::Parse(to);
    p.protocol = kProtocolTcp;
    p.source_port = 40000;
    p.destination_port = port;
    const policy::HostEndpoint* host = world_.HostEndpointAt(interface);
    const auto got = image_.HostVerdict(interface, group, direction, p);
    EXPECT_EQ(host != nullptr, got.has_value());
    if (host == nullptr || !got) return "nobody";
    const policy::Verdict want = reference_.EvaluateHost(world_, *host, group, direction, p);
    const auto rule = engine_.Rule(got->rule_id());
    EXPECT_TRUE(rule && *rule == want.by && got->allow() == want.allow && got->next() == want.next)
        << (rule ? rule->ToString() : "") << " is not " << want.by.ToString();
    return absl::StrCat(want.allow  ? "allow"
                        : want.next ? "next group"
                                    : "deny",
                        " by ", want.by.ToString());
  }
  std::string In(HostGroup group, const std::string& from, const std::string& to, uint16_t port) {
    return Judge(group, Direction::kIngress, from, to, port);
  }
};

constexpr char kNode[] = "192.0.2.200", kClient[] = "198.51.100.7", kWeb[] = "192.0.2.1",
               kCart[] = "192.0.2.100";

TEST_F(HostSemanticsTest, APolicyJudgesTheHostsOwnTrafficAndLeavesForwardedAlone) {
  Host("n1", kEth0, "{node: n1, interfaceName: eth0, expectedIPs: [192.0.2.200]}");
  Global("web",
         "{selector: role == 'node', ingress: [{action: Allow, protocol: TCP, destination: {ports: "
         "[80]}}]}");
  EXPECT_EQ(In(HostGroup::kNormal, kClient, kNode, 80), "allow by default/web ingress rule 0");
  EXPECT_EQ(In(HostGroup::kNormal, kClient, kNode, 81), "deny by default/web ingress end of tier");
  EXPECT_EQ(In(HostGroup::kForward, kClient, kWeb, 81),
            "allow by ingress no policy for forwarded traffic");
  EXPECT_EQ(Judge(HostGroup::kNormal, Direction::kIngress, kClient, kNode, 80, kEth1), "nobody");
}

TEST_F(HostSemanticsTest, ApplyOnForwardJudgesForwardedTrafficByBothEnds) {
  Host("n1", kEth0, "{node: n1, interfaceName: eth0, expectedIPs: [192.0.2.200]}");
  Global("through",
         "{selector: role == 'node', applyOnForward: true, ingress: [{action: Allow, source: "
         "{selector: app == 'cart'}, destination: {selector: app == 'web'}}]}");
  EXPECT_EQ(In(HostGroup::kForward, kCart, kWeb, 80), "allow by default/through ingress rule 0");
  EXPECT_EQ(In(HostGroup::kForward, kCart, "192.0.2.2", 80),
            "deny by default/through ingress end of tier");
  EXPECT_EQ(In(HostGroup::kForward, kClient, kWeb, 80),
            "deny by default/through ingress end of tier");
  EXPECT_EQ(Judge(HostGroup::kForward, Direction::kEgress, kWeb, kClient, 80),
            "allow by egress no policy for forwarded traffic");
}

TEST_F(HostSemanticsTest, PreDnatAndDoNotTrackHaveNoEndOfTier) {
  Host("n1", kEth0, "{node: n1, interfaceName: eth0}");
  Global(
      "door",
      "{selector: role == 'node', preDNAT: true, applyOnForward: true, types: [Ingress], ingress: "
      "[{action: Deny, protocol: TCP, destination: {ports: [8080]}}]}");
  Global("raw",
         "{selector: role == 'node', doNotTrack: true, applyOnForward: true, ingress: "
         "[{action: Deny, source: {nets: [198.51.100.0/24]}, protocol: TCP, destination: {ports: "
         "[9]}}]}");
  EXPECT_EQ(In(HostGroup::kPreDnat, kClient, kNode, 8080), "deny by default/door ingress rule 0");
  EXPECT_EQ(In(HostGroup::kPreDnat, kClient, kNode, 80),
            "next group by ingress no rule of the group");
  EXPECT_EQ(In(HostGroup::kUntracked, kClient, kNode, 9), "deny by default/raw ingress rule 0");
  EXPECT_EQ(In(HostGroup::kUntracked, kCart, kNode, 9),
            "next group by ingress no rule of the group");
  EXPECT_EQ(In(HostGroup::kNormal, kClient, kNode, 80), "deny by ingress no profile matched");
}

TEST_F(HostSemanticsTest, FailsafePortsPassADenyOfEverythingButNotForwarded) {
  Host("n1", kEth0, "{node: n1, interfaceName: '*'}");
  Global("deny", "{selector: role == 'node', applyOnForward: true, types: [Ingress, Egress]}");
  EXPECT_EQ(In(HostGroup::kNormal, kClient, kNode, 22), "allow by ingress failsafe tcp 22");
  EXPECT_EQ(In(HostGroup::kNormal, kClient, kNode, 179), "allow by ingress failsafe tcp 179");
  EXPECT_EQ(In(HostGroup::kNormal, kClient, kNode, 80), "deny by default/deny ingress end of tier");
  EXPECT_EQ(Judge(HostGroup::kNormal, Direction::kEgress, kNode, kClient, 22),
            "deny by default/deny egress end of tier");
  EXPECT_EQ(Judge(HostGroup::kNormal, Direction::kEgress, kNode, kClient, 2379),
            "allow by egress failsafe tcp 2379");
  EXPECT_EQ(In(HostGroup::kForward, kClient, kWeb, 22), "deny by default/deny ingress end of tier");
}

TEST_F(HostSemanticsTest, ExpectedAddressesAreAPeerAndProfilesDecideLast) {
  Host("n1", kEth0,
       "{node: n1, interfaceName: eth0, expectedIPs: [192.0.2.200], profiles: [kns.shop]}");
  Put("{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: p, namespace: "
      "shop}, spec: "
      "{selector: app == 'web', ingress: [{action: Allow, source: {selector: role == 'node', "
      "namespaceSelector: "
      "global()}}]}}");
  SemanticsTest::In(kAllowed, "shop/web", kNode);
  SemanticsTest::In(kDenied, "shop/web", kClient);
  EXPECT_EQ(In(HostGroup::kNormal, kClient, kNode, 80), "allow by profile kns.shop ingress rule 0");
}

}  // namespace
}  // namespace ripstop::api
