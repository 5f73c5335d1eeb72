// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/grace.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "bpf/loader/inner_maps.h"
#include "policy/status_macros.h"

namespace ripstop::loader {
namespace {

// A map of maps of its own: nothing that a program reads is touched.
absl::Status GraceByMapOfMaps() {
  ASSIGN_OR_RETURN(const UniqueFd inner, MakeInnerMap(BPF_MAP_TYPE_ARRAY, "rs_grace",
                                                      sizeof(uint32_t), sizeof(uint32_t), 1, 0));
  LIBBPF_OPTS(bpf_map_create_opts, options, .inner_map_fd = static_cast<uint32_t>(inner.get()));
  const UniqueFd outer(bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "rs_grace_outer",
                                      sizeof(uint32_t), sizeof(uint32_t), 1, &options));
  if (!outer.ok()) return absl::ErrnoToStatus(errno, "create rs_grace_outer");
  return InstallInnerMap(outer.get(), 0, inner, "rs_grace_outer");
}

}  // namespace

int GlobalMembarrier() {
  return static_cast<int>(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0));
}

absl::Status RcuGrace(int (*membarrier)()) {
  if (membarrier() == 0) return absl::OkStatus();
  const int error = errno;
  const absl::Status status = GraceByMapOfMaps();
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat("no grace period: membarrier(MEMBARRIER_CMD_GLOBAL): ",
                                   std::strerror(error), "; map of maps: ", status.message()));
}

}  // namespace ripstop::loader
