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
#ifndef RIPSTOP_POLICY_ENGINE_ENGINE_STATE_H_
#define RIPSTOP_POLICY_ENGINE_ENGINE_STATE_H_

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/container/node_hash_map.h"
#include "policy/classes/address_classes.h"
#include "policy/classes/cidr_map.h"
#include "policy/classes/facts.h"
#include "policy/classes/l4_classes.h"
#include "policy/engine/engine.h"
#include "policy/rules/policy_index.h"
#include "policy/rules/rule_folding.h"
#include "policy/sets/policy_set.h"
#include "policy/tables/arena.h"
#include "policy/tables/cidr_table.h"
#include "policy/world.h"

namespace ripstop::policy {

// Where labels come from: own labels, profiles to inherit from, named ports. Endpoints of
// one deployment share one; it has one atom, and another when a profile changes.
struct SourceKey {
  Labels labels;
  std::vector<std::string> profiles;
  std::vector<NamedPort> ports;  // sorted
  bool operator==(const SourceKey&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const SourceKey& s) {
    for (const auto& [k, v] : s.labels) h = H::combine(std::move(h), k, v);
    return H::combine(std::move(h), s.profiles, s.ports);
  }
};

struct EndpointRecord {
  std::string id;
  uint32_t source = 0;
  std::vector<Address> addresses;
  std::optional<Attachment> local;
  bool active = true;
  bool fold = false;  // its policy may have changed
  bool host = false;  // the owner of a host endpoint's expected addresses
};

// A host endpoint: its interfaces' policy; its expected addresses belong to `owner`.
struct HostEndpointRecord {
  HostEndpoint input;
  EndpointRecord* owner = nullptr;
  struct SetRecord* wanted[kHostGroups][2] = {};  // by Direction
  std::set<std::string> names;                    // folded into the sets wanted
  std::set<ServiceName> services_folded;
};

struct NetworkSetRecord {
  uint32_t source = 0;
  std::vector<Cidr> nets;
};

struct SliceRecord {
  uint32_t atom = 0;
  std::vector<Address> addresses;
};

// A policy set in use, or wanted.
struct SetRecord {
  std::unique_ptr<PolicySet> set;  // null: does not fit; its users are denied
  uint32_t users = 0;              // (address, direction) pairs that want it
  bool published = false;          // its tables are in the kernel
  std::string alarm;
  Direction direction = Direction::kIngress;
};

// An address that has an entry of its own in the kernel, or had or will have one.
struct AddressRecord {
  std::vector<EndpointRecord*> endpoints;
  std::vector<uint32_t> services;  // atoms
  uint32_t this_host = 0;
  uint32_t other_node = 0;
  bool exact_cidr = false;  // a known CIDR is this very address

  uint32_t kind = 0;
  const EndpointRecord* attached = nullptr;  // whose policy it has
  SetRecord* wanted[2] = {};                 // by Direction
  std::set<std::string> names;               // folded into the sets wanted
  std::set<ServiceName> services_folded;
  std::optional<address_value> written;

  bool needed() const {
    return !endpoints.empty() || !services.empty() || this_host + other_node > 0 || exact_cidr;
  }
};

// A CIDR of a rule in use or of a network set. In the trie, unless it is a single address.
struct CidrRecord {
  uint32_t rule_atom = 0;  // 0: no rule in use asks for it
  std::vector<const NetworkSetRecord*> sets;
  uint32_t kind = 0;
  std::optional<uint32_t> written;
  bool needed() const { return rule_atom != 0 || !sets.empty(); }
};

struct Engine::State {
  explicit State(const EngineOptions& o) : options(o), arena(o.first_chunk, o.chunk_count) {
    disputed_atom = facts.InternAtom({Atom::Kind::kDisputed, {}, {}, {}, {}, {}});
    facts.RefAtom(disputed_atom);
  }

  // engine.cc
  uint32_t AcquireSource(SourceKey key);
  void ReleaseSource(uint32_t source);
  void Attach(EndpointRecord& e, bool add);
  AddressRecord& At(const Address& address);
  CidrRecord& CidrAt(const Cidr& cidr);
  void MarkSelected(const Policy& policy);
  void MarkUsers(const std::string& profile);

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
  void Want(SetRecord*& wanted, Direction direction, FlatRules rules);
  void Unwant(SetRecord*& wanted);
  std::vector<const Profile*> ProfilesOf(const EndpointRecord& endpoint) const;
  SetRecord* NewSet(FlatRules rules, Direction direction);
  void ActivatePredicates();
  void Rekind();
  std::vector<uint32_t> AtomsOf(const Address& address, int bits,
                                const AddressRecord* record) const;
  template <typename F>
  void ForCover(const Address& address, int bits, F f) const;
  template <typename F>
  void ForRegions(const Cidr& cidr, F f);
  void SetKind(uint32_t& kind, uint32_t to);

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

  // engine_hosts.cc
  void FoldHosts(const std::set<std::string>& names, const std::set<ServiceName>& services);
  void FoldHost(HostEndpointRecord& record);
  void UnwantAll(HostEndpointRecord& record);
  std::map<uint32_t, HostEndpointRecord*> HostInterfaces();
  host_sets HostSetsOf(const HostEndpointRecord& record) const;
  // Whether interfaces change sets; adds the sets they leave and come to.
  // The published set that a handle names, or nullptr. Made at the first question, for most
  // Flushes ask none.
  class PublishedSets {
   public:
    explicit PublishedSets(const State* state) : state_(state) {}
    SetRecord* At(uint32_t handle);

   private:
    const State* const state_;
    std::optional<absl::flat_hash_map<uint32_t, SetRecord*>> by_handle_;
  };
  bool PlanHosts(PublishedSets& published, Leavers& leavers, std::set<SetRecord*>& targets);
  void RedirectHosts(SetRecord* set, SetRecord* copy, bool renewed);
  void WriteHosts();

  // engine_flush.cc
  struct Space {
    std::vector<uint32_t> handles;
    std::vector<uint32_t> runs;  // lines of each
    uint32_t set_index;
  };
  TableWrites Flush();
  absl::Status Place(PolicySet& set);
  static Space SpaceOf(const PolicySet& set) {
    return {set.handles(), set.runs(), set.set_index()};
  }
  void Free(const Space& space);
  PolicySetLimits Limits() const { return {options.dense_cells_max, options.bit_vectors}; }
  void RetireSpace(const PolicySet& set);
  void Fail(SetRecord& record, const absl::Status& why);
  void Grow(SetRecord& record);
  void WaitForGrown();
  void UpdatePublished(const std::vector<L4Classes::Split>& splits);
  void CompileNew();
  void Publish(SetRecord& record);
  void DropUnusedSets();
  void CleanUp();

  // engine_moves.cc
  std::vector<Move> CollectMoves();
  void MarkAtOnce(std::vector<Move>& moves) const;
  std::set<SetRecord*> Renewed(const std::set<std::pair<uint32_t, uint32_t>>& pairs) const;
  void PlanTransitions(std::vector<Move>& moves);
  void EmitMoves(std::vector<Move>& moves);
  void WriteAddress(const Move& move, uint32_t address_class, bool with_sets);
  uint32_t WrittenCover(const Address& address, int bits) const;
  address_value ValueOf(const AddressRecord& record, uint32_t address_class) const;
  bool Switches(const AddressRecord& record) const;

  static uint32_t HandleOf(const SetRecord* s) { return s && s->set ? s->set->handle() : 0; }

  const EngineOptions options;
  SelectorCache selectors;
  PolicyIndex policies{&selectors};
  std::map<std::string, Profile> profiles;
  Facts facts;
  AddressClasses classes{&facts};
  Interned<L4Set> l4_sets;
  L4Classes l4;
  Interned<RuleIdentity> rule_ids;
  Arena arena;
  CidrTable cidr_table{&arena};
  RuleFolder folder{&facts, &l4_sets, &rule_ids, &selectors};

  Interned<SourceKey> sources;
  std::vector<uint32_t> source_atom;
  std::map<std::string, std::set<uint32_t>> sources_of_profile;
  absl::node_hash_map<std::string, EndpointRecord> endpoints;
  absl::btree_set<EndpointRecord*> local_endpoints;
  std::map<std::string, NetworkSet> network_set_inputs;
  std::map<std::string, NetworkSetRecord> network_sets;
  std::map<std::pair<ServiceName, std::string>, SliceRecord> slices;
  std::map<std::string, Host> hosts;
  std::map<std::string, HostEndpointRecord> host_endpoints;
  FailsafePorts failsafe = DefaultFailsafePorts();
  std::map<uint32_t, host_sets> host_written;  // by interface
  absl::btree_map<Address, std::unique_ptr<AddressRecord>> addresses;
  CidrMap<CidrRecord> cidrs;
  std::map<int, uint32_t> cidr_lengths;  // bits -> how many of `cidrs`
  absl::btree_set<Address> contested;
  uint32_t disputed_atom = 0;

  // By content; rows of dead sets are gone.
  absl::node_hash_map<FlatRules, SetRecord*> set_by_rules;
  std::map<SetRecord*, std::unique_ptr<SetRecord>> sets;
  std::vector<uint32_t> free_set_indexes;
  uint32_t next_set_index = 1;
  uint32_t l4_handle = 0;
  uint32_t rules_ensured = 0;

  // Dirty since the last Flush.
  std::set<std::string> changed_label_profiles;
  absl::btree_set<Address> dirty_addresses;  // owners changed
  std::set<Cidr> changed_cidrs;              // network sets changed
  std::set<Cidr> dirty_cidrs;
  bool scan_addresses = false;  // some kind changed its class
  bool scan_cidrs = false;
  bool switches_possible = false;  // some address wants another set
  bool retry_failed = false;

  // During a Flush.
  TableWrites out;
  std::vector<uint32_t> to_activate;
  std::vector<uint32_t> to_refine;
  std::vector<uint32_t> new_classes;
  std::vector<SetRecord*> fresh_sets;
  std::vector<uint32_t> temporary;
  std::set<uint32_t> bumps;  // set indexes
  std::vector<Space> retired_spaces;
  std::vector<uint32_t> retired_rules;
  std::vector<uint32_t> retired_predicates;
  bool moved_before_switch = false;
  bool hosts_switch = false;  // interfaces change sets
  bool grown_switch = false;  // users have gone to a larger copy, and no grace period yet
};

template <typename F>
void Engine::State::ForCover(const Address& address, int bits, F f) const {
  for (const auto& [length, count] : cidr_lengths) {
    if (length > bits) break;
    const auto it = cidrs.find(Cidr::Of(address, length));
    if (it != cidrs.end() && it->first.is_v4() == address.is_v4()) f(it->first, it->second);
  }
}

// Calls `f(address, bits, kind&, record or null, cidr or null)` for each region in `cidr`.
template <typename F>
void Engine::State::ForRegions(const Cidr& cidr, F f) {
  Address last = cidr.address;
  for (int bit = cidr.bits; bit < 128; ++bit) last.bytes[bit / 8] |= 0x80 >> (bit % 8);
  for (auto it = addresses.lower_bound(cidr.address); it != addresses.end() && it->first <= last;
       ++it) {
    if (cidr.Contains(it->first)) f(it->first, 128, it->second->kind, it->second.get(), nullptr);
  }
  for (auto it = cidrs.lower_bound(Cidr{cidr.address, 0});
       it != cidrs.end() && it->first.address <= last; ++it) {
    if (cidr.Contains(it->first) && it->first.bits < 128) {
      f(it->first.address, it->first.bits, it->second.kind, nullptr, &it->second);
    }
  }
}

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_ENGINE_ENGINE_STATE_H_
