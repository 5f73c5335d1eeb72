// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_BASE_STABLE_HASH_H_
#define RIPSTOP_POLICY_BASE_STABLE_HASH_H_

#include <cstdint>
#include <string_view>

namespace ripstop {

// FNV-1a, 64 bits: the same in every process, on every node, for ever. For names that are
// derived from names; absl::Hash is seeded anew by each process. Its low bits mix best:
// fold the high ones into what is used of it.
constexpr uint64_t StableHash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace ripstop

#endif  // RIPSTOP_POLICY_BASE_STABLE_HASH_H_
