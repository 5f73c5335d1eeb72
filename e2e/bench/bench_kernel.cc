// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/bench_kernel.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/pkt_cls.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bpf/loader/masquerade_store.h"
#include "bpf/loader/tables_reader.h"
#include "bpf/testing/bench_query.h"
#include "e2e/bench/map_memory.h"
#include "policy/status_macros.h"
// Last: it speaks of what the others define.
#include "bpf/bench.skel.h"

namespace ripstop::bench {
namespace {

constexpr int kRuns = 41;
constexpr int kRepeat = 2000;
constexpr double kSlowNs = 5000;
constexpr int kSlowRuns = 9;
constexpr double kSlowRunNs = 5e6;
constexpr uint32_t kPodsInterface = 7;
constexpr uint32_t kEmpty = BENCH_EMPTY, kSubject = BENCH_SUBJECT;

absl::StatusOr<double> RunOnce(int program_fd, const loader::Frame& frame, int repeat) {
  loader::Frame out(frame.size() + 64);
  __sk_buff context = {};
  context.ingress_ifindex = kPodsInterface;  // of no meaning to programs at an ingress
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_out = out.data(),
              .data_size_in = static_cast<uint32_t>(frame.size()),
              .data_size_out = static_cast<uint32_t>(out.size()), .ctx_in = &context,
              .ctx_size_in = sizeof(context), .repeat = repeat);
  if (bpf_prog_test_run_opts(program_fd, &options) != 0) {
    return absl::ErrnoToStatus(errno, "timed test run");
  }
  if (options.retval == TC_ACT_SHOT) {
    return absl::FailedPreconditionError("the frame was dropped, so there is nothing to time");
  }
  return options.duration;
}

Timing Less(Timing a, const Timing& b) { return {a.best - b.best, a.median - b.median}; }

Timing Summary(std::vector<double> runs) {
  std::sort(runs.begin(), runs.end());
  return {runs.front(), runs[runs.size() / 2]};
}

// Gives the bench object the maps of the loaded datapath, each to the map of its name.
absl::Status ShareMaps(bpf_object* object, const loader::DatapathObject& datapath) {
  ASSIGN_OR_RETURN(const auto loaded, MapsOf(datapath));
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    const auto found = loaded.find(bpf_map__name(map));
    if (found == loaded.end()) continue;  // one of its own
    if (int error = bpf_map__reuse_fd(map, found->second.get()); error != 0) {
      return absl::ErrnoToStatus(-error, absl::StrCat("share ", bpf_map__name(map)));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<BenchKernel>> BenchKernel::Open() {
  auto kernel = std::unique_ptr<BenchKernel>(new BenchKernel());
  ASSIGN_OR_RETURN(
      kernel->evaluator_,
      loader::KernelEvaluator::Open(loader::DatapathSizes{}, loader::KernelEvaluator::Use::kExits));
  kernel->skeleton_ = bench__open();
  if (kernel->skeleton_ == nullptr) return absl::ErrnoToStatus(errno, "open the bench object");
  RETURN_IF_ERROR(ShareMaps(kernel->skeleton_->obj, kernel->evaluator_->object()));
  if (int error = bench__load(kernel->skeleton_); error != 0) {
    return absl::ErrnoToStatus(-error, "load the bench object");
  }
  const int empty = bpf_program__fd(kernel->skeleton_->progs.bench_empty);
  if (bpf_map_update_elem(bpf_map__fd(kernel->skeleton_->maps.bench_next), &kEmpty, &empty,
                          BPF_ANY) != 0) {
    return absl::ErrnoToStatus(errno, "bench_next");
  }
  kernel->events_ = ring_buffer__new(
      kernel->evaluator_->object().events(), [](void*, void*, size_t) { return 0; }, nullptr,
      nullptr);
  if (kernel->events_ == nullptr) return absl::ErrnoToStatus(errno, "open rs_events_v2");
  return kernel;
}

BenchKernel::~BenchKernel() {
  ring_buffer__free(events_);
  bench__destroy(skeleton_);
}

absl::StatusOr<Timing> BenchKernel::Time(int program_fd, const loader::Frame& frame) {
  // A slow program needs fewer repetitions to be timed well.
  RETURN_IF_ERROR(RunOnce(program_fd, frame, 3).status());  // cold
  ASSIGN_OR_RETURN(const double first, RunOnce(program_fd, frame, 3));
  const int runs_wanted = first > kSlowNs ? kSlowRuns : kRuns;
  const int repeat =
      first > kSlowNs ? static_cast<int>(std::clamp(kSlowRunNs / first, 2.0, 100.0)) : kRepeat;
  std::vector<double> runs;
  for (int i = 0; i < runs_wanted; ++i) {
    ASSIGN_OR_RETURN(const double ns, RunOnce(program_fd, frame, repeat));
    runs.push_back(ns);
  }
  return Summary(std::move(runs));
}

absl::StatusOr<Timing> BenchKernel::Program(int program_fd, const policy::Packet& packet) {
  loader::FrameSpec spec;
  spec.packet = packet;
  ASSIGN_OR_RETURN(const Timing empty, Empty());
  ASSIGN_OR_RETURN(const Timing all, Time(program_fd, MakeFrame(spec)));
  return Less(all, empty);
}

absl::StatusOr<Timing> BenchKernel::Empty() {
  loader::FrameSpec spec;
  spec.packet.source = spec.packet.destination = policy::Address::FromV4(0x0a000001);
  spec.packet.protocol = policy::kProtocolUdp;
  return Time(bpf_program__fd(skeleton_->progs.bench_empty), MakeFrame(spec));
}

absl::StatusOr<Timing> BenchKernel::Verdict(const policy::Packet& packet,
                                            policy::Direction direction) {
  const bool ingress = direction == policy::Direction::kIngress;
  loader::KernelEvaluator& evaluator = *evaluator_;
  const address_key near = loader::AddressKeyOf(ingress ? packet.destination : packet.source);
  const ip_address far = loader::ToKey(ingress ? packet.source : packet.destination);
  const uint32_t slot = evaluator.tables().slot();
  uint32_t id = 0;
  address_value value = {};
  if (bpf_map_lookup_elem(evaluator.object().addresses(), &slot, &id) != 0) {
    return absl::ErrnoToStatus(errno, "addresses in force");
  }
  const UniqueFd inner(bpf_map_get_fd_by_id(id));
  if (bpf_map_lookup_elem(inner.get(), &near, &value) != 0) {
    return absl::ErrnoToStatus(errno, "the endpoint's address");
  }
  auto& query = skeleton_->bss->asked;
  std::memcpy(const_cast<ip_address*>(&query.remote), &far, sizeof(far));
  query.policy_set = ingress ? value.ingress_set : value.egress_set;
  query.protocol = packet.protocol;
  query.source_port = htons(packet.source_port);
  query.destination_port = htons(packet.destination_port);
  query.word = 0;
  ASSIGN_OR_RETURN(const Timing timing,
                   Program(bpf_program__fd(skeleton_->progs.bench_verdict), packet));
  // A figure of a wrong answer is worth nothing.
  ASSIGN_OR_RETURN(const loader::KernelVerdict truth, evaluator.Evaluate(packet));
  const uint32_t expected = ingress ? truth.ingress_word : truth.egress_word;
  if (query.word == 0 || query.word != expected) {
    return absl::InternalError(
        absl::StrCat("verdict word ", uint32_t{query.word}, ", the datapath says ", expected));
  }
  return timing;
}

uint32_t BenchKernel::word() const { return skeleton_->bss->asked.word; }

absl::StatusOr<Timing> BenchKernel::TimeRenewed(int subject_fd, const loader::Frame& frame,
                                                bool new_flow, const policy::Address& forget) {
  if (bpf_map_update_elem(bpf_map__fd(skeleton_->maps.bench_next), &kSubject, &subject_fd,
                          BPF_ANY) != 0) {
    return absl::ErrnoToStatus(errno, "bench_next");
  }
  auto& query = skeleton_->bss->asked;
  const int renew = bpf_program__fd(skeleton_->progs.bench_renew);
  query.new_flow = new_flow;
  query.turn = 0;
  query.next = kEmpty;
  ASSIGN_OR_RETURN(const Timing empty, Time(renew, frame));
  query.next = kSubject;
  std::vector<double> runs;
  for (int i = 0; i < kRuns; ++i) {
    if (new_flow) {
      RETURN_IF_ERROR(evaluator_->object().ForgetFlows({loader::ToKey(forget)}).status());
      query.port = 1024;
      query.turn = 0;
    }
    // A full buffer would take less time.
    ring_buffer__consume(events_);
    absl::StatusOr<double> ns = RunOnce(renew, frame, kRepeat);
    if (!ns.ok()) {
      // The counters know why it was dropped.
      ASSIGN_OR_RETURN(const auto drops, loader::ReadDrops(evaluator_->object()));
      std::string reasons;
      for (const auto& drop : drops) {
        if (drop.packets > 0) absl::StrAppend(&reasons, " ", drop.name, "=", drop.packets);
      }
      return absl::Status(ns.status().code(),
                          absl::StrCat(std::string(ns.status().message()), ";", reasons));
    }
    runs.push_back(*ns);
  }
  return Less(Summary(std::move(runs)), empty);
}

absl::StatusOr<Timing> BenchKernel::NewFlow(loader::Hook hook, const loader::FrameSpec& spec) {
  const loader::DatapathObject& object = evaluator_->object();
  return TimeRenewed(hook == loader::Hook::kFromWorkload ? object.from_workload()
                     : hook == loader::Hook::kToWorkload ? object.to_workload()
                                                         : object.from_host(),
                     MakeFrame(spec), true, spec.packet.source);
}

absl::StatusOr<Timing> BenchKernel::WatchedFlow(const loader::FrameSpec& spec) {
  datapath_state& state = *evaluator_->object().state();
  const datapath_state before = state;
  state.events_per_second = ~0u;
  state.flags |= STATE_WATCH_FLOWS | STATE_WATCH_CLOSED;
  ASSIGN_OR_RETURN(const uint64_t lost, loader::ReadLost(evaluator_->object(), LOST_EVENTS));
  absl::StatusOr<Timing> timing = NewFlow(loader::Hook::kFromWorkload, spec);
  state.flags = before.flags;
  state.events_per_second = before.events_per_second;
  ASSIGN_OR_RETURN(const uint64_t lost_after, loader::ReadLost(evaluator_->object(), LOST_EVENTS));
  if (timing.ok() && lost_after != lost) {
    return absl::InternalError(absl::StrCat(lost_after - lost, " events were lost, not sent"));
  }
  return timing;
}

// The first frame is turned before it is seen, and every other one is an answer.
absl::StatusOr<Timing> BenchKernel::AnsweredFlow(const loader::FrameSpec& spec) {
  loader::FrameSpec turned = spec;
  std::swap(turned.packet.source, turned.packet.destination);
  std::swap(turned.packet.source_port, turned.packet.destination_port);
  auto& query = skeleton_->bss->asked;
  query.answered = 1;
  auto timing = TimeRenewed(evaluator_->object().from_workload(), MakeFrame(turned), true,
                            spec.packet.source);
  query.answered = 0;
  if (timing.ok()) *timing = {timing->best * 2, timing->median * 2};
  return timing;
}

absl::StatusOr<Timing> BenchKernel::EstablishedFlow(const loader::FrameSpec& spec, int program,
                                                    loader::Hook answers) {
  loader::FrameSpec first = spec, answer = spec;
  first.tcp_flags = 0x02;
  std::swap(answer.packet.source, answer.packet.destination);
  std::swap(answer.packet.source_port, answer.packet.destination_port);
  answer.tcp_flags = 0x12;
  RETURN_IF_ERROR(Passed(evaluator_->object().from_workload(), MakeFrame(first)).status());
  RETURN_IF_ERROR(Passed(evaluator_->Program(answers), MakeFrame(answer)).status());
  loader::FrameSpec next = spec;
  next.tcp_flags = 0x10;
  return TimeRenewed(program >= 0 ? program : evaluator_->object().from_workload(), MakeFrame(next),
                     false, spec.packet.source);
}

absl::StatusOr<loader::Frame> BenchKernel::Passed(int program_fd, const loader::Frame& frame) {
  ASSIGN_OR_RETURN(loader::RunResult run,
                   evaluator_->RunProgram(program_fd, frame, kPodsInterface));
  if (run.verdict.action == TC_ACT_SHOT)
    return absl::FailedPreconditionError(absl::StrCat("dropped: reason ", run.verdict.reason));
  return std::move(run.frame);
}

absl::StatusOr<BenchKernel::MasqueradedTimings> BenchKernel::MasqueradedFlow(
    const loader::FrameSpec& spec, const policy::Address& ours) {
  loader::DatapathObject& object = evaluator_->object();
  const interface_value workload = {.flags = INTERFACE_WORKLOAD};
  if (bpf_map_update_elem(object.interfaces(), &kPodsInterface, &workload, BPF_ANY) != 0)
    return absl::ErrnoToStatus(errno, "rs_interfaces_v1");
  const bool v4 = ours.is_v4();
  loader::Exit exit;
  (v4 ? exit.v4 : exit.v6) = ours;
  loader::MasqueradeStore store(&object);
  RETURN_IF_ERROR(store.Set(
      {.pools = {{policy::Cidr::Of(spec.packet.source, 112), true}}, .exits = {{1, exit}}}));
  object.state()->flags |= STATE_MASQUERADE;
  loader::FrameSpec first = spec, next = spec, answer = spec;
  first.tcp_flags = 0x02;
  next.tcp_flags = 0x10;
  RETURN_IF_ERROR(Passed(object.from_workload(), MakeFrame(first)).status());
  ASSIGN_OR_RETURN(const loader::Frame out, Passed(object.to_host(), MakeFrame(first)));
  const size_t l4 = v4 ? 34 : 54;
  answer.packet = {spec.packet.destination, ours, spec.packet.protocol,
                   spec.packet.destination_port, static_cast<uint16_t>(out[l4] << 8 | out[l4 + 1])};
  answer.tcp_flags = 0x12;
  if (answer.packet.destination_port == spec.packet.source_port && out == MakeFrame(first))
    return absl::FailedPreconditionError("the flow was not masqueraded");
  RETURN_IF_ERROR(Passed(object.from_host(), MakeFrame(answer)).status());
  auto& query = skeleton_->bss->asked;
  query.resent = 1;
  const ip_address source = loader::ToKey(spec.packet.source);
  std::memcpy(const_cast<ip_address*>(&query.source), &source, sizeof(source));
  query.source_port = htons(spec.packet.source_port);
  MasqueradedTimings timings;
  ASSIGN_OR_RETURN(timings.sent,
                   TimeRenewed(object.from_workload(), MakeFrame(next), false, spec.packet.source));
  ASSIGN_OR_RETURN(timings.translated,
                   TimeRenewed(object.to_host(), MakeFrame(next), false, spec.packet.source));
  query.tc_index = TC_INDEX_FINISHED;
  ASSIGN_OR_RETURN(timings.finished,
                   TimeRenewed(object.to_host(), MakeFrame(next), false, spec.packet.source));
  query.tc_index = 0;
  query.resent = 0;
  object.state()->flags &= ~STATE_MASQUERADE;
  RETURN_IF_ERROR(store.Set({}));
  return timings;
}

}  // namespace ripstop::bench
