// SPDX-License-Identifier: Apache-2.0
//
// The datapath changed under traffic: no packet is lost, none gets a wrong verdict.
#include <gtest/gtest.h>

#include "agent/dataplane/testing_node.h"

namespace ripstop::agent {
namespace {

using loader::testing::Addr;
using testing::kFar;
using testing::kFarUnknown;
using testing::kPodA;
using testing::kPodB;
using testing::Traffic;

using DataplaneLiveTest = testing::NodeTest;

constexpr auto kLockstep = Traffic::Kind::kLockstep;
constexpr auto kFireAndCount = Traffic::Kind::kFireAndCount;

TEST_P(DataplaneLiveTest, GenerationsSwitchWithoutALostPacket) {
  Open();
  Attach();
  WriteGeneration(true);
  // What pods said of themselves before the first generation (IPv6 does so at link up).
  const uint64_t early = Dropped(DROP_NO_GENERATION);
  Traffic established(kLockstep, false, *a_, kPodA, *b_, kPodB);
  Traffic fresh(kLockstep, true, *far_, kFar, *b_, kPodB, 7778);
  Traffic denied(kFireAndCount, true, *far_, kFarUnknown, *b_, kPodB, 7779);
  for (int i = 0; i < 4; ++i) {
    fresh.Run(20);
    WriteGeneration(true);
  }
  fresh.Run(20);
  established.Run(20);
  denied.Run(20);
  established.Stop();
  fresh.Stop();
  denied.Stop();
  EXPECT_EQ(established.received(), established.sent());
  EXPECT_EQ(fresh.received(), fresh.sent());
  EXPECT_EQ(denied.received(), 0u);
  EXPECT_EQ(Dropped(DROP_NO_GENERATION), early);
  EXPECT_EQ(Dropped(DROP_BAD_POLICY_SET), 0u);
}

TEST_P(DataplaneLiveTest, AgentsComeAndGoWithoutALostPacket) {
  Open();
  Attach();
  WriteGeneration(true);
  // On clsact an attach replaces the filter; on tcx the link is given the new program.
  Traffic established(kLockstep, false, *a_, kPodA, *b_, kPodB);
  Traffic denied(kFireAndCount, true, *far_, kFarUnknown, *b_, kPodB, 7779);
  for (int i = 0; i < 2; ++i) {
    denied.Run(20);
    Open();
    Attach();
    WriteGeneration(true);
  }
  denied.Run(20);
  established.Stop();
  denied.Stop();
  EXPECT_EQ(established.received(), established.sent());
  EXPECT_EQ(denied.received(), 0u);
}

// An address table begun with room for a handful must grow many times, and the CIDR table
// with it, while each packet asks them anew.
TEST_P(DataplaneLiveTest, TablesGrowLiveWithTheRightVerdictsMeanwhile) {
  Open({.addresses = 16});
  Attach();
  WriteGeneration(true);
  Traffic fresh(kLockstep, true, *far_, kFar, *b_, kPodB);
  Traffic denied(kFireAndCount, true, *far_, kFarUnknown, *b_, kPodB, 7779);
  constexpr uint32_t kBatches = 20, kPerBatch = 50;
  for (uint32_t i = 0; i < kBatches; ++i) {
    for (uint32_t j = 0; j < kPerBatch; ++j) {
      const uint32_t n = i * kPerBatch + j;
      tables_->writes.push_back(policy::SetAddress{policy::Address::FromV4(0x0a000000 + n),
                                                   address_value{.address_class = 1}});
      tables_->AddCidr(policy::Cidr::Of(policy::Address::FromV4(0x64000000 + (n << 8)), 96 + 24),
                       1);
    }
    const absl::Status applied = dataplane_->Apply(tables_->Take());
    ASSERT_TRUE(applied.ok()) << applied;
  }
  // Into the grown tables; how many passed while they grew depends on the machine.
  fresh.Run(20);
  denied.Run(20);
  fresh.Stop();
  denied.Stop();
  EXPECT_EQ(fresh.received(), fresh.sent());
  EXPECT_EQ(denied.received(), 0u);
  // All entries are there, the first and the last.
  for (const char* source : {"10.0.0.0", "10.0.3.231", "100.0.0.1", "100.3.231.1"}) {
    const auto lookup = dataplane_->Lookup({Addr(source), Addr(kPodB), policy::kProtocolUdp, 1, 2});
    ASSERT_TRUE(lookup.ok() && lookup->ingress) << source;
    EXPECT_EQ(lookup->ingress->verdict, VERDICT_ALLOW | 33) << source;
  }
  const auto beyond =
      dataplane_->Lookup({Addr("100.3.232.1"), Addr(kPodB), policy::kProtocolUdp, 1, 2});
  ASSERT_TRUE(beyond.ok() && beyond->ingress);
  EXPECT_EQ(beyond->ingress->verdict, 34u);
}

INSTANTIATE_TEST_SUITE_P(Attachment, DataplaneLiveTest, ::testing::Values(false, true),
                         testing::AttachmentName);

}  // namespace
}  // namespace ripstop::agent
