// SPDX-License-Identifier: Apache-2.0
//
// Traced programs in the place of the datapath's own, under traffic of real pods.
#include <gmock/gmock.h>
#include <linux/pkt_cls.h>

#include <algorithm>

#include "agent/dataplane/testing_node.h"

namespace ripstop::agent {
namespace {

using loader::PacketTrace;
using loader::TracedPacket;
using loader::TracedPrograms;
using loader::testing::Addr;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::kFar;
using testing::kPodA;
using testing::kPodB;
using testing::Traffic;

class TraceTest : public testing::NodeTest {
 protected:
  void SetUp() override {
    NodeTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    Open();
    if (HasFatalFailure()) return;
    WriteGeneration(true);
    Attach();
    auto traced = dataplane_->LoadTraced();
    ASSERT_TRUE(traced.ok()) << traced.status();
    traced_ = *std::move(traced);
  }
  void TearDown() override {
    trace_.reset();
    NodeTest::TearDown();
    traced_.reset();
  }
  void Set(bool traced) {
    const absl::Status set =
        node_->Run([&] { return dataplane_->SetTraced(traced ? traced_ : nullptr); });
    ASSERT_TRUE(set.ok()) << set;
  }
  void Begin(const trace_filter& filter = {}) {
    auto begun = traced_->Begin(filter);
    ASSERT_TRUE(begun.ok()) << begun.status();
    trace_ = *std::move(begun);
  }
  // Between the pods and from afar; a namespace's own chatter is not.
  std::vector<trace_record> Take() {
    std::vector<trace_record> records;
    for (auto more = *trace_->Take(absl::ZeroDuration()); !more.empty();
         more = *trace_->Take(absl::ZeroDuration())) {
      for (const TracedPacket& packet : more) {
        if (packet.record.protocol == policy::kProtocolUdp && packet.record.family == 4)
          records.push_back(packet.record);
      }
    }
    return records;
  }
  std::vector<uint32_t> Hooks() {
    std::vector<uint32_t> hooks;
    for (const trace_record& record : Take()) hooks.push_back(record.hook);
    return hooks;
  }

  std::shared_ptr<TracedPrograms> traced_;
  std::unique_ptr<PacketTrace> trace_;
};
INSTANTIATE_TEST_SUITE_P(All, TraceTest, ::testing::Bool(), testing::AttachmentName);

TEST_P(TraceTest, EachHookOfAPacketIsToldOfWhileItIsOn) {
  Begin();
  ASSERT_TRUE(PodsPass());
  EXPECT_THAT(Hooks(), IsEmpty());
  Set(true);
  ASSERT_TRUE(PodsPass());
  EXPECT_THAT(Hooks(), ElementsAre(TRACE_FROM_WORKLOAD, TRACE_FROM_WORKLOAD));
  ASSERT_TRUE(Passes(*far_, kFar, *b_, kPodB));
  const std::vector<trace_record> records = Take();
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].hook, TRACE_FROM_HOST);
  EXPECT_EQ(records[0].ifindex, Ifindex("up0"));
  EXPECT_EQ(records[0].ingress_verdict, VERDICT_ALLOW | 33);
  EXPECT_EQ(records[1].hook, TRACE_FROM_WORKLOAD);
  EXPECT_EQ(records[1].ifindex, Ifindex("hostb"));
  Set(false);
  ASSERT_TRUE(PodsPass());
  EXPECT_THAT(Hooks(), IsEmpty());
}

TEST_P(TraceTest, ADroppedPacketIsToldOfWithReasonAndRule) {
  WriteGeneration(false);
  Begin({.verdict = TRACE_DROPPED});
  Set(true);
  ASSERT_TRUE(PodsBlocked());
  const std::vector<trace_record> records = Take();
  ASSERT_FALSE(records.empty());
  for (const trace_record& record : records) {
    EXPECT_EQ(record.action, TC_ACT_SHOT);
    EXPECT_EQ(record.reason, DROP_POLICY_INGRESS);
    EXPECT_EQ(record.ingress_verdict, 22u);
  }
  EXPECT_EQ(records.size(), Dropped(DROP_POLICY_INGRESS));
}

TEST_P(TraceTest, TrafficGoesOnWhileItComesAndGoes) {
  Traffic known(Traffic::Kind::kLockstep, false, *a_, kPodA, *b_, kPodB);
  Traffic fresh(Traffic::Kind::kLockstep, true, *far_, kFar, *b_, kPodB, testing::kTrafficPort + 1);
  Begin();
  for (int i = 0; i < 20; ++i) {
    known.Run(5);
    fresh.Run(5);
    Set(i % 2 == 0);
    Take();
  }
  known.Stop();
  fresh.Stop();
  EXPECT_EQ(known.received(), known.sent());
  EXPECT_EQ(fresh.received(), fresh.sent());
}

TEST_P(TraceTest, AnInterfaceThatComesMeanwhileIsTracedAndLooksWell) {
  Set(true);
  const auto run = [&](auto call) {
    const absl::Status done = node_->Run(call);
    EXPECT_TRUE(done.ok()) << done;
  };
  const uint32_t hosta = Ifindex("hosta");
  run([&] { return dataplane_->DetachWorkload(hosta); });
  run([&] { return dataplane_->AttachWorkload(hosta); });
  run([&] { return dataplane_->CheckWorkload(hosta); });
  Begin();
  ASSERT_TRUE(PodsPass());
  EXPECT_EQ(Hooks().size(), 2u);
  run([&]() -> absl::Status {
    EXPECT_THAT(dataplane_->Repair(), IsEmpty());
    return absl::OkStatus();
  });
  Set(false);
  run([&] { return dataplane_->CheckWorkload(hosta); });
  run([&]() -> absl::Status {
    EXPECT_THAT(dataplane_->Repair(), IsEmpty());
    return absl::OkStatus();
  });
}

// An agent that dies leaves the traced programs; they judge, and the next one puts its own there.
TEST_P(TraceTest, TheNextAgentPutsItsOwnProgramsBack) {
  Set(true);
  Begin();
  trace_.reset();
  ASSERT_TRUE(PodsPass());
  // As if killed: nothing is put back.
  [[maybe_unused]] static const Dataplane* const killed = dataplane_.release();
  Open();
  Attach();
  WriteGeneration(true);
  Begin();
  ASSERT_TRUE(PodsPass());
  EXPECT_THAT(Hooks(), IsEmpty());
}

}  // namespace
}  // namespace ripstop::agent
