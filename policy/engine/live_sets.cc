// SPDX-License-Identifier: Apache-2.0
#include "policy/engine/live_sets.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace ripstop::policy {
namespace {

template <typename T>
void ForgetUnreferenced(Interned<T>& interned) {
  for (const uint32_t id : interned.TakeFresh()) {
    if (interned.references(id) > 0) continue;
    interned.Forget(id);
    interned.Release(id);
  }
}

}  // namespace

SetRecord* LiveSets::Want(FlatRules rules, Direction direction) {
  const auto it = by_rules_.find(rules);
  SetRecord* set = it != by_rules_.end() ? it->second : New(std::move(rules), direction);
  ++set->users;
  return set;
}

void LiveSets::Release(SetRecord* set) {
  if (--set->users == 0) perhaps_unused_.push_back(set);
}

SetRecord* LiveSets::UseInstead(SetRecord* set, SetRecord* copy) {
  Release(set);
  ++copy->users;
  return copy;
}

SetRecord* LiveSets::Published(uint32_t handle) const {
  const auto it = published_.find(handle);
  return it == published_.end() ? nullptr : it->second;
}

SetRecord* LiveSets::New(FlatRules rules, Direction direction) {
  auto owned = std::make_unique<SetRecord>();
  SetRecord* record = owned.get();
  record->direction = direction;
  record->set = std::make_unique<PolicySet>(std::move(rules), l4_sets_, options_.capacity_min);
  for (const uint32_t p : record->set->predicates()) {
    if (facts_->predicates().references(p) == 0) to_activate_.push_back(p);
    facts_->predicates().Ref(p);
  }
  for (const uint32_t id : record->set->l4_sets()) {
    if (l4_sets_.references(id) == 0) to_refine_.push_back(id);
    l4_sets_.Ref(id);
  }
  for (const FlatRule& r : record->set->rules()) {
    if (r.rule_id != 0) rule_ids_.Ref(r.rule_id);
  }
  by_rules_[record->set->rules()] = record;
  near_sets_ += record->set->has_near();
  record->at = sets_.size();
  sets_.push_back(std::move(owned));
  fresh_.push_back(record);
  perhaps_unused_.push_back(record);
  return record;
}

void LiveSets::ForgetUnused() {
  ForgetUnreferenced(facts_->predicates());
  ForgetUnreferenced(l4_sets_);
  ForgetUnreferenced(rule_ids_);
}

absl::Status LiveSets::Place(PolicySet& set) {
  if (free_indexes_.empty() && next_index_ >= EPOCHS_MAX) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "epochs: all ", EPOCHS_MAX, " policy sets are in use; let policies tell fewer pods apart"));
  }
  const std::vector<uint32_t> runs = set.runs();
  std::vector<uint32_t> handles;
  for (const uint32_t lines : runs) {
    const auto handle = arena_->Allocate(lines);
    if (!handle) {
      for (size_t i = 0; i < handles.size(); ++i) arena_->Free(handles[i], runs[i]);
      return absl::ResourceExhaustedError(absl::StrCat(
          "arena: no room for ", lines, " lines of ", set.lines(), " in ", arena_->chunk_count(),
          " chunks of ", ARENA_CHUNK_LINES, "; give the engine more chunks"));
    }
    handles.push_back(*handle);
  }
  uint32_t index = 0;
  if (free_indexes_.empty()) {
    index = next_index_++;
  } else {
    index = free_indexes_.back();
    free_indexes_.pop_back();
  }
  set.Place(std::move(handles), index);
  return absl::OkStatus();
}

void LiveSets::Free(const Space& space) {
  for (size_t i = 0; i < space.handles.size(); ++i) arena_->Free(space.handles[i], space.runs[i]);
  free_indexes_.push_back(space.set_index);
}

void LiveSets::Retire(const PolicySet& set) {
  published_.erase(set.handle());
  retired_spaces_.push_back(SpaceOf(set));
  bumps_.insert(set.set_index());
}

void LiveSets::Fail(SetRecord& record, const absl::Status& why) {
  if (record.published) Retire(*record.set);
  record.published = false;
  record.set->Unplace();
  record.alarm =
      absl::StrCat(ToString(record.direction), " policy set of ", record.set->rules().size(),
                   " rules, its endpoints are denied: ", std::string(why.message()));
}

bool LiveSets::Compile(const AddressClasses& classes, const L4Classes& l4, bool retry) {
  bool again = false;
  for (const auto& record : sets_) {
    if (!retry || record->alarm.empty()) continue;
    fresh_.push_back(record.get());
    again = true;
  }
  for (SetRecord* record : fresh_) {
    absl::Status status = record->set->Compile(classes, l4, Limits());
    if (status.ok()) status = Place(*record->set);
    if (status.ok()) {
      record->alarm.clear();
    } else {
      Fail(*record, status);
    }
  }
  return again;
}

void LiveSets::Publish(TableWrites& out) {
  for (SetRecord* record : fresh_) {
    if (record->handle() == 0) continue;
    record->set->Everything(out);
    record->published = true;
    NotePublished(record);
  }
  fresh_.clear();
}

// With some to spare, so that it is not soon full again.
PolicySetRoom LiveSets::RoomAhead(const PolicySet& set, uint32_t classes, uint32_t l4_classes) {
  return {classes + classes / 8, l4_classes + l4_classes / 8, 2 + set.row_count() / 8};
}

void LiveSets::Grow(SetRecord& record, uint32_t classes, uint32_t l4_classes, TableWrites& out) {
  auto grown = record.set->Grown(RoomAhead(*record.set, classes, l4_classes), Limits());
  if (!grown.ok() || (*grown)->is_dense() != record.set->is_dense()) {
    grown = record.set->Grown({classes, l4_classes}, Limits());
  }
  // Without readers the old place is free at once, and may be part of the new one.
  if (!record.published) Free(SpaceOf(*record.set));
  const absl::Status placed = grown.ok() ? Place(**grown) : grown.status();
  if (!placed.ok()) return Fail(record, placed);
  if (record.published) Retire(*record.set);
  record.set = *std::move(grown);
  if (!record.published) return;
  record.set->Everything(out);
  NotePublished(&record);
}

std::unique_ptr<PolicySet> LiveSets::LargerAhead(const PolicySet& set, uint32_t classes,
                                                 uint32_t l4_classes) {
  const PolicySetRoom room = RoomAhead(set, classes, l4_classes);
  if (set.HasRoom(room)) return nullptr;
  auto larger = set.Grown(room, Limits());
  // It takes the slower form when it must, not ahead of that.
  if (!larger.ok() || (*larger)->is_dense() != set.is_dense() || !Place(**larger).ok()) {
    return nullptr;
  }
  return *std::move(larger);
}

bool LiveSets::GrowAhead(uint32_t classes, uint32_t l4_classes, TableWrites& out,
                         std::map<uint32_t, SetRecord*>& grown) {
  uint64_t words = 0;
  for (const auto& record : sets_) {
    if (!record->published || record->users == 0) continue;
    auto larger = LargerAhead(*record->set, classes, l4_classes);
    if (larger == nullptr) continue;
    grown.emplace(record->handle(), record.get());
    Retire(*record->set);
    record->set = std::move(larger);
    record->set->Everything(out);
    NotePublished(record.get());
    words += record->set->lines() * ARENA_LINE_WORDS;
    if (words >= options_.grow_ahead_words) return true;
  }
  return false;
}

SetRecord* LiveSets::Copy(const SetRecord& record, uint32_t classes, uint32_t l4_classes) {
  SetRecord* copy = New(record.set->rules(), record.direction);
  auto grown = record.set->Grown({classes, l4_classes}, Limits());
  absl::Status status = grown.status();
  if (grown.ok()) {
    copy->set = *std::move(grown);
    status = Place(*copy->set);
  }
  if (!status.ok()) Fail(*copy, status);
  return copy;
}

void LiveSets::DropUnused() {
  std::sort(perhaps_unused_.begin(), perhaps_unused_.end());
  perhaps_unused_.erase(std::unique(perhaps_unused_.begin(), perhaps_unused_.end()),
                        perhaps_unused_.end());
  for (SetRecord* candidate : std::exchange(perhaps_unused_, {})) {
    if (candidate->users > 0) continue;
    const PolicySet& set = *candidate->set;
    if (candidate->published) Retire(set);
    for (const uint32_t p : set.predicates()) {
      if (facts_->predicates().Unref(p)) retired_predicates_.push_back(p);
    }
    for (const uint32_t id : set.l4_sets()) {
      if (!l4_sets_.Unref(id)) continue;
      l4_sets_.Forget(id);
      l4_sets_.Release(id);
    }
    for (const FlatRule& r : set.rules()) {
      if (r.rule_id == 0 || !rule_ids_.Unref(r.rule_id)) continue;
      rule_ids_.Forget(r.rule_id);
      retired_rules_.push_back(r.rule_id);
    }
    const auto known = by_rules_.find(set.rules());
    if (known != by_rules_.end() && known->second == candidate) by_rules_.erase(known);
    near_sets_ -= set.has_near();
    std::swap(sets_[candidate->at], sets_.back());
    sets_[candidate->at]->at = candidate->at;
    sets_.pop_back();
  }
}

bool LiveSets::FreeRetired(TableWrites& out) {
  for (const uint32_t index : bumps_) out.push_back(BumpEpoch{index});
  bumps_.clear();
  const bool room = !retired_spaces_.empty();
  for (const Space& s : retired_spaces_) Free(s);
  retired_spaces_.clear();
  if (!retired_rules_.empty()) out.push_back(ForgetRules{retired_rules_});
  for (const uint32_t id : retired_rules_) rule_ids_.Release(id);
  retired_rules_.clear();
  return room;
}

}  // namespace ripstop::policy
