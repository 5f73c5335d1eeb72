// SPDX-License-Identifier: Apache-2.0
//
// What a verdict costs against the number of rules, policies and pods, through the real
// program, beside a straight-line program that tests rule after rule.
//   verdict_bench [--json] [--max-rules N] [--max-pods N] [--svg FOLDER] [--family NAME]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "e2e/bench/bench_kernel.h"
#include "e2e/bench/plot.h"
#include "e2e/bench/rule_sets.h"
#include "e2e/bench/straight_line.h"
#include "policy/status_macros.h"

namespace ripstop::bench {
namespace {

constexpr double kCompileLimitMs = 4000;  // after a slower one, larger sets are left out

bool json = false;
int max_rules = 100000, max_pods = 1000000;
std::string svg_folder;
std::string only_family;  // the others are left out

struct Row {
  std::string family;
  int size = 0;
  double compile_ms = 0;
  double table_mib = 0;
  std::string representation;
  int rule = -1;  // index of the rule that decides the timed packet
  double verdict_ns = 0, new_flow_ns = 0;
  double straight_ns = 0;  // 0: not measured
  std::string note;
};

void Report(const Row& row) {
  const auto number = [](double value) {
    return value == 0 ? std::string("-") : absl::StrCat(static_cast<int>(value + 0.5));
  };
  if (json) {
    std::printf("{\"family\":\"%s\",\"size\":%d,\"compile_ms\":%.1f,\"table_mib\":%.2f,"
                "\"representation\":\"%s\",\"rule\":%d,\"verdict_ns\":%.1f,\"new_flow_ns\":%.1f,"
                "\"straight_line_ns\":%.1f,\"note\":\"%s\"}\n",
                row.family.c_str(), row.size, row.compile_ms, row.table_mib,
                row.representation.c_str(), row.rule, row.verdict_ns, row.new_flow_ns,
                row.straight_ns, row.note.c_str());
  } else {
    std::printf("%-14s %8d %11.1f %9.2f %-12s %8d %8s %9s %13s  %s\n", row.family.c_str(), row.size,
                row.compile_ms, row.table_mib, row.representation.c_str(), row.rule,
                number(row.verdict_ns).c_str(), number(row.new_flow_ns).c_str(),
                number(row.straight_ns).c_str(), row.note.c_str());
  }
  std::fflush(stdout);
}

void Header(const char* size) {
  if (json) return;
  std::printf("%-14s %8s %11s %9s %-12s %8s %8s %9s %13s\n", "family", size, "compile ms",
              "table MiB", "tables", "at rule", "verdict", "new flow", "straight line");
}

// Compiles `world` and puts it in force; fills the costs of that.
absl::Status Compile(const policy::World& world, BenchKernel& kernel, policy::Engine& engine,
                     Row& row) {
  PutWorld(world, engine);
  const auto start = std::chrono::steady_clock::now();
  const policy::TableWrites writes = engine.Flush();
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  row.compile_ms = took.count();
  row.table_mib = static_cast<double>(engine.Totals().arena_bytes) / (1 << 20);
  for (const policy::PolicySetStats& set : engine.Stats()) {
    if (row.representation.empty() || set.rules > 2) row.representation = set.representation;
  }
  RETURN_IF_ERROR(kernel.Apply(writes, engine.l4_table()));
  for (const std::string& alarm : engine.Alarms()) row.note = alarm;
  return absl::OkStatus();
}

// The rule nearest to the end that decides, and allows, the packet made for it.
absl::StatusOr<std::optional<policy::Packet>> DeepestAllowed(const policy::World& world,
                                                             BenchKernel& kernel,
                                                             const policy::Engine& engine,
                                                             Row& row) {
  const size_t rules = world.policies.begin()->second.ingress_rules.size();
  std::optional<policy::Packet> best;
  for (size_t i = rules; i-- > 0 && rules - i <= 2000;) {
    const policy::Packet packet = PacketForRule(world, i);
    ASSIGN_OR_RETURN(const agent::KernelVerdict verdict, kernel.evaluator().Evaluate(packet));
    if (!verdict.delivered) continue;
    const auto rule = engine.Rule(verdict.ingress_word & VERDICT_RULE_MASK);
    if (!rule || rule->rule_index <= row.rule) continue;
    row.rule = rule->rule_index;
    best = packet;
    if (static_cast<size_t>(row.rule) == i) break;  // those before it cannot lie deeper
  }
  return best;
}

absl::Status TimeRow(const policy::Packet& packet, BenchKernel& kernel, Row& row) {
  ASSIGN_OR_RETURN(const Timing verdict,
                   kernel.Verdict(packet, policy::Direction::kIngress));
  agent::FrameSpec spec;
  spec.packet = packet;
  ASSIGN_OR_RETURN(const Timing new_flow, kernel.NewFlow(agent::Hook::kFromHost, spec));
  row.verdict_ns = verdict.best;
  row.new_flow_ns = new_flow.best;
  return absl::OkStatus();
}

absl::Status TimeStraightLine(const policy::World& world, const policy::Packet& packet,
                              BenchKernel& kernel, Row& row) {
  std::map<std::string, std::vector<policy::Address>> members;
  const auto& rules = world.policies.begin()->second.ingress_rules;
  for (const auto& [id, endpoint] : world.endpoints) {
    const auto app = endpoint.labels.find("app");
    if (app == endpoint.labels.end()) continue;
    auto& list = members[absl::StrCat("app == '", app->second, "'")];
    list.insert(list.end(), endpoint.addresses.begin(), endpoint.addresses.end());
  }
  const auto line = StraightLine::Load(rules, members);
  if (!line.ok()) {
    row.note = absl::StrCat("straight line: ", std::string(line.status().message()));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const int decided, (*line)->Decide(packet));
  if (decided != row.rule) {
    return absl::InternalError(absl::StrCat("straight line decides by rule ", decided,
                                            ", the tables by rule ", row.rule));
  }
  ASSIGN_OR_RETURN(const Timing timing, kernel.Program((*line)->program(), packet));
  row.straight_ns = timing.best;
  return absl::OkStatus();
}

absl::StatusOr<Row> MeasureRules(const std::string& family, const policy::World& world, int rules) {
  Row row{.family = family, .size = rules};
  ASSIGN_OR_RETURN(const auto kernel, BenchKernel::Open());
  policy::Engine engine(kernel->engine_options());
  RETURN_IF_ERROR(Compile(world, *kernel, engine, row));
  ASSIGN_OR_RETURN(const auto packet, DeepestAllowed(world, *kernel, engine, row));
  if (!packet) {
    if (row.note.empty()) row.note = "no packet of the last rules is allowed";
    return row;
  }
  RETURN_IF_ERROR(TimeRow(*packet, *kernel, row));
  // The generated programs know IPv4 only.
  if (packet->source.is_v4()) RETURN_IF_ERROR(TimeStraightLine(world, *packet, *kernel, row));
  return row;
}

// Mean over a few allowed pairs of a remote and a local pod.
absl::StatusOr<Row> MeasureCluster(const char* family, const KubernetesShape& shape, int size) {
  constexpr size_t kPairs = 5;
  Row row{.family = family, .size = size};
  const policy::World world = KubernetesLike(shape);
  ASSIGN_OR_RETURN(const auto kernel, BenchKernel::Open());
  policy::Engine engine(kernel->engine_options());
  RETURN_IF_ERROR(Compile(world, *kernel, engine, row));
  std::vector<policy::Address> local, remote;
  for (const auto& [id, endpoint] : world.endpoints) {
    if (endpoint.local) local.push_back(endpoint.addresses.front());
    if (!endpoint.local && remote.size() < 200) remote.push_back(endpoint.addresses.front());
  }
  size_t pairs = 0;
  Row sum;
  for (size_t i = 0; i < local.size() * 40 && pairs < kPairs; ++i) {
    const policy::Packet packet{remote[(i * 7) % remote.size()], local[i % local.size()],
                                policy::kProtocolTcp, 40000,
                                static_cast<uint16_t>(i % 3 == 0 ? 80 : i % 3 == 1 ? 443 : 8080)};
    ASSIGN_OR_RETURN(const agent::KernelVerdict verdict, kernel->evaluator().Evaluate(packet));
    const auto rule = engine.Rule(verdict.ingress_word & VERDICT_RULE_MASK);
    if (!verdict.delivered || !rule || rule->kind != policy::RuleIdentity::Kind::kRule) continue;
    RETURN_IF_ERROR(TimeRow(packet, *kernel, row));
    sum.verdict_ns += row.verdict_ns;
    sum.new_flow_ns += row.new_flow_ns;
    ++pairs;
  }
  if (pairs == 0) {
    row.note = "no pair of pods is allowed by a policy";
    return row;
  }
  row.verdict_ns = sum.verdict_ns / static_cast<double>(pairs);
  row.new_flow_ns = sum.new_flow_ns / static_cast<double>(pairs);
  return row;
}

absl::Status Plot(const std::string& file, const std::string& title, const std::string& x,
                  const std::vector<Series>& series) {
  if (svg_folder.empty()) return absl::OkStatus();
  const std::string path = absl::StrCat(svg_folder, "/", file);
  std::ofstream out(path);
  out << SvgPlot(title, x, "ns per verdict", series);
  return out.good() ? absl::OkStatus() : absl::UnavailableError(absl::StrCat("write ", path));
}

absl::Status Run() {
  std::vector<Series> lines;
  Header("rules");
  for (const char* family : {"acl", "firewall", "ip-chain", "pathological", "selectors", "cidrs",
                             "cidrs-v6"}) {
    if (!only_family.empty() && only_family != family) continue;
    Series tables{std::string(family) + ", tables", {}, false};
    Series straight{std::string(family) + ", straight line", {}, true};
    const bool plot_straight = std::strcmp(family, "acl") == 0 || std::strcmp(family, "selectors") == 0;
    for (int rules = 1; rules <= max_rules; rules *= 10) {
      policy::World world;
      if (std::strcmp(family, "selectors") == 0) {
        world = SelectorLike(rules);
      } else if (std::strncmp(family, "cidrs", 5) == 0) {
        world = CidrLike(rules, std::strcmp(family, "cidrs") == 0, 1);
      } else {
        for (const FilterFamily f : {FilterFamily::kAcl, FilterFamily::kFirewall,
                                     FilterFamily::kIpChain, FilterFamily::kPathological}) {
          if (std::strcmp(family, ToString(f)) == 0) world = FilterLike(f, rules, 1);
        }
      }
      ASSIGN_OR_RETURN(const Row row, MeasureRules(family, world, rules));
      Report(row);
      if (row.verdict_ns > 0) tables.points.emplace_back(rules, row.verdict_ns);
      if (row.straight_ns > 0) straight.points.emplace_back(rules, row.straight_ns);
      if (row.compile_ms > kCompileLimitMs) break;
    }
    lines.push_back(tables);
    if (plot_straight) lines.push_back(straight);
  }
  RETURN_IF_ERROR(Plot("verdict-rules.svg", "One verdict against the number of rules", "rules",
                       lines));
  if (!only_family.empty()) return absl::OkStatus();

  Series policies{"1,000 pods, policies vary", {}, false}, pods{"1,000 policies, pods vary", {}, false};
  Header("policies");
  for (int n = 10; n <= 10000; n *= 10) {
    ASSIGN_OR_RETURN(const Row row, MeasureCluster("k8s policies",
                                                   {.endpoints = 1000, .policies = n}, n));
    Report(row);
    if (row.verdict_ns > 0) policies.points.emplace_back(n, row.verdict_ns);
    if (row.compile_ms > kCompileLimitMs) break;
  }
  Header("pods");
  for (int n = 100; n <= max_pods; n *= 10) {
    ASSIGN_OR_RETURN(
        const Row row,
        MeasureCluster("k8s pods", {.endpoints = n, .policies = 1000, .local_endpoints = 50}, n));
    Report(row);
    if (row.verdict_ns > 0) pods.points.emplace_back(n, row.verdict_ns);
    if (row.compile_ms > 2 * kCompileLimitMs) break;
  }
  return Plot("verdict-cluster.svg", "One verdict against the size of a Kubernetes-like cluster",
              "policies, or pods known", {policies, pods});
}

}  // namespace
}  // namespace ripstop::bench

int main(int argc, char** argv) {
  using namespace ripstop::bench;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--json") {
      json = true;
    } else if (option == "--max-rules" && i + 1 < argc) {
      max_rules = std::atoi(argv[++i]);
    } else if (option == "--max-pods" && i + 1 < argc) {
      max_pods = std::atoi(argv[++i]);
    } else if (option == "--svg" && i + 1 < argc) {
      svg_folder = argv[++i];
    } else if (option == "--family" && i + 1 < argc) {
      only_family = argv[++i];
    } else {
      std::fprintf(stderr, "verdict_bench [--json] [--max-rules N] [--max-pods N] [--svg FOLDER]"
                   " [--family NAME]\n");
      return 2;
    }
  }
  const absl::Status status = Run();
  if (!status.ok()) std::fprintf(stderr, "verdict_bench: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
