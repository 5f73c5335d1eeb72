// SPDX-License-Identifier: Apache-2.0
//
// What the CIDR table does when the arena is full (policy/DESIGN.md, "CIDRs").
#include <iterator>
#include <set>

#include "absl/strings/str_cat.h"
#include "policy/tables/cidr_walk.h"

namespace ripstop::policy {

void CidrTable::Block(Root& root, uint32_t index, TableWrites& out) {
  Slot& slot = root.slots[index];
  root.blocked.insert(index);
  Walk::Store(root.handle, index, CIDR_NO_ROOM, out);
  if (!slot.child) return;
  slot.leaf = slot.child->otherwise;
  Retire(std::move(slot.child));
}

// Builds all that is below the slot where nobody sees it, and puts it there when it fits.
void CidrTable::Unblock(Root& root, bool v4, uint32_t index, TableWrites& out) {
  Address first = v4 ? Address::FromV4(index << 16) : Address{};
  if (!v4) {
    first.bytes[0] = static_cast<uint8_t>(index >> 8);
    first.bytes[1] = static_cast<uint8_t>(index);
  }
  Slot slot;
  slot.leaf = root.slots[index].leaf;
  TableWrites writes;
  for (auto it = prefixes_[v4].lower_bound(Cidr{first, 0}); it != prefixes_[v4].end(); ++it) {
    const auto& [cidr, address_class] = *it;
    if (CidrRootIndex(cidr.address) != index) break;
    if (Walk::EndsInRoot(cidr)) continue;
    if (Insert({&slot, 0, 0}, cidr, {address_class, cidr.bits}, true, writes)) continue;
    if (slot.child) Free(std::move(slot.child));
    return;
  }
  std::move(writes.begin(), writes.end(), std::back_inserter(out));
  root.slots[index] = std::move(slot);
  root.blocked.erase(index);
  Walk::Show({&root.slots[index], root.handle, index}, out);
}

void CidrTable::Retry(TableWrites& out) {
  for (const bool v4 : {false, true}) {
    const std::set<uint32_t> blocked = roots_[v4].blocked;
    for (const uint32_t index : blocked) Unblock(roots_[v4], v4, index, out);
  }
}

std::vector<std::string> CidrTable::Alarms() const {
  const size_t blocked = roots_[0].blocked.size() + roots_[1].blocked.size();
  if (blocked == 0) return {};
  return {
      absl::StrCat("CIDR table: no room in ", arena_->chunk_count(),
                   " chunks of the arena; addresses of ", blocked,
                   " blocks of 16 bits that have no entry of their own are denied; give the engine "
                   "more chunks")};
}

}  // namespace ripstop::policy
