// SPDX-License-Identifier: Apache-2.0
//
// A FelixConfiguration on real agents: it acts while they run, on all nodes or on one, and when
// it goes what was before comes back.
#include "e2e/scenarios/demo_lab.h"

namespace ripstop::lab {
namespace {

class FelixConfiguration : public DemoLab {
 protected:
  void Say(const std::string& name, const std::string& spec) {
    const absl::Status applied = lab().Apply(absl::StrCat(
        "{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {name: ", name,
        "}, spec: ", spec, "}"));
    ASSERT_TRUE(applied.ok()) << applied;
  }
  void Withdraw(const std::string& name) {
    const auto deleted = lab().Ctl({"delete", "felixconfig", name});
    ASSERT_TRUE(deleted.ok()) << deleted.status();
    ASSERT_EQ(deleted->exit_code, 0) << deleted->err;
  }
  // Answered flows that the node knows, as of its last sweep.
  uint64_t Flows(const std::string& node) {
    const auto status = lab().AgentStatus(node);
    EXPECT_TRUE(status.ok()) << status.status();
    return status.ok() ? status->flows().entries() : 0;
  }
  bool UntilFlows(const std::string& node, const std::function<bool(uint64_t)>& good) {
    return Eventually([&] { return good(Flows(node)); });
  }
  // Flows that should pass, of UDP or of the others; each leaves an entry at both its nodes.
  void Talk(bool udp) {
    std::vector<Flow> flows;
    for (const Flow& flow : AllFlows(lab().topology())) {
      const bool wanted = (flow.protocol == "UDP") == udp;
      if (wanted && IsExpected(expectation(), lab().topology(), flow)) flows.push_back(flow);
    }
    ASSERT_FALSE(flows.empty());
    ASSERT_TRUE(Measure(lab(), flows).ok());
  }
};

// TCP is told to stay whatever happens, so that what goes is UDP.
TEST_F(FelixConfiguration, FlowsGoByTheTimesThatAreSaidWhileTheAgentRuns) {
  Say("default",
      "{bpfConntrackTimeouts: {udpTimeout: 1h, tcpFinsSeen: 1h, tcpResetSeen: 1h, tcpEstablished: "
      "2h, icmpTimeout: 1h}}");
  Talk(false);
  ASSERT_TRUE(UntilFlows("node1", [](uint64_t flows) { return flows > 0; }));
  const auto restarts = lab().AgentStatus("node1")->programs_loaded();
  Talk(true);
  // Sweeps go on, and take nothing.
  uint64_t both = 0;
  ASSERT_TRUE(Eventually([&] {
    const uint64_t before = std::exchange(both, Flows("node1"));
    return both > 0 && both == before;
  }));
  Say("node.node1", "{bpfConntrackTimeouts: {udpTimeout: 3s}}");
  ASSERT_TRUE(UntilFlows("node1", [both](uint64_t flows) { return flows < both; }))
      << both << " flows, of UDP among them";
  const uint64_t others = Flows("node1");
  EXPECT_GT(others, 0u) << "TCP was told to stay";
  EXPECT_GT(Flows("node2"), 0u);
  // The defaults again: connections that are over go after half a minute, with nothing said.
  Withdraw("node.node1");
  Withdraw("default");
  EXPECT_TRUE(UntilFlows("node1", [others](uint64_t flows) { return flows < others; }));
  EXPECT_EQ(lab().AgentStatus("node1")->programs_loaded(), restarts) << "no restart, no reload";
  ExpectMatrix();
}

TEST_F(FelixConfiguration, TheTunnelMovesToAnotherPortAndNetworkAndBack) {
  const auto device = [this](const std::string& node) {
    const auto shown = lab().Exec(node, {"ip", "-d", "link", "show", "dev", "vxlan.ripstop"});
    return shown.ok() ? shown->out : "";
  };
  const auto until = [&](const std::string& words) {
    for (const char* node : {"node1", "node2", "node3"}) {
      EXPECT_TRUE(Eventually([&] { return absl::StrContains(device(node), words); }))
          << device(node);
    }
  };
  Say("default", "{vxlanPort: 8472, vxlanVNI: 77, vxlanMTU: 1400}");
  until("vxlan id 77 ");
  until("dstport 8472");
  until("mtu 1400");
  ExpectMatrix();
  Withdraw("default");
  until("vxlan id 4096 ");
  until("dstport 4789");
  until("mtu 1450");
  ExpectMatrix();
}

TEST_F(FelixConfiguration, WhatNothingActsOnIsNamedAndWhatWouldDeceiveIsRefused) {
  const auto apply = [this](const std::string& spec) {
    return lab().Ctl({"apply", "-f", "-"},
                     absl::StrCat("{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, "
                                  "metadata: {name: default}, spec: ",
                                  spec, "}"));
  };
  const auto kept = apply("{bpfLogLevel: Debug, bpfDisableGROForIfaces: ^eth}");
  ASSERT_TRUE(kept.ok()) << kept.status();
  EXPECT_EQ(kept->exit_code, 0) << kept->err;
  EXPECT_TRUE(absl::StrContains(kept->err, "nothing acts on ")) << kept->err;
  EXPECT_TRUE(absl::StrContains(kept->err, "spec.bpfDisableGROForIfaces")) << kept->err;
  EXPECT_TRUE(absl::StrContains(kept->err, "spec.bpfLogLevel")) << kept->err;
  const auto refused = apply("{wireguardEnabled: true}");
  ASSERT_TRUE(refused.ok()) << refused.status();
  EXPECT_NE(refused->exit_code, 0);
  EXPECT_TRUE(absl::StrContains(refused->err, "nothing is encrypted")) << refused->err;
}

}  // namespace
}  // namespace ripstop::lab
