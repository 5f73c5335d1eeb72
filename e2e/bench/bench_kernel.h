// SPDX-License-Identifier: Apache-2.0
//
// The real programs and their tables, timed by BPF_PROG_TEST_RUN.
//
//   World ──▶ Engine ──TableWrites──▶ [BenchKernel] ──▶ nanoseconds
//
// Every figure is the minimum of several runs, the cost of an empty program on the same
// way subtracted.
#ifndef RIPSTOP_E2E_BENCH_BENCH_KERNEL_H_
#define RIPSTOP_E2E_BENCH_BENCH_KERNEL_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bpf/loader/kernel_evaluator.h"
#include "policy/engine/put_world.h"

struct bench;
struct ring_buffer;

namespace ripstop::bench {

struct Timing {
  double best = 0;  // ns
  double median = 0;
};

class BenchKernel {
 public:
  static absl::StatusOr<std::unique_ptr<BenchKernel>> Open();
  ~BenchKernel();

  // Applies what `engine` has to write; the engine must be made with engine_options().
  absl::Status Apply(policy::Engine& engine) {
    const policy::TableWrites writes = engine.Flush();
    return Apply(writes, engine.l4_table());  // known only after the flush
  }
  absl::Status Apply(const policy::TableWrites& writes, uint32_t l4_table) {
    return evaluator_->Apply(writes, l4_table);
  }
  const policy::EngineOptions& engine_options() const { return evaluator_->engine_options(); }
  loader::KernelEvaluator& evaluator() { return *evaluator_; }

  // An empty program, nothing subtracted.
  absl::StatusOr<Timing> Empty();
  // The verdict of `packet` in one direction. kFailedPrecondition: none could be read.
  absl::StatusOr<Timing> Verdict(const policy::Packet& packet, policy::Direction direction);
  // from_workload or from_host on this packet, each time as the first of a flow.
  absl::StatusOr<Timing> NewFlow(loader::Hook hook, const loader::FrameSpec& spec);
  // The same while somebody watches flows: with an event for each, which a reader takes.
  absl::StatusOr<Timing> WatchedFlow(const loader::FrameSpec& spec);
  // A SYN between pods of this node and its answer, together.
  absl::StatusOr<Timing> AnsweredFlow(const loader::FrameSpec& spec);
  // The same for a flow that both ends have talked on. `program`: in the place of from_workload.
  // `answers`: where the other end's packets come in.
  absl::StatusOr<Timing> EstablishedFlow(const loader::FrameSpec& spec, int program = -1,
                                         loader::Hook answers = loader::Hook::kFromWorkload);
  // A packet of it where the pod is masqueraded as `ours`; both ends have talked. Needs a route to
  // the other end.
  struct MasqueradedTimings {
    Timing sent;        // from_workload, which translates
    Timing finished;    // to_host, of a packet that is translated
    Timing translated;  // to_host, where it has to: fragments, what the host's stack has forwarded
  };
  absl::StatusOr<MasqueradedTimings> MasqueradedFlow(const loader::FrameSpec& spec,
                                                     const policy::Address& ours);
  // Any program that takes this packet's frame.
  absl::StatusOr<Timing> Program(int program_fd, const policy::Packet& packet);

  // The word that the last Verdict read.
  uint32_t word() const;

 private:
  BenchKernel() = default;
  absl::StatusOr<Timing> Time(int program_fd, const loader::Frame& frame);
  absl::StatusOr<Timing> TimeRenewed(int subject_fd, const loader::Frame& frame, bool new_flow,
                                     const policy::Address& forget);
  // kFailedPrecondition: it is dropped.
  absl::StatusOr<loader::Frame> Passed(int program_fd, const loader::Frame& frame);

  std::unique_ptr<loader::KernelEvaluator> evaluator_;
  struct bench* skeleton_ = nullptr;
  ring_buffer* events_ = nullptr;
};

}  // namespace ripstop::bench

#endif  // RIPSTOP_E2E_BENCH_BENCH_KERNEL_H_
