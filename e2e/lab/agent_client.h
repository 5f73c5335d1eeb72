// SPDX-License-Identifier: Apache-2.0
//
// Asks a node's agent over its unix socket.
#ifndef RIPSTOP_E2E_LAB_AGENT_CLIENT_H_
#define RIPSTOP_E2E_LAB_AGENT_CLIENT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "api/proto/agent.pb.h"

namespace ripstop::lab {

// kUnavailable if nobody answers there within `timeout`.
absl::StatusOr<agent::v1::StatusReply> AskStatus(const std::string& socket, absl::Duration timeout);
absl::StatusOr<agent::v1::DropsReply> AskDrops(const std::string& socket, absl::Duration timeout);

}  // namespace ripstop::lab

#endif  // RIPSTOP_E2E_LAB_AGENT_CLIENT_H_
