// SPDX-License-Identifier: Apache-2.0
//
// Programs on interfaces: tcx links (kernel 6.6 and later), pinned, so that they stay
// when the agent goes; clsact filters before that.
#ifndef RIPSTOP_AGENT_DATAPLANE_PROGRAM_LINKS_H_
#define RIPSTOP_AGENT_DATAPLANE_PROGRAM_LINKS_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/base/unique_fd.h"

namespace ripstop::agent {

enum class AttachPoint { kIngress, kEgress };

// What somebody else did to a program of ours, and what became of it.
struct ProgramFinding {
  enum class What {
    kRepaired,  // it was detached and is attached again
    kPinned,    // its link's pin was gone and is there again
    kFailed,    // it is detached and cannot be attached: nothing judges what passes
    kUnpinned,  // it runs, but would be gone with the agent
    kShadowed,  // another program runs before it, and may let pass what it would not
  };
  What what = What::kRepaired;
  uint32_t ifindex = 0;
  std::string message;  // names the program and the interface
};

class ProgramLinks {
 public:
  // `dir`: where links are pinned; empty: nothing is pinned (clsact only).
  // `force_clsact`: as on a kernel without tcx.
  ProgramLinks(std::string dir, bool force_clsact);

  // Attaches `program_fd` or replaces what we attached there before, without a gap.
  //   kNotFound  no such interface
  absl::Status Attach(const std::string& name, int program_fd, uint32_t ifindex, AttachPoint point);
  // Fine when there is nothing.
  absl::Status Detach(const std::string& name, uint32_t ifindex, AttachPoint point);

  // Whether something that we or an agent before us attached is there.
  bool IsOurs(const std::string& name, uint32_t ifindex, AttachPoint point) const;

  // Whether `program_fd` is what Attach left there, as the kernel has it.
  //   kFailedPrecondition  it is not
  absl::Status Check(const std::string& name, int program_fd, uint32_t ifindex,
                     AttachPoint point) const;
  // Looks at the kernel whether each program attached by this object, and not detached by
  // it, still is, and puts back what is not. Empty when all is well. What is gone with its
  // interface is forgotten. Two microseconds for each where links are tcx's.
  std::vector<ProgramFinding> Repair();

  // Gives `program_fd` to each place where something was attached as `name`, without a gap. Goes on
  // after a failure, and says the first.
  absl::Status Replace(const std::string& name, int program_fd);

  // For each pinned link called `name`: gives it `program_fd`, or unpins it when its
  // interface is gone.
  absl::Status Refresh(const std::string& name, int program_fd);

  bool uses_tcx() const { return tcx_; }

 private:
  struct Attached {
    int program_fd = -1;
    AttachPoint point = AttachPoint::kIngress;
    // Kept open, so that whoever removes pins or unmounts the bpffs detaches nothing.
    UniqueFd link;
  };
  using Place = std::pair<std::string, uint32_t>;  // program and interface

  std::string Path(const std::string& name, uint32_t ifindex) const;
  std::vector<std::string> PinnedAs(const std::string& name) const;  // paths
  absl::StatusOr<UniqueFd> AttachLink(const std::string& name, int program_fd, uint32_t ifindex,
                                      AttachPoint point);
  absl::Status AttachFilter(const std::string& name, int program_fd, uint32_t ifindex,
                            AttachPoint point);
  // The programs at a place, in the order in which they run.
  absl::StatusOr<std::vector<uint32_t>> ProgramsAt(uint32_t ifindex, AttachPoint point) const;
  absl::Status EnsurePin(const Place& place, const Attached& attached, bool* ret_was_gone) const;
  bool RepairOne(const Place& place, Attached& attached, std::vector<ProgramFinding>& ret);

  const std::string dir_;
  bool tcx_;
  std::map<Place, Attached> attached_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DATAPLANE_PROGRAM_LINKS_H_
