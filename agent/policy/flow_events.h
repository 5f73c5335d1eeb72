// SPDX-License-Identifier: Apache-2.0
//
// The datapath's flow events in words.
#ifndef RIPSTOP_AGENT_POLICY_FLOW_EVENTS_H_
#define RIPSTOP_AGENT_POLICY_FLOW_EVENTS_H_

#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "agent/policy/flow_match.h"
#include "agent/policy/policy_plane.h"
#include "api/proto/agent.pb.h"
#include "bpf/abi/events.h"
#include "policy/model.h"

namespace ripstop::agent {

inline bool Allows(uint32_t word) { return (word & VERDICT_ALLOW) != 0; }

policy::Packet PacketOf(const flow_event& event);
// The time of day at a monotonic time, which is that of the event.
absl::Time TimeOf(uint64_t monotonic_ns, absl::Time now);

// The rule that a verdict word of the event names. `slot`: of the generation in force; a number of
// another one names a rule of an engine that is gone.
std::optional<policy::RuleIdentity> RuleOf(const flow_event& event, uint32_t word,
                                           const PolicyPlane& policy, uint32_t slot);

// As of now: names and rules are those in force.
v1::FlowEvent Describe(const flow_event& event, const PolicyPlane& policy, uint32_t slot,
                       absl::Time now);
// Of the same event, which has been described.
FlowTraits TraitsOf(const flow_event& event, const v1::FlowEvent& described);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_POLICY_FLOW_EVENTS_H_
