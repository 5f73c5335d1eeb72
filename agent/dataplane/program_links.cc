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
#include "agent/dataplane/program_places.h"
#include "policy/base/unique_fd.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

// Offset of tcx.ifindex in struct bpf_link_info: after type, id, prog_id and padding.
constexpr size_t kLinkIfindexOffset = 16;

// A kernel that knows tcx misses the interface; one that does not, the attach type. With a
// real program, since that is looked up before either.
bool KernelHasTcx() {
  bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0},
                     {.code = BPF_JMP | BPF_EXIT}};
  const UniqueFd program(
      bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "tcx_probe", "GPL", code, 2, nullptr));
  if (!program.ok()) return false;
  const UniqueFd link(
      bpf_link_create(program.get(), 0x7fffffff, TcxPoint(AttachPoint::kIngress), nullptr));
  return link.ok() || errno == ENODEV;
}

// Interface of a link; 0 when it is gone, or somebody has detached the link, which is dead then.
uint32_t LinkIfindex(int fd) {
  bpf_link_info info = {};
  uint32_t bytes = sizeof(info), ifindex = 0;
  if (bpf_obj_get_info_by_fd(fd, &info, &bytes) != 0) return 0;
  std::memcpy(&ifindex, reinterpret_cast<const char*>(&info) + kLinkIfindexOffset, sizeof(ifindex));
  return ifindex;
}

std::string What(const char* verb, const std::string& name, uint32_t ifindex) {
  return absl::StrCat(verb, " ", name, ": interface ", ifindex);
}

}  // namespace

ProgramLinks::ProgramLinks(std::string dir, bool force_clsact)
    : dir_(std::move(dir)), tcx_(!force_clsact && !dir_.empty() && KernelHasTcx()) {}

std::string ProgramLinks::Path(const std::string& name, uint32_t ifindex) const {
  return absl::StrCat(dir_, "/", name, "-", ifindex);
}

absl::Status ProgramLinks::AttachFilter(const std::string& name, int program_fd, uint32_t ifindex,
                                        AttachPoint point) {
  const std::string what = What("attach", name, ifindex);
  bpf_tc_hook hook = TcHook(ifindex, point);
  if (int error = bpf_tc_hook_create(&hook); error != 0 && error != -EEXIST) {
    return InterfaceError(-error, what);
  }
  LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program_fd, .flags = BPF_TC_F_REPLACE,
              .handle = kFilterHandle, .priority = kFilterPriority);
  if (int error = bpf_tc_attach(&hook, &options); error != 0) return InterfaceError(-error, what);
  return absl::OkStatus();
}

// The link where it is pinned, given this program; else a new one.
absl::StatusOr<UniqueFd> ProgramLinks::AttachLink(const std::string& name, int program_fd,
                                                  uint32_t ifindex, AttachPoint point) {
  const std::string path = Path(name, ifindex);
  UniqueFd pinned(bpf_obj_get(path.c_str()));
  if (pinned.ok() && LinkIfindex(pinned.get()) == ifindex) {
    if (bpf_link_update(pinned.get(), program_fd, nullptr) == 0) return pinned;
    return absl::ErrnoToStatus(errno, absl::StrCat("update the link ", path));
  }
  // Of an interface that had this number before, or detached by somebody.
  unlink(path.c_str());
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = kBeforeAll);
  UniqueFd link(bpf_link_create(program_fd, static_cast<int>(ifindex), TcxPoint(point), &options));
  if (!link.ok()) return InterfaceError(errno, What("attach", name, ifindex));
  return link;
}

absl::Status ProgramLinks::Attach(const std::string& name, int program_fd, uint32_t ifindex,
                                  AttachPoint point) {
  Attached attached{program_fd, point, {}};
  if (tcx_) {
    ASSIGN_OR_RETURN(attached.link, AttachLink(name, program_fd, ifindex, point));
    bool was_gone = false;
    RETURN_IF_ERROR(EnsurePin({name, ifindex}, attached, &was_gone));
  } else {
    RETURN_IF_ERROR(AttachFilter(name, program_fd, ifindex, point));
  }
  attached_[{name, ifindex}] = std::move(attached);
  return absl::OkStatus();
}

absl::Status ProgramLinks::Detach(const std::string& name, uint32_t ifindex, AttachPoint point) {
  attached_.erase({name, ifindex});
  if (tcx_) {
    const std::string path = Path(name, ifindex);
    // Unpinning alone detaches at some later moment: the kernel defers freeing the link.
    if (const UniqueFd link(bpf_obj_get(path.c_str())); link.ok()) bpf_link_detach(link.get());
    if (unlink(path.c_str()) != 0 && errno != ENOENT) {
      return absl::ErrnoToStatus(errno, absl::StrCat("unpin ", path));
    }
    return absl::OkStatus();
  }
  bpf_tc_hook hook = TcHook(ifindex, point);
  LIBBPF_OPTS(bpf_tc_opts, options, .handle = kFilterHandle, .priority = kFilterPriority);
  const int error = bpf_tc_detach(&hook, &options);
  if (error == 0 || error == -ENOENT || error == -ENODEV || error == -EINVAL) {
    return absl::OkStatus();
  }
  return absl::ErrnoToStatus(-error, What("detach", name, ifindex));
}

absl::Status ProgramLinks::Replace(const std::string& name, int program_fd) {
  std::vector<std::pair<uint32_t, AttachPoint>> places;
  for (auto& [place, attached] : attached_) {
    if (place.first != name) continue;
    places.emplace_back(place.second, attached.point);
    // Whatever comes of it: this is what Repair brings there.
    attached.program_fd = program_fd;
  }
  absl::Status status;
  for (const auto& [ifindex, point] : places) {
    const absl::Status done = Attach(name, program_fd, ifindex, point);
    if (!absl::IsNotFound(done)) status.Update(done);  // gone, and its program with it
  }
  return status;
}

bool ProgramLinks::IsOurs(const std::string& name, uint32_t ifindex, AttachPoint point) const {
  if (tcx_) {
    const UniqueFd link(bpf_obj_get(Path(name, ifindex).c_str()));
    return link.ok() && LinkIfindex(link.get()) == ifindex;
  }
  // One filter, whatever its name.
  const auto programs = ProgramsAt(ifindex, point);
  return programs.ok() && !programs->empty();
}

std::vector<std::string> ProgramLinks::PinnedAs(const std::string& name) const {
  std::vector<std::string> paths;
  DIR* dir = opendir(dir_.c_str());
  if (dir == nullptr) return paths;
  while (const dirent* entry = readdir(dir)) {
    if (absl::StartsWith(entry->d_name, absl::StrCat(name, "-"))) {
      paths.push_back(absl::StrCat(dir_, "/", entry->d_name));
    }
  }
  closedir(dir);
  return paths;
}

absl::Status ProgramLinks::Refresh(const std::string& name, int program_fd) {
  if (!tcx_) return absl::OkStatus();
  for (const std::string& path : PinnedAs(name)) {
    const UniqueFd link(bpf_obj_get(path.c_str()));
    if (!link.ok() || LinkIfindex(link.get()) == 0) {
      unlink(path.c_str());
    } else if (bpf_link_update(link.get(), program_fd, nullptr) != 0 && errno != ENOLINK) {
      return absl::ErrnoToStatus(errno, absl::StrCat("update the link ", path));
    }
  }
  return absl::OkStatus();
}

}  // namespace ripstop::agent
