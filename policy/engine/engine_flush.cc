// SPDX-License-Identifier: Apache-2.0
//
// The order of a Flush (policy/DESIGN.md, "Order of writes").
#include <algorithm>

#include "policy/engine/engine_state.h"

namespace ripstop::policy {
namespace {

// Beyond these a grace period is worth its cost.
constexpr size_t kRetiredClassesMax = 1024;
constexpr uint64_t kRetiredCidrBytesMax = 1 << 20;

}  // namespace

// Moves a published set to a larger space. Same rows, same columns: the switch of its
// users, all at once in SwitchGrown, changes no verdict.
void Engine::State::Grow(SetRecord& record) {
  grown.emplace(record.handle(), &record);
  sets.Grow(record, classes.bound(), l4.count(), out);
}

// One walk for all sets that grew, over those alone who have a set.
void Engine::State::SwitchGrown() {
  if (grown.empty()) return;
  const auto follow = [&](uint32_t& handle) {
    const auto it = grown.find(handle);
    if (it == grown.end()) return false;
    handle = it->second->handle();
    return true;
  };
  for (const Address& a : have_sets) {
    AddressRecord& record = regions.At(a);
    address_value value = record.written();
    const bool ingress = follow(value.ingress_set), egress = follow(value.egress_set);
    if (!ingress && !egress) continue;
    record.SetWritten(value);
    out.push_back(SetAddress{a, value});
    grown_switch = true;
  }
  for (auto& [interface, sets] : host_written) {
    bool changed = false;
    for (auto* handles : {&sets.ingress, &sets.egress}) {
      for (uint32_t& handle : *handles) changed |= follow(handle);
    }
    if (changed) out.push_back(SetHostSets{interface, sets});
    grown_switch |= changed;
  }
  grown.clear();
}

// A program that read which set it asks before it grew must not meet a class that only
// the larger one knows.
void Engine::State::WaitForGrown() {
  if (std::exchange(grown_switch, false)) out.push_back(Grace{});
}

// Rows and columns of new classes in every set that a packet may meet.
void Engine::State::UpdatePublished(const std::vector<L4Classes::Split>& splits) {
  if (splits.empty() && new_classes.empty()) return;
  for (const auto& record : sets.all()) {
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
  SwitchGrown();
}

// So that few sets ever have to grow in one Flush, they do so before they must, some at a time.
void Engine::State::GrowAhead() {
  if (!fuller || out.empty()) return;
  fuller = sets.GrowAhead(classes.bound(), l4.count(), out, grown);
  SwitchGrown();
}

// Predicates that no set asks any more. Each region keeps its class or goes to one that
// answers all that is still asked alike, so no verdict changes.
void Engine::State::CleanUp() {
  for (const uint32_t p : sets.TakeRetiredPredicates()) {
    const Predicate predicate = facts.predicates()[p];
    classes.Deactivate(p);
    facts.Deactivate(p);
    facts.predicates().Forget(p);
    facts.predicates().Release(p);
    if (predicate.kind != Predicate::Kind::kCidr) continue;
    CidrRecord& node = *regions.Find(predicate.cidr);
    const uint32_t atom = node.rule_atom;
    node.rule_atom = 0;
    regions.ForEachIn(predicate.cidr, [&](const Address& a, int, uint32_t& kind,
                                          AddressRecord* record, CidrRecord*) {
      std::vector<uint32_t> atoms = classes.AtomsOf(kind);
      const auto at = std::lower_bound(atoms.begin(), atoms.end(), atom);
      if (at == atoms.end() || *at != atom) return;
      atoms.erase(at);
      regions.SetKind(kind, classes.KindLike(atoms, kind));
      if (record != nullptr) regions.Touch(a, *record);
    });
    facts.UnrefAtom(atom);
    regions.changed_cidrs.insert(predicate.cidr);
  }
}

// All that was retired is free, and epochs move: the last write was a grace period.
void Engine::State::AfterGrace() {
  grown_switch = false;
  retry_failed |= sets.FreeRetired(out);
  retry_failed |= cidr_table.FreeRetired();
  for (const uint32_t c : temporary) classes.ReleaseTemporary(c);
  temporary.clear();
  classes.ReuseRetired();
  CleanUp();
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
  for (const uint32_t id : sets.TakeToRefine()) {
    const auto more = l4.Refine(sets.l4_sets()[id]);
    splits.insert(splits.end(), more.begin(), more.end());
  }
  new_classes = classes.TakeNewClasses();
  fuller |= !splits.empty() || !new_classes.empty();

  UpdatePublished(splits);
  WaitForGrown();
  for (L4Classes::Words& w : l4.TakeChanges()) {
    out.push_back(WriteWords{l4_handle, w.first, std::move(w.words)});
    moved_before_switch = true;
  }
  const bool retry = std::exchange(retry_failed, false);
  if (retry) cidr_table.Retry(out);
  scan_locals |= sets.Compile(classes, l4, retry);
  std::vector<Move> moves = CollectMoves();
  PlanTransitions(moves);
  sets.Publish(out);
  EmitMoves(moves);

  GrowAhead();
  sets.DropUnused();
  if (sets.wants_grace() || !temporary.empty() || classes.retired_count() > kRetiredClassesMax) {
    out.push_back(Grace{});
    AfterGrace();
  }
  // What the clean-up leaves, without effect on any verdict.
  while (!regions.touched().empty() || !regions.changed_cidrs.empty() ||
         !regions.dirty_cidrs.empty()) {
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
