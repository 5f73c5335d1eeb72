// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_ENGINE_ENGINE_H_
#define RIPSTOP_POLICY_ENGINE_ENGINE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/model.h"
#include "policy/tables/table_write.h"

namespace ripstop::policy {

struct EngineOptions {
  // First arena chunk this engine may use, and how many. A restarted agent gives the
  // new generation the half that the running one does not use.
  uint32_t first_chunk = 0;
  uint32_t chunk_count = ARENA_CHUNKS_MAX / 2;
  // Largest dense table, in verdict words; a policy set that needs more becomes bit
  // vectors, or does not fit if those are not allowed.
  uint32_t dense_cells_max = 1u << 19;
  bool bit_vectors = true;
  // Least room of a row or column table, in classes; a power of two from 2. Tests make it
  // small, so that sets outgrow their place often.
  uint32_t capacity_min = 64;
  // Sets that are nearly full are moved to a larger place ahead of need, in pieces: so many words
  // of tables in one Flush, and one set at least.
  uint32_t grow_ahead_words = 1u << 15;
};

// How much of a policy set is one policy's, or one profile's.
struct PolicyShare {
  RuleIdentity first;  // its first rule in the set that allows or denies
  uint32_t rules = 0;  // how many such rules it has there, as flattened
};
inline constexpr size_t kPolicySharesMax = 3;

// What `ripstopctl policy tables` shows of one policy set.
struct PolicySetStats {
  uint32_t handle = 0;
  Direction direction = Direction::kIngress;
  std::vector<std::string> endpoints;
  uint32_t rules = 0;
  uint32_t rows = 0;
  uint32_t columns = 0;
  uint64_t cells = 0;  // verdict words: one for each row and column, or for each rule
  uint64_t bytes = 0;
  std::string representation;  // "dense" or "bit vectors"
  // The most rules first, kPolicySharesMax at most. Log and Pass rules are not counted.
  std::vector<PolicyShare> largest_policies;
};

// An address that several endpoints claim, whom policy can tell apart.
struct AddressConflict {
  Address address;
  std::string owner;  // id of the endpoint of this node that has it; empty: denied to all
  std::vector<std::string> claimants;  // ids, the owner's among them
};

struct EngineTotals {
  uint32_t address_classes = 0;
  uint32_t l4_classes = 0;
  uint64_t arena_bytes = 0;
  uint32_t policies = 0;
  uint32_t local_endpoints = 0;
};

// The calculation core: the whole policy of a node, from model to table writes.
//
//   Put/Remove ──▶ [Engine] ──Flush()──▶ TableWrites (ordered, make before break)
//
// No I/O, no clock, no threads; one thread at a time. Deterministic in its verdicts:
// the same final inputs give the same verdict for every packet, whatever the order,
// split or duplication of the calls. Inputs take effect at the next Flush. An invalid
// selector in an input sets that policy aside as one that selects what it can be shown
// to select and allows nothing; converters validate first, so this is a last defence.
class Engine {
 public:
  explicit Engine(const EngineOptions& options = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  void PutTier(const Tier& tier);
  void RemoveTier(std::string_view name);
  void PutPolicy(const Policy& policy);
  void RemovePolicy(const PolicyKey& key);
  void PutProfile(const Profile& profile);
  void RemoveProfile(std::string_view name);
  void PutEndpoint(const Endpoint& endpoint);
  void RemoveEndpoint(std::string_view id);
  void PutNetworkSet(const NetworkSet& set);
  void RemoveNetworkSet(std::string_view id);
  void PutServiceBackends(const ServiceBackends& backends);
  void RemoveServiceBackends(const ServiceName& service, std::string_view slice);
  void PutHostEndpoint(const HostEndpoint& endpoint);
  void RemoveHostEndpoint(std::string_view id);
  // Replaces the list that is in force from the start, DefaultFailsafePorts().
  void SetFailsafePorts(const FailsafePorts& ports);
  void PutHost(const Host& host);
  void RemoveHost(std::string_view name);

  // The writes that bring the tables from the last Flush to now. Empty when nothing
  // that a packet could notice has changed.
  TableWrites Flush();

  // Handle of the L4 class table; nonzero after the first Flush.
  uint32_t l4_table() const;

  // The rule behind a verdict word, or nullopt for an id that is not in use. Ids are
  // never reused while a published set refers to them, nor before the next Flush.
  std::optional<RuleIdentity> Rule(uint32_t rule_id) const;
  std::vector<std::pair<uint32_t, RuleIdentity>> Rules() const;

  std::vector<PolicySetStats> Stats() const;
  EngineTotals Totals() const;

  // What did not fit, as text that names the table, its size and the remedy. The endpoints
  // concerned are denied (set handle 0). Empty when all is well.
  std::vector<std::string> Alarms() const;

  // Id of the workload that has the address, as of all inputs; empty: nobody, a host
  // endpoint, or disputed.
  std::string OwnerOf(const Address& address) const;
  // As of the last Flush, the first `max` by address, and how many there are.
  std::vector<AddressConflict> Conflicts(size_t max) const;
  size_t conflict_count() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_ENGINE_ENGINE_H_
