// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>
#include <time.h>

#include <algorithm>
#include <cstring>
#include <functional>

#include "absl/strings/str_cat.h"
#include "agent/cni/agent_call.h"
#include "bpf/abi/flows.h"
#include "e2e/bench/agent_site.h"
#include "e2e/bench/report.h"
#include "policy/base/unique_fd.h"
#include "policy/status_macros.h"

namespace ripstop::bench {
namespace {

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

struct Costs {
  double add_cpu = 0, del_cpu = 0, add_ms = 0, del_ms = 0;
  double pair_cpu = 0;  // the mean, with all that follows
};

absl::Status Ask(const Site& site, const agent::v1::CniCall& call) {
  agent::v1::CniAnswer answer;
  if (agent::CallAgent(site.cni(), call, 1000, kAnswerMs, &answer) !=
      agent::CallOutcome::kAnswered) {
    return absl::UnavailableError("the agent did not answer the plugin's call");
  }
  if (answer.code() == 0) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(answer.code()), answer.message());
}

// Medians; what the agent does beside it (its timers) makes some dearer.
absl::StatusOr<Costs> MeasurePairs(const Site& site, const AgentProcess& process,
                                   const TestNetns& pod) {
  std::vector<double> add_cpu, del_cpu, add_ms, del_ms;
  static int fresh = site.options.world.pods() + 10'000;
  const double before_all = process.CpuMs();
  for (int i = 0; i < site.options.pairs; ++i) {
    const agent::LocalEndpoint endpoint = PodOf(site.options.world, fresh++);
    const auto one = [&](const TestNetns* netns, std::vector<double>& cpu,
                         std::vector<double>& ms) {
      const double before = process.CpuMs();
      const auto start = Clock::now();
      RETURN_IF_ERROR(Ask(site, Call(endpoint, netns)));
      ms.push_back(MsSince(start));
      cpu.push_back(process.CpuMs() - before);
      return absl::OkStatus();
    };
    RETURN_IF_ERROR(one(&pod, add_cpu, add_ms));
    RETURN_IF_ERROR(one(nullptr, del_cpu, del_ms));
  }
  return Costs{Median(add_cpu), Median(del_cpu), Median(add_ms), Median(del_ms),
               (process.CpuMs() - before_all) / site.options.pairs};
}

// `first`: what it is compared with; null: it is the first itself.
void PrintCosts(const Site& site, const std::string& at, const Costs& costs, const Costs* first,
                double bar) {
  const auto print = [&](const char* verb, double cpu, double ms, double Costs::* of_first) {
    Print({absl::StrCat(verb, ", ", at, ": processor time"), cpu, "ms", 0, false,
           absl::StrCat("answered after ", static_cast<int>(ms * 10) / 10.0, " ms")},
          site.options.json);
    if (first == nullptr) return;
    Print(
        {absl::StrCat(verb, ", ", at, " / the first"), cpu / first->*of_first, "x", bar, false, ""},
        site.options.json);
  };
  print("ADD", costs.add_cpu, costs.add_ms, &Costs::add_cpu);
  print("DEL", costs.del_cpu, costs.del_ms, &Costs::del_cpu);
  Print({absl::StrCat("ADD and DEL, ", at, ": mean with all that the agent did meanwhile"),
         costs.pair_cpu, "ms", 0, false, ""},
        site.options.json);
}

// Connections between addresses that are no pod's of this node.
absl::Status FillFlows(const Site& site, uint32_t from, uint32_t to) {
  const std::string path = site.pins() + "/maps/rs_flows_v3";
  const UniqueFd map(bpf_obj_get(path.c_str()));
  if (!map.ok()) return absl::ErrnoToStatus(errno, path);
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  std::vector<flow_key> keys(to - from);
  std::vector<flow_value> values(to - from);
  for (uint32_t i = from; i < to; ++i) {
    flow_key& key = keys[i - from];
    key = {};
    key.protocol = policy::kProtocolTcp;
    const policy::Address low = policy::Address::FromV4(0xc6120000u + (i >> 8));
    const policy::Address high = policy::Address::FromV4(0xc6130001u);
    std::memcpy(&key.address[0], low.bytes.data(), sizeof(key.address[0]));
    std::memcpy(&key.address[1], high.bytes.data(), sizeof(key.address[1]));
    key.port[0] = static_cast<uint16_t>(1024 + (i & 255));
    values[i - from] = {.life = FLOW_LIFE(FLOW_OPEN, 0, i)};
    values[i - from].seen_ns =
        static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
  }
  uint32_t count = to - from;
  LIBBPF_OPTS(bpf_map_batch_opts, options);
  if (bpf_map_update_batch(map.get(), keys.data(), values.data(), &count, &options) != 0)
    return absl::ErrnoToStatus(errno, absl::StrCat(path, ": after ", count, " flows"));
  return absl::OkStatus();
}

}  // namespace

// Pods stand in one namespace of their own each, the measured one in another.
absl::Status MeasureCosts(const Site& site, const AgentProcess& process, const TestNetns& pod) {
  std::vector<TestNetns> standing;
  Costs first;
  for (const int count : site.options.local_pods) {
    while (static_cast<int>(standing.size()) < count) {
      ASSIGN_OR_RETURN(TestNetns netns, TestNetns::Create());
      standing.push_back(std::move(netns));
      const int number = site.options.world.pods() + static_cast<int>(standing.size());
      RETURN_IF_ERROR(Ask(site, Call(PodOf(site.options.world, number), &standing.back())));
    }
    ASSIGN_OR_RETURN(const Costs costs, MeasurePairs(site, process, pod));
    const bool is_first = count == site.options.local_pods.front();
    if (is_first) first = costs;
    PrintCosts(site, absl::StrCat(count, " local pods"), costs, is_first ? nullptr : &first, 1.2);
  }
  uint32_t flows = 0;
  for (const uint32_t count : site.options.flow_counts) {
    RETURN_IF_ERROR(FillFlows(site, flows, count));
    flows = count;
    ASSIGN_OR_RETURN(const Costs costs, MeasurePairs(site, process, pod));
    const bool is_first = count == site.options.flow_counts.front();
    if (is_first) first = costs;
    PrintCosts(site, absl::StrCat(count, " flows"), costs, is_first ? nullptr : &first, 1.2);
  }
  return absl::OkStatus();
}

}  // namespace ripstop::bench
