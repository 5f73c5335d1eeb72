// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/flow_queries.h"

#include <arpa/inet.h>
#include <time.h>

#include <cstring>

#include "agent/policy/flow_match.h"
#include "agent/policy/kernel_words.h"
#include "agent/policy/rule_words.h"
#include "bpf/abi/masquerade.h"
#include "bpf/loader/table_store.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

constexpr uint8_t kFin = 0x01;

// One end as the flow has it; `begun`: of who began it.
struct FlowEnd {
  policy::Address address;
  uint16_t port = 0;
};
FlowEnd EndOf(const loader::FlowRecord& record, bool begun) {
  const uint32_t end = (record.value.initiator & 1) ^ (begun ? 0 : 1);
  return {loader::FromKey(record.key.address[end]), ntohs(record.key.port[end])};
}

const char* StateOf(const flow_value& flow) {
  if (FLOW_LIFE_STATE(flow.life) == FLOW_HALF_OPEN) return "half-open";
  if ((flow.flags & FLOW_RESET) != 0) return "reset";
  const bool first = (flow.side[0].tcp_flags & kFin) != 0;
  const bool second = (flow.side[1].tcp_flags & kFin) != 0;
  return first && second ? "closed" : first || second ? "closing" : "established";
}

FlowTraits TraitsOf(const loader::FlowRecord& record) {
  const FlowEnd from = EndOf(record, true), to = EndOf(record, false);
  return {.from = {from.address, ""},
          .to = {to.address, ""},
          .port = to.port,
          .protocol = record.key.protocol,
          .state = StateOf(record.value)};
}

uint64_t IdleMs(const flow_value& flow) {
  timespec clock = {};
  clock_gettime(CLOCK_MONOTONIC, &clock);
  const uint64_t now =
      static_cast<uint64_t>(clock.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(clock.tv_nsec);
  return now > flow.seen_ns ? (now - flow.seen_ns) / 1'000'000 : 0;
}

}  // namespace

std::string FlowQueries::RuleText(const loader::FlowRecord& record, uint32_t word) const {
  if (word == 0) return "";
  // A rule's number is another rule's once policy has changed.
  if (!record.current || !policy_->committed()) return "judged again at its next packet";
  const auto rule = policy_->engine().Rule(word & VERDICT_RULE_MASK);
  return rule.has_value() ? FullRuleName(*rule) : "a rule no longer in force";
}

void FlowQueries::Describe(const loader::FlowRecord& record, v1::Flow* ret) const {
  const flow_value& flow = record.value;
  const uint32_t initiator = flow.initiator & 1;
  const FlowEnd from = EndOf(record, true), to = EndOf(record, false);
  const auto name = [&](const FlowEnd& end) {
    const auto owner = policy_->feed().OwnerOf(end.address);
    return owner.has_value() ? owner->name : std::string();
  };
  ret->set_protocol(ProtocolName(record.key.protocol));
  ret->set_source(from.address.ToString());
  ret->set_source_name(name(from));
  ret->set_source_port(from.port);
  ret->set_destination(to.address.ToString());
  ret->set_destination_name(name(to));
  ret->set_destination_port(to.port);
  ret->set_state(StateOf(flow));
  ret->set_idle_ms(IdleMs(flow));
  ret->set_packets_sent(flow.sent[initiator].packets);
  ret->set_bytes_sent(flow.sent[initiator].bytes);
  ret->set_packets_received(flow.sent[initiator ^ 1].packets);
  ret->set_bytes_received(flow.sent[initiator ^ 1].bytes);
  ret->set_egress_rule(RuleText(record, flow.side[initiator].verdict));
  ret->set_ingress_rule(RuleText(record, flow.side[initiator ^ 1].verdict));
  if (flow.translation.kind == TRANSLATION_MASQUERADED) {
    ret->set_leaves_as(loader::FromKey(flow.translation.address).ToString());
    ret->set_leaves_as_port(ntohs(flow.translation.port));
  }
  if ((flow.flags & FLOW_HOST_BYPASS) != 0) ret->add_notes("begun by this host, before policy");
  if ((flow.flags & FLOW_AS_SENT) != 0) {
    ret->add_notes("as the pod sends it; judged as what the host's NAT makes of it");
  } else if ((flow.flags & FLOW_BY_STACK) != 0) {
    ret->add_notes("passes the host's stack, which may translate it");
  }
}

absl::StatusOr<v1::FlowsReply> FlowQueries::Flows(const v1::FlowsRequest& request) const {
  ASSIGN_OR_RETURN(const FlowMatch filter, FlowMatch::Make(policy_->feed(), request.filter()));
  ASSIGN_OR_RETURN(const loader::FlowPart part, dataplane_->Flows(request.part()));
  v1::FlowsReply reply;
  for (const loader::FlowRecord& record : part.flows) {
    if (filter.Fits(TraitsOf(record))) Describe(record, reply.add_flows());
  }
  reply.set_next(part.next);
  return reply;
}

absl::StatusOr<v1::EndFlowsReply> FlowQueries::EndFlows(const v1::FlowsRequest& request) {
  ASSIGN_OR_RETURN(const FlowMatch filter, FlowMatch::Make(policy_->feed(), request.filter()));
  ASSIGN_OR_RETURN(const loader::FlowPart part, dataplane_->Flows(request.part()));
  v1::EndFlowsReply reply;
  uint64_t ended = 0;
  for (const loader::FlowRecord& record : part.flows) {
    if (!filter.Fits(TraitsOf(record))) continue;
    ASSIGN_OR_RETURN(const bool was_there, dataplane_->EndFlow(record));
    ended += was_there ? 1 : 0;
  }
  reply.set_ended(ended);
  reply.set_next(part.next);
  return reply;
}

}  // namespace ripstop::agent
