// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/kernel_evaluator.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "policy/status_macros.h"

namespace ripstop::loader {
namespace {

constexpr uint32_t kLoopback = 1;

absl::Span<const char* const> Unwanted(KernelEvaluator::Use use) {
  static constexpr const char* kNotRun[] = {"to_socket", "from_elsewhere", "to_host",
                                            "from_tunnel"};
  const absl::Span<const char* const> not_run(kNotRun);
  switch (use) {
    case KernelEvaluator::Use::kVerdicts: return not_run;
    case KernelEvaluator::Use::kFrames: return not_run.first(3);
    case KernelEvaluator::Use::kExits: break;
  }
  return not_run.first(1);
}

}  // namespace

DatapathSizes KernelEvaluator::Sizes() {
  return {.flows = 1024, .fragments = 1024, .event_bytes = 65536};
}

absl::StatusOr<std::unique_ptr<KernelEvaluator>> KernelEvaluator::Open(const DatapathSizes& sizes,
                                                                       Use use) {
  auto evaluator = std::unique_ptr<KernelEvaluator>(new KernelEvaluator());
  ASSIGN_OR_RETURN(evaluator->object_, DatapathObject::Load(sizes, "", Unwanted(use)));
  evaluator->tables_ = std::make_unique<TableStore>(evaluator->object_.get(), sizes);
  ASSIGN_OR_RETURN(evaluator->engine_options_, evaluator->tables_->Begin());
  return evaluator;
}

absl::Status KernelEvaluator::Apply(const policy::TableWrites& writes, uint32_t l4_table) {
  policy::TableWrites moved = writes;
  for (policy::TableWrite& write : moved) {
    if (auto* set = std::get_if<policy::SetAddress>(&write)) {
      if (set->value.flags & ADDRESS_LOCAL_ENDPOINT) {
        set->value.ifindex = kLoopback;
        local_.insert(set->address);
      } else {
        local_.erase(set->address);
      }
      if (set->value.flags & ADDRESS_THIS_HOST) {
        host_.insert(set->address);
      } else {
        host_.erase(set->address);
      }
    } else if (const auto* remove = std::get_if<policy::RemoveAddress>(&write)) {
      local_.erase(remove->address);
      host_.erase(remove->address);
    }
  }
  RETURN_IF_ERROR(tables_->Apply(moved));
  if (in_force_ || l4_table == 0) return absl::OkStatus();
  in_force_ = true;
  return tables_->Commit(l4_table);
}

int KernelEvaluator::Program(Hook hook) const {
  switch (hook) {
    case Hook::kFromWorkload: return object_->from_workload();
    case Hook::kToWorkload: return object_->to_workload();
    case Hook::kFromHost: return object_->from_host();
    case Hook::kFromTunnel: return object_->from_tunnel();
  }
  return -1;
}

absl::StatusOr<RunResult> KernelEvaluator::Run(Hook hook, const Frame& frame,
                                               uint32_t ingress_ifindex, uint32_t gso_size) {
  return RunProgram(Program(hook), frame, ingress_ifindex, gso_size);
}

absl::StatusOr<RunResult> KernelEvaluator::RunProgram(int program, const Frame& frame,
                                                      uint32_t ingress_ifindex, uint32_t gso_size,
                                                      uint32_t mark) {
  RunResult result;
  result.frame.resize(frame.size() + 64);
  __sk_buff context = {};
  context.ingress_ifindex = ingress_ifindex;
  context.ifindex = kLoopback;
  context.gso_size = gso_size;
  context.mark = mark;
  __sk_buff after = {};
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_out = result.frame.data(),
              .data_size_in = static_cast<uint32_t>(frame.size()),
              .data_size_out = static_cast<uint32_t>(result.frame.size()), .ctx_in = &context,
              .ctx_out = &after, .ctx_size_in = sizeof(context), .ctx_size_out = sizeof(after),
              .repeat = 1);
  if (bpf_prog_test_run_opts(program, &options) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("test run of a ", frame.size(), "-byte frame"));
  }
  result.frame.resize(options.data_size_out);
  KernelVerdict& verdict = result.verdict;
  verdict.action = static_cast<int>(options.retval);
  verdict.egress_word = after.cb[RUN_EGRESS_VERDICT];
  verdict.ingress_word = after.cb[RUN_INGRESS_VERDICT];
  verdict.reason = static_cast<drop_reason>(after.cb[RUN_DROP_REASON]);
  verdict.sender = after.cb[RUN_SENDER];
  verdict.delivered = verdict.action != TC_ACT_SHOT;
  return result;
}

absl::StatusOr<KernelVerdict> KernelEvaluator::Evaluate(const policy::Packet& packet) {
  const bool from_local = local_.contains(packet.source);
  if (!from_local && !local_.contains(packet.destination)) return KernelVerdict{.delivered = true};
  FrameSpec spec;
  spec.packet = packet;
  const Frame frame = MakeFrame(spec);
  const bool from_this_host = !from_local && host_.contains(packet.source);
  const Hook hook = from_local       ? Hook::kFromWorkload
                    : from_this_host ? Hook::kToWorkload
                                     : Hook::kFromHost;
  datapath_state& state = *object_->state();
  const uint32_t flags = state.flags;
  if (from_this_host) state.flags |= STATE_HOST_OBEYS_POLICY;
  absl::StatusOr<RunResult> run = Run(hook, frame, hook == Hook::kFromHost ? kLoopback : 0);
  state.flags = flags;
  if (!run.ok()) return run.status();
  // The next query may have the same ports: leave no flow behind.
  const flow_key key = FlowKeyOf(spec);
  EndFlow(key);
  return run->verdict;
}

void KernelEvaluator::EndFlow(const flow_key& key) {
  flow_value value;
  if (bpf_map_lookup_elem(object_->flows(), &key, &value) != 0 ||
      bpf_map_delete_elem(object_->flows(), &key) != 0) {
    return;
  }
  object_->flow_accounts()[FLOW_LIFE_ACCOUNT(value.life)].counts -=
      1 + (FLOW_LIFE_STATE(value.life) == FLOW_HALF_OPEN ? FLOW_COUNT_HALF_OPEN : 0);
}

absl::StatusOr<double> KernelEvaluator::Nanoseconds(Hook hook, const Frame& frame, uint32_t repeat,
                                                    int rounds) {
  double best = 0;
  for (int i = 0; i < rounds; ++i) {
    Frame out(frame.size() + 64);
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_out = out.data(),
                .data_size_in = static_cast<uint32_t>(frame.size()),
                .data_size_out = static_cast<uint32_t>(out.size()),
                .repeat = static_cast<int>(repeat));
    if (bpf_prog_test_run_opts(Program(hook), &options) != 0) {
      return absl::ErrnoToStatus(errno, "timed test run");
    }
    if (i == 0 || options.duration < best) best = options.duration;
  }
  return best;
}

}  // namespace ripstop::loader
