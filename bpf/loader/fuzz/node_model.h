// SPDX-License-Identifier: Apache-2.0
//
// What each program must do with a packet: docs/life-of-a-packet.md, docs/drop-reasons.md and the
// heads of bpf/hooks/ as code that is only meant to be right. Counterpart of bpf/lib/walk.h.
//
//   PacketEvent ─▶ [NodeModel] ─▶ Outcome
//                   ├ ParseFrame   what it is
//                   ├ FlowModel    what was before it
//                   └ Scene        who is where, what policy says
#ifndef RIPSTOP_BPF_LOADER_FUZZ_NODE_MODEL_H_
#define RIPSTOP_BPF_LOADER_FUZZ_NODE_MODEL_H_

#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "bpf/loader/fuzz/flow_model.h"
#include "bpf/loader/fuzz/packet_event.h"
#include "bpf/loader/fuzz/packet_mark.h"
#include "bpf/loader/fuzz/reference_parser.h"
#include "bpf/loader/fuzz/scene.h"

namespace ripstop::loader::fuzz {

struct NodeSettings {
  bool host_obeys_policy = false;
  bool reset_unknown = false;
  bool reject = false;
  // Host's NAT: packets for the stack are marked; one without has lost its mark; new flows to
  // whatever is no pod and no node pass the stack.
  bool marks = false;
  bool marks_trusted = false;
  bool host_nat = false;
};

class NodeModel {
 public:
  // `vteps`: the numbers that nodes have, by their outer addresses. `senders`: those of pods'
  // addresses. All outlive this.
  NodeModel(Scene* scene, const std::map<policy::Address, uint32_t>* vteps,
            const std::map<uint16_t, Sender>* senders)
      : scene_(*scene), vteps_(*vteps), senders_(*senders) {}

  Outcome Run(const PacketEvent& event);
  void Clear();
  // The agent knows that these have gone from where they were.
  void Forget(const std::vector<policy::Address>& addresses);
  NodeSettings settings;
  FlowModel& flows() { return flows_; }
  // The flow that the last packet was, or could have been, of.
  const std::optional<FlowName>& last() const { return last_; }
  // Flows that went on by the verdict of before while policy says otherwise now: none, or the
  // engine has forgotten to say so.
  uint64_t stale() const { return stale_; }

 private:
  // By which way it came: by no way to be checked, natively, or from the node of a number.
  struct Arrival {
    bool checked = false;
    uint32_t node = 0;  // 0: natively
  };
  struct Walk {
    const PacketEvent& event;
    ParsedPacket p;
    Arrival arrival;
    bool host_origin = false;
    bool first_unknown = false;  // a later fragment, of a first that was not let through
    Holder source, destination;  // of whom is asked: of `asked_source`, `asked_destination`
    policy::Address asked_source, asked_destination;
    NamedPacket named;
    // Which pod's address began the flow, where translation may hide it; 0: what shows did.
    uint16_t sender = 0;
    // How it goes on: by the host's stack, and with what mark.
    bool by_stack = false;
    Mark mark;
    // Of a flow to write.
    bool flow_by_stack = false;
  };
  // What policy says of a flow between its two ends.
  struct Judgement {
    drop_reason reason = DROP_NONE;
    Scene::Stamp egress, ingress;
  };

  Outcome FromWorkload(const PacketEvent& event);
  Outcome ToWorkload(const PacketEvent& event);
  Outcome FromHost(const PacketEvent& event);
  Outcome FromTunnel(const PacketEvent& event);
  Outcome FromElsewhere(const PacketEvent& event);
  Outcome ToHost(const PacketEvent& event);

  bool IsHostOrigin(const Walk& w) const;
  Flow* Meet(Walk& w);
  Outcome Go(Walk& w);
  Outcome GoWith(Walk& w, Flow* flow);
  bool IsEstablished(const Walk& w, const Flow& flow) const;
  static bool HasSameHolders(const Walk& w, const Flow& flow);
  Outcome GoOn(Walk& w, Flow& flow);
  // node_marks.cc
  bool IsToBeJudged(const PacketEvent& event) const;
  bool MarkFits(const Walk& w, const Flow& flow) const;
  void TakeWay(Walk& w, const Flow& flow) const;
  drop_reason FindSender(Walk& w, const Flow* flow) const;
  drop_reason FindSenderBehindStack(Walk& w) const;
  bool Waits(Walk& w, const Flow* flow) const;
  Outcome ToStack(const Walk& w) const;
  Holder Look(const policy::Address& address) const;
  Outcome Ask(Walk& w, Flow* flow);
  drop_reason Admit(const Walk& w) const;
  drop_reason CheckArrival(const Walk& w) const;
  Outcome Decide(Walk& w, Flow* flow);
  Outcome NoFlow(Walk& w);
  Judgement Judge(const Walk& w, int initiator, uint8_t icmp_type, uint8_t icmp_code);
  bool IsRelated(Walk& w);
  struct Write {
    bool continues = false, bypass = false, opening = false, as_sent = false;
    int initiator = 0;
    Judgement judgement;
  };
  // Returns the far side, as it goes into the flow.
  Flow::Side WriteFlow(Walk& w, Flow* flow, const Write& write);
  Outcome Deliver(Walk& w, const Flow::Side& destination);
  Outcome Drop(const Walk& w, drop_reason reason, bool answered = false) const;
  bool IsCurrent(const Flow& flow) const;
  Flow::Side SideOf(const Holder& holder) const;
  void FindPorts(Walk& w);
  uint32_t VtepNumber(const policy::Address& outer) const;

  Scene& scene_;
  const std::map<policy::Address, uint32_t>& vteps_;
  const std::map<uint16_t, Sender>& senders_;
  FlowModel flows_;
  // Source, destination, identification and protocol of first fragments that passed: their ports.
  std::map<std::tuple<policy::Address, policy::Address, uint32_t, uint8_t>,
           std::pair<uint16_t, uint16_t>>
      fragments_;
  uint64_t stale_ = 0;
  std::optional<FlowName> last_;
};

}  // namespace ripstop::loader::fuzz

#endif  // RIPSTOP_BPF_LOADER_FUZZ_NODE_MODEL_H_
