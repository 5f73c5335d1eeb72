// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_BPF_LOADER_ENTRY_PROGRAM_H_
#define RIPSTOP_BPF_LOADER_ENTRY_PROGRAM_H_

#include <linux/bpf.h>

#include "absl/status/statusor.h"
#include "policy/base/unique_fd.h"

namespace ripstop::loader {

// What goes before a program in a test run, which cannot be given a traffic class (skb->tc_index):
// this sets one and goes on to it.
class EntryProgram {
 public:
  EntryProgram() = default;  // none
  // `load` puts the class into register 2; `next` is the program to go on to.
  static absl::StatusOr<EntryProgram> Load(const bpf_insn& load, int next);
  // Of this class.
  static absl::StatusOr<EntryProgram> LoadWith(uint32_t tc_index, int next);
  int fd() const { return program_.get(); }

 private:
  UniqueFd calls_, program_;
};

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_ENTRY_PROGRAM_H_
