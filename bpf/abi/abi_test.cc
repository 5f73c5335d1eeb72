// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string>
#include <type_traits>

#include "bpf/abi/cidr_table.h"
#include "bpf/abi/drops.h"
#include "bpf/abi/events.h"
#include "bpf/abi/flows.h"
#include "bpf/abi/state.h"
#include "bpf/abi/tables.h"

namespace {

// BPF hash keys compare padding too: a key may have none.
static_assert(std::has_unique_object_representations_v<ip_address>);
static_assert(std::has_unique_object_representations_v<flow_key>);
static_assert(std::has_unique_object_representations_v<fragment_key>);
// Nor may a value or event leak what was on a stack.
static_assert(std::has_unique_object_representations_v<address_value>);
static_assert(std::has_unique_object_representations_v<flow_value>);
static_assert(std::has_unique_object_representations_v<flow_event>);
static_assert(std::has_unique_object_representations_v<datapath_state>);
static_assert(std::has_unique_object_representations_v<sweep_request>);

static_assert(std::has_unique_object_representations_v<flow_account>);

// What each packet of a known flow reads and writes comes first.
TEST(AbiTest, APacketOfAKnownFlowTouchesTwoCacheLinesOfIt) {
  EXPECT_LE(offsetof(flow_value, translation), 128u);
}

TEST(AbiTest, AddressesOfLargeNumbersShareAnAccount) {
  EXPECT_EQ(FLOW_ACCOUNT_BEGUN(7u), 14u);
  EXPECT_EQ(FLOW_ACCOUNT_RECEIVED(FLOW_ACCOUNT_NUMBERS - 1), FLOW_ACCOUNTS - 1);
  EXPECT_EQ(FLOW_ACCOUNT_RECEIVED(FLOW_ACCOUNT_NUMBERS), 1u);
  EXPECT_EQ(FLOW_LIFE_ACCOUNT(FLOW_LIFE(FLOW_OPEN, FLOW_ACCOUNTS - 1, ~0u)), FLOW_ACCOUNTS - 1);
}

TEST(AbiTest, TheL4TableAndTheRootsThatFollowItFitOneChunk) {
  EXPECT_LT(GENERATION_LINES, static_cast<unsigned>(ARENA_CHUNK_LINES));
}

TEST(AbiTest, EveryRuleIdHasAHitCounter) {
  EXPECT_EQ(HITS_CHUNK(0, VERDICT_RULE_MASK), HITS_CHUNKS_PER_SLOT - 1);
  EXPECT_EQ(HITS_CHUNK(1, 0), HITS_CHUNKS_PER_SLOT);
}

TEST(AbiTest, DropReasonsHaveDistinctNamesAndDescriptions) {
  std::set<std::string> names;
#define X(id, name, description)                  \
  EXPECT_TRUE(names.insert(name).second) << name; \
  EXPECT_GT(std::strlen(description), 20u) << name;
  DROP_REASONS(X)
#undef X
  EXPECT_EQ(names.size() + 1, static_cast<size_t>(DROP_REASONS_MAX));
}

}  // namespace
