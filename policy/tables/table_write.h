// SPDX-License-Identifier: Apache-2.0
//
// What the engine asks of the kernel: an ordered list of writes.
//
// The list is made so that after any prefix of it, every packet gets the verdict of
// the old policy or of the new one (policy/DESIGN.md). Whoever applies it keeps the
// order and stops at the first failure.
#ifndef RIPSTOP_POLICY_TABLES_TABLE_WRITE_H_
#define RIPSTOP_POLICY_TABLES_TABLE_WRITE_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "bpf/abi/host_endpoints.h"
#include "bpf/abi/tables.h"
#include "policy/address.h"
#include "policy/model.h"

namespace ripstop::policy {

struct SetAddress {
  Address address;
  address_value value;
  bool is_new = false;  // it had no entry; so that room can be made before it must be
};
struct RemoveAddress {
  Address address;
};
// Words of the arena, from word `first_word` of the line that `handle` names; may run
// over many lines of that chunk. The chunk is made when it does not exist yet. Each word
// is stored whole.
struct WriteWords {
  uint32_t handle;
  uint32_t first_word = 0;
  std::vector<uint32_t> words;
};
// Nobody reads the chunk any more.
struct ReleaseChunk {
  uint32_t chunk;
};
// Wait until every program that started before has ended (an RCU grace period).
struct Grace {};
// Flows admitted under this set are judged again at their next packet.
struct BumpEpoch {
  uint32_t set_index;
};
// Rule ids at or above `count` are not in use; the rule hit table must hold that many.
struct EnsureRules {
  uint32_t count;
};

// No verdict names these rules any more, and no program that read one still runs: what
// they counted is void, for their ids are given to other rules.
struct ForgetRules {
  std::vector<uint32_t> rule_ids;
};

// The policy sets of a host endpoint; interface 0 is any that has none of its own.
struct SetHostSets {
  uint32_t interface;
  host_sets sets;
};
struct RemoveHostSets {
  uint32_t interface;
};

using TableWrite = std::variant<SetAddress, RemoveAddress, WriteWords, ReleaseChunk, Grace,
                                BumpEpoch, EnsureRules, ForgetRules, SetHostSets, RemoveHostSets>;
using TableWrites = std::vector<TableWrite>;

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_TABLES_TABLE_WRITE_H_
