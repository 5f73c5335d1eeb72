// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_BASE_NETNS_H_
#define RIPSTOP_AGENT_BASE_NETNS_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/base/unique_fd.h"

namespace ripstop::agent {

// Opens a network namespace by its path (/run/netns/x, /proc/PID/ns/net).
//   kNotFound         nothing is there
//   kInvalidArgument  it is not a network namespace (also a bind mount gone stale)
absl::StatusOr<UniqueFd> OpenNetns(const std::string& path);

// The namespace of the calling thread.
absl::StatusOr<UniqueFd> OpenCurrentNetns();

// A new namespace without a name; it lives as long as the descriptor.
absl::StatusOr<UniqueFd> CreateNetns();

// Whether two descriptors are the same namespace.
bool SameNetns(int a, int b);

// Runs `function` with that namespace current and returns what it returned. On a helper
// thread, so that the caller's own namespace can never be left behind changed; the
// caller waits. Sockets and /proc/sys/net opened inside belong to the namespace.
absl::Status RunInNetns(int netns_fd, const std::function<absl::Status()>& function);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_BASE_NETNS_H_
