// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_TABLES_TABLE_IMAGE_H_
#define RIPSTOP_POLICY_TABLES_TABLE_IMAGE_H_

#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "policy/tables/table_write.h"
#include "policy/tables/verdict_lookup.h"

namespace ripstop::policy {

// The tables in user space: what the kernel's maps hold after some writes, read by the
// algorithm of bpf/lib/verdict.h. It is the `tables` engine of `ripstopctl evaluate`, and
// the simulated kernel of the engine's tests. Deliberately knows nothing of policy.
class TableImage {
 public:
  void Apply(const TableWrite& write);
  void Apply(const TableWrites& writes);
  // What `active_generation.l4_table` would say; 0: nothing in force, everything denied.
  void set_l4_table(uint32_t handle) { l4_table_ = handle; }

  struct Result {
    uint32_t word = 0;    // VERDICT_*; 0: no set, or no verdict in it: denied
    uint32_t handle = 0;  // of the set that was asked
    uint32_t set_index = 0;
    uint32_t epoch = 0;
    uint32_t address_class = 0;
    uint32_t l4_class = 0;
    uint32_t row = 0;
    uint32_t column = 0;
    bool allow() const { return (word & VERDICT_ALLOW) != 0; }
    bool log() const { return (word & VERDICT_LOG) != 0; }
    bool next() const { return (word & VERDICT_NEXT_GROUP) != 0; }
    uint32_t rule_id() const { return word & VERDICT_RULE_MASK; }
  };
  // What a program reads of a packet before it asks a set: the set that hangs on the near
  // address or interface, and the classes. Another write may come before it asks.
  struct Question {
    uint32_t set = 0;  // handle; 0: none
    PacketClasses classes;
    bool readable = false;  // false: the tables are damaged
  };
  // nullopt: nobody is asked, as with Verdict and HostVerdict.
  std::optional<Question> Classify(Direction direction, const Packet& packet) const;
  std::optional<Question> ClassifyHost(uint32_t interface, HostGroup group, Direction direction,
                                       const Packet& packet) const;
  Result Answer(const Question& question) const;

  // The verdict of the local endpoint that holds packet.source (kEgress) or
  // packet.destination (kIngress); nullopt: no local endpoint holds it.
  std::optional<Result> Verdict(Direction direction, const Packet& packet) const;
  // The verdict of one group of the host endpoint at an interface; nullopt: there is none.
  std::optional<Result> HostVerdict(uint32_t interface, HostGroup group, Direction direction,
                                    const Packet& packet) const;

  std::optional<address_value> Find(const Address& address) const;
  // The class of any address: its own, else by CIDR.
  uint32_t ClassOf(const Address& address) const;
  uint32_t epoch(uint32_t set_index) const;
  size_t address_count() const { return addresses_.size(); }
  uint32_t rule_count() const { return rule_count_; }

 private:
  struct FreeChunk {
    void operator()(uint32_t* p) const { std::free(p); }
  };
  using Chunk = std::unique_ptr<uint32_t[], FreeChunk>;  // calloc: untouched pages cost nothing

  Question Classes(uint32_t handle, Direction direction, const Packet& packet) const;
  const uint32_t* Line(uint32_t chunk, uint32_t line) const;
  std::optional<arena_line> LineAt(uint32_t handle) const;
  std::optional<uint32_t> Half(uint32_t chunk, uint32_t line, uint32_t half) const;

  absl::flat_hash_map<Address, address_value> addresses_;
  std::map<uint32_t, host_sets> host_sets_;  // by interface
  std::map<uint32_t, Chunk> chunks_;
  absl::flat_hash_map<uint32_t, uint32_t> epochs_;
  uint32_t l4_table_ = 0;
  uint32_t rule_count_ = 0;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_TABLES_TABLE_IMAGE_H_
