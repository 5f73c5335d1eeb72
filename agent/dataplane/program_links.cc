// SPDX-License-Identifier: Apache-2.0
#include "agent/dataplane/program_links.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bpf/loader/bpf_fd.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

// Debian 12's headers and libbpf 1.1 predate tcx; these are the kernel's numbers.
constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);
constexpr auto kTcxEgress = static_cast<bpf_attach_type>(47);
// Offset of tcx.ifindex in struct bpf_link_info: after type, id, prog_id and padding.
constexpr size_t kLinkIfindexOffset = 16;

constexpr uint32_t kFilterHandle = 1;
constexpr uint32_t kFilterPriority = 1;

bpf_attach_type Tcx(AttachPoint point) {
  return point == AttachPoint::kIngress ? kTcxIngress : kTcxEgress;
}

// A kernel that knows tcx misses the interface; one that does not, the attach type. With a
// real program, since that is looked up before either.
bool KernelHasTcx() {
  bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0},
                     {.code = BPF_JMP | BPF_EXIT}};
  const loader::BpfFd program(
      bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "tcx_probe", "GPL", code, 2, nullptr));
  if (!program.ok()) return false;
  const loader::BpfFd link(bpf_link_create(program.get(), 0x7fffffff, kTcxIngress, nullptr));
  return link.ok() || errno == ENODEV;
}

// Interface of a link; 0 when the interface is gone and the link dead.
uint32_t LinkIfindex(int fd) {
  bpf_link_info info = {};
  uint32_t bytes = sizeof(info);
  if (bpf_obj_get_info_by_fd(fd, &info, &bytes) != 0) return 0;
  uint32_t ifindex;
  std::memcpy(&ifindex, reinterpret_cast<const char*>(&info) + kLinkIfindexOffset, sizeof(ifindex));
  return ifindex;
}

absl::Status InterfaceError(int error, const std::string& what) {
  if (error == ENODEV) return absl::NotFoundError(absl::StrCat(what, ": no such interface"));
  return absl::ErrnoToStatus(error, what);
}

}  // namespace

ProgramLinks::ProgramLinks(std::string dir, bool force_clsact)
    : dir_(std::move(dir)), tcx_(!force_clsact && !dir_.empty() && KernelHasTcx()) {}

std::string ProgramLinks::Path(const std::string& name, uint32_t ifindex) const {
  return absl::StrCat(dir_, "/", name, "-", ifindex);
}

absl::Status ProgramLinks::Attach(const std::string& name, int program_fd, uint32_t ifindex,
                                  AttachPoint point) {
  const std::string what = absl::StrCat("attach ", name, " to interface ", ifindex);
  if (!tcx_) {
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = static_cast<int>(ifindex),
                .attach_point = point == AttachPoint::kIngress ? BPF_TC_INGRESS : BPF_TC_EGRESS);
    if (int error = bpf_tc_hook_create(&hook); error != 0 && error != -EEXIST) {
      return InterfaceError(-error, what);
    }
    LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program_fd, .flags = BPF_TC_F_REPLACE,
                .handle = kFilterHandle, .priority = kFilterPriority);
    if (int error = bpf_tc_attach(&hook, &options); error != 0) return InterfaceError(-error, what);
    return absl::OkStatus();
  }
  const std::string path = Path(name, ifindex);
  const loader::BpfFd pinned(bpf_obj_get(path.c_str()));
  if (pinned.ok() && LinkIfindex(pinned.get()) == ifindex) {
    if (bpf_link_update(pinned.get(), program_fd, nullptr) == 0) return absl::OkStatus();
    return absl::ErrnoToStatus(errno, absl::StrCat("update the link ", path));
  }
  unlink(path.c_str());  // of an interface that had this number before
  const loader::BpfFd link(
      bpf_link_create(program_fd, static_cast<int>(ifindex), Tcx(point), nullptr));
  if (!link.ok()) return InterfaceError(errno, what);
  if (bpf_obj_pin(link.get(), path.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("pin ", path));
  }
  return absl::OkStatus();
}

absl::Status ProgramLinks::Detach(const std::string& name, uint32_t ifindex, AttachPoint point) {
  if (tcx_) {
    const std::string path = Path(name, ifindex);
    // Unpinning alone detaches at some later moment: the kernel defers freeing the link.
    if (const loader::BpfFd link(bpf_obj_get(path.c_str())); link.ok()) bpf_link_detach(link.get());
    if (unlink(path.c_str()) != 0 && errno != ENOENT) {
      return absl::ErrnoToStatus(errno, absl::StrCat("unpin ", path));
    }
    return absl::OkStatus();
  }
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = static_cast<int>(ifindex),
              .attach_point = point == AttachPoint::kIngress ? BPF_TC_INGRESS : BPF_TC_EGRESS);
  LIBBPF_OPTS(bpf_tc_opts, options, .handle = kFilterHandle, .priority = kFilterPriority);
  const int error = bpf_tc_detach(&hook, &options);
  if (error == 0 || error == -ENOENT || error == -ENODEV || error == -EINVAL) {
    return absl::OkStatus();
  }
  return absl::ErrnoToStatus(-error, absl::StrCat("detach ", name, " from interface ", ifindex));
}

absl::Status ProgramLinks::Refresh(const std::string& name, int program_fd) {
  if (!tcx_) return absl::OkStatus();
  DIR* dir = opendir(dir_.c_str());
  if (dir == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat("list ", dir_));
  std::vector<std::string> paths;
  while (const dirent* entry = readdir(dir)) {
    if (absl::StartsWith(entry->d_name, absl::StrCat(name, "-"))) {
      paths.push_back(absl::StrCat(dir_, "/", entry->d_name));
    }
  }
  closedir(dir);
  for (const std::string& path : paths) {
    const loader::BpfFd link(bpf_obj_get(path.c_str()));
    if (!link.ok() || LinkIfindex(link.get()) == 0) {
      unlink(path.c_str());
    } else if (bpf_link_update(link.get(), program_fd, nullptr) != 0 && errno != ENOLINK) {
      return absl::ErrnoToStatus(errno, absl::StrCat("update the link ", path));
    }
  }
  return absl::OkStatus();
}

}  // namespace ripstop::agent
