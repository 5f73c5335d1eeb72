// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_BASE_SORT_UNIQUE_H_
#define RIPSTOP_POLICY_BASE_SORT_UNIQUE_H_

#include <algorithm>
#include <functional>

namespace ripstop::policy {

// Puts the elements in ascending order, each once.
template <typename Vector>
void SortUnique(Vector& v) {
  // Often they are already.
  if (std::adjacent_find(v.begin(), v.end(), std::greater_equal<>()) == v.end()) return;
  std::sort(v.begin(), v.end());
  v.erase(std::unique(v.begin(), v.end()), v.end());
}

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_BASE_SORT_UNIQUE_H_
