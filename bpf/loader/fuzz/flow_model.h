// SPDX-License-Identifier: Apache-2.0
//
// Connection tracking as bpf/abi/flows.h and bpf/DESIGN.md say it, in a map: the slow, obvious
// counterpart of bpf/lib/flow_life.h and flow_touch.h. No clock: what is only idle stays.
#ifndef RIPSTOP_BPF_LOADER_FUZZ_FLOW_MODEL_H_
#define RIPSTOP_BPF_LOADER_FUZZ_FLOW_MODEL_H_

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "bpf/loader/fuzz/reference_parser.h"

namespace ripstop::loader::fuzz {

struct FlowEnd {
  policy::Address address;
  uint16_t port = 0;
  auto operator<=>(const FlowEnd&) const = default;
};

// Both directions of a flow have one: the lower end is first.
struct FlowName {
  std::array<FlowEnd, 2> ends;
  uint8_t protocol = 0;
  auto operator<=>(const FlowName&) const = default;
};

// The name of the packet's flow, and which of its ends the packet comes from.
struct NamedPacket {
  FlowName name;
  int source_end = 0;
};
NamedPacket NameOf(const ParsedPacket& p);

struct Flow {
  struct Side {
    // Who was there when the flow was admitted: for delivery, and for whom it is.
    uint32_t ifindex = 0;  // of a pod of this node; else 0
    std::array<uint8_t, 6> mac{};
    bool host = false;            // this node itself
    bool pod = false;             // a pod, of whichever node
    uint16_t address_number = 0;  // of the address of a pod of this node, in marks
    // The policy set that admitted it and what its epoch was; 0: none was asked.
    uint32_t set_index = 0;
    uint32_t epoch = 0;
    uint8_t seen = 0;     // TCP flags; FIN only if its number was right
    uint32_t number = 0;  // TCP: the highest sent; SCTP: the tag
    uint64_t packets = 0, bytes = 0;
  };
  std::array<Side, 2> sides;
  int initiator = 0;
  bool open = false;        // else half open: not answered, of TCP: no handshake yet
  bool reset = false;       // an RST, or its like, was the last thing that counted
  bool bypass = false;      // admitted because this host began it
  bool by_stack = false;    // its packets pass the host's stack, which may translate them
  bool as_sent = false;     // not judged: what its packets become is, where they show
  bool has_sender = false;  // the address of the initiator's number began it, whatever shows
  uint8_t icmp_type = 0, icmp_code = 0;  // of the initiator's message
  uint32_t asked = 0;                    // TCP: the number of the initiator's last SYN

  int responder() const { return 1 - initiator; }
  // Over, as far as packets say: a SYN begins another one.
  bool closed() const;
  // Of the pod of this node at that end; 0: there is none.
  uint16_t NumberAt(int end) const {
    return sides[end].ifindex != 0 ? sides[end].address_number : 0;
  }
  uint16_t sender() const { return has_sender ? NumberAt(initiator) : 0; }
};

std::string Describe(const Flow& flow);

// TCP SYN without ACK, SCTP INIT, and a ping from the end that used to answer.
bool IsOpening(const ParsedPacket& p, const Flow* flow, int source_end);
// Of a connection that must have begun before.
bool NeedsFlow(const ParsedPacket& p);
// An ICMP message but a ping is let through by itself.
bool BeginsFlow(const ParsedPacket& p);
// Whether packets of that kind are looked up at all.
bool HasFlow(const ParsedPacket& p);

class FlowModel {
 public:
  Flow* Find(const FlowName& name);
  // A new flow in the place of an old one, if there is one. Its first packet is counted.
  void Begin(const NamedPacket& named, Flow flow, const ParsedPacket& p, size_t bytes);
  void End(const FlowName& name) { flows_.erase(name); }
  // A packet that was let through. A refusal takes the flow away.
  void Note(const NamedPacket& named, const ParsedPacket& p, size_t bytes);
  // All of these addresses, whichever end they are, or that a pod of these numbers began.
  void Forget(const std::set<policy::Address>& addresses, const std::set<uint16_t>& numbers);
  void Clear() { flows_.clear(); }
  const std::map<FlowName, Flow>& flows() const { return flows_; }

 private:
  std::map<FlowName, Flow> flows_;
};

}  // namespace ripstop::loader::fuzz

#endif  // RIPSTOP_BPF_LOADER_FUZZ_FLOW_MODEL_H_
