// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/entry_program.h"

#include <bpf/bpf.h>
#include <linux/pkt_cls.h>

#include <cerrno>
#include <cstddef>
#include <iterator>

#include "absl/status/status.h"
#include "policy/status_macros.h"

namespace ripstop::loader {

absl::StatusOr<EntryProgram> EntryProgram::Load(const bpf_insn& load, int next) {
  EntryProgram entry;
  entry.calls_ = UniqueFd(bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "entry_calls", sizeof(uint32_t),
                                         sizeof(uint32_t), 1, nullptr));
  const uint32_t zero = 0;
  if (!entry.calls_.ok() || bpf_map_update_elem(entry.calls_.get(), &zero, &next, BPF_ANY) != 0)
    return absl::ErrnoToStatus(errno, "the map of what comes behind a test run's entry");
  const bpf_insn code[] = {load,
                           {.code = BPF_STX | BPF_MEM | BPF_W,
                            .dst_reg = 1,
                            .src_reg = 2,
                            .off = offsetof(__sk_buff, tc_index)},
                           {.code = BPF_LD | BPF_IMM | BPF_DW,
                            .dst_reg = 2,
                            .src_reg = BPF_PSEUDO_MAP_FD,
                            .imm = entry.calls_.get()},
                           {},
                           {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = 0},
                           {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_tail_call},
                           // Only where the tail call fails: no program of ours ends so.
                           {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = TC_ACT_TRAP},
                           {.code = BPF_JMP | BPF_EXIT}};
  entry.program_ = UniqueFd(
      bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "entry", "GPL", code, std::size(code), nullptr));
  if (!entry.program_.ok()) return absl::ErrnoToStatus(errno, "load a test run's entry");
  return entry;
}

absl::StatusOr<EntryProgram> EntryProgram::LoadWith(uint32_t tc_index, int next) {
  return Load(
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .imm = static_cast<int32_t>(tc_index)},
      next);
}

}  // namespace ripstop::loader
