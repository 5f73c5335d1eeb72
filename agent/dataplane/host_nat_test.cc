// SPDX-License-Identifier: Apache-2.0
//
// Pods beside a host that translates: kube-proxy's services, hostPorts, masquerade. Each
// rule is tried first without the datapath, so that what follows is no fault of the rule.
#include <gtest/gtest.h>

#include <vector>

#include "agent/dataplane/testing_nat.h"

namespace ripstop::agent {
namespace {

using testing::kCases;
using testing::kV4;
using testing::kV6;
using testing::NatNode;
using testing::Plan;
using testing::RuleTool;

class HostNatTest : public NatNode {};

TEST_P(HostNatTest, AServicesBackendOnTheSameNodeIsReachedAndAnswers) {
  for (const Plan& plan : {kV4, kV6}) Dnat(plan, RuleTool::kNft, plan.service, 80, plan.b, 8080);
  for (const auto& [plan, transport] : kCases) {
    const absl::Status control = FromA(transport, plan, plan.service, *b_, plan.b).Open();
    ASSERT_TRUE(control.ok()) << "control, without the datapath: " << control;
  }
  Start(Policy::kOnlyClass1);
  for (const auto& [plan, transport] : kCases) {
    Conversation talk = FromA(transport, plan, plan.service, *b_, plan.b);
    const absl::Status open = talk.Open();
    EXPECT_TRUE(open.ok()) << open;
    EXPECT_EQ(talk.peer(), plan.a);
  }
}

TEST_P(HostNatTest, AServicesBackendOutsideIsReachedAndAnswers) {
  for (const Plan& plan : {kV4, kV6}) Dnat(plan, RuleTool::kNft, plan.service, 80, plan.far, 8080);
  for (const auto& [plan, transport] : kCases) {
    const absl::Status control = FromA(transport, plan, plan.service, *far_, plan.far).Open();
    ASSERT_TRUE(control.ok()) << "control, without the datapath: " << control;
  }
  Start(Policy::kOnlyClass1);
  for (const auto& [plan, transport] : kCases) {
    Conversation talk = FromA(transport, plan, plan.service, *far_, plan.far);
    const absl::Status open = talk.Open();
    EXPECT_TRUE(open.ok()) << open;
    EXPECT_EQ(talk.peer(), plan.a);
  }
}

TEST_P(HostNatTest, WithoutHostsNatPacketsPassTheRulesBy) {
  // What this is all for: the negative control of the tests above.
  Dnat(kV4, RuleTool::kNft, kV4.service, 80, kV4.b, 8080);
  ASSERT_EQ(far_->Shell(absl::StrCat("ip addr add ", kV4.service, "/32 dev lo")), 0);
  Start(Policy::kOpen, Policy::kOpen, /*host_nat=*/false);
  {
    Conversation untranslated =
        FromA(Transport::kUdp, kV4, kV4.service, *far_, kV4.service, 80, 80);
    const absl::Status open = untranslated.Open();
    EXPECT_TRUE(open.ok()) << "by the default route: " << open;
  }
  ConfigureNat(true);
  Conversation translated = FromA(Transport::kUdp, kV4, kV4.service, *b_, kV4.b);
  const absl::Status open = translated.Open();
  EXPECT_TRUE(open.ok()) << open;
}

TEST_P(HostNatTest, EgressPolicyIsThatOfTheBackendNotOfTheServiceAddress) {
  for (const Plan& plan : {kV4, kV6}) {
    Dnat(plan, RuleTool::kNft, plan.service, 80, plan.b, 8080);
    Dnat(plan, RuleTool::kNft, plan.service, 81, plan.far, 8080);
  }
  for (const auto& [plan, transport] : kCases) {
    const absl::Status control = FromA(transport, plan, plan.service, *far_, plan.far, 81).Open();
    ASSERT_TRUE(control.ok()) << "control, without the datapath: " << control;
  }
  Start(Policy::kOnlyClass0);  // the service address, not what is behind it
  for (const auto& [plan, transport] : kCases) {
    ExpectDenied(FromA(transport, plan, plan.service, *b_, plan.b), DROP_POLICY_EGRESS);
    ExpectDenied(FromA(transport, plan, plan.service, *far_, plan.far, 81), DROP_POLICY_EGRESS);
  }
  Write(Policy::kOpen, Policy::kOnlyClass0);
  for (const auto& [plan, transport] : kCases) {
    ExpectDenied(FromA(transport, plan, plan.service, *b_, plan.b), DROP_POLICY_INGRESS);
    const absl::Status open = FromA(transport, plan, plan.service, *far_, plan.far, 81).Open();
    EXPECT_TRUE(open.ok()) << open;
  }
}

TEST_P(HostNatTest, MasqueradedPodsAreJudgedAsThemselves) {
  for (const Plan& plan : {kV4, kV6}) Masquerade(plan, RuleTool::kNft);
  // Only to the node: whoever sees a pod's address cannot answer.
  ASSERT_EQ(far_->Shell("ip route del 198.51.100.0/24; ip -6 route del 2001:db8:a::/64"), 0);
  for (const auto& [plan, transport] : kCases) {
    const absl::Status control =
        FromA(transport, plan, plan.far_other, *far_, plan.far_other, 80, 80).Open();
    ASSERT_TRUE(control.ok()) << "control, without the datapath: " << control;
  }
  Start(Policy::kOnlyClass1);
  for (const auto& [plan, transport] : kCases) {
    Conversation talk = FromA(transport, plan, plan.far, *far_, plan.far, 80, 80);
    const absl::Status open = talk.Open();
    EXPECT_TRUE(open.ok()) << open;
    EXPECT_EQ(talk.peer(), plan.node);
    ExpectDenied(FromA(transport, plan, plan.far_other, *far_, plan.far_other, 80, 80),
                 DROP_POLICY_EGRESS);
  }
}

TEST_P(HostNatTest, PoolsAreMasqueradedAfterTheHostsOwnNat) {
  for (const Plan& plan : {kV4, kV6}) Dnat(plan, RuleTool::kNft, plan.service, 80, plan.far, 8080);
  ASSERT_EQ(far_->Shell("ip route del 198.51.100.0/24; ip -6 route del 2001:db8:a::/64"), 0);
  Start(Policy::kOnlyClass1);
  loader::Masquerade masquerade;
  for (const Plan& plan : {kV4, kV6})
    masquerade.pools[policy::Cidr::Parse(plan.pods).value()] = true;
  masquerade.exits[Ifindex("up0")] = {.v4 = policy::Address::Parse(kV4.node).value(),
                                      .v6 = policy::Address::Parse(kV6.node).value()};
  const absl::Status set = node_->Run([&] { return dataplane_->SetMasquerade(masquerade); });
  ASSERT_TRUE(set.ok()) << set;
  for (const auto& [plan, transport] : kCases) {
    Conversation talk = FromA(transport, plan, plan.service, *far_, plan.far);
    const absl::Status open = talk.Open();
    EXPECT_TRUE(open.ok()) << open;
    EXPECT_EQ(talk.peer(), plan.node);
    const absl::Status more = talk.Exchange();
    EXPECT_TRUE(more.ok()) << more;
    ExpectDenied(FromA(transport, plan, plan.far_other, *far_, plan.far_other, 80, 80),
                 DROP_POLICY_EGRESS);
  }
}

TEST_P(HostNatTest, HostPortsAreReachedFromOutsideAndFromTheNode) {
  for (const Plan& plan : {kV4, kV6}) Dnat(plan, RuleTool::kNft, plan.node, 7080, plan.b, 8080);
  const auto from = [&](Transport transport, const Plan& plan, const TestNetns& client,
                        const char* address) {
    return Conversation(transport, {.client_ns = client.fd(),
                                    .client = address,
                                    .to = plan.node,
                                    .to_port = 7080,
                                    .server_ns = b_->fd(),
                                    .server = plan.b,
                                    .server_port = 8080});
  };
  for (const auto& [plan, transport] : kCases) {
    const absl::Status control = from(transport, plan, *far_, plan.far).Open();
    ASSERT_TRUE(control.ok()) << "control, without the datapath: " << control;
  }
  Start(Policy::kOpen, Policy::kOnlyClass1);
  for (const auto& [plan, transport] : kCases) {
    {
      Conversation talk = from(transport, plan, *far_, plan.far);
      const absl::Status open = talk.Open();
      EXPECT_TRUE(open.ok()) << open;
      EXPECT_EQ(talk.peer(), plan.far);
    }
    const absl::Status of_node = from(transport, plan, *node_, plan.node).Open();
    EXPECT_TRUE(of_node.ok()) << "the host reaches its pods before policy: " << of_node;
    // Class 0, whatever port it asks for.
    ExpectDenied(from(transport, plan, *far_, plan.far_other), DROP_POLICY_INGRESS);
    // From a pod of the same node, by the node's address: judged as pod to pod.
    const absl::Status of_pod = FromA(transport, plan, plan.node, *b_, plan.b, 7080).Open();
    EXPECT_TRUE(of_pod.ok()) << of_pod;
  }
  Write(Policy::kOnlyClass0, Policy::kOpen);
  for (const auto& [plan, transport] : kCases) {
    ExpectDenied(FromA(transport, plan, plan.node, *b_, plan.b, 7080), DROP_POLICY_EGRESS);
  }
}

TEST_P(HostNatTest, APodReachesItselfByItsServiceWhateverThePolicy) {
  for (const Plan& plan : {kV4, kV6}) {
    Dnat(plan, RuleTool::kNft, plan.service, 80, plan.a, 8080);
    const char* family = plan.v4 ? "ip" : "ip6";
    Nft(absl::StrCat("add rule ", family, " t postrouting ", family, " saddr ", plan.a, " ", family,
                     " daddr ", plan.a, " masquerade"));
    ASSERT_EQ(node_->Shell("sysctl -w net.ipv4.conf.hosta.route_localnet=0"), 0);
  }
  for (const auto& [plan, transport] : kCases) {
    const absl::Status control = FromA(transport, plan, plan.service, *a_, plan.a).Open();
    ASSERT_TRUE(control.ok()) << "control, without the datapath: " << control;
  }
  Start(Policy::kClosed);
  for (const auto& [plan, transport] : kCases) {
    const absl::Status open = FromA(transport, plan, plan.service, *a_, plan.a).Open();
    EXPECT_TRUE(open.ok()) << open;
  }
}

TEST_P(HostNatTest, AnEditCutsALiveTranslatedFlowAndAnotherLetsItGoOn) {
  for (const Plan& plan : {kV4, kV6}) {
    Dnat(plan, RuleTool::kNft, plan.service, 80, plan.b, 8080);
    Dnat(plan, RuleTool::kNft, plan.service, 81, plan.far, 8080);
    Masquerade(plan, RuleTool::kNft);
  }
  Start(Policy::kOpen);
  for (const auto& [plan, transport] : kCases) {
    Conversation beside = FromA(transport, plan, plan.service, *b_, plan.b);
    Conversation outside = FromA(transport, plan, plan.service, *far_, plan.far, 81);
    for (Conversation* talk : {&beside, &outside}) {
      const absl::Status open = talk->Open();
      ASSERT_TRUE(open.ok()) << open;
    }
    Write(Policy::kOnlyClass0);
    for (Conversation* talk : {&beside, &outside}) {
      ExpectDropped(DROP_POLICY_EGRESS, [&] { talk->ClientSays(); });
      EXPECT_FALSE(talk->ServerHears(0).ok());
      // Nor may the answers pass, of whoever still speaks.
      ExpectDropped(DROP_POLICY_EGRESS, [&] { talk->ServerSays(); });
      EXPECT_FALSE(talk->ClientHears(0).ok());
    }
    Write(Policy::kOnlyClass1);
    for (Conversation* talk : {&beside, &outside}) {
      if (transport == Transport::kUdp) talk->ClientSays();  // TCP says it again by itself
      const absl::Status heard = talk->ServerHears();
      EXPECT_TRUE(heard.ok()) << heard;
    }
    Write(Policy::kOpen, Policy::kClosed);
    ExpectDropped(DROP_POLICY_INGRESS, [&] { beside.ClientSays(); });
    ExpectDropped(DROP_POLICY_INGRESS, [&] { beside.ServerSays(); });
    Write(Policy::kOpen);
  }
}

TEST_P(HostNatTest, ALiveTranslatedFlowOutlivesAgentsAndEditsThatStillAllowIt) {
  for (const Plan& plan : {kV4, kV6}) {
    Dnat(plan, RuleTool::kNft, plan.service, 80, plan.b, 8080);
    Dnat(plan, RuleTool::kNft, plan.service, 81, plan.far, 8080);
    Masquerade(plan, RuleTool::kNft);
  }
  Start(Policy::kOpen);
  std::vector<Conversation> talks;
  for (const auto& [plan, transport] : kCases) {
    talks.push_back(FromA(transport, plan, plan.service, *b_, plan.b));
    talks.push_back(FromA(transport, plan, plan.service, *far_, plan.far, 81));
  }
  for (Conversation& talk : talks) {
    const absl::Status open = talk.Open();
    ASSERT_TRUE(open.ok()) << open;
  }
  // A download: it is the answers that come first after the edit.
  const auto download = [&] {
    for (Conversation& talk : talks) {
      talk.ServerSays();
      const absl::Status heard = talk.ClientHears();
      EXPECT_TRUE(heard.ok()) << heard;
    }
  };
  Write(Policy::kOnlyClass1);
  download();
  Start(Policy::kOnlyClass1);
  download();
  for (Conversation& talk : talks) {
    const absl::Status exchanged = talk.Exchange();
    EXPECT_TRUE(exchanged.ok()) << exchanged;
  }
}

// Services whose backend is this host itself, as the API server is on its node.
TEST_P(HostNatTest, ASocketOfTheHostBehindAServiceIsAskedOnlyAsPolicyAllows) {
  for (const Plan& plan : {kV4, kV6}) {
    Dnat(plan, RuleTool::kNft, plan.service, 80, plan.node, 6443);
    Dnat(plan, RuleTool::kNft, plan.service, 81, plan.node, 6444);
  }
  const auto ask = [&](Transport transport, const Plan& plan, uint16_t more = 0) {
    return FromA(transport, plan, plan.service, *node_, plan.node, 80 + more, 6443 + more);
  };
  for (const auto& [plan, transport] : kCases) {
    const absl::Status control = ask(transport, plan).Open();
    ASSERT_TRUE(control.ok()) << "control, without the datapath: " << control;
  }
  Start(Policy::kOpen);
  for (const auto& [plan, transport] : kCases) {
    Conversation talk = ask(transport, plan);
    const absl::Status open = talk.Open();
    ASSERT_TRUE(open.ok()) << open;
    Write(Policy::kClosed);
    ExpectDenied(ask(transport, plan, 1), DROP_POLICY_EGRESS);
    ExpectDropped(DROP_POLICY_EGRESS, [&] { talk.ClientSays(); });
    EXPECT_FALSE(talk.ServerHears(0).ok()) << "a live one is cut as well";
    Write(Policy::kOnlyClass0);  // the node's own address is of class 0
    if (transport == Transport::kUdp) talk.ClientSays();
    const absl::Status heard = talk.ServerHears();
    EXPECT_TRUE(heard.ok()) << heard;
  }
}

INSTANTIATE_TEST_SUITE_P(Attachment, HostNatTest, ::testing::Values(false, true),
                         testing::AttachmentName);

// The same rules by each of the tools that write them.
class HostNatToolTest : public NatNode {
 protected:
  void Try(RuleTool tool) {
    if (tool == RuleTool::kIptablesLegacy && node_->Shell("iptables-legacy -t nat -L") != 0) {
      RecordProperty("kernel_lacks", "iptables-legacy");
      GTEST_SKIP() << "this kernel has no iptables-legacy";
    }
    for (const Plan& plan : {kV4, kV6}) {
      Dnat(plan, tool, plan.service, 80, plan.b, 8080);
      Dnat(plan, tool, plan.service, 81, plan.far, 8080);
      Dnat(plan, tool, plan.node, 7080, plan.b, 8080);
      Masquerade(plan, tool);
    }
    Start(Policy::kOnlyClass1, Policy::kOnlyClass1);
    for (const auto& [plan, transport] : kCases) {
      const absl::Status beside = FromA(transport, plan, plan.service, *b_, plan.b).Open();
      EXPECT_TRUE(beside.ok()) << beside;
      {
        Conversation outside = FromA(transport, plan, plan.service, *far_, plan.far, 81);
        const absl::Status open = outside.Open();
        EXPECT_TRUE(open.ok()) << open;
        EXPECT_EQ(outside.peer(), plan.node) << "masqueraded";
      }
      Conversation host_port(transport, {.client_ns = far_->fd(),
                                         .client = plan.far,
                                         .to = plan.node,
                                         .to_port = 7080,
                                         .server_ns = b_->fd(),
                                         .server = plan.b,
                                         .server_port = 8080});
      const absl::Status reached = host_port.Open();
      EXPECT_TRUE(reached.ok()) << reached;
    }
    Write(Policy::kOnlyClass0, Policy::kOnlyClass0);
    for (const auto& [plan, transport] : kCases) {
      ExpectDenied(FromA(transport, plan, plan.service, *b_, plan.b), DROP_POLICY_EGRESS);
      ExpectDenied(FromA(transport, plan, plan.service, *far_, plan.far, 81), DROP_POLICY_EGRESS);
    }
  }
};

TEST_P(HostNatToolTest, Nftables) { Try(RuleTool::kNft); }
TEST_P(HostNatToolTest, IptablesOnNftables) { Try(RuleTool::kIptablesNft); }
TEST_P(HostNatToolTest, IptablesLegacy) { Try(RuleTool::kIptablesLegacy); }

INSTANTIATE_TEST_SUITE_P(Attachment, HostNatToolTest, ::testing::Values(false),
                         testing::AttachmentName);

}  // namespace
}  // namespace ripstop::agent
