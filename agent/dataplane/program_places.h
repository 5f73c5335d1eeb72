// SPDX-License-Identifier: Apache-2.0
//
// Where programs sit, in the kernel's words. For the sources of ProgramLinks only.
#ifndef RIPSTOP_AGENT_DATAPLANE_PROGRAM_PLACES_H_
#define RIPSTOP_AGENT_DATAPLANE_PROGRAM_PLACES_H_

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "agent/dataplane/program_links.h"

namespace ripstop::agent {

// clsact: ours is the first filter.
// What the programs are called, in the object and on their links.
inline constexpr char kFromWorkload[] = "from_workload";
inline constexpr char kToWorkload[] = "to_workload";
inline constexpr char kFromHost[] = "from_host";
inline constexpr char kFromTunnel[] = "from_tunnel";
inline constexpr char kFromElsewhere[] = "from_elsewhere";
inline constexpr char kToHost[] = "to_host";

inline constexpr uint32_t kFilterHandle = 1;
inline constexpr uint32_t kFilterPriority = 1;
// tcx: the most programs that the kernel takes at one place (BPF_MPROG_MAX).
inline constexpr uint32_t kProgramsMax = 64;

// Debian 12's headers and libbpf 1.1 predate tcx; these are the kernel's numbers.
inline constexpr uint32_t kBeforeAll = 1 << 3;  // BPF_F_BEFORE, relative to nothing
inline bpf_attach_type TcxPoint(AttachPoint point) {
  return static_cast<bpf_attach_type>(point == AttachPoint::kIngress ? 46 : 47);
}

inline bpf_tc_hook TcHook(uint32_t ifindex, AttachPoint point) {
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = static_cast<int>(ifindex),
              .attach_point = point == AttachPoint::kIngress ? BPF_TC_INGRESS : BPF_TC_EGRESS);
  return hook;
}

inline absl::Status InterfaceError(int error, const std::string& what) {
  if (error == ENODEV) return absl::NotFoundError(absl::StrCat(what, ": no such interface"));
  return absl::ErrnoToStatus(error, what);
}

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DATAPLANE_PROGRAM_PLACES_H_
