// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_POLICY_FLOW_KEEPER_H_
#define RIPSTOP_AGENT_POLICY_FLOW_KEEPER_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agent/dataplane/dataplane_interface.h"

namespace ripstop::agent {

// Sweeps the table of flows, oftener and harder when it fills, oftener when somebody watches, and
// says how full it is.
class FlowKeeper {
 public:
  static constexpr absl::Duration kPeriod = absl::Seconds(10);
  static constexpr absl::Duration kOftenPeriod = absl::Seconds(1);

  explicit FlowKeeper(DataplaneInterface* dataplane) : dataplane_(dataplane) {}

  // One sweep. Call again after period().
  absl::Status Sweep();
  absl::Duration period() const { return pressed_ || watched_ ? kOftenPeriod : kPeriod; }
  // Whether somebody wants to hear soon of flows that are over: the sweep tells of them.
  void set_watched(bool watched) { watched_ = watched; }

  const FlowTableUse& use() const { return use_; }
  // Empty, or how full the table is and what to do.
  std::string alarm() const;
  // Whether new flows are refused: the node does not serve as it should.
  bool full() const { return full_; }

 private:
  DataplaneInterface* const dataplane_;
  FlowTableUse use_;
  bool pressed_ = false;
  bool watched_ = false;
  bool full_ = false;
};

// Entries of the flow table where no option says: what 1/64 of `memory_bytes` holds, as a
// power of two, between 65,536 and 2,097,152. An entry takes 208 bytes at most (152 of the
// kernel's hash element, in a slab of 192, and 16 of its bucket), so a machine of 4 GiB has
// 262,144, like the kernel's own connection tracking. Memory is taken as flows come, except
// for the buckets.
uint32_t FlowTableEntriesFor(uint64_t memory_bytes);

// Memory that this process may use: the machine's, or less by its control group.
uint64_t UsableMemory();

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_POLICY_FLOW_KEEPER_H_
