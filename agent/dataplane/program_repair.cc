// SPDX-License-Identifier: Apache-2.0
//
// Programs that somebody else detached. The kernel tells nobody of it, so this asks.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "agent/dataplane/program_links.h"
#include "agent/dataplane/program_places.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

uint32_t ProgramId(int program_fd) {
  bpf_prog_info info = {};
  uint32_t bytes = sizeof(info);
  return bpf_obj_get_info_by_fd(program_fd, &info, &bytes) == 0 ? info.id : 0;
}

}  // namespace

absl::StatusOr<std::vector<uint32_t>> ProgramLinks::ProgramsAt(uint32_t ifindex,
                                                               AttachPoint point) const {
  const std::string what = absl::StrCat("list programs: interface ", ifindex);
  if (tcx_) {
    std::vector<uint32_t> ids(kProgramsMax);
    LIBBPF_OPTS(bpf_prog_query_opts, options, .prog_ids = ids.data(), .prog_cnt = kProgramsMax);
    if (bpf_prog_query_opts(static_cast<int>(ifindex), TcxPoint(point), &options) != 0) {
      return InterfaceError(errno, what);
    }
    ids.resize(std::min<size_t>(options.prog_cnt, ids.size()));
    return ids;
  }
  bpf_tc_hook hook = TcHook(ifindex, point);
  LIBBPF_OPTS(bpf_tc_opts, options, .handle = kFilterHandle, .priority = kFilterPriority);
  const int error = bpf_tc_query(&hook, &options);
  if (error == 0) return std::vector<uint32_t>{options.prog_id};
  // No filter, or nothing that could hold one.
  if (error == -ENOENT || error == -EINVAL) return std::vector<uint32_t>{};
  return InterfaceError(-error, what);
}

absl::Status ProgramLinks::Check(const std::string& name, int program_fd, uint32_t ifindex,
                                 AttachPoint point) const {
  ASSIGN_OR_RETURN(const std::vector<uint32_t> programs, ProgramsAt(ifindex, point));
  const uint32_t ours = ProgramId(program_fd);
  const bool there = std::find(programs.begin(), programs.end(), ours) != programs.end();
  if (ours != 0 && there) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("program ", name, " is not attached to interface ", ifindex));
}

absl::Status ProgramLinks::EnsurePin(const Place& place, const Attached& attached,
                                     bool* ret_was_gone) const {
  const std::string path = Path(place.first, place.second);
  *ret_was_gone = access(path.c_str(), F_OK) != 0;
  if (!*ret_was_gone) return absl::OkStatus();
  mkdir(dir_.c_str(), 0700);  // gone too where another bpffs was mounted
  if (bpf_obj_pin(attached.link.get(), path.c_str()) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("pin ", path));
}

// False: the interface is gone.
bool ProgramLinks::RepairOne(const Place& place, Attached& attached,
                             std::vector<ProgramFinding>& ret) {
  const auto& [name, ifindex] = place;
  const auto find = [&](ProgramFinding::What what, const std::string& message) {
    ret.push_back({what, ifindex, absl::StrCat(name, " at interface ", ifindex, ": ", message)});
  };
  const auto programs = ProgramsAt(ifindex, attached.point);
  if (absl::IsNotFound(programs.status())) return false;
  const uint32_t ours = ProgramId(attached.program_fd);
  const auto there = programs.ok() ? std::find(programs->begin(), programs->end(), ours)
                                   : std::vector<uint32_t>::const_iterator();
  if (!programs.ok() || there == programs->end()) {
    const absl::Status attach = Attach(name, attached.program_fd, ifindex, attached.point);
    if (absl::IsNotFound(attach)) return false;
    if (attach.ok()) {
      find(ProgramFinding::What::kRepaired, "was detached by somebody; attached again");
    } else {
      find(ProgramFinding::What::kFailed,
           absl::StrCat("was detached by somebody: ", std::string(attach.message())));
    }
    return true;
  }
  if (there != programs->begin()) {
    find(ProgramFinding::What::kShadowed,
         absl::StrCat("program ", programs->front(), " of somebody else runs before it"));
  }
  if (!tcx_) return true;
  bool was_gone = false;
  const absl::Status pinned = EnsurePin(place, attached, &was_gone);
  if (!pinned.ok()) {
    find(ProgramFinding::What::kUnpinned, std::string(pinned.message()));
  } else if (was_gone) {
    find(ProgramFinding::What::kPinned, "its pin was removed by somebody; pinned again");
  }
  return true;
}

std::vector<ProgramFinding> ProgramLinks::Repair() {
  std::vector<ProgramFinding> findings;
  std::vector<Place> places;
  for (const auto& [place, attached] : attached_) places.push_back(place);
  for (const Place& place : places) {
    if (!RepairOne(place, attached_.at(place), findings)) attached_.erase(place);
  }
  return findings;
}

}  // namespace ripstop::agent
