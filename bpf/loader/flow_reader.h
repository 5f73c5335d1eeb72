// SPDX-License-Identifier: Apache-2.0
//
// The flows of this node, read from the table that the programs use, a part at a time: it may hold
// millions, and moves while it is read. A flow that is there all the while is read once.
#ifndef RIPSTOP_BPF_LOADER_FLOW_READER_H_
#define RIPSTOP_BPF_LOADER_FLOW_READER_H_

#include <vector>

#include "absl/status/statusor.h"
#include "bpf/abi/flows.h"

namespace ripstop::loader {

class DatapathObject;

struct FlowRecord {
  flow_key key = {};
  flow_value value = {};
  bool current = false;  // its verdicts are those of the tables in force
};

struct FlowPart {
  std::vector<FlowRecord> flows;  // some 500
  uint32_t next = 0;              // where the next part begins; 0: this was the last
};

absl::StatusOr<FlowPart> ReadFlows(const DatapathObject& object, uint32_t from);

// Whether there was such a flow; its next packet is one of no known flow.
absl::StatusOr<bool> EndFlow(const DatapathObject& object, const FlowRecord& flow);

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_FLOW_READER_H_
