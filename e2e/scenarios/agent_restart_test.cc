// SPDX-License-Identifier: Apache-2.0
//
// The agent dies and comes back under traffic: no packet lost, no denied one let through.
#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>
#include <iostream>

#include "absl/time/clock.h"
#include "e2e/scenarios/demo_lab.h"

namespace ripstop::lab {
namespace {

class AgentRestart : public DemoLab {
 protected:
  // From node1 and to it: by redirect on the node, inside the subnet, and by VXLAN.
  const std::vector<Flow> allowed_ = {
      {"shop/frontend-1", "shop/cart-1", "TCP", 7070, 4},
      {"shop/checkout-1", "data/database-1", "TCP", 5432, 6},
      {"shop/checkout-1", "shop/cart-1", "UDP", 7071, 4},
      {"shop/checkout-2", "data/database-1", "UDP", 8125, 6},
  };
  const std::vector<Flow> denied_ = {
      {"shop/frontend-1", "data/database-1", "UDP", 8125, 4},
      {"shop/frontend-2", "data/database-1", "UDP", 8125, 6},
      {"shop/frontend-3", "shop/cart-1", "UDP", 7071, 4},
  };
};

TEST_F(AgentRestart, SigkillAndRestartLoseNoPacketAndLetNoDeniedOneThrough) {
  const LiveFlow::Timing timing{.cut_after = absl::Seconds(1)};
  std::vector<LiveFlow> allowed, denied;
  for (const Flow& flow : allowed_) {
    auto live = LiveFlow::Start(lab(), flow, timing);
    ASSERT_TRUE(live.ok()) << live.status();
    allowed.push_back(*std::move(live));
  }
  for (const LiveFlow& live : allowed) {
    ASSERT_TRUE(live.WaitFor("connected").ok());
  }
  for (const Flow& flow : denied_) {
    auto live = LiveFlow::Start(lab(), flow, timing);
    ASSERT_TRUE(live.ok()) << live.status();
    denied.push_back(*std::move(live));
  }
  for (const LiveFlow& live : denied) ASSERT_TRUE(live.WaitFor("cut").ok());

  ASSERT_TRUE(lab().StopAgent("node1", SIGKILL).ok());
  EXPECT_FALSE(lab().AgentStatus("node1").ok());
  // A new flow while nobody is there: the kernel decides alone.
  EXPECT_TRUE(Reaches({"shop/frontend-2", "shop/cart-1", "TCP", 7070, 6}));
  EXPECT_TRUE(Silent({"shop/frontend-2", "data/database-1", "TCP", 5432, 6}));
  const absl::Status started = lab().StartAgent("node1");
  ASSERT_TRUE(started.ok()) << started;
  // Well beyond the restart, however long it took.
  for (const std::vector<LiveFlow>* flows : {&allowed, &denied}) {
    for (const LiveFlow& live : *flows) ASSERT_TRUE(live.WaitForMore(500).ok());
  }

  for (size_t i = 0; i < allowed.size(); ++i) {
    const auto end = allowed[i].Finish();
    ASSERT_TRUE(end.ok()) << end.status();
    // UDP shows each loss. TCP hides them, and its retransmissions prove none: on a busy
    // machine a late answer sets off a tail loss probe (RFC 8985). So that is printed.
    EXPECT_EQ(end->value("lost", -1), 0) << allowed_[i].ToString() << ": " << *end;
    std::cout << allowed_[i].ToString() << ": " << *end << "\n";
  }
  for (size_t i = 0; i < denied.size(); ++i) {
    const auto end = denied[i].Finish();
    ASSERT_TRUE(end.ok()) << end.status();
    EXPECT_EQ(end->value("answered", -1), 0) << denied_[i].ToString() << ": " << *end;
  }
  // What a gap in programs, tables or flows would have dropped, TCP included.
  for (const std::string node : {"node1", "node2", "node3"}) {
    for (const char* reason :
         {"no-generation", "no-policy-set", "bad-policy-set", "no-verdict", "no-flow", "spoofed"}) {
      EXPECT_EQ(DropsOf(node, reason), 0u) << node << ": " << reason;
    }
  }
}

TEST_F(AgentRestart, PolicyChangedWhileTheAgentWasAwayIsInForceWhenItIsReady) {
  const Flow flow{"shop/checkout-2", "data/database-1", "TCP", 5432, 4};
  const std::string edit = ReadText(Folder() + "/edits/freeze-orders.yaml");
  ASSERT_TRUE(Reaches(flow));
  ASSERT_TRUE(lab().StopAgent("node1", SIGKILL).ok());
  ASSERT_TRUE(lab().Apply(edit).ok());
  EXPECT_TRUE(Reaches(flow)) << "node1 cannot know yet";
  ASSERT_TRUE(lab().StartAgent("node1").ok());
  EXPECT_TRUE(Eventually([&] { return Silent(flow); }));
}

TEST_F(AgentRestart, AnotherAgentInTheSameNetworkIsRefusedWhateverItsFolders) {
  const std::string own = lab().state().dir() + "/another";
  const std::string pins = lab().state().nodes.at("node1").pins + "-another";
  for (const char* folder : {"/run", "/state"}) std::filesystem::create_directories(own + folder);
  const auto output =
      lab().Exec("node1", {lab().Binary("ripstop-agent"), "--node", "node1", "--store",
                           lab().state().store_url(), "--socket", own + "/agent.sock", "--bpffs",
                           pins, "--run-dir", own + "/run", "--state-dir", own + "/state"});
  std::error_code error;
  std::filesystem::remove(pins, error);
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_NE(output->exit_code, 0);
  EXPECT_THAT(output->out + output->err,
              ::testing::HasSubstr("another ripstop-agent runs in this network namespace"));
  ExpectMatrix();
}

TEST_F(AgentRestart, PodMayBeAddedAndRemovedAfterARestart) {
  ASSERT_TRUE(lab().StopAgent("node1", SIGKILL).ok());
  ASSERT_TRUE(lab().StartAgent("node1").ok());
  Pod pod = *lab().topology().FindPod("shop/cart-1");
  ASSERT_TRUE(lab().RemovePod("shop/cart-1").ok());
  pod.name = "cart-9";
  const absl::Status added = lab().AddPod(pod);
  ASSERT_TRUE(added.ok()) << added;
  EXPECT_TRUE(Reaches({"shop/frontend-3", "shop/cart-9", "TCP", 7070, 6}));
  ExpectMatrix();
}

}  // namespace
}  // namespace ripstop::lab
