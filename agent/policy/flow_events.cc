// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/flow_events.h"

#include <arpa/inet.h>
#include <time.h>

#include <cstring>
#include <string>

#include "agent/policy/kernel_words.h"
#include "agent/policy/rule_words.h"
#include "bpf/abi/drops.h"
#include "bpf/loader/table_store.h"

namespace ripstop::agent {
namespace {

const char* TypeName(uint8_t type) {
  switch (type) {
    case FLOW_EVENT_NEW: return "new";
    case FLOW_EVENT_DENIED: return "denied";
    case FLOW_EVENT_CLOSED: return "closed";
    case FLOW_EVENT_CHANGED: return "changed";
    case FLOW_EVENT_HEARTBEAT: return "heartbeat";
    default: return "dropped";
  }
}

const char* ClosedByName(uint8_t closed_by) {
  switch (closed_by) {
    case FLOW_CLOSED_FIN: return "FIN";
    case FLOW_CLOSED_RST: return "RST";
    case FLOW_CLOSED_IDLE: return "idle";
    case FLOW_CLOSED_UNANSWERED: return "unanswered";
    case FLOW_CLOSED_REFUSED: return "refused";
    case FLOW_CLOSED_REPLACED: return "replaced";
    case FLOW_CLOSED_FLUSHED: return "flushed";
    case FLOW_CLOSED_ENDPOINT: return "endpoint gone";
    default: return "";
  }
}

const char* ReasonName(uint8_t reason) {
  static constexpr const char* kNames[] = {"",
#define X(id, name, description) name,
                                           DROP_REASONS(X)
#undef X
  };
  return reason < DROP_REASONS_MAX ? kNames[reason] : "";
}

}  // namespace

policy::Packet PacketOf(const flow_event& event) {
  policy::Packet packet{loader::FromKey(event.source), loader::FromKey(event.destination),
                        event.protocol};
  if (policy::HasPorts(event.protocol)) {
    packet.source_port = ntohs(event.source_port);
    packet.destination_port = ntohs(event.destination_port);
  }
  packet.icmp_type = event.icmp_type;
  packet.icmp_code = event.icmp_code;
  return packet;
}

absl::Time TimeOf(uint64_t monotonic_ns, absl::Time now) {
  timespec clock{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &clock);
  const absl::Duration age =
      absl::DurationFromTimespec(clock) - absl::Nanoseconds(static_cast<int64_t>(monotonic_ns));
  return age > absl::ZeroDuration() ? now - age : now;
}

std::optional<policy::RuleIdentity> RuleOf(const flow_event& event, uint32_t word,
                                           const PolicyPlane& policy, uint32_t slot) {
  if (!policy.committed() || event.slot != slot) return std::nullopt;
  return policy.engine().Rule(word & VERDICT_RULE_MASK);
}

v1::FlowEvent Describe(const flow_event& event, const PolicyPlane& policy, uint32_t slot,
                       absl::Time now) {
  v1::FlowEvent out;
  out.set_time(
      absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", TimeOf(event.time_ns, now), absl::UTCTimeZone()));
  out.set_event(TypeName(event.type));
  out.set_verdict(event.reason == DROP_NONE ? "Allow" : "Deny");
  out.set_reason(ReasonName(event.reason));
  out.set_closed_by(ClosedByName(event.closed_by));
  const policy::Address source = loader::FromKey(event.source);
  const policy::Address destination = loader::FromKey(event.destination);
  // Neither: the packet was not read so far.
  if (source != policy::Address() || destination != policy::Address()) {
    const auto name = [&](const policy::Address& address) {
      const auto owner = policy.feed().OwnerOf(address);
      return owner.has_value() ? owner->name : std::string();
    };
    out.set_protocol(ProtocolName(event.protocol));
    out.set_source(source.ToString());
    out.set_source_name(name(source));
    out.set_source_port(ntohs(event.source_port));
    out.set_destination(destination.ToString());
    out.set_destination_name(name(destination));
    out.set_destination_port(ntohs(event.destination_port));
  }
  const auto rule = [&](uint32_t word) -> std::string {
    if (word == 0) return "";
    if (event.outdated != 0) return "a rule of an earlier policy";
    const auto identity = RuleOf(event, word, policy, slot);
    return identity.has_value() ? FullRuleName(*identity) : "a rule no longer in force";
  };
  out.set_egress_rule(rule(event.egress_verdict));
  out.set_ingress_rule(rule(event.ingress_verdict));
  out.set_packets_sent(event.sent[0].packets);
  out.set_bytes_sent(event.sent[0].bytes);
  out.set_packets_received(event.sent[1].packets);
  out.set_bytes_received(event.sent[1].bytes);
  return out;
}

FlowTraits TraitsOf(const flow_event& event, const v1::FlowEvent& described) {
  return {.from = {loader::FromKey(event.source), described.source_name()},
          .to = {loader::FromKey(event.destination), described.destination_name()},
          .port = ntohs(event.destination_port),
          .protocol = event.protocol,
          .state = ""};
}

}  // namespace ripstop::agent
