// SPDX-License-Identifier: Apache-2.0
//
// The real programs on a node as Scene has it, by BPF_PROG_TEST_RUN, in a network namespace of
// the process's own. What NodeModel is compared with.
#ifndef RIPSTOP_BPF_LOADER_FUZZ_KERNEL_NODE_H_
#define RIPSTOP_BPF_LOADER_FUZZ_KERNEL_NODE_H_

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "bpf/loader/datapath_object.h"
#include "bpf/loader/entry_program.h"
#include "bpf/loader/fuzz/node_model.h"
#include "bpf/loader/fuzz/packet_mark.h"
#include "bpf/loader/owner_store.h"
#include "bpf/loader/table_store.h"

namespace ripstop::loader::fuzz {

class KernelNode {
 public:
  // Takes the whole process into a new network namespace, with interfaces and routes.
  //   kPermissionDenied  a privilege is missing
  static absl::StatusOr<std::unique_ptr<KernelNode>> Create();

  const policy::EngineOptions& engine_options() const { return engine_options_; }
  absl::Status Apply(const policy::TableWrites& writes, uint32_t l4_table);
  void SetSettings(const NodeSettings& settings);
  const std::map<policy::Address, uint32_t>& vteps() const { return vteps_; }

  // Whose a number in a mark is, as of the last Apply.
  const std::map<uint16_t, Sender>& senders() const { return senders_; }

  absl::StatusOr<Outcome> Run(const PacketEvent& event);
  uint64_t Drops(uint32_t reason) const;
  // As the programs know it; nullopt: they do not. In the form and order of the model,
  // but that the epoch of a side says how often its set was revoked since.
  std::optional<Flow> FlowOf(const FlowName& name) const;
  size_t flow_count() const;
  absl::Status ForgetFlows(const std::vector<policy::Address>& addresses);
  // No flow, no fragment, and answers as many as one likes.
  void Forget();
  void AllowAnswers();

 private:
  KernelNode() = default;
  void ReadNumbers();
  int ProgramOf(Program program) const;

  std::unique_ptr<DatapathObject> object_;
  std::unique_ptr<TableStore> tables_;
  policy::EngineOptions engine_options_;
  bool in_force_ = false;
  std::map<policy::Address, uint32_t> vteps_;
  std::map<uint16_t, Sender> senders_;
  std::array<EntryProgram, 2> entries_;  // before from_tunnel, to_host
};

}  // namespace ripstop::loader::fuzz

#endif  // RIPSTOP_BPF_LOADER_FUZZ_KERNEL_NODE_H_
