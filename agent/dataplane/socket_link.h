// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_DATAPLANE_SOCKET_LINK_H_
#define RIPSTOP_AGENT_DATAPLANE_SOCKET_LINK_H_

#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "agent/dataplane/program_links.h"
#include "policy/base/unique_fd.h"

namespace ripstop::agent {

// The program `to_socket` (sk_lookup) on a network namespace: by a link that is pinned, so that
// it stays when the agent goes, and held, so that it stays when the pin goes. One thread.
class SocketLink {
 public:
  // `dir`: where links are pinned, on a bpffs.
  explicit SocketLink(std::string dir) : dir_(std::move(dir)), path_(dir_ + "/to_socket") {}

  // Whether an agent was here that attached it.
  bool IsPinned() const;
  // Gives `program_fd` to the link that an earlier agent has pinned, if there is one.
  absl::Status Refresh(int program_fd);
  // Attaches it to the calling thread's network namespace, or gives it to the link that is
  // there, without a gap.
  absl::Status Attach(int program_fd);
  // After Attach, in the same namespace: puts back what somebody else took away.
  std::optional<ProgramFinding> Repair(int program_fd);

 private:
  bool IsAttached(int program_fd) const;
  absl::Status Create(int program_fd);
  absl::Status Pin() const;

  const std::string dir_;
  const std::string path_;
  UniqueFd link_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DATAPLANE_SOCKET_LINK_H_
