// SPDX-License-Identifier: Apache-2.0
//
// Every program, packet by packet, against the reference parser, the model of flows and the
// reference evaluator; bpf/DESIGN.md says what is compared. RIPSTOP_FUZZ_CASES sets how many
// packets are tried, RIPSTOP_FUZZ_SEED the first world.
#include "bpf/loader/fuzz/packet_fuzz.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <set>

namespace ripstop::loader::fuzz {
namespace {

constexpr uint64_t kPacketsPerWorld = 2000;

uint64_t Number(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

// Defects of tables, limits of accounts, and masquerade: tests of their own have these.
const std::set<uint32_t> kNotReached = {
    DROP_NO_GENERATION,   DROP_NO_POLICY_SET, DROP_BAD_POLICY_SET, DROP_NO_VERDICT,
    DROP_FLOW_TABLE_FULL, DROP_MARK_CHANGED,  DROP_POD_FLOWS,      DROP_POD_HALF_OPEN,
    DROP_NAT_PORTS,       DROP_NAT_ADDRESS,   DROP_NAT_PROTOCOL};

class PacketFuzzTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto node = KernelNode::Create();
    if (absl::IsPermissionDenied(node.status())) GTEST_SKIP() << node.status();
    ASSERT_TRUE(node.ok()) << node.status();
    node_ = *std::move(node);
  }
  std::unique_ptr<KernelNode> node_;
};

TEST_F(PacketFuzzTest, ProgramsDoWhatTheReferencesSay) {
  const uint64_t cases = Number("RIPSTOP_FUZZ_CASES", 400000);
  uint64_t seed = Number("RIPSTOP_FUZZ_SEED", 1);
  PacketFuzz fuzz(node_.get());
  while (fuzz.totals().packets < cases) {
    const uint64_t left = cases - fuzz.totals().packets;
    const std::string difference = fuzz.World(seed++, std::min(left, kPacketsPerWorld));
    ASSERT_TRUE(difference.empty())
        << difference << "\nafter " << fuzz.totals().packets << " packets";
  }
  const FuzzTotals& totals = fuzz.totals();
  std::printf("%s", Describe(totals).c_str());
  EXPECT_EQ(totals.stale, 0u) << "policy denies what goes on by a verdict of before";
  if (cases < 100000) return;
  // Whatever the generator becomes, it must reach all of this.
  EXPECT_GT(totals.passed, totals.packets / 20);
  EXPECT_GT(totals.redirected, totals.packets / 20);
  EXPECT_GT(totals.answered, totals.packets / 200);
  for (uint32_t reason = 1; reason < DROP_REASONS_MAX; ++reason) {
    if (kNotReached.contains(reason)) continue;
    EXPECT_GT(totals.drops[reason], 0u) << NameOfReason(reason);
  }
}

// The control: programs that take another setting than the model are told from it.
TEST_F(PacketFuzzTest, ControlAnotherSettingOfTheProgramsIsNoticed) {
  const NodeSettings others[] = {
      {.host_obeys_policy = true}, {.reset_unknown = true}, {.reject = true}, {.marks = true}};
  for (const NodeSettings& other : others) {
    PacketFuzz fuzz(node_.get());
    fuzz.Deceive(other);
    EXPECT_NE(fuzz.World(1, 20000), "");
    std::printf("noticed after %lu packets\n", fuzz.totals().packets);
  }
}

}  // namespace
}  // namespace ripstop::loader::fuzz
