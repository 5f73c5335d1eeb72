// SPDX-License-Identifier: Apache-2.0
//
// What the engine keeps between calls; for engine*.cc only.
//
//   engine.cc              inputs: records, and what they make dirty
//   engine_owners.cc       whose an address is
//   engine_fold.cc         dirty inputs → policy sets wanted, predicates and kinds
//   engine_flush.cc        the order of a Flush
//   engine_moves.cc        addresses and CIDRs go from one class or set to another
//   engine_transitions.cc  which of them wait, and which take two steps
//   engine_hosts.cc        host endpoints: their policy sets, and interfaces from one to another
//   engine_stats.cc        what it tells of itself
//
// and by what they keep: label_sources.h, regions.h, live_sets.h.
#ifndef RIPSTOP_POLICY_ENGINE_ENGINE_STATE_H_
#define RIPSTOP_POLICY_ENGINE_ENGINE_STATE_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "policy/base/keyed_set.h"
#include "policy/classes/address_classes.h"
#include "policy/classes/facts.h"
#include "policy/classes/l4_classes.h"
#include "policy/engine/engine.h"
#include "policy/engine/label_sources.h"
#include "policy/engine/live_sets.h"
#include "policy/engine/moves.h"
#include "policy/engine/records.h"
#include "policy/engine/regions.h"
#include "policy/rules/policy_index.h"
#include "policy/rules/rule_folding.h"
#include "policy/tables/arena.h"
#include "policy/tables/cidr_table.h"
#include "policy/world.h"

namespace ripstop::policy {

struct Engine::State {
  explicit State(const EngineOptions& o) : options(o), arena(o.first_chunk, o.chunk_count) {
    disputed_atom = facts.InternAtom({Atom::Kind::kDisputed, {}, {}, {}, {}, {}});
    facts.RefAtom(disputed_atom);
  }

  // engine.cc
  void Attach(EndpointRecord& e, bool add);
  void MarkSelected(const Policy& policy);
  void MarkUsers(const std::string& profile);
  void RefoldAll();

  // engine_owners.cc
  // Whose an address is, of those that claim it.
  struct Owner {
    const EndpointRecord* local = nullptr;     // whose interface it has; may be inactive
    absl::InlinedVector<uint32_t, 1> sources;  // of the owner; of several host endpoints
    bool disputed = false;
    bool contested = false;  // others, whom policy tells from the owner, claim it too
  };
  Owner OwnerOf(const AddressRecord& record) const;

  // engine_fold.cc
  void RefreshSources();
  void MarkChangedCidrs();
  void FoldAll();
  void Fold(const Address& address, AddressRecord& record);
  static LocalAddress& LocalPart(AddressRecord& record);
  // True when `wanted` is another than before.
  bool Want(SetRecord*& wanted, Direction direction, FlatRules rules);
  bool Unwant(SetRecord*& wanted);
  std::vector<const Profile*> ProfilesOf(const EndpointRecord& endpoint) const;
  void ActivatePredicates();
  void Rekind();
  // `record`: of an address.
  uint32_t KindOf(const Cidr& region, const AddressRecord* record, const Owner& owner);

  // engine_hosts.cc
  void FoldHosts(const std::set<std::string>& names, const std::set<ServiceName>& services);
  void FoldHost(HostEndpointRecord& record);
  void UnwantAll(HostEndpointRecord& record);
  std::map<uint32_t, HostEndpointRecord*> HostInterfaces();
  host_sets HostSetsOf(const HostEndpointRecord& record) const;
  // Whether interfaces change sets; adds the sets they leave and come to.
  bool PlanHosts(Leavers& leavers, std::set<SetRecord*>& targets);
  void RedirectHosts(const std::map<SetRecord*, SetRecord*>& copies,
                     const std::set<SetRecord*>& renewed);
  void WriteHosts();

  // engine_flush.cc
  TableWrites Flush();
  void Grow(SetRecord& record);
  void SwitchGrown();
  void WaitForGrown();
  void UpdatePublished(const std::vector<L4Classes::Split>& splits);
  void GrowAhead();
  void AfterGrace();
  void CleanUp();

  // engine_transitions.cc
  void PlanTransitions(std::vector<Move>& moves);
  TransitionPlan WhoLeavesAndComes(std::vector<Move>& moves);
  void MarkAtOnce(std::vector<Move>& moves) const;
  std::set<SetRecord*> Renewed(const std::set<TransitionPlan::ClassPair>& pairs) const;
  void MarkEpochs(const TransitionPlan& plan);
  void ChooseTransitions(std::vector<Move>& moves, TransitionPlan& plan);
  void CopySetsLeftAndComeTo(const TransitionPlan& plan);
  void GiveTransitionRows(const TransitionPlan& plan);

  // engine_moves.cc
  // Addresses, then CIDRs, the most specific first.
  std::vector<Move> CollectMoves();
  void CollectCidrMoves(std::vector<Move>& moves);
  void EmitMoves(std::vector<Move>& moves);
  void WriteAddress(const Move& move, uint32_t address_class, bool with_sets);
  address_value ValueOf(const AddressRecord& record, uint32_t address_class) const;

  static uint32_t HandleOf(const SetRecord* s) { return s != nullptr ? s->handle() : 0; }

  const EngineOptions options;

  // Inputs.
  SelectorCache selectors;
  PolicyIndex policies{&selectors};
  std::map<std::string, Profile> profiles;
  KeyedSet<EndpointRecord, &EndpointRecord::id> endpoints;
  absl::btree_set<EndpointRecord*> local_endpoints;
  std::map<std::string, NetworkSet> network_set_inputs;
  std::map<std::string, NetworkSetRecord> network_sets;
  std::map<std::pair<ServiceName, std::string>, SliceRecord> slices;
  std::map<std::string, HostRecord> hosts;
  std::map<std::string, HostEndpointRecord> host_endpoints;
  FailsafePorts failsafe = DefaultFailsafePorts();

  // What they come to.
  Facts facts;
  LabelSources sources{&facts, &profiles};
  AddressClasses classes{&facts};
  L4Classes l4;
  Regions regions{&classes};
  absl::btree_set<Address> contested;
  uint32_t disputed_atom = 0;

  // What the kernel has.
  Arena arena;
  CidrTable cidr_table{&arena};
  LiveSets sets{options, &facts, &arena};
  RuleFolder folder{&facts, &sets.l4_sets(), &sets.rule_ids(), &selectors};
  std::map<uint32_t, host_sets> host_written;  // by interface
  uint32_t l4_handle = 0;
  uint32_t rules_ensured = 0;

  absl::btree_set<Address> have_sets;  // whose entry names a policy set

  absl::flat_hash_set<EndpointRecord*> refold;  // of this node: their policy may have changed
  bool scan_locals = false;                     // a set fits that did not
  bool retry_failed = false;                    // room was given back
  bool fuller = false;                          // sets may have to grow soon

  // During a Flush.
  TableWrites out;
  std::vector<uint32_t> scratch;
  std::vector<uint32_t> new_classes;
  std::vector<uint32_t> temporary;
  bool moved_before_switch = false;
  bool hosts_switch = false;             // interfaces change sets
  std::map<uint32_t, SetRecord*> grown;  // by the handle that its users still have
  bool grown_switch = false;  // users have gone to a larger copy, and no grace period yet
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_ENGINE_ENGINE_STATE_H_
