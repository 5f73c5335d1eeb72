// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>

#include "bpf/loader/table_store.h"
#include "gtest/gtest.h"

namespace ripstop::loader {
namespace {

// Read through the map, as the programs do, and not through the pages that were written.
uint32_t EpochInMap(const DatapathObject& object, uint32_t set_index) {
  uint32_t epoch = 0;
  EXPECT_EQ(bpf_map_lookup_elem(object.epochs(), &set_index, &epoch), 0) << set_index;
  return epoch;
}

TEST(EpochsTest, ABumpMovesTheEpochOfThatSetAndOfNoOther) {
  auto object = DatapathObject::Load({}, "");
  if (absl::IsPermissionDenied(object.status())) GTEST_SKIP() << "needs CAP_BPF and CAP_NET_ADMIN";
  ASSERT_TRUE(object.ok()) << object.status();
  TableStore store(object->get(), {});
  ASSERT_TRUE(store.Begin().ok());
  // Nothing that is not in force has known flows; putting it in force moves all epochs.
  const uint32_t before = EpochInMap(**object, 1);
  ASSERT_TRUE(store.Apply({policy::BumpEpoch{1}}).ok());
  EXPECT_EQ(EpochInMap(**object, 1), before);
  ASSERT_TRUE(store.Commit(1).ok());
  EXPECT_EQ(EpochInMap(**object, 1), before + 1);
  for (const uint32_t bumped : {1u, 2u, 4u, 7u, EPOCHS_MAX - 1u}) {
    std::map<uint32_t, uint32_t> before;
    for (uint32_t i : {1u, 2u, 3u, 4u, 7u, 8u, EPOCHS_MAX / 2u, EPOCHS_MAX - 1u}) {
      before[i] = EpochInMap(**object, i);
    }
    ASSERT_TRUE(store.Apply({policy::BumpEpoch{bumped}}).ok());
    for (const auto& [index, epoch] : before) {
      EXPECT_EQ(EpochInMap(**object, index), epoch + (index == bumped ? 1 : 0))
          << "set " << index << " when set " << bumped << " was bumped";
    }
  }
}

}  // namespace
}  // namespace ripstop::loader
