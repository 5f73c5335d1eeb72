// SPDX-License-Identifier: Apache-2.0
//
// Nodes that allocate from one store in memory.
#ifndef RIPSTOP_AGENT_IPAM_TESTING_IPAM_FIXTURE_H_
#define RIPSTOP_AGENT_IPAM_TESTING_IPAM_FIXTURE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "agent/ipam/ipam.h"
#include "agent/ipam/testing/fake_store.h"

namespace ripstop::agent {

inline policy::Address Addr(std::string_view text) { return *policy::Address::Parse(text); }
inline policy::Cidr Net(std::string_view text) { return *policy::Cidr::Parse(text); }
inline PoolConfig Pool(const std::string& cidr, int block_size = 0) {
  return {.name = "pool-" + cidr, .cidr = Net(cidr), .block_size = block_size};
}
inline AllocationRequest For(const std::string& handle,
                             std::vector<policy::Address> requested = {}) {
  return {.owner = {handle, "shop", "pod-of-" + handle}, .requested = std::move(requested)};
}

class IpamTest : public ::testing::Test {
 protected:
  Ipam Node(const std::string& name, std::vector<PoolConfig> pools, bool strict = false) {
    Ipam ipam(&store_, name);
    EXPECT_EQ(ipam.SetConfig({std::move(pools), strict}), absl::OkStatus());
    EXPECT_EQ(ipam.Load(), absl::OkStatus());
    return ipam;
  }
  static Allocation One(Ipam& ipam, const AllocationRequest& request) {
    auto got = ipam.Allocate(request);
    EXPECT_TRUE(got.ok()) << got.status();
    return got.ok() ? got->front() : Allocation();
  }
  // What the watch would tell.
  void Tell(Ipam& ipam, const policy::Cidr& block) {
    const auto stored = store_.Get(Block::KeyFor(block));
    if (stored.ok()) {
      EXPECT_TRUE(ipam.Note(*stored).ok());
    } else {
      ipam.Forget(block);
    }
  }
  std::vector<Block> StoredBlocks() {
    std::vector<Block> blocks;
    const auto listing = store_.List({.kind = ipam::kBlockKind});
    for (const api::StoredResource& item : listing->items) {
      auto block = Block::Decode(item);
      EXPECT_TRUE(block.ok()) << block.status();
      if (block.ok()) blocks.push_back(*std::move(block));
    }
    return blocks;
  }
  // Affine to this node, in order.
  std::vector<policy::Cidr> BlocksOf(const std::string& node) {
    std::vector<policy::Cidr> own;
    for (const Block& block : StoredBlocks()) {
      if (block.affinity() == node) own.push_back(block.cidr());
    }
    std::sort(own.begin(), own.end());
    return own;
  }
  static absl::Status ReleaseAll(Ipam& ipam, const std::string& handle) {
    return ipam.Release(ipam.AllocationsOf(handle), [] { return std::vector<api::Mutation>(); });
  }
  FakeStore store_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_IPAM_TESTING_IPAM_FIXTURE_H_
