// SPDX-License-Identifier: Apache-2.0
//
// The tables in force, read back from the kernel's maps as the programs read them.
// Works on whatever generation is active, also one of an earlier process.
#ifndef RIPSTOP_BPF_LOADER_TABLES_READER_H_
#define RIPSTOP_BPF_LOADER_TABLES_READER_H_

#include <map>

#include "absl/status/statusor.h"
#include "bpf/abi/drops.h"
#include "bpf/abi/events.h"
#include "bpf/abi/tables.h"
#include "policy/model.h"

namespace ripstop::loader {

class DatapathObject;

struct DropCount {
  drop_reason reason = DROP_NONE;
  std::string name;
  std::string description;
  uint64_t packets = 0;
  uint64_t bytes = 0;
};

// As counters and logs have it; empty: it is none, DROP_NONE included.
const char* DropReasonName(uint32_t reason);

// One direction of an explanation: what the tables in force say.
struct SideLookup {
  uint32_t set = 0;  // handle of the policy set
  uint32_t set_index = 0;
  uint32_t epoch = 0;
  uint32_t address_class = 0;  // of the far address
  uint32_t l4_class = 0;
  uint32_t row = 0;
  uint32_t column = 0;
  uint32_t verdict = 0;            // verdict word
  drop_reason reason = DROP_NONE;  // as the program would drop; DROP_NONE: allowed
};

struct PacketLookup {
  uint32_t slot = 0;  // generation in force
  address_value source = {};
  address_value destination = {};
  std::optional<SideLookup> egress;  // absent: the source is no endpoint of this node
  std::optional<SideLookup> ingress;
};

// kFailedPrecondition: no tables are in force.
absl::StatusOr<PacketLookup> LookupInForce(const DatapathObject& object,
                                           const policy::Packet& packet);
absl::StatusOr<std::map<uint32_t, rule_hits>> HitsInForce(const DatapathObject& object);
absl::StatusOr<std::vector<DropCount>> ReadDrops(const DatapathObject& object);
absl::StatusOr<uint64_t> ReadLost(const DatapathObject& object, lost what);

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_TABLES_READER_H_
