// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <vector>

#include "bpf/loader/table_store.h"
#include "gtest/gtest.h"

namespace ripstop::loader {
namespace {

TEST(RuleHitsTest, AForgottenRuleCountsFromZeroAndItsNeighboursGoOn) {
  auto object = DatapathObject::Load({}, "");
  if (absl::IsPermissionDenied(object.status())) GTEST_SKIP() << "needs CAP_BPF and CAP_NET_ADMIN";
  ASSERT_TRUE(object.ok()) << object.status();
  TableStore store(object->get(), {});
  ASSERT_TRUE(store.Begin().ok());
  ASSERT_TRUE(store.Apply({policy::EnsureRules{HITS_CHUNK_RULES + 10}}).ok());

  // As the program counts: into each CPU's element of the rule's chunk.
  const auto chunk_of = [&](uint32_t rule) {
    const uint32_t index = HITS_CHUNK(store.slot(), rule);
    uint32_t id = 0;
    EXPECT_EQ(bpf_map_lookup_elem((*object)->hits(), &index, &id), 0) << rule;
    return UniqueFd(bpf_map_get_fd_by_id(id));
  };
  std::vector<rule_hits> values(static_cast<size_t>(libbpf_num_possible_cpus()));
  const auto packets = [&](uint32_t rule) {
    const uint32_t entry = rule % HITS_CHUNK_RULES;
    EXPECT_EQ(bpf_map_lookup_elem(chunk_of(rule).get(), &entry, values.data()), 0);
    uint64_t sum = 0;
    for (const rule_hits& value : values) sum += value.packets;
    return sum;
  };
  const std::vector<uint32_t> rules = {1, 2, HITS_CHUNK_RULES + 1, HITS_CHUNK_RULES + 2};
  for (const uint32_t rule : rules) {
    for (rule_hits& value : values) value = {.packets = 5, .bytes = 500, .last_hit_ns = 1};
    const uint32_t entry = rule % HITS_CHUNK_RULES;
    ASSERT_EQ(bpf_map_update_elem(chunk_of(rule).get(), &entry, values.data(), BPF_ANY), 0);
  }
  ASSERT_TRUE(store.Apply({policy::ForgetRules{{2, HITS_CHUNK_RULES + 1}}}).ok());
  EXPECT_EQ(packets(1), 5u * values.size());
  EXPECT_EQ(packets(2), 0u);
  EXPECT_EQ(packets(HITS_CHUNK_RULES + 1), 0u);
  EXPECT_EQ(packets(HITS_CHUNK_RULES + 2), 5u * values.size());
}

}  // namespace
}  // namespace ripstop::loader
