// SPDX-License-Identifier: Apache-2.0
//
// One packet through the datapath's programs, which leaves nothing behind.
//
//   DatapathObject ─tables, addresses, state─▶ [ProbePacket] ─▶ stages, one for each program
//                   its flow, accounts ──copy─▶
//
// The programs are loaded once more: the same text over the same tables, but with maps of their
// own for all that they write (flows, hits, drops, events, fragments). So what they make of the
// packet is what the attached ones would, and those, their flows and their counters see nothing
// of it. Takes a part of a second. Any thread; in the node's network namespace.
#ifndef RIPSTOP_BPF_LOADER_PACKET_PROBE_H_
#define RIPSTOP_BPF_LOADER_PACKET_PROBE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "bpf/abi/drops.h"
#include "bpf/abi/flows.h"
#include "bpf/abi/tables.h"
#include "policy/model.h"

namespace ripstop::loader {

class DatapathObject;

// What a program did with the packet, and what it read to know that.
struct ProbeStage {
  std::string program;       // "from_workload"
  uint32_t ifindex = 0;      // where it ran; 1 stands for any uplink
  uint32_t tunnel_node = 0;  // of from_tunnel: number of the node that the packet is said to be of
  uint32_t length = 0;       // of the frame
  uint8_t tcp_flags = 0;
  bool parsed = false;  // whatever follows up to here is what the program's parser said
  policy::Packet packet;
  std::optional<flow_value> flow;  // that was known
  bool flow_current = false;       // its verdicts are of the tables in force
  // Absent: was not looked up, the flow knew.
  std::optional<address_value> source, destination;
  uint32_t egress_word = 0;  // verdict words; 0: not asked
  uint32_t ingress_word = 0;
  bool begins_flow = false;  // a flow was written that was not known
  int action = 0;            // TC_ACT_*
  drop_reason reason = DROP_NONE;
};

// Through the programs that this node has for such a packet; none: neither end is here.
//   kFailedPrecondition  no tables are in force
//   those of DatapathObject::Load
absl::StatusOr<std::vector<ProbeStage>> ProbePacket(const DatapathObject& object,
                                                    const policy::Packet& packet);

// Whether a probe reads that map of the datapath; else it has one of its own.
bool IsSharedWithProbe(std::string_view map);

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_PACKET_PROBE_H_
