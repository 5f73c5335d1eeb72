// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/flow_keeper.h"

#include "agent/dataplane/fake_dataplane.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class FlowKeeperTest : public ::testing::Test {
 protected:
  void Sweep(uint64_t entries, uint64_t no_room = 0) {
    dataplane_.flow_use = {.entries = entries, .capacity = 1000, .no_room = no_room};
    ASSERT_TRUE(keeper_.Sweep().ok());
  }
  FakeDataplane dataplane_;
  FlowKeeper keeper_{&dataplane_};
};

TEST_F(FlowKeeperTest, AQuietTableIsSweptNowAndThenAndRaisesNoAlarm) {
  Sweep(799);
  EXPECT_EQ(keeper_.alarm(), "");
  EXPECT_EQ(keeper_.period(), FlowKeeper::kPeriod);
  EXPECT_EQ(keeper_.use().entries, 799u);
}

TEST_F(FlowKeeperTest, ANearlyFullTableIsSweptHarderAndNamesTheRemedy) {
  Sweep(800);
  EXPECT_THAT(keeper_.alarm(), HasSubstr("800 of 1000 entries in use (80 %)"));
  EXPECT_THAT(keeper_.alarm(), HasSubstr("--flow-table-entries"));
  EXPECT_FALSE(keeper_.full());
  EXPECT_EQ(keeper_.period(), FlowKeeper::kOftenPeriod);
  Sweep(750);
  EXPECT_NE(keeper_.alarm(), "") << "not before it is clearly better";
  Sweep(699);
  EXPECT_EQ(keeper_.alarm(), "");
  Sweep(699);
  EXPECT_THAT(dataplane_.sweeps, ElementsAre(false, true, true, false));
}

TEST_F(FlowKeeperTest, ConnectionsThatFoundNoRoomSinceTheLastSweepAreSaid) {
  Sweep(100, 7);
  EXPECT_FALSE(keeper_.full()) << "those were an earlier agent's";
  Sweep(100, 8);
  EXPECT_TRUE(keeper_.full());
  EXPECT_THAT(keeper_.alarm(), HasSubstr("new flows are refused"));
  Sweep(100, 8);
  EXPECT_FALSE(keeper_.full());
  EXPECT_EQ(keeper_.alarm(), "");
}

TEST_F(FlowKeeperTest, ASweepThatFailsLeavesWhatWasKnown) {
  Sweep(900);
  dataplane_.next_error = absl::UnavailableError("run flow_sweep");
  EXPECT_FALSE(keeper_.Sweep().ok());
  EXPECT_NE(keeper_.alarm(), "");
}

TEST(FlowTableEntriesFor, AreAShareOfTheMemoryWithinBounds) {
  constexpr uint64_t kGiB = uint64_t{1} << 30;
  EXPECT_EQ(FlowTableEntriesFor(kGiB / 2), 65536u);
  EXPECT_EQ(FlowTableEntriesFor(4 * kGiB), 131072u);
  EXPECT_EQ(FlowTableEntriesFor(16 * kGiB), 524288u);
  EXPECT_EQ(FlowTableEntriesFor(1024 * kGiB), 2097152u);
  EXPECT_EQ(FlowTableEntriesFor(0), 65536u);
}

TEST(UsableMemory, IsSome) { EXPECT_GT(UsableMemory(), 0u); }

}  // namespace
}  // namespace ripstop::agent
