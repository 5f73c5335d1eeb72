// SPDX-License-Identifier: Apache-2.0
//
// Matches and targets that iptables has in nftables, to steps. Private to this folder.
#ifndef RIPSTOP_AGENT_NETLINK_XT_STEPS_H_
#define RIPSTOP_AGENT_NETLINK_XT_STEPS_H_

#include "agent/netlink/filter_rules.h"
#include "agent/netlink/socket.h"

namespace ripstop::agent {

// NFTA_TARGET_*, NFTA_MATCH_*
RuleStep XtTarget(const Attributes& data);
RuleStep XtMatch(const Attributes& data);

inline RuleStep Never() {
  RuleStep step;
  step.kind = RuleStep::kNever;
  return step;
}
inline RuleStep NoTrack() {
  RuleStep step;
  step.kind = RuleStep::kNoTrack;
  return step;
}
inline RuleStep Ending(RuleVerdict verdict) {
  RuleStep step;
  step.kind = RuleStep::kEnd;
  step.end.verdict = verdict;
  return step;
}

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETLINK_XT_STEPS_H_
