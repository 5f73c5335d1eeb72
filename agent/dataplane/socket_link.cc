// SPDX-License-Identifier: Apache-2.0
#include "agent/dataplane/socket_link.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "policy/base/unique_fd.h"

namespace ripstop::agent {

absl::Status RefreshSocketLink(const std::string& path, int program_fd) {
  const UniqueFd link(bpf_obj_get(path.c_str()));
  if (!link.ok() && errno == ENOENT) return absl::OkStatus();
  if (!link.ok()) return absl::ErrnoToStatus(errno, absl::StrCat("open the link ", path));
  if (bpf_link_update(link.get(), program_fd, nullptr) == 0) return absl::OkStatus();
  if (errno != ENOLINK) return absl::ErrnoToStatus(errno, absl::StrCat("update the link ", path));
  unlink(path.c_str());  // its namespace is gone
  return absl::OkStatus();
}

bool IsAttachedToSockets(const std::string& path, int program_fd) {
  const UniqueFd link(bpf_obj_get(path.c_str()));
  bpf_link_info info = {};
  bpf_prog_info program = {};
  uint32_t link_bytes = sizeof(info), program_bytes = sizeof(program);
  // A link that was detached stands without a namespace.
  return link.ok() && bpf_obj_get_info_by_fd(link.get(), &info, &link_bytes) == 0 &&
         info.netns.netns_ino != 0 &&
         bpf_obj_get_info_by_fd(program_fd, &program, &program_bytes) == 0 &&
         info.prog_id == program.id;
}

absl::Status AttachToSockets(const std::string& path, int program_fd) {
  if (absl::Status status = RefreshSocketLink(path, program_fd); !status.ok()) return status;
  if (access(path.c_str(), F_OK) == 0) return absl::OkStatus();
  const UniqueFd netns(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!netns.ok()) return absl::ErrnoToStatus(errno, "open /proc/thread-self/ns/net");
  const UniqueFd link(bpf_link_create(program_fd, netns.get(), BPF_SK_LOOKUP, nullptr));
  if (!link.ok()) {
    return absl::ErrnoToStatus(errno, "attach to_socket to the lookup of this host's sockets");
  }
  if (bpf_obj_pin(link.get(), path.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("pin ", path));
  }
  return absl::OkStatus();
}

}  // namespace ripstop::agent
