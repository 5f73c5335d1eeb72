// SPDX-License-Identifier: Apache-2.0
//
// Programs on interfaces: tcx links (kernel 6.6 and later), pinned, so that they stay
// when the agent goes; clsact filters before that.
#ifndef RIPSTOP_AGENT_DATAPLANE_PROGRAM_LINKS_H_
#define RIPSTOP_AGENT_DATAPLANE_PROGRAM_LINKS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace ripstop::agent {

enum class AttachPoint { kIngress, kEgress };

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

  // Whether `program_fd` is what Attach left there, as the kernel has it.
  //   kFailedPrecondition  it is not
  absl::Status Check(const std::string& name, int program_fd, uint32_t ifindex,
                     AttachPoint point) const;

  // For each pinned link called `name`: gives it `program_fd`, or unpins it when its
  // interface is gone.
  absl::Status Refresh(const std::string& name, int program_fd);

  bool uses_tcx() const { return tcx_; }

 private:
  std::string Path(const std::string& name, uint32_t ifindex) const;

  const std::string dir_;
  bool tcx_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DATAPLANE_PROGRAM_LINKS_H_
