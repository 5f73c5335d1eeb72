// SPDX-License-Identifier: Apache-2.0
//
// What the control plane costs from model to the kernel's maps: cold start, single events,
// and a long policy on one endpoint. Engine and table store are the agent's; store and API
// are left out.
//   control_bench [--json] [--quick] [--long-only] [--endpoints N] [--policies N] [--local N]
//                 [--dual-stack]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bpf/loader/table_store.h"
#include "e2e/bench/bench_kernel.h"
#include "e2e/bench/isolated.h"
#include "e2e/bench/map_memory.h"
#include "e2e/bench/report.h"
#include "e2e/bench/rule_sets.h"
#include "policy/status_macros.h"
#include "policy/testing/cluster.h"

namespace ripstop::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr double kMib = 1 << 20;

bool json = false, long_only = false;
policy::ClusterShape shape;
int long_rules = 12500, repeats = 7;

double Us(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::micro>(to - from).count();
}

// Of this thread: what it computes, whoever else has the processor meanwhile.
double CpuUs() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// A node's tables in a kernel of their own: nothing pinned, nothing attached.
struct Node {
  std::unique_ptr<loader::DatapathObject> object;
  std::unique_ptr<loader::TableStore> store;
  std::unique_ptr<policy::Engine> engine;
  bool in_force = false;

  static absl::StatusOr<Node> Open() {
    Node node;
    const loader::DatapathSizes sizes;
    ASSIGN_OR_RETURN(node.object, loader::DatapathObject::Load(sizes, ""));
    node.store = std::make_unique<loader::TableStore>(node.object.get(), sizes);
    ASSIGN_OR_RETURN(const policy::EngineOptions options, node.store->Begin());
    node.engine = std::make_unique<policy::Engine>(options);
    return node;
  }
  absl::Status Apply(const policy::TableWrites& writes) {
    RETURN_IF_ERROR(store->Apply(writes));
    if (in_force) return absl::OkStatus();
    in_force = true;
    return store->Commit(engine->l4_table());
  }
  // In two parts: what follows the last address or store waits for running programs to end
  // and makes known flows be judged again; new ones already are. Returns when the first
  // part was done.
  absl::StatusOr<Clock::time_point> ApplyInParts(const policy::TableWrites& writes) {
    size_t first = writes.size();
    while (first > 0 && !std::holds_alternative<policy::SetAddress>(writes[first - 1]) &&
           !std::holds_alternative<policy::WriteWords>(writes[first - 1])) {
      --first;
    }
    const auto end = writes.begin() + static_cast<ptrdiff_t>(first);
    const policy::TableWrites before(writes.begin(), end), after(end, writes.end());
    RETURN_IF_ERROR(store->Apply(before));
    const auto switched = Clock::now();
    RETURN_IF_ERROR(store->Apply(after));
    return switched;
  }
};

struct ColdStart {
  double load_ms = 0, put_ms = 0, flush_ms = 0, apply_ms = 0;
  double peak_mib = 0, agent_mib = 0, map_mib = 0;
  size_t addresses = 0;
};

absl::Status MeasureColdStart(ColdStart& cost) {
  ResetPeak();
  const auto start = Clock::now();
  ASSIGN_OR_RETURN(Node node, Node::Open());
  const auto loaded = Clock::now();
  policy::PutCluster(shape, *node.engine);
  const auto put = Clock::now();
  {
    const policy::TableWrites writes = node.engine->Flush();
    const auto flushed = Clock::now();
    RETURN_IF_ERROR(node.Apply(writes));
    const auto done = Clock::now();
    cost = {.load_ms = Us(start, loaded) / 1000,
            .put_ms = Us(loaded, put) / 1000,
            .flush_ms = Us(put, flushed) / 1000,
            .apply_ms = Us(flushed, done) / 1000};
    cost.addresses = policy::Count(writes).addresses;
  }
  cost.peak_mib = static_cast<double>(PeakBytes()) / kMib;
  cost.agent_mib = static_cast<double>(PrivateBytes()) / kMib;
  ASSIGN_OR_RETURN(const uint64_t maps, MapBytes(*node.object));
  cost.map_mib = static_cast<double>(maps) / kMib;
  return absl::OkStatus();
}

absl::Status RunColdStart() {
  ColdStart best;
  for (int i = 0; i < repeats; ++i) {
    ASSIGN_OR_RETURN(const ColdStart one, Isolated<ColdStart>(120, MeasureColdStart));
    const auto total = [](const ColdStart& c) { return c.put_ms + c.flush_ms + c.apply_ms; };
    if (i == 0 || total(one) < total(best)) best = one;
  }
  const std::string what =
      absl::StrCat("cold start, ", shape.endpoints, shape.dual_stack ? " dual-stack" : "",
                   " endpoints, ", shape.policies, " policies, ", shape.local, " local");
  Print({absl::StrCat(what, ": programs loaded"), best.load_ms, "ms", 0, false, ""}, json);
  Print({absl::StrCat(what, ": inputs taken"), best.put_ms, "ms", 0, false, ""}, json);
  Print({absl::StrCat(what, ": tables compiled"), best.flush_ms, "ms", 0, false, ""}, json);
  Print({absl::StrCat(what, ": maps written and in force"), best.apply_ms, "ms", 0, false,
         absl::StrCat(best.addresses, " addresses")},
        json);
  Print({absl::StrCat(what, ": to in sync"),
         (best.load_ms + best.put_ms + best.flush_ms + best.apply_ms) / 1000, "s", 2, false, ""},
        json);
  Print({absl::StrCat(what, ": peak resident memory"), best.peak_mib, "MiB", 250, false, ""}, json);
  Print({absl::StrCat(what, ": private memory afterwards"), best.agent_mib, "MiB", 0, false, ""},
        json);
  Print({absl::StrCat(what, ": kernel memory of all maps"), best.map_mib, "MiB", 0, false, ""},
        json);
  return absl::OkStatus();
}

// The most of each kind over the instances.
void Raise(const policy::WriteCount& one, policy::WriteCount& most) {
  most.addresses = std::max(most.addresses, one.addresses);
  most.stores = std::max(most.stores, one.stores);
  most.words = std::max(most.words, one.words);
  most.graces = std::max(most.graces, one.graces);
  most.epochs = std::max(most.epochs, one.epochs);
}

void ReportEvent(const policy::ClusterEvent& event, const std::vector<double>& engine_us,
                 double maps_us, double grace_us, const policy::WriteCount& most) {
  const double median_us = Median(engine_us);
  const auto [least, longest] = std::minmax_element(engine_us.begin(), engine_us.end());
  if (json) {
    std::printf(
        "{\"table\":\"event\",\"name\":%s,\"promise\":%s,\"repeats\":%d,\"engine_us\":%.1f,"
        "\"engine_least_us\":%.1f,\"engine_most_us\":%.1f,\"maps_us\":%.1f,\"grace_us\":%.1f,"
        "\"addresses\":%zu,\"stores\":%zu,\"words\":%zu,\"graces\":%zu,\"epochs\":%zu}\n",
        Quoted(event.name).c_str(), Quoted(event.promise).c_str(), event.repeat, median_us, *least,
        *longest, maps_us, grace_us, most.addresses, most.stores, most.words, most.graces,
        most.epochs);
  } else {
    std::printf("%-56s %9.0f %9.0f %9.0f %8.0f %8.0f %6zu %6zu %7zu %6zu %6zu  %s\n",
                event.name.c_str(), median_us, *least, *longest, maps_us, grace_us, most.addresses,
                most.stores, most.words, most.graces, most.epochs, event.promise.c_str());
  }
  std::fflush(stdout);
}

absl::Status RunEvents() {
  ASSIGN_OR_RETURN(Node node, Node::Open());
  policy::PutCluster(shape, *node.engine);
  RETURN_IF_ERROR(node.Apply(node.engine->Flush()));
  if (!json) {
    std::printf("%-56s %9s %9s %9s %8s %8s %6s %6s %7s %6s %6s  %s\n%-56s %9s %9s %9s %8s %8s\n",
                "event", "engine us", "engine us", "engine us", "maps us", "grace us", "addr.",
                "stores", "words", "graces", "epochs", "may cost", "", "median", "least", "most",
                "median", "median");
  }
  double longest_us = 0;
  std::string longest_event;
  for (const policy::ClusterEvent& event : policy::ClusterEvents(shape)) {
    std::vector<double> engine_us, maps_us, grace_us, new_us, all_us;
    policy::WriteCount most;
    for (int i = 0; i < event.repeat; ++i) {
      const auto start = Clock::now();
      const double cpu_us = CpuUs();
      event.happen(*node.engine, i);
      const policy::TableWrites writes = node.engine->Flush();
      engine_us.push_back(CpuUs() - cpu_us);
      const auto flushed = Clock::now();
      ASSIGN_OR_RETURN(const Clock::time_point switched, node.ApplyInParts(writes));
      const auto done = Clock::now();
      maps_us.push_back(Us(flushed, switched));
      grace_us.push_back(Us(switched, done));
      new_us.push_back(Us(start, switched));
      all_us.push_back(Us(start, done));
      Raise(policy::Count(writes), most);
    }
    ReportEvent(event, engine_us, Median(maps_us), Median(grace_us), most);
    if (const double us = *std::max_element(engine_us.begin(), engine_us.end()); us > longest_us) {
      longest_us = us;
      longest_event = event.name;
    }
    if (event.name == policy::kHalfEdited) {
      const auto print = [&](const char* whom, const std::vector<double>& us) {
        Print({absl::StrCat("policy edit touching ", most.addresses,
                            " local endpoints, in force for ", whom),
               *std::min_element(us.begin(), us.end()) / 1000, "ms", 10, false,
               absl::StrCat("median ", static_cast<int>(Median(us) / 1000 + 0.5), " ms")},
              json);
      };
      print("new flows", new_us);
      print("known flows", all_us);
    }
  }
  Print({"longest calculation of any of these events", longest_us / 1000, "ms", 20, false,
         longest_event},
        json);
  return absl::OkStatus();
}

struct LongPolicy {
  double engine_ms = 0, maps_ms = 0;  // to the switch: in force for new flows
  char note[160] = "";
};

// One endpoint in force under one rule; then its policy gets all rules at once.
absl::Status MeasureLongPolicy(const policy::World& world, LongPolicy& cost) {
  ASSIGN_OR_RETURN(Node node, Node::Open());
  policy::World before = world;
  policy::Policy& policy = before.policies.begin()->second;
  policy.ingress_rules.resize(1);
  PutWorld(before, *node.engine);
  RETURN_IF_ERROR(node.Apply(node.engine->Flush()));
  const auto start = Clock::now();
  node.engine->PutPolicy(world.policies.begin()->second);
  const policy::TableWrites writes = node.engine->Flush();
  const auto flushed = Clock::now();
  ASSIGN_OR_RETURN(const Clock::time_point switched, node.ApplyInParts(writes));
  cost.engine_ms = Us(start, flushed) / 1000;
  cost.maps_ms = Us(flushed, switched) / 1000;
  for (const std::string& alarm : node.engine->Alarms()) {
    std::snprintf(cost.note, sizeof(cost.note), "%s", alarm.c_str());
    break;
  }
  return absl::OkStatus();
}

void RunLongPolicies() {
  const std::pair<std::string, policy::World> worlds[] = {
      {"hosts", HostsLike(long_rules)},
      {"selectors", SelectorLike(long_rules)},
      {"acl", FilterLike(FilterFamily::kAcl, long_rules, 1)},
      {"firewall", FilterLike(FilterFamily::kFirewall, long_rules, 1)},
      {"ip-chain", FilterLike(FilterFamily::kIpChain, long_rules, 1)}};
  for (const auto& [family, world] : worlds) {
    const std::string name = absl::StrCat(long_rules, " rules (", family, ") on one endpoint");
    LongPolicy best;
    std::string note;
    for (int i = 0; i < repeats && note.empty(); ++i) {
      const auto one = Isolated<LongPolicy>(
          60, [&world = world](LongPolicy& cost) { return MeasureLongPolicy(world, cost); });
      note = one.ok() ? one->note : one.status().ToString();
      if (!note.empty()) break;
      if (i == 0 || one->engine_ms + one->maps_ms < best.engine_ms + best.maps_ms) best = *one;
    }
    const bool ok = note.empty();
    if (ok) note = absl::StrCat("engine ", static_cast<int>(best.engine_ms + 0.5), " ms");
    Print({absl::StrCat(name, ", edit to in force"),
           ok ? std::optional<double>(best.engine_ms + best.maps_ms) : std::nullopt, "ms", 100,
           false, note},
          json);
  }
}

absl::Status Run() {
  if (!long_only) {
    RETURN_IF_ERROR(RunColdStart());
    RETURN_IF_ERROR(RunEvents());
  }
  RunLongPolicies();
  return absl::OkStatus();
}

}  // namespace
}  // namespace ripstop::bench

int main(int argc, char** argv) {
  using namespace ripstop::bench;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--json") {
      json = true;
    } else if (option == "--quick") {
      shape = {.endpoints = 1000, .policies = 100, .local = 40};
      long_rules = 20;
      repeats = 1;
    } else if (option == "--long-only") {
      long_only = true;
    } else if (option == "--endpoints" && i + 1 < argc) {
      shape.endpoints = std::atoi(argv[++i]);
    } else if (option == "--policies" && i + 1 < argc) {
      shape.policies = std::atoi(argv[++i]);
    } else if (option == "--local" && i + 1 < argc) {
      shape.local = std::atoi(argv[++i]);
    } else if (option == "--dual-stack") {
      shape.dual_stack = true;
    } else {
      std::fprintf(stderr,
                   "control_bench [--json] [--quick] [--long-only] [--endpoints N] [--policies N] "
                   "[--local N] [--dual-stack]\n");
      return 2;
    }
  }
  const absl::Status status = Run();
  if (!status.ok()) std::fprintf(stderr, "control_bench: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
