// SPDX-License-Identifier: Apache-2.0
#include "policy/engine/live_sets.h"

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
  sets_.emplace(record, std::move(owned));
  fresh_.push_back(record);
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
  for (auto& [pointer, record] : sets_) {
    if (!retry || record->alarm.empty()) continue;
    fresh_.push_back(pointer);
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
  }
  fresh_.clear();
}

void LiveSets::Grow(SetRecord& record, uint32_t classes, uint32_t l4_classes, TableWrites& out) {
  auto grown = record.set->Grown(classes, l4_classes, Limits());
  // Without readers the old place is free at once, and may be part of the new one.
  if (!record.published) Free(SpaceOf(*record.set));
  const absl::Status placed = grown.ok() ? Place(**grown) : grown.status();
  if (!placed.ok()) return Fail(record, placed);
  if (record.published) Retire(*record.set);
  record.set = *std::move(grown);
  if (record.published) record.set->Everything(out);
}

SetRecord* LiveSets::Copy(const SetRecord& record, uint32_t classes, uint32_t l4_classes) {
  SetRecord* copy = New(record.set->rules(), record.direction);
  auto grown = record.set->Grown(classes, l4_classes, Limits());
  absl::Status status = grown.status();
  if (grown.ok()) {
    copy->set = *std::move(grown);
    status = Place(*copy->set);
  }
  if (!status.ok()) Fail(*copy, status);
  return copy;
}

void LiveSets::DropUnused() {
  for (auto it = sets_.begin(); it != sets_.end();) {
    SetRecord& record = *it->second;
    if (record.users > 0) {
      ++it;
      continue;
    }
    const PolicySet& set = *record.set;
    if (record.published) Retire(set);
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
    if (known != by_rules_.end() && known->second == &record) by_rules_.erase(known);
    it = sets_.erase(it);
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

SetRecord* PublishedSets::At(uint32_t handle) {
  if (handle == 0) return nullptr;
  if (!by_handle_) {
    by_handle_.emplace();
    for (const auto& [pointer, record] : sets_->all()) {
      if (record->published) by_handle_->emplace(record->handle(), pointer);
    }
  }
  const auto found = by_handle_->find(handle);
  return found == by_handle_->end() ? nullptr : found->second;
}

}  // namespace ripstop::policy
