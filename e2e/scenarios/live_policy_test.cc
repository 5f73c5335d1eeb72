// SPDX-License-Identifier: Apache-2.0
//
// Policy edits under live flows.
#include "absl/time/clock.h"
#include "e2e/scenarios/demo_lab.h"

namespace ripstop::lab {
namespace {

class LivePolicy : public DemoLab {
 protected:
  const std::string freeze_ = ReadText(Folder() + "/edits/freeze-orders.yaml");
};

TEST_F(LivePolicy, EditThatDeniesALiveTcpFlowStopsItAndItsRemovalLetsItGoOn) {
  const std::vector<Flow> flows = {
      {"shop/checkout-1", "data/database-2", "TCP", 5432, 4},  // across subnets
      {"shop/checkout-1", "data/database-1", "TCP", 5432, 6},  // same subnet
      {"shop/checkout-2", "data/database-2", "TCP", 5432, 6},  // same node
  };
  const Flow bystander{"shop/frontend-1", "shop/cart-2", "TCP", 7070, 4};
  std::vector<LiveFlow> live;
  for (const Flow& flow : flows) {
    auto started = LiveFlow::Start(lab(), flow, {.cut_after = absl::Seconds(2)});
    ASSERT_TRUE(started.ok()) << started.status();
    live.push_back(*std::move(started));
  }
  const auto other = LiveFlow::Start(lab(), bystander, {});
  ASSERT_TRUE(other.ok()) << other.status();
  for (const LiveFlow& flow : live) ASSERT_TRUE(flow.WaitFor("connected").ok());
  ASSERT_TRUE(other->WaitFor("connected").ok());

  ASSERT_TRUE(lab().Apply(freeze_).ok());
  const int64_t applied = absl::ToUnixMillis(absl::Now());
  for (size_t i = 0; i < live.size(); ++i) {
    const auto cut = live[i].WaitFor("cut");
    ASSERT_TRUE(cut.ok()) << flows[i].ToString() << ": " << cut.status();
    const int64_t late = cut->value("last_answer_unix_ms", int64_t{0}) - applied;
    RecordProperty(absl::StrCat("cut_after_ms_", i), static_cast<int>(late));
  }
  EXPECT_TRUE(Silent(flows[0])) << "a new connection";
  ASSERT_TRUE(lab().Delete(freeze_).ok());
  for (size_t i = 0; i < live.size(); ++i) {
    const auto restored = live[i].WaitFor("restored");
    EXPECT_TRUE(restored.ok()) << flows[i].ToString() << ": " << restored.status();
  }
  const auto end = other->Finish();
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->value("lost", -1), 0) << *end;
}

TEST_F(LivePolicy, EditsAreMapWritesAndLoadNoProgram) {
  const auto before = lab().AgentStatus("node3");
  ASSERT_TRUE(before.ok()) << before.status();
  const Flow flow{"shop/checkout-1", "data/database-2", "TCP", 5432, 4};
  ASSERT_TRUE(lab().Apply(freeze_).ok());
  EXPECT_TRUE(Eventually([&] { return Silent(flow); }));
  ASSERT_TRUE(lab().Delete(freeze_).ok());
  EXPECT_TRUE(Reaches(flow));
  const auto after = lab().AgentStatus("node3");
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_GT(before->programs_loaded(), 0u);
  EXPECT_EQ(after->programs_loaded(), before->programs_loaded());
  EXPECT_GT(after->table_writes(), before->table_writes());
}

TEST_F(LivePolicy, WhyNamesTheRuleThatDecidesInEachDirection) {
  const auto denied = lab().Ctl({"why", "--from", "shop/frontend-1", "--to", "data/database-1",
                                 "--protocol", "TCP", "--port", "5432"},
                                "", "node1");
  ASSERT_TRUE(denied.ok()) << denied.status();
  EXPECT_EQ(denied->exit_code, 0) << denied->err;
  EXPECT_TRUE(absl::StrContains(denied->out, "Deny")) << denied->out;
  EXPECT_TRUE(absl::StrContains(denied->out, "data/database")) << denied->out;
  const auto allowed = lab().Ctl({"why", "--from", "shop/frontend-1", "--to", "shop/cart-1",
                                  "--protocol", "TCP", "--port", "7070"},
                                 "", "node1");
  ASSERT_TRUE(allowed.ok()) << allowed.status();
  EXPECT_TRUE(absl::StrContains(allowed->out, "shop/frontend")) << allowed->out;
  EXPECT_TRUE(absl::StrContains(allowed->out, "shop/cart")) << allowed->out;
  EXPECT_FALSE(absl::StrContains(allowed->out, "Deny")) << allowed->out;
}

}  // namespace
}  // namespace ripstop::lab
