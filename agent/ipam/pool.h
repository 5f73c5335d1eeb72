// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_IPAM_POOL_H_
#define RIPSTOP_AGENT_IPAM_POOL_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "policy/address.h"
#include "policy/selector.h"

namespace ripstop::agent {

// What this node may take out of a pool. What was taken before stays, whatever it is now.
enum class PoolUse {
  kAny,        // an address for whoever asks for none in particular
  kOnRequest,  // only one that is asked for: the pool is assigned by hand, or other nodes'
  kNone,       // nothing: it is disabled, being deleted, …
};

struct PoolConfig {
  std::string name;
  policy::Cidr cidr;
  int block_size = 0;  // prefix length of a new block, of its family; 0: 26 or 122
  PoolUse use = PoolUse::kAny;
  std::string why;  // not kAny; completes a sentence: "is disabled"
  // kAny: only for pods of namespaces with such labels; absent: all.
  std::optional<policy::Selector> namespaces;
};

struct IpamConfig {
  std::vector<PoolConfig> pools;  // in order of preference
  bool strict_affinity = false;   // never use another node's block
  // How long a block stays with the node after its last address is free.
  absl::Duration block_idle = absl::Minutes(5);
};

// Prefix length of the pool's blocks, of the 128-bit form; a pool smaller than a block is
// one block.
int BlockBits(const PoolConfig& pool);
uint64_t BlockCount(const PoolConfig& pool);  // 2^62 at most
policy::Cidr BlockAt(const PoolConfig& pool, uint64_t index);
// The index where `node` starts to look, so that nodes rarely race for the same block.
uint64_t StartFor(const std::string& node, uint64_t count);

// What nobody gets who does not ask for it. The first address of an IPv6 subnet is the
// routers' (RFC 4291 section 2.6.1); software treats the first and last of an IPv4 network
// alike. Pools too small for that keep nothing.
std::vector<policy::Address> KeptAddresses(const PoolConfig& pool);

//   kInvalidArgument  blocks of that size cannot be: larger than api/ipam allows
absl::Status CheckBlockSize(const PoolConfig& pool);

// "pool-a 10.65.0.0/16, pool-b …" of one family; with why not, where it is not kAny.
std::string Describe(const std::vector<PoolConfig>& pools, bool v4);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_IPAM_POOL_H_
