// SPDX-License-Identifier: Apache-2.0
//
// What changes in one Flush; for engine/ only.
#ifndef RIPSTOP_POLICY_ENGINE_MOVES_H_
#define RIPSTOP_POLICY_ENGINE_MOVES_H_

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "policy/engine/live_sets.h"
#include "policy/engine/records.h"

namespace ripstop::policy {

// An address or CIDR that changes.
struct Move {
  Address address;
  int bits = 128;
  AddressRecord* record = nullptr;  // null: a CIDR of the trie
  CidrRecord* cidr = nullptr;
  uint32_t from = 0;
  uint32_t to = 0;
  uint32_t via = 0;  // a transition class
  bool remove = false;
  bool switches = false;  // sets change
  bool at_once = false;   // class and sets in one write, in step 2
};

// Who leaves a set; null: an interface.
using Leavers = std::map<SetRecord*, std::vector<const Move*>>;

// What the moves of one Flush do to sets and classes, and the transition classes for it.
struct TransitionPlan {
  using ClassPair = std::pair<uint32_t, uint32_t>;  // from, to
  Leavers leavers;
  std::set<SetRecord*> targets;  // published sets to which somebody comes
  std::set<ClassPair> pairs;
  std::set<SetRecord*> renewed;  // whose interfaces switch to a copy
  std::map<ClassPair, uint32_t> via;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_ENGINE_MOVES_H_
