// SPDX-License-Identifier: Apache-2.0
//
// Policy sets in use; for engine/ only.
#ifndef RIPSTOP_POLICY_ENGINE_LIVE_SETS_H_
#define RIPSTOP_POLICY_ENGINE_LIVE_SETS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/node_hash_map.h"
#include "policy/classes/facts.h"
#include "policy/engine/engine.h"
#include "policy/sets/policy_set.h"
#include "policy/tables/arena.h"

namespace ripstop::policy {

// A policy set in use, or wanted.
struct SetRecord {
  std::unique_ptr<PolicySet> set;
  uint32_t users = 0;      // (address, direction) pairs that want it
  bool published = false;  // its tables are in the kernel
  std::string alarm;       // it does not fit: no handle, and its users are denied
  Direction direction = Direction::kIngress;
  size_t at = 0;  // in LiveSets::all()

  uint32_t handle() const { return set->handle(); }
};

// Which sets there are, where they lie in the arena, and what they ask: predicates, L4 sets and
// rule identities, which live as long as a set that names them. Space, predicates and rule
// numbers of a set that went are kept apart until a grace period has passed (FreeRetired).
class LiveSets {
 public:
  LiveSets(const EngineOptions& options, Facts* facts, Arena* arena)
      : options_(options), facts_(facts), arena_(arena) {}

  // The set with these rules, known or new. Counts a user; Release counts it off.
  SetRecord* Want(FlatRules rules, Direction direction);
  void Release(SetRecord* set);
  // One user goes from `set` to `copy`, which is returned.
  SetRecord* UseInstead(SetRecord* set, SetRecord* copy);
  // The published set that a handle names; nullptr: none.
  SetRecord* Published(uint32_t handle) const;
  const std::vector<std::unique_ptr<SetRecord>>& all() const { return sets_; }
  // Whether any of them asks about the near address too.
  bool any_near() const { return near_sets_ > 0; }

  // What rules that are folded now may name.
  Interned<L4Set>& l4_sets() { return l4_sets_; }
  Interned<RuleIdentity>& rule_ids() { return rule_ids_; }
  const Interned<RuleIdentity>& rule_ids() const { return rule_ids_; }
  // Forgets what was numbered for rules that turned out to be known already.
  void ForgetUnused();

  // Since the last call: predicates and L4 sets that nobody asked before.
  std::vector<uint32_t> TakeToActivate() { return std::exchange(to_activate_, {}); }
  std::vector<uint32_t> TakeToRefine() { return std::exchange(to_refine_, {}); }

  // Compiles and places the sets that are new, and with `retry` those that did not fit before;
  // true when there are such.
  bool Compile(const AddressClasses& classes, const L4Classes& l4, bool retry);
  // Writes the tables of those.
  void Publish(TableWrites& out);
  // Replaces the tables of `record` by larger ones with the same rows and columns, in a place of
  // their own. What is published is so again, but its users must be told the new handle.
  void Grow(SetRecord& record, uint32_t classes, uint32_t l4_classes, TableWrites& out);
  // Likewise published sets that will soon be full, a piece of EngineOptions::grow_ahead_words.
  // Adds them by the handles that they had; one that finds no room stays as it is. True when
  // there may be more.
  bool GrowAhead(uint32_t classes, uint32_t l4_classes, TableWrites& out,
                 std::map<uint32_t, SetRecord*>& grown);
  // A set of its own with the rules, rows and columns of `record`, not published yet.
  SetRecord* Copy(const SetRecord& record, uint32_t classes, uint32_t l4_classes);

  // Retires sets without users.
  void DropUnused();
  // Flows admitted under this set must be judged again, after the next grace period.
  void Bump(uint32_t set_index) { bumps_.insert(set_index); }
  // Whether a grace period would free or bump something.
  bool wants_grace() const {
    return !bumps_.empty() || !retired_predicates_.empty() || !retired_rules_.empty();
  }
  // A grace period has passed since all that was retired. True when room was given back.
  bool FreeRetired(TableWrites& out);
  std::vector<uint32_t> TakeRetiredPredicates() { return std::exchange(retired_predicates_, {}); }

 private:
  struct Space {
    std::vector<uint32_t> handles;
    std::vector<uint32_t> runs;  // lines of each
    uint32_t set_index;
  };
  static Space SpaceOf(const PolicySet& set) {
    return {set.handles(), set.runs(), set.set_index()};
  }
  SetRecord* New(FlatRules rules, Direction direction);
  PolicySetLimits Limits() const { return {options_.dense_cells_max, options_.bit_vectors}; }
  absl::Status Place(PolicySet& set);
  void Free(const Space& space);
  static PolicySetRoom RoomAhead(const PolicySet& set, uint32_t classes, uint32_t l4_classes);
  // Nothing: it has room enough, or there is none to be had.
  std::unique_ptr<PolicySet> LargerAhead(const PolicySet& set, uint32_t classes,
                                         uint32_t l4_classes);
  void NotePublished(SetRecord* record) { published_[record->handle()] = record; }
  // Its place: a program may still read it.
  void Retire(const PolicySet& set);
  // Denies the users of a set that does not fit.
  void Fail(SetRecord& record, const absl::Status& why);

  const EngineOptions options_;
  Facts* const facts_;
  Arena* const arena_;
  Interned<L4Set> l4_sets_;
  Interned<RuleIdentity> rule_ids_;

  // By content; rows of dead sets are gone.
  absl::node_hash_map<FlatRules, SetRecord*> by_rules_;
  std::vector<std::unique_ptr<SetRecord>> sets_;
  uint32_t near_sets_ = 0;
  absl::flat_hash_map<uint32_t, SetRecord*> published_;  // by handle
  std::vector<SetRecord*> perhaps_unused_;
  std::vector<uint32_t> free_indexes_;
  uint32_t next_index_ = 1;

  std::vector<uint32_t> to_activate_;
  std::vector<uint32_t> to_refine_;
  std::vector<SetRecord*> fresh_;
  std::set<uint32_t> bumps_;  // set indexes
  std::vector<Space> retired_spaces_;
  std::vector<uint32_t> retired_rules_;
  std::vector<uint32_t> retired_predicates_;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_ENGINE_LIVE_SETS_H_
