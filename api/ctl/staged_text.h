// SPDX-License-Identifier: Apache-2.0
//
// What the agent says of staged policies, as tables and lines; and the words of cells.
#ifndef RIPSTOP_API_CTL_STAGED_TEXT_H_
#define RIPSTOP_API_CTL_STAGED_TEXT_H_

#include <ostream>
#include <string>

#include "api/proto/agent.pb.h"

namespace ripstop::ctl {

std::string OrDash(const std::string& text);
std::string Since(int64_t ms);  // "3s ago"; negative: "never"

// "staged: Deny by StagedNetworkPolicy shop/db, ingress rule 0 (tier default)": the rule of
// the first direction that would deny, or of all that would allow. Nothing when nothing is
// staged.
void PrintWhyStaged(const agent::v1::WhyStaged& staged, std::ostream& out);
// `changed`: only rules that would have changed a verdict.
void PrintStaged(const agent::v1::StagedPoliciesReply& reply, bool changed, std::ostream& out);

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_STAGED_TEXT_H_
