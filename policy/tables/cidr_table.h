// SPDX-License-Identifier: Apache-2.0
//
// Longest prefix to address class, as the trie of bpf/abi/cidr_table.h.
//
//   Set, Remove ──▶ [CidrTable] ──▶ WriteWords (make before break)
//
// After each single stored word, the class read for any address is the one before or the
// one after the call: nodes are written before the store that makes them reachable, and
// what becomes unreachable waits in `retired` for a grace period. A prefix takes two nodes
// at most, its own and one where its way parts from another's: 256 bytes.
#ifndef RIPSTOP_POLICY_TABLES_CIDR_TABLE_H_
#define RIPSTOP_POLICY_TABLES_CIDR_TABLE_H_

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "policy/tables/arena.h"
#include "policy/tables/cidr_lookup.h"
#include "policy/tables/table_write.h"

namespace ripstop::policy {

class CidrTable {
 public:
  // `arena` outlives this.
  explicit CidrTable(Arena* arena) : arena_(arena) {}

  // Where the roots are: in a block of GENERATION_LINES lines that are all zero, with the
  // L4 class table first. Once, before anything else.
  void PlaceRoots(uint32_t l4_table);

  // `cidr` has `address_class`, whatever it had before. When the arena has no room for it,
  // all addresses that share its first 16 bits (of their family) and have no entry of
  // their own are denied, until a Set, a Remove or a Retry finds room.
  void Set(const Cidr& cidr, uint32_t address_class, TableWrites& out);
  void Remove(const Cidr& cidr, TableWrites& out);
  void Retry(TableWrites& out);
  // What did not fit; empty when all is well.
  std::vector<std::string> Alarms() const;

  // Nodes that are not reachable any more, and may be while programs run that began before.
  uint64_t retired_bytes() const {
    return uint64_t{CIDR_NODE_LINES} * ARENA_LINE_BYTES * retired_.size();
  }
  // A grace period has passed. Returns whether anything was given back to the arena.
  bool FreeRetired();

  size_t size() const { return prefixes_[0].size() + prefixes_[1].size(); }

 private:
  struct Walk;  // steps that need no state
  struct Node;
  struct Leaf {
    uint32_t address_class = 0;
    uint8_t bits = 0;  // of the prefix that it belongs to; 0 without one, or with ::/0
  };
  struct Slot {
    Leaf leaf;  // no meaning while there is a child
    std::unique_ptr<Node> child;
  };
  struct Node {
    Address path;
    uint32_t position = 0;
    uint32_t handle = 0;
    uint32_t ends = 0;  // prefixes that end in these 4 bits
    Leaf otherwise;
    std::array<Slot, CIDR_NODE_ENTRIES> slots;
  };
  struct Root {
    uint32_t handle = 0;
    std::vector<Slot> slots;     // made with the first prefix
    std::set<uint32_t> blocked;  // indexes that say CIDR_NO_ROOM and have no child
  };
  // A slot and the word of the arena that shows it; handle 0: none does.
  struct Place {
    Slot* slot;
    uint32_t handle;
    uint32_t word;
  };
  enum class Which { kUpTo, kOnly };  // leaves of prefixes as long or shorter; as long

  bool Insert(Place at, const Cidr& cidr, Leaf leaf, bool fresh, TableWrites& out);
  void Take(Place at, const Cidr& cidr, TableWrites& out);
  void Block(Root& root, uint32_t index, TableWrites& out);
  void Unblock(Root& root, bool v4, uint32_t index, TableWrites& out);
  void FillRoot(Root& root, const Cidr& cidr, Leaf leaf, Which which, TableWrites& out);
  static void Fill(Node& node, const Cidr& cidr, Leaf leaf, Which which, TableWrites& out);
  static void Push(Node& node, int bits, Leaf leaf, Which which, TableWrites& out);
  Leaf CoverOf(const Cidr& cidr) const;
  std::unique_ptr<Node> NewNode(const Address& address, uint32_t position, Leaf otherwise);
  // Both with all below. Free: nobody has seen it.
  void Free(std::unique_ptr<Node> node);
  void Retire(std::unique_ptr<Node> node);

  Arena* const arena_;
  // By family: IPv6, IPv4.
  std::array<std::map<Cidr, uint32_t>, 2> prefixes_;
  std::array<std::array<uint32_t, 129>, 2> lengths_{};  // how many prefixes of each length
  std::array<Root, 2> roots_;
  std::vector<uint32_t> retired_;  // handles
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_TABLES_CIDR_TABLE_H_
