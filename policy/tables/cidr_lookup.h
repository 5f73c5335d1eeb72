// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_TABLES_CIDR_LOOKUP_H_
#define RIPSTOP_POLICY_TABLES_CIDR_LOOKUP_H_

#include <cstdint>
#include <cstring>

#include "bpf/abi/cidr_table.h"
#include "policy/address.h"

namespace ripstop::policy {

// The four bits of `address` at `position` of bpf/abi/cidr_table.h.
inline uint32_t CidrEntryIndex(const Address& address, uint32_t position) {
  const uint8_t byte = address.bytes[position / 2];
  return position % 2 == 0 ? byte >> 4 : byte & 15u;
}

inline uint32_t CidrRootIndex(const Address& address) {
  const size_t at = address.is_v4() ? 12 : 0;
  return static_cast<uint32_t>(address.bytes[at]) << 8 | address.bytes[at + 1];
}

// The walk of bpf/lib/address_class.h, for those who read the tables outside of the
// kernel. `read(handle, line)` fills an arena_line and returns whether it could. CIDR_NO_ROOM
// and CIDR_UNREADABLE deny.
template <typename Read>
uint32_t LookUpCidrClass(const Address& address, uint32_t l4_table, Read read) {
  const bool v4 = address.is_v4();
  const uint32_t root = CidrRootIndex(address);
  uint32_t expected = v4 ? CIDR_FIRST_POSITION_V4 : CIDR_FIRST_POSITION_V6;
  arena_line line;
  if (!read(l4_table + (v4 ? CIDR_ROOT_LINE_V4 : CIDR_ROOT_LINE_V6) + root / ARENA_LINE_WORDS,
            line)) {
    return CIDR_UNREADABLE;
  }
  uint32_t entry = line.words[root % ARENA_LINE_WORDS];
  for (int i = 0; i < CIDR_POSITIONS && (entry & CIDR_NODE) != 0; ++i) {
    const uint32_t handle = entry & CIDR_HANDLE_MASK;
    const uint32_t position = entry >> CIDR_POSITION_SHIFT & CIDR_POSITION_MASK;
    if (!read(handle, line)) return CIDR_UNREADABLE;
    const arena_line entries = line;
    entry = entries.words[CidrEntryIndex(address, position)];
    if (position != expected) {
      if (!read(handle + 1, line)) return CIDR_UNREADABLE;
      cidr_path path;
      uint64_t bits[2];
      std::memcpy(&path, &line, sizeof(path));
      std::memcpy(bits, address.bytes.data(), sizeof(bits));
      if (((bits[0] ^ path.bits[0]) & path.mask[0]) != 0 ||
          ((bits[1] ^ path.bits[1]) & path.mask[1]) != 0) {
        entry = path.otherwise;
      }
    }
    expected = position + 1;
  }
  return (entry & CIDR_NODE) == 0 ? entry : CIDR_UNREADABLE;
}

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_TABLES_CIDR_LOOKUP_H_
