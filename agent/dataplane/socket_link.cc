// SPDX-License-Identifier: Apache-2.0
#include "agent/dataplane/socket_link.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "bpf/loader/bpf_fd.h"

namespace ripstop::agent {

absl::Status RefreshSocketLink(const std::string& path, int program_fd) {
  const loader::BpfFd link(bpf_obj_get(path.c_str()));
  if (!link.ok()) return absl::OkStatus();
  if (bpf_link_update(link.get(), program_fd, nullptr) == 0) return absl::OkStatus();
  if (errno != ENOLINK) return absl::ErrnoToStatus(errno, absl::StrCat("update the link ", path));
  unlink(path.c_str());  // its namespace is gone
  return absl::OkStatus();
}

absl::Status AttachToSockets(const std::string& path, int program_fd) {
  if (absl::Status status = RefreshSocketLink(path, program_fd); !status.ok()) return status;
  if (access(path.c_str(), F_OK) == 0) return absl::OkStatus();
  const loader::BpfFd netns(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!netns.ok()) return absl::ErrnoToStatus(errno, "open /proc/thread-self/ns/net");
  const loader::BpfFd link(bpf_link_create(program_fd, netns.get(), BPF_SK_LOOKUP, nullptr));
  if (!link.ok()) {
    return absl::ErrnoToStatus(errno, "attach to_socket to the lookup of this host's sockets");
  }
  if (bpf_obj_pin(link.get(), path.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("pin ", path));
  }
  return absl::OkStatus();
}

}  // namespace ripstop::agent
