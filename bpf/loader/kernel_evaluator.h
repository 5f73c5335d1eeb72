// SPDX-License-Identifier: Apache-2.0
//
// Policy verdicts from the real programs, without a network.
//
//   Engine ──TableWrites──▶ [KernelEvaluator] ──BPF_PROG_TEST_RUN──▶ verdict words
//
// Loads the datapath privately (nothing pinned, nothing attached) and runs
// from_workload for packets of local endpoints, to_workload for those of this host (as if
// it obeyed policy) and from_host for others, each packet as the first of a new flow. Local
// endpoints are moved to the loopback interface, where a test run takes place. About 3 µs per
// packet. Needs CAP_BPF and CAP_NET_ADMIN. One thread at a time.
#ifndef RIPSTOP_BPF_LOADER_KERNEL_EVALUATOR_H_
#define RIPSTOP_BPF_LOADER_KERNEL_EVALUATOR_H_

#include <memory>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "bpf/abi/drops.h"
#include "bpf/abi/flows.h"
#include "bpf/loader/frame.h"
#include "bpf/loader/table_store.h"

namespace ripstop::loader {

struct KernelVerdict {
  bool delivered = false;    // neither dropped, nor (from_host) passed over
  uint32_t egress_word = 0;  // verdict words; 0: no local endpoint in this direction
  uint32_t ingress_word = 0;
  drop_reason reason = DROP_NONE;
  int action = 0;       // what the program returned, TC_ACT_*
  uint32_t sender = 0;  // node number that from_host vouched for
};

enum class Hook { kFromWorkload, kToWorkload, kFromHost, kFromTunnel };

// One test run of one packet.
struct RunResult {
  KernelVerdict verdict;
  Frame frame;  // as the program left it
};

class KernelEvaluator {
 public:
  // What is asked of it: Evaluate alone needs three of seven programs, which is half of the time.
  // kExits: what leaves the host too.
  enum class Use { kVerdicts, kFrames, kExits };

  // Errors: those of DatapathObject::Load.
  static absl::StatusOr<std::unique_ptr<KernelEvaluator>> Open(const DatapathSizes& sizes = Sizes(),
                                                               Use use = Use::kFrames);
  static absl::StatusOr<std::unique_ptr<KernelEvaluator>> OpenForVerdicts() {
    return Open(Sizes(), Use::kVerdicts);
  }

  // What the engine must be made with whose writes come here.
  const policy::EngineOptions& engine_options() const { return engine_options_; }

  // Applies writes of the one engine; `l4_table` is Engine::l4_table() after the Flush
  // that made them. The first call puts the tables in force.
  absl::Status Apply(const policy::TableWrites& writes, uint32_t l4_table);

  // The verdict for the first packet of a flow. Both words are 0 when neither end is a
  // local endpoint. A packet that is dropped before policy is asked (a martian
  // destination, say) has words of 0 and the reason.
  absl::StatusOr<KernelVerdict> Evaluate(const policy::Packet& packet);

  // Runs any frame through one program, flows and all; for packet tests, with Use::kFrames.
  // `ingress_ifindex`: 0 is a packet of this host's own stack. `gso_size`: bytes of payload in
  // each segment of it, 0 where it is one.
  absl::StatusOr<RunResult> Run(Hook hook, const Frame& frame, uint32_t ingress_ifindex = 0,
                                uint32_t gso_size = 0);

  // The same through a program of the caller's.
  absl::StatusOr<RunResult> RunProgram(int program, const Frame& frame, uint32_t ingress_ifindex,
                                       uint32_t gso_size = 0, uint32_t mark = 0);

  int Program(Hook hook) const;

  // Best of `rounds` averages over `repeat` runs of one packet, nanoseconds.
  absl::StatusOr<double> Nanoseconds(Hook hook, const Frame& frame, uint32_t repeat, int rounds);

  DatapathObject& object() { return *object_; }
  TableStore& tables() { return *tables_; }

 private:
  static DatapathSizes Sizes();
  KernelEvaluator() = default;
  void EndFlow(const flow_key& key);

  std::unique_ptr<DatapathObject> object_;
  std::unique_ptr<TableStore> tables_;
  policy::EngineOptions engine_options_;
  bool in_force_ = false;
  absl::flat_hash_set<policy::Address> local_;
  absl::flat_hash_set<policy::Address> host_;
};

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_KERNEL_EVALUATOR_H_
