// SPDX-License-Identifier: Apache-2.0
#include "agent/ipam/pool.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "api/ipam/block.h"
#include "policy/base/stable_hash.h"

namespace ripstop::agent {
namespace {

constexpr int kAddressBits = 128;
constexpr int kDefaultBlockV4 = 26;
constexpr int kDefaultBlockV6 = 122;

}  // namespace

int BlockBits(const PoolConfig& pool) {
  const bool v4 = pool.cidr.is_v4();
  const int size = pool.block_size != 0 ? pool.block_size : v4 ? kDefaultBlockV4 : kDefaultBlockV6;
  return std::max<int>(size + (v4 ? 96 : 0), pool.cidr.bits);
}

policy::Cidr BlockAt(const PoolConfig& pool, uint64_t index) {
  const int bits = BlockBits(pool);
  policy::Address address = pool.cidr.address;
  // Adds index << (128 - bits), bit by bit; the pool's own bits lie above.
  for (int bit = 0; bit < 64 && bit < bits - pool.cidr.bits; ++bit) {
    if ((index >> bit & 1) == 0) continue;
    const int position = bits - 1 - bit;
    address.bytes[position / 8] |= static_cast<uint8_t>(0x80 >> (position % 8));
  }
  return policy::Cidr::Of(address, bits);
}

uint64_t BlockCount(const PoolConfig& pool) {
  return uint64_t{1} << std::min(BlockBits(pool) - pool.cidr.bits, 62);
}

uint64_t StartFor(const std::string& node, uint64_t count) {
  const uint64_t hash = StableHash(node);
  return (hash ^ hash >> 29) & (count - 1);
}

std::vector<policy::Address> KeptAddresses(const PoolConfig& pool) {
  if (kAddressBits - pool.cidr.bits < 3) return {};
  std::vector<policy::Address> kept = {pool.cidr.address};
  if (pool.cidr.is_v4()) {
    policy::Address last = pool.cidr.address;
    for (int bit = pool.cidr.bits; bit < kAddressBits; ++bit)
      last.bytes[bit / 8] |= 0x80 >> bit % 8;
    kept.push_back(last);
  }
  return kept;
}

absl::Status CheckBlockSize(const PoolConfig& pool) {
  const int limit = pool.cidr.is_v4() ? 32 : 128;
  if (pool.block_size >= 0 && pool.block_size <= limit &&
      kAddressBits - BlockBits(pool) <= ipam::kLargestBlockBits) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("pool ", pool.name, ": block size /",
                                                 pool.block_size, ": want /",
                                                 limit - ipam::kLargestBlockBits, " to /", limit));
}

std::string Describe(const std::vector<PoolConfig>& pools, bool v4) {
  std::vector<std::string> texts;
  for (const PoolConfig& pool : pools) {
    if (pool.cidr.is_v4() != v4) continue;
    std::string text = absl::StrCat(pool.name, " ", pool.cidr.ToString());
    if (pool.use != PoolUse::kAny) {
      absl::StrAppend(&text, " (", pool.why, ")");
    } else if (pool.namespaces.has_value()) {
      absl::StrAppend(&text, " (namespaceSelector ", pool.namespaces->Canonical(), ")");
    }
    texts.push_back(std::move(text));
  }
  return absl::StrJoin(texts, ", ");
}

}  // namespace ripstop::agent
