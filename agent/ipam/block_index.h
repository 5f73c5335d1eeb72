// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_IPAM_BLOCK_INDEX_H_
#define RIPSTOP_AGENT_IPAM_BLOCK_INDEX_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "policy/address.h"

namespace ripstop::agent {

// The blocks of the whole cluster, as far as this node has heard: which addresses are
// taken, and by whom. What it does not know costs a lost race in the store, never a wrong
// address. Blocks do not overlap in a sound store; here they may.
class BlockIndex {
 public:
  struct Entry {
    std::string affinity;  // empty: nobody's any more
    bool has_free = false;
    int64_t revision = 0;
  };

  // Unless a later revision is known.
  void Put(const policy::Cidr& block, Entry entry);
  void Erase(const policy::Cidr& block);
  void Clear();
  size_t size() const { return blocks_.size(); }

  const Entry* Find(const policy::Cidr& block) const;
  // A block that shares addresses with `cidr`, or holds that address.
  std::optional<policy::Cidr> Overlapping(const policy::Cidr& cidr) const;
  std::optional<policy::Cidr> Holding(const policy::Address& address) const {
    return Overlapping(policy::Cidr::Of(address, 128));
  }
  // Blocks that nobody owns any more and that have room.
  const std::set<policy::Cidr>& adoptable() const { return adoptable_; }
  // Blocks in `pool` for which `wanted` says so, by address.
  template <typename Wanted>
  std::vector<policy::Cidr> In(const policy::Cidr& pool, Wanted wanted) const {
    std::vector<policy::Cidr> found;
    for (auto it = blocks_.lower_bound(pool); it != blocks_.end(); ++it) {
      if (!pool.Contains(it->first)) break;
      if (wanted(it->second)) found.push_back(it->first);
    }
    return found;
  }

 private:
  std::map<policy::Cidr, Entry> blocks_;
  std::map<uint8_t, size_t> lengths_;  // how many blocks of each prefix length
  std::set<policy::Cidr> adoptable_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_IPAM_BLOCK_INDEX_H_
