// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_API_IPAM_BLOCK_SUMMARY_H_
#define RIPSTOP_API_IPAM_BLOCK_SUMMARY_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "api/store/store.h"
#include "policy/address.h"

namespace ripstop::ipam {

// What everybody else wants to know of a block: whose it is, and which addresses others
// use of it. Each allocation in the cluster rewrites its block and reaches every agent, so
// this is read off the stored bytes without making a Block of them.
struct BlockSummary {
  policy::Cidr cidr;
  std::string affinity;
  std::vector<std::pair<policy::Address, std::string>> borrowed;  // address, its node
  uint32_t used = 0;
  bool has_free = false;
};

//   kDataLoss  not a block, or under another's key; names the key. Less than Block::Decode
//              finds: ordinals are not compared with each other.
absl::StatusOr<BlockSummary> Summarize(const api::StoredResource& stored);

}  // namespace ripstop::ipam

#endif  // RIPSTOP_API_IPAM_BLOCK_SUMMARY_H_
