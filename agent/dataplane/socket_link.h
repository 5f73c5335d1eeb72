// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_DATAPLANE_SOCKET_LINK_H_
#define RIPSTOP_AGENT_DATAPLANE_SOCKET_LINK_H_

#include <string>

#include "absl/status/status.h"

namespace ripstop::agent {

// An sk_lookup program on the calling thread's network namespace, by a link pinned at
// `path`, so that it stays when the agent goes.

// Attaches `program_fd`, or gives it to the link that is pinned there, without a gap.
absl::Status AttachToSockets(const std::string& path, int program_fd);

// Whether `program_fd` is what stands there.
bool IsAttachedToSockets(const std::string& path, int program_fd);

// Gives `program_fd` to the pinned link, if there is one.
absl::Status RefreshSocketLink(const std::string& path, int program_fd);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DATAPLANE_SOCKET_LINK_H_
