// SPDX-License-Identifier: Apache-2.0
#include "policy/tables/cidr_table.h"

#include <algorithm>
#include <utility>

#include "policy/tables/cidr_walk.h"

namespace ripstop::policy {
void CidrTable::PlaceRoots(uint32_t l4_table) {
  roots_[0].handle = l4_table + CIDR_ROOT_LINE_V6;
  roots_[1].handle = l4_table + CIDR_ROOT_LINE_V4;
}

void CidrTable::Set(const Cidr& cidr, uint32_t address_class, TableWrites& out) {
  Root& root = roots_[cidr.is_v4()];
  if (root.slots.empty()) root.slots.resize(CIDR_ROOT_ENTRIES);
  const bool fresh = prefixes_[cidr.is_v4()].insert_or_assign(cidr, address_class).second;
  lengths_[cidr.is_v4()][cidr.bits] += fresh;
  const Leaf leaf{address_class, cidr.bits};
  const uint32_t index = CidrRootIndex(cidr.address);
  if (Walk::EndsInRoot(cidr)) {
    FillRoot(root, cidr, leaf, Which::kUpTo, out);
  } else if (root.blocked.contains(index)) {
    Unblock(root, cidr.is_v4(), index, out);
  } else if (!Insert({&root.slots[index], root.handle, index}, cidr, leaf, fresh, out)) {
    Block(root, index, out);
  }
}

void CidrTable::Remove(const Cidr& cidr, TableWrites& out) {
  if (prefixes_[cidr.is_v4()].erase(cidr) == 0) return;
  --lengths_[cidr.is_v4()][cidr.bits];
  Root& root = roots_[cidr.is_v4()];
  const uint32_t index = CidrRootIndex(cidr.address);
  if (Walk::EndsInRoot(cidr)) {
    FillRoot(root, cidr, CoverOf(cidr), Which::kOnly, out);
  } else if (root.blocked.contains(index)) {
    Unblock(root, cidr.is_v4(), index, out);
  } else {
    Take({&root.slots[index], root.handle, index}, cidr, out);
  }
}

// The class that addresses of `cidr` have without it.
CidrTable::Leaf CidrTable::CoverOf(const Cidr& cidr) const {
  const bool v4 = cidr.is_v4();
  for (int bits = cidr.bits - 1; bits >= Walk::FirstBit(v4); --bits) {
    if (lengths_[v4][bits] == 0) continue;
    const auto it = prefixes_[v4].find(Cidr::Of(cidr.address, bits));
    if (it != prefixes_[v4].end()) return {it->second, it->first.bits};
  }
  return {};
}

// False: no room, nothing has changed.
bool CidrTable::Insert(Place at, const Cidr& cidr, Leaf leaf, bool fresh, TableWrites& out) {
  const uint32_t end = Walk::EndPosition(cidr);
  while (Node* node = at.slot->child.get()) {
    if (!Walk::Leads(*node, cidr)) break;
    if (node->position == end) {
      node->ends += fresh;
      Fill(*node, cidr, leaf, Which::kUpTo, out);
      return true;
    }
    at = Walk::In(*node, cidr.address);
  }
  // What is there now, if anything, lies deeper or elsewhere: the two part at `fork`.
  Node* other = at.slot->child.get();
  const Leaf around = other != nullptr ? other->otherwise : at.slot->leaf;
  const uint32_t fork = other == nullptr ? end
                                         : Walk::SharedPositions(cidr.address, other->path,
                                                                 std::min(end, other->position));
  std::unique_ptr<Node> top = NewNode(cidr.address, fork, around);
  if (top == nullptr) return false;
  std::unique_ptr<Node> own = fork < end ? NewNode(cidr.address, end, around) : nullptr;
  if (fork < end && own == nullptr) {
    Free(std::move(top));
    return false;
  }
  Node& last = own != nullptr ? *own : *top;
  last.ends = 1;
  TableWrites unseen;
  Fill(last, cidr, leaf, Which::kUpTo, unseen);
  if (own != nullptr) {
    Walk::ShowAll(*own, out);
    Walk::In(*top, cidr.address).slot->child = std::move(own);
  }
  bool covered = false;  // `cidr` is shorter than what was there
  if (other != nullptr) {
    const Place beside = Walk::In(*top, other->path);
    covered = beside.slot->leaf.bits == leaf.bits;
    beside.slot->child = std::move(at.slot->child);
  }
  Walk::ShowAll(*top, out);
  at.slot->child = std::move(top);
  Walk::Show(at, out);
  if (covered) Push(*other, cidr.bits, leaf, Which::kUpTo, out);
  return true;
}

void CidrTable::Take(Place at, const Cidr& cidr, TableWrites& out) {
  std::vector<Place> way = {at};
  while (way.back().slot->child->position != Walk::EndPosition(cidr)) {
    way.push_back(Walk::In(*way.back().slot->child, cidr.address));
  }
  Node& node = *way.back().slot->child;
  Fill(node, cidr, CoverOf(cidr), Which::kOnly, out);
  --node.ends;
  // A node in which nothing ends and nothing parts says no more than what is below it.
  for (; !way.empty(); way.pop_back()) {
    Slot& slot = *way.back().slot;
    const auto has_child = [](const Slot& s) { return s.child != nullptr; };
    if (slot.child->ends > 0 || std::ranges::count_if(slot.child->slots, has_child) > 1) return;
    std::unique_ptr<Node> gone = std::move(slot.child);
    slot.leaf = gone->otherwise;
    if (const auto below = std::ranges::find_if(gone->slots, has_child);
        below != gone->slots.end()) {
      slot.child = std::move(below->child);
    }
    Walk::Show(way.back(), out);
    Retire(std::move(gone));
  }
}

void CidrTable::FillRoot(Root& root, const Cidr& cidr, Leaf leaf, Which which, TableWrites& out) {
  const uint32_t first = CidrRootIndex(cidr.address);
  const uint32_t count = 1u << (Walk::FirstBit(cidr.is_v4()) + CIDR_ROOT_BITS - cidr.bits);
  for (uint32_t i = first; i < first + count; ++i) {
    Slot& slot = root.slots[i];
    if (slot.child || !Walk::Is(slot.leaf, cidr.bits, which)) continue;
    const bool seen = slot.leaf.address_class != leaf.address_class && !root.blocked.contains(i);
    slot.leaf = leaf;
    if (seen) Walk::Store(root.handle, i, leaf.address_class, out);
  }
  for (uint32_t i = first; i < first + count; ++i) {
    if (root.slots[i].child) Push(*root.slots[i].child, cidr.bits, leaf, which, out);
  }
}

void CidrTable::Fill(Node& node, const Cidr& cidr, Leaf leaf, Which which, TableWrites& out) {
  const uint32_t first = CidrEntryIndex(cidr.address, node.position);
  const uint32_t count = 1u << (4 * (node.position + 1) - cidr.bits);
  for (uint32_t i = first; i < first + count; ++i) {
    Slot& slot = node.slots[i];
    if (slot.child) {
      Push(*slot.child, cidr.bits, leaf, which, out);
    } else if (Walk::Is(slot.leaf, cidr.bits, which)) {
      const bool seen = slot.leaf.address_class != leaf.address_class;
      slot.leaf = leaf;
      if (seen) Walk::Store(node.handle, i, leaf.address_class, out);
    }
  }
}

// Into all of `node`, which a prefix of `bits` covers.
void CidrTable::Push(Node& node, int bits, Leaf leaf, Which which, TableWrites& out) {
  // When a longer prefix covers the node, all that is in it belongs to that or to longer ones.
  if (!Walk::Is(node.otherwise, bits, which)) return;
  const bool seen = node.otherwise.address_class != leaf.address_class;
  node.otherwise = leaf;
  if (seen) Walk::Store(node.handle, Walk::kOtherwiseWord, leaf.address_class, out);
  for (uint32_t i = 0; i < node.slots.size(); ++i) {
    Slot& slot = node.slots[i];
    if (slot.child) {
      Push(*slot.child, bits, leaf, which, out);
    } else if (Walk::Is(slot.leaf, bits, which)) {
      slot.leaf = leaf;
      if (seen) Walk::Store(node.handle, i, leaf.address_class, out);
    }
  }
}

std::unique_ptr<CidrTable::Node> CidrTable::NewNode(const Address& address, uint32_t position,
                                                    Leaf otherwise) {
  const auto handle = arena_->Allocate(CIDR_NODE_LINES);
  if (!handle) return nullptr;
  auto node = std::make_unique<Node>();
  node->path = Cidr::Of(address, static_cast<int>(position * 4)).address;
  node->position = position;
  node->handle = *handle;
  node->otherwise = otherwise;
  for (Slot& slot : node->slots) slot.leaf = otherwise;
  return node;
}

void CidrTable::Free(std::unique_ptr<Node> node) {
  arena_->Free(node->handle, CIDR_NODE_LINES);
  for (Slot& slot : node->slots) {
    if (slot.child) Free(std::move(slot.child));
  }
}

void CidrTable::Retire(std::unique_ptr<Node> node) {
  retired_.push_back(node->handle);
  for (Slot& slot : node->slots) {
    if (slot.child) Retire(std::move(slot.child));
  }
}

bool CidrTable::FreeRetired() {
  for (const uint32_t handle : retired_) arena_->Free(handle, CIDR_NODE_LINES);
  return !std::exchange(retired_, {}).empty();
}

}  // namespace ripstop::policy
