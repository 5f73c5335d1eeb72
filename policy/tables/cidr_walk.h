// SPDX-License-Identifier: Apache-2.0
//
// Steps of the CIDR table that need no state; for cidr_table*.cc only.
#ifndef RIPSTOP_POLICY_TABLES_CIDR_WALK_H_
#define RIPSTOP_POLICY_TABLES_CIDR_WALK_H_

#include <cstddef>
#include <cstring>
#include <utility>

#include "policy/tables/cidr_table.h"

namespace ripstop::policy {

struct CidrTable::Walk {
  static constexpr uint32_t kOtherwiseWord =
      ARENA_LINE_WORDS + offsetof(cidr_path, otherwise) / sizeof(uint32_t);

  static int FirstBit(bool v4) { return v4 ? 96 : 0; }
  static bool EndsInRoot(const Cidr& cidr) {
    return cidr.bits <= FirstBit(cidr.is_v4()) + CIDR_ROOT_BITS;
  }
  static uint32_t EndPosition(const Cidr& cidr) { return (cidr.bits - 1u) / 4; }

  // How many positions from the start, `most` at most, are the same.
  static uint32_t SharedPositions(const Address& a, const Address& b, uint32_t most) {
    uint32_t position = 0;
    while (position < most && CidrEntryIndex(a, position) == CidrEntryIndex(b, position))
      ++position;
    return position;
  }

  // Neighbouring words become one write.
  static void Store(uint32_t handle, uint32_t word, uint32_t value, TableWrites& out) {
    if (handle == 0) return;
    if (!out.empty()) {
      auto* last = std::get_if<WriteWords>(&out.back());
      if (last != nullptr && last->handle == handle &&
          last->first_word + last->words.size() == word) {
        last->words.push_back(value);
        return;
      }
    }
    out.push_back(WriteWords{handle, word, {value}});
  }

  static uint32_t Word(const Slot& slot) {
    if (!slot.child) return slot.leaf.address_class;
    return CIDR_NODE | slot.child->position << CIDR_POSITION_SHIFT | slot.child->handle;
  }
  static void Show(const Place& at, TableWrites& out) {
    Store(at.handle, at.word, Word(*at.slot), out);
  }
  static Place In(Node& node, const Address& address) {
    const uint32_t index = CidrEntryIndex(address, node.position);
    return {&node.slots[index], node.handle, index};
  }
  static bool Leads(const Node& node, const Cidr& cidr) {
    return node.position <= EndPosition(cidr) &&
           SharedPositions(node.path, cidr.address, node.position) == node.position;
  }
  static bool Is(const Leaf& leaf, int bits, Which which) {
    return which == Which::kOnly ? leaf.bits == bits : leaf.bits <= bits;
  }
  // All of a node: done before anything names it.
  static void ShowAll(const Node& node, TableWrites& out) {
    WriteWords write{node.handle, 0, std::vector<uint32_t>(CIDR_NODE_LINES * ARENA_LINE_WORDS)};
    for (size_t i = 0; i < node.slots.size(); ++i) write.words[i] = Word(node.slots[i]);
    cidr_path path = {};
    Address mask;
    for (uint32_t bit = 0; bit < node.position * 4; ++bit) mask.bytes[bit / 8] |= 0x80 >> (bit % 8);
    std::memcpy(path.bits, node.path.bytes.data(), sizeof(path.bits));
    std::memcpy(path.mask, mask.bytes.data(), sizeof(path.mask));
    path.otherwise = node.otherwise.address_class;
    std::memcpy(&write.words[ARENA_LINE_WORDS], &path, sizeof(path));
    out.push_back(std::move(write));
  }
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_TABLES_CIDR_WALK_H_
