// SPDX-License-Identifier: Apache-2.0
//
// For the test of the CIDR table: memory that its writes go to, and a slow obvious table.
#ifndef RIPSTOP_POLICY_TESTING_CIDR_MEMORY_H_
#define RIPSTOP_POLICY_TESTING_CIDR_MEMORY_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "policy/tables/cidr_lookup.h"
#include "policy/tables/table_write.h"

namespace ripstop::policy::testing {

using Class = std::optional<uint32_t>;  // nullopt: no room, denied

// The arena as its readers see it.
struct Memory {
  std::map<uint32_t, std::vector<uint32_t>> chunks;
  size_t reads = 0;

  void Store(const WriteWords& write, size_t i) {
    std::vector<uint32_t>& words = chunks[ARENA_HANDLE_CHUNK(write.handle)];
    words.resize(size_t{ARENA_CHUNK_LINES} * ARENA_LINE_WORDS);
    words.at(ARENA_HANDLE_LINE(write.handle) * ARENA_LINE_WORDS + write.first_word + i) =
        write.words[i];
  }
  void Apply(const TableWrites& writes) {
    for (const TableWrite& write : writes) {
      const auto& words = std::get<WriteWords>(write);
      for (size_t i = 0; i < words.words.size(); ++i) Store(words, i);
    }
  }
  Class Find(const Address& address, uint32_t roots) {
    const uint32_t found = LookUpCidrClass(address, roots, [&](uint32_t handle, arena_line& line) {
      ++reads;
      std::vector<uint32_t>& words = chunks[ARENA_HANDLE_CHUNK(handle)];
      words.resize(size_t{ARENA_CHUNK_LINES} * ARENA_LINE_WORDS);
      std::copy_n(&words[ARENA_HANDLE_LINE(handle) * ARENA_LINE_WORDS], ARENA_LINE_WORDS,
                  line.words);
      return true;
    });
    return found == CIDR_NO_ROOM ? std::nullopt : Class(found);
  }
};

using Prefixes = std::map<Cidr, uint32_t>;

inline uint32_t LongestOf(const Prefixes& prefixes, const Address& address) {
  std::pair<int, uint32_t> best{-1, 0};
  for (const auto& [cidr, address_class] : prefixes) {
    if (cidr.bits > best.first && cidr.Contains(address)) best = {cidr.bits, address_class};
  }
  return best.second;
}

// Up and down by one across the whole number.
inline Address Next(Address a, int step) {
  for (size_t i = a.bytes.size(); i-- > 0;) {
    a.bytes[i] = static_cast<uint8_t>(a.bytes[i] + step);
    if (a.bytes[i] != (step > 0 ? 0 : 0xff)) break;
  }
  return a;
}

inline Address Last(const Cidr& cidr) {
  Address a = cidr.address;
  for (int bit = cidr.bits; bit < 128; ++bit) a.bytes[bit / 8] |= 0x80 >> (bit % 8);
  return a;
}

}  // namespace ripstop::policy::testing

#endif  // RIPSTOP_POLICY_TESTING_CIDR_MEMORY_H_
