// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_CLASSES_CIDR_MAP_H_
#define RIPSTOP_POLICY_CLASSES_CIDR_MAP_H_

#include <map>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "policy/address.h"

namespace ripstop::policy {

// An ordered map by CIDR in which a single one is found by its hash: to find what covers an
// address, each prefix length in use is asked. Entries stay where they are.
template <typename T>
class CidrMap {
 public:
  using Ordered = std::map<Cidr, T>;
  using iterator = typename Ordered::iterator;
  using const_iterator = typename Ordered::const_iterator;

  iterator begin() { return ordered_.begin(); }
  iterator end() { return ordered_.end(); }
  const_iterator end() const { return ordered_.end(); }
  iterator lower_bound(const Cidr& cidr) { return ordered_.lower_bound(cidr); }

  iterator find(const Cidr& cidr) {
    const auto known = index_.find(cidr);
    return known == index_.end() ? ordered_.end() : known->second;
  }
  const_iterator find(const Cidr& cidr) const {
    const auto known = index_.find(cidr);
    return known == index_.end() ? ordered_.end() : const_iterator(known->second);
  }
  std::pair<iterator, bool> try_emplace(const Cidr& cidr) {
    const auto [known, fresh] = index_.try_emplace(cidr);
    if (fresh) known->second = ordered_.try_emplace(cidr).first;
    return {known->second, fresh};
  }
  void erase(iterator at) {
    index_.erase(at->first);
    ordered_.erase(at);
  }
  void erase(const Cidr& cidr) {
    if (const auto at = find(cidr); at != end()) erase(at);
  }

 private:
  Ordered ordered_;
  absl::flat_hash_map<Cidr, iterator> index_;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_CLASSES_CIDR_MAP_H_
