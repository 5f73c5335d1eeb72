// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/compiled.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "policy/status_macros.h"

namespace ripstop::bench {
namespace {

constexpr double kMib = 1 << 20;
constexpr int kTurns = 3;  // of the world and the one of one rule

class Stopwatch {
 public:
  double Ms() {
    const auto now = std::chrono::steady_clock::now();
    const std::chrono::duration<double, std::milli> took = now - start_;
    start_ = now;
    return took.count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

struct Costs {
  double verdict_ns = 0, new_flow_ns = 0;
};

// Means over the packets.
absl::StatusOr<Costs> Time(Compiled& made) {
  Costs costs;
  const auto count = static_cast<double>(made.packets.size());
  for (const policy::Packet& packet : made.packets) {
    ASSIGN_OR_RETURN(const Timing verdict,
                     made.kernel->Verdict(packet, policy::Direction::kIngress));
    loader::FrameSpec spec;
    spec.packet = packet;
    ASSIGN_OR_RETURN(const Timing new_flow, made.kernel->NewFlow(loader::Hook::kFromHost, spec));
    costs.verdict_ns += verdict.best / count;
    costs.new_flow_ns += new_flow.best / count;
  }
  return costs;
}

}  // namespace

void Row::Note(const std::string& text) {
  const std::string before = note;
  std::snprintf(note, sizeof(note), "%s%s%s", before.c_str(), before.empty() ? "" : "; ",
                text.c_str());
}

absl::StatusOr<Compiled> OpenCompiled() {
  Compiled made;
  ASSIGN_OR_RETURN(made.kernel, BenchKernel::Open());
  made.engine = std::make_unique<policy::Engine>(made.kernel->engine_options());
  return made;
}

absl::Status Compile(const policy::World& world, Compiled& made, Row& row) {
  Stopwatch watch;
  PutWorld(world, *made.engine);
  row.put_ms = watch.Ms();
  const policy::TableWrites writes = made.engine->Flush();
  row.compile_ms = watch.Ms();
  RETURN_IF_ERROR(made.kernel->Apply(writes, made.engine->l4_table()));
  row.apply_ms = watch.Ms();
  const policy::EngineTotals totals = made.engine->Totals();
  row.table_mib = static_cast<double>(totals.arena_bytes) / kMib;
  row.address_classes = totals.address_classes;
  row.l4_classes = totals.l4_classes;
  uint64_t largest = 0;
  for (const policy::PolicySetStats& set : made.engine->Stats()) {
    if (set.bytes < largest) continue;
    largest = set.bytes;
    std::snprintf(row.representation, sizeof(row.representation), "%s", set.representation.c_str());
  }
  for (const std::string& alarm : made.engine->Alarms()) {
    row.Note(alarm);
    break;
  }
  return absl::OkStatus();
}

absl::Status FindDeepest(const policy::World& world, Compiled& made, Row& row) {
  const size_t rules = world.policies.begin()->second.ingress_rules.size();
  for (size_t i = rules; i-- > 0 && rules - i <= 2000;) {
    const policy::Packet packet = PacketForRule(world, i);
    ASSIGN_OR_RETURN(const loader::KernelVerdict verdict,
                     made.kernel->evaluator().Evaluate(packet));
    if (!verdict.delivered) continue;
    const auto rule = made.engine->Rule(verdict.ingress_word & VERDICT_RULE_MASK);
    if (!rule || rule->rule_index <= row.rule) continue;
    row.rule = rule->rule_index;
    made.packets = {packet};
    if (static_cast<size_t>(row.rule) == i) break;  // those before it cannot lie deeper
  }
  if (made.packets.empty() && row.note[0] == 0) row.Note("no packet of the last rules is allowed");
  return absl::OkStatus();
}

absl::Status FindPairs(const std::vector<policy::Address>& local,
                       const std::vector<policy::Address>& remote, size_t count, Compiled& made,
                       Row& row) {
  for (size_t i = 0; i < local.size() * 40 && made.packets.size() < count; ++i) {
    const policy::Packet packet{remote[(i * 7) % remote.size()], local[i % local.size()],
                                policy::kProtocolTcp, 40000,
                                static_cast<uint16_t>(i % 3 == 0   ? 80
                                                      : i % 3 == 1 ? 443
                                                                   : 8080)};
    ASSIGN_OR_RETURN(const loader::KernelVerdict verdict,
                     made.kernel->evaluator().Evaluate(packet));
    const auto rule = made.engine->Rule(verdict.ingress_word & VERDICT_RULE_MASK);
    if (verdict.delivered && rule && rule->kind == policy::RuleIdentity::Kind::kRule) {
      made.packets.push_back(packet);
    }
  }
  if (made.packets.empty()) row.Note("no pair of pods is allowed by a policy");
  return absl::OkStatus();
}

absl::Status TimeBoth(Compiled& made, Compiled& one, Row& row) {
  for (int turn = 0; turn < kTurns; ++turn) {
    ASSIGN_OR_RETURN(const Costs many, Time(made));
    ASSIGN_OR_RETURN(const Costs few, Time(one));
    const auto least = [&](double value, double& kept) {
      kept = turn == 0 ? value : std::min(value, kept);
    };
    least(many.verdict_ns, row.verdict_ns);
    least(many.new_flow_ns, row.new_flow_ns);
    least(few.verdict_ns, row.one_verdict_ns);
    least(few.new_flow_ns, row.one_new_flow_ns);
  }
  return absl::OkStatus();
}

}  // namespace ripstop::bench
