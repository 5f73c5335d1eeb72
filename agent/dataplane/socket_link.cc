// SPDX-License-Identifier: Apache-2.0
#include "agent/dataplane/socket_link.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "policy/status_macros.h"

namespace ripstop::agent {

bool SocketLink::IsPinned() const { return access(path_.c_str(), F_OK) == 0; }

absl::Status SocketLink::Refresh(int program_fd) {
  if (!link_.ok()) link_ = UniqueFd(bpf_obj_get(path_.c_str()));
  if (!link_.ok()) return absl::OkStatus();
  if (bpf_link_update(link_.get(), program_fd, nullptr) == 0) return absl::OkStatus();
  if (errno != ENOLINK) return absl::ErrnoToStatus(errno, absl::StrCat("update the link ", path_));
  // Somebody detached it, or its namespace is gone.
  unlink(path_.c_str());
  link_.reset();
  return absl::OkStatus();
}

bool SocketLink::IsAttached(int program_fd) const {
  bpf_link_info info = {};
  bpf_prog_info program = {};
  uint32_t link_bytes = sizeof(info), program_bytes = sizeof(program);
  // A link that was detached stands without a namespace.
  return link_.ok() && bpf_obj_get_info_by_fd(link_.get(), &info, &link_bytes) == 0 &&
         info.netns.netns_ino != 0 &&
         bpf_obj_get_info_by_fd(program_fd, &program, &program_bytes) == 0 &&
         info.prog_id == program.id;
}

absl::Status SocketLink::Create(int program_fd) {
  RETURN_IF_ERROR(Refresh(program_fd));
  if (link_.ok()) return absl::OkStatus();
  const UniqueFd netns(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!netns.ok()) return absl::ErrnoToStatus(errno, "open /proc/thread-self/ns/net");
  link_ = UniqueFd(bpf_link_create(program_fd, netns.get(), BPF_SK_LOOKUP, nullptr));
  if (link_.ok()) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "attach to_socket to the lookup of this host's sockets");
}

absl::Status SocketLink::Pin() const {
  if (IsPinned()) return absl::OkStatus();
  mkdir(dir_.c_str(), 0700);  // gone too where another bpffs was mounted
  if (bpf_obj_pin(link_.get(), path_.c_str()) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("pin ", path_));
}

absl::Status SocketLink::Attach(int program_fd) {
  RETURN_IF_ERROR(Create(program_fd));
  return Pin();
}

std::optional<ProgramFinding> SocketLink::Repair(int program_fd) {
  using What = ProgramFinding::What;
  if (!IsAttached(program_fd)) {
    absl::Status attached = Create(program_fd);
    if (!attached.ok()) {
      return ProgramFinding{
          What::kFailed, 0,
          absl::StrCat("to_socket was detached by somebody: ", std::string(attached.message()))};
    }
    Pin().IgnoreError();  // said next time
    return ProgramFinding{What::kRepaired, 0, "to_socket was detached by somebody; attached again"};
  }
  if (access(path_.c_str(), F_OK) == 0) return std::nullopt;
  if (absl::Status pinned = Pin(); !pinned.ok()) {
    return ProgramFinding{What::kUnpinned, 0,
                          absl::StrCat("to_socket: ", std::string(pinned.message()))};
  }
  return ProgramFinding{What::kPinned, 0,
                        "to_socket: its pin was removed by somebody; pinned again"};
}

}  // namespace ripstop::agent
