// SPDX-License-Identifier: Apache-2.0
//
// What the store holds of addresses, and changes to it, as one transaction.
#ifndef RIPSTOP_API_CTL_IPAM_STATE_H_
#define RIPSTOP_API_CTL_IPAM_STATE_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "api/ipam/block.h"
#include "api/ipam/claims.h"
#include "api/store/store.h"

namespace ripstop::ctl {

struct StoredBlock {
  ipam::Block block;
  int64_t revision = 0;
};
struct StoredClaims {
  ipam::Claims claims;
  int64_t revision = 0;
};

// Blocks and claims as of one moment each; plain data.
struct IpamState {
  std::map<policy::Cidr, StoredBlock> blocks;
  std::map<api::ResourceKey, StoredClaims> claims;
  std::vector<absl::Status> damaged;  // set aside by agents too
};
absl::StatusOr<IpamState> ReadIpam(api::Store& store);

// How many addresses in `cidr` are in use, and in how many blocks.
struct Usage {
  int addresses = 0;
  int blocks = 0;
};
Usage UsageIn(const IpamState& state, const policy::Cidr& cidr);
std::string Describe(const Usage& usage);  // "12 addresses in 3 blocks"

// Changes of blocks, each guarded by the revision it was read at: a transaction with these
// fails (kAborted, kNotFound) when an agent came between, and is to be planned anew.
class IpamChanges {
 public:
  explicit IpamChanges(const IpamState& state) : state_(state) {}
  // The block as it shall be; it goes when nothing of it is in use and it is nobody's.
  void Put(const ipam::Block& block);
  void Remove(const policy::Cidr& block);
  std::vector<api::Mutation> Mutations() const;

 private:
  const IpamState& state_;
  std::map<policy::Cidr, ipam::Block> changed_;
  std::map<policy::Cidr, uint64_t> removed_;  // with its sequence
};

// Whether a transaction is to be planned anew with what is there now.
bool Raced(const absl::Status& status);

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_IPAM_STATE_H_
