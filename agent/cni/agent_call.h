// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_CNI_AGENT_CALL_H_
#define RIPSTOP_AGENT_CNI_AGENT_CALL_H_

#include <string>

#include "api/proto/cni.pb.h"

namespace ripstop::agent {

enum class CallOutcome {
  kAnswered,     // *ret_answer is what the agent said
  kNoAgent,      // nobody listens there: nothing was asked
  kNoAnswer,     // asked, and the connection ended or the time was over before an answer
  kNotTheAgent,  // what listens there speaks something else
};

// Asks the agent at the unix socket `path`. Waits `connect_ms` for one that is being
// restarted, and `answer_ms` for its answer. For one thread; blocks.
CallOutcome CallAgent(const std::string& path, const v1::CniCall& call, int connect_ms,
                      int answer_ms, v1::CniAnswer* ret_answer);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_CNI_AGENT_CALL_H_
