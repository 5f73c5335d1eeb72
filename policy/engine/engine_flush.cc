// SPDX-License-Identifier: Apache-2.0
//
// The order of a Flush (policy/DESIGN.md, "Order of writes").
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "policy/engine/engine_state.h"
#include "policy/status_macros.h"

namespace ripstop::policy {
namespace {

// Beyond these a grace period is worth its cost.
constexpr size_t kRetiredClassesMax = 1024;
constexpr uint64_t kRetiredCidrBytesMax = 1 << 20;

}  // namespace

absl::Status Engine::State::Place(PolicySet& set) {
  if (free_set_indexes.empty() && next_set_index >= EPOCHS_MAX) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "epochs: all ", EPOCHS_MAX, " policy sets are in use; let policies tell fewer pods apart"));
  }
  const std::vector<uint32_t> runs = set.runs();
  std::vector<uint32_t> handles;
  for (const uint32_t lines : runs) {
    const auto handle = arena.Allocate(lines);
    if (!handle) {
      for (size_t i = 0; i < handles.size(); ++i) arena.Free(handles[i], runs[i]);
      return absl::ResourceExhaustedError(absl::StrCat(
          "arena: no room for ", lines, " lines of ", set.lines(), " in ", arena.chunk_count(),
          " chunks of ", ARENA_CHUNK_LINES, "; give the engine more chunks"));
    }
    handles.push_back(*handle);
  }
  uint32_t index = 0;
  if (free_set_indexes.empty()) {
    index = next_set_index++;
  } else {
    index = free_set_indexes.back();
    free_set_indexes.pop_back();
  }
  set.Place(std::move(handles), index);
  return absl::OkStatus();
}

void Engine::State::Free(const Space& space) {
  for (size_t i = 0; i < space.handles.size(); ++i) arena.Free(space.handles[i], space.runs[i]);
  free_set_indexes.push_back(space.set_index);
}

void Engine::State::RetireSpace(const PolicySet& set) {
  retired_spaces.push_back(SpaceOf(set));
  bumps.insert(set.set_index());
}

// Denies the users of a set that does not fit.
void Engine::State::Fail(SetRecord& record, const absl::Status& why) {
  if (record.published) RetireSpace(*record.set);
  record.published = false;
  record.set->Unplace();
  record.alarm =
      absl::StrCat(ToString(record.direction), " policy set of ", record.set->rules().size(),
                   " rules, its endpoints are denied: ", std::string(why.message()));
}

// Moves a published set to a larger space. Same rows, same columns: the switch of its
// users changes no verdict.
void Engine::State::Grow(SetRecord& record) {
  const uint32_t old_handle = record.set->handle();
  auto grown = record.set->Grown(classes.bound(), l4.count(), Limits());
  const absl::Status placed = grown.ok() ? Place(**grown) : grown.status();
  if (placed.ok()) {
    RetireSpace(*record.set);
    record.set = *std::move(grown);
    record.set->Everything(out);
  } else {
    Fail(record, placed);
  }
  const uint32_t handle = record.set->handle();
  for (auto& [address, r] : addresses) {
    if (!r->written) continue;
    bool changed = false;
    for (uint32_t* h : {&r->written->egress_set, &r->written->ingress_set}) {
      if (*h != old_handle) continue;
      *h = handle;
      changed = true;
    }
    if (changed) out.push_back(SetAddress{address, *r->written});
    grown_switch |= changed;
  }
  for (auto& [interface, sets] : host_written) {
    bool changed = false;
    for (auto* handles : {&sets.ingress, &sets.egress}) {
      changed |=
          std::find(std::begin(*handles), std::end(*handles), old_handle) != std::end(*handles);
      std::replace(std::begin(*handles), std::end(*handles), old_handle, handle);
    }
    if (changed) out.push_back(SetHostSets{interface, sets});
    grown_switch |= changed;
  }
}

// A program that read which set it asks before it grew must not meet a class that only
// the larger one knows.
void Engine::State::WaitForGrown() {
  if (std::exchange(grown_switch, false)) out.push_back(Grace{});
}

// Rows and columns of new classes in every set that a packet may meet.
void Engine::State::UpdatePublished(const std::vector<L4Classes::Split>& splits) {
  for (auto& [pointer, record] : sets) {
    if (!record->published) continue;
    for (const L4Classes::Split& split : splits) {
      if (record->set->CopyColumn(split, out).ok()) continue;
      Grow(*record);
      if (!record->published) break;
      record->set->CopyColumn(split, out).IgnoreError();  // Grown made the room
    }
    for (const uint32_t c : new_classes) {
      if (!record->published) break;
      if (record->set->SetRowOf(c, classes.Signature(c), out).ok()) continue;
      Grow(*record);
      if (record->published) record->set->SetRowOf(c, classes.Signature(c), out).IgnoreError();
    }
  }
}

void Engine::State::CompileNew() {
  if (retry_failed) {
    for (auto& [pointer, record] : sets) {
      if (record->alarm.empty()) continue;
      fresh_sets.push_back(pointer);
      switches_possible = true;
    }
    retry_failed = false;
  }
  for (SetRecord* record : fresh_sets) {
    absl::Status status = record->set->Compile(classes, l4, Limits());
    if (status.ok()) status = Place(*record->set);
    if (status.ok()) {
      record->alarm.clear();
    } else {
      Fail(*record, status);
    }
  }
}

void Engine::State::Publish(SetRecord& record) {
  if (record.set->handle() == 0) return;
  record.set->Everything(out);
  record.published = true;
}

// Nobody wants them: their numbers wait for the grace period.
void Engine::State::DropUnusedSets() {
  for (auto it = sets.begin(); it != sets.end();) {
    SetRecord& record = *it->second;
    if (record.users > 0) {
      ++it;
      continue;
    }
    const PolicySet& set = *record.set;
    if (record.published) RetireSpace(set);
    for (const uint32_t p : set.predicates()) {
      if (facts.predicates().Unref(p)) retired_predicates.push_back(p);
    }
    for (const uint32_t id : set.l4_sets()) {
      if (!l4_sets.Unref(id)) continue;
      l4_sets.Forget(id);
      l4_sets.Release(id);
    }
    for (const FlatRule& r : set.rules()) {
      if (r.rule_id == 0 || !rule_ids.Unref(r.rule_id)) continue;
      rule_ids.Forget(r.rule_id);
      retired_rules.push_back(r.rule_id);
    }
    const auto known = set_by_rules.find(set.rules());
    if (known != set_by_rules.end() && known->second == &record) set_by_rules.erase(known);
    it = sets.erase(it);
  }
}

// Predicates that no set asks any more. Each region keeps its class or goes to one that
// answers all that is still asked alike, so no verdict changes.
void Engine::State::CleanUp() {
  for (const uint32_t p : retired_predicates) {
    const Predicate predicate = facts.predicates()[p];
    classes.Deactivate(p);
    facts.Deactivate(p);
    facts.predicates().Forget(p);
    facts.predicates().Release(p);
    if (predicate.kind != Predicate::Kind::kCidr) continue;
    CidrRecord& node = cidrs.find(predicate.cidr)->second;
    const uint32_t atom = node.rule_atom;
    node.rule_atom = 0;
    ForRegions(predicate.cidr,
               [&](const Address& a, int, uint32_t& kind, AddressRecord* record, CidrRecord*) {
                 std::vector<uint32_t> atoms = classes.AtomsOf(kind);
                 const auto at = std::lower_bound(atoms.begin(), atoms.end(), atom);
                 if (at == atoms.end() || *at != atom) return;
                 atoms.erase(at);
                 SetKind(kind, classes.KindLike(atoms, kind));
                 if (record != nullptr) dirty_addresses.insert(a);
               });
    facts.UnrefAtom(atom);
    changed_cidrs.insert(predicate.cidr);
  }
  retired_predicates.clear();
}

TableWrites Engine::State::Flush() {
  out.clear();
  if (l4_handle == 0) {
    l4_handle = arena.Allocate(GENERATION_LINES).value_or(0);
    if (l4_handle != 0) cidr_table.PlaceRoots(l4_handle);
  }
  RefreshSources();
  MarkChangedCidrs();
  FoldAll();
  ActivatePredicates();
  Rekind();
  std::vector<L4Classes::Split> splits;
  for (const uint32_t id : to_refine) {
    const auto more = l4.Refine(l4_sets[id]);
    splits.insert(splits.end(), more.begin(), more.end());
  }
  to_refine.clear();
  new_classes = classes.TakeNewClasses();

  UpdatePublished(splits);
  WaitForGrown();
  for (L4Classes::Words& w : l4.TakeChanges()) {
    out.push_back(WriteWords{l4_handle, w.first, std::move(w.words)});
    moved_before_switch = true;
  }
  if (retry_failed) cidr_table.Retry(out);
  CompileNew();
  std::vector<Move> moves = CollectMoves();
  PlanTransitions(moves);
  for (SetRecord* record : fresh_sets) Publish(*record);
  fresh_sets.clear();
  EmitMoves(moves);

  DropUnusedSets();
  const bool grace = !bumps.empty() || !retired_predicates.empty() || !retired_rules.empty() ||
                     !temporary.empty() || classes.retired_count() > kRetiredClassesMax;
  if (grace) {
    out.push_back(Grace{});
    for (const uint32_t index : bumps) out.push_back(BumpEpoch{index});
    bumps.clear();
    for (const Space& s : retired_spaces) {
      Free(s);
      retry_failed = true;
    }
    retired_spaces.clear();
    retry_failed |= cidr_table.FreeRetired();
    if (!retired_rules.empty()) out.push_back(ForgetRules{retired_rules});
    for (const uint32_t id : retired_rules) rule_ids.Release(id);
    retired_rules.clear();
    for (const uint32_t c : temporary) classes.ReleaseTemporary(c);
    temporary.clear();
    classes.ReuseRetired();
    CleanUp();
  }
  // What the clean-up leaves, without effect on any verdict.
  while (!dirty_addresses.empty() || !changed_cidrs.empty() || !dirty_cidrs.empty()) {
    MarkChangedCidrs();
    Rekind();
    std::vector<Move> rest = CollectMoves();
    EmitMoves(rest);
  }
  if (cidr_table.retired_bytes() > kRetiredCidrBytesMax) {
    out.push_back(Grace{});
    retry_failed |= cidr_table.FreeRetired();
  }
  for (const uint32_t chunk : arena.TakeEmptyChunks()) out.push_back(ReleaseChunk{chunk});
  selectors.Trim();
  return std::move(out);
}

}  // namespace ripstop::policy
