// SPDX-License-Identifier: Apache-2.0
//
// What holds between IP pools, and between them and the nodes: the rules that ripstopctl
// refuses by and that agents go by, should a store hold such a thing all the same.
#ifndef RIPSTOP_API_IPAM_POOLS_H_
#define RIPSTOP_API_IPAM_POOLS_H_

#include <optional>
#include <string>

#include "api/proto/resources.pb.h"
#include "policy/address.h"

namespace ripstop::ipam {

// nullopt: not a prefix, which validation refuses.
std::optional<policy::Cidr> CidrOf(const api::v1::IPPoolSpec& pool);

// Prefix length of the pool's blocks, of its family.
int64_t BlockSizeOf(const api::v1::IPPoolSpec& pool);

// Being deleted: it gives no address any more, and goes with the last that is in use.
inline bool IsTerminating(const api::v1::IPPool& pool) {
  return !pool.metadata().deletion_timestamp().empty();
}

// A subnet of the node that the pool shares addresses with. Its hosts and its gateway
// would be given to pods, and routes to blocks would cut them off.
std::optional<policy::Cidr> SharedSubnet(const api::v1::IPPoolSpec& pool,
                                         const api::v1::Node& node);

}  // namespace ripstop::ipam

#endif  // RIPSTOP_API_IPAM_POOLS_H_
