// SPDX-License-Identifier: Apache-2.0
//
// The real agent of one node of a large cluster, from its store: when it is in sync, what memory
// it takes, for how long nobody is answered meanwhile, and what ADD and DEL cost it as local pods
// and flows grow.
//   agent_bench [--json] [--quick] [--start-only] [--agent PROGRAM] [--keep LOG]
#include <bpf/bpf.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/base/testing/test_netns.h"
#include "agent/cni/agent_call.h"
#include "api/proto/agent.grpc.pb.h"
#include "api/store/open.h"
#include "bpf/abi/flows.h"
#include "bpf/loader/testing_bpffs.h"
#include "e2e/bench/agent_process.h"
#include "e2e/bench/agent_world.h"
#include "e2e/bench/report.h"
#include "policy/base/unique_fd.h"
#include "policy/status_macros.h"

namespace ripstop::bench {
namespace {

using agent::TestNetns;
using Clock = std::chrono::steady_clock;

constexpr double kLimitSeconds = 600;  // for what hangs
constexpr int kAnswerMs = 60'000;

bool json = false, start_only = false;
std::string program;
AgentWorld world;
std::vector<int> local_pods = {10, 100, 200};
std::vector<uint32_t> flow_counts = {1'000, 255'000};
int pairs = 15;  // of ADD and DEL at each point

double MsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

// What one node of this benchmark has beside its agent.
struct Site {
  std::string folder, store;
  std::unique_ptr<loader::testing::TestBpffs> bpffs;
  TestNetns netns;
  std::string pins() const { return bpffs->dir() + "/ripstop"; }
  std::string cni() const { return AgentProcess::CniSocketIn(folder); }
};

using Stub = agent::v1::Agent::Stub;

std::unique_ptr<Stub> Connect(const Site& site) {
  return agent::v1::Agent::NewStub(grpc::CreateChannel(
      "unix:" + AgentProcess::SocketIn(site.folder), grpc::InsecureChannelCredentials()));
}

agent::v1::CniCall Call(const agent::LocalEndpoint& pod, const TestNetns* netns) {
  agent::v1::CniCall call;
  agent::v1::CniRequest* request = netns != nullptr ? call.mutable_add() : call.mutable_del();
  if (netns != nullptr) request->set_netns(netns->path());
  request->set_container_id(pod.container_id);
  request->set_interface_name(pod.interface_name);
  request->set_pod_namespace(pod.pod_namespace);
  request->set_pod_name(pod.pod_name);
  request->mutable_labels()->insert(pod.labels.begin(), pod.labels.end());
  request->set_network("k8s-pod-network");
  return call;
}

// ---- start ----

// What was seen from outside between the start and the moment at which all is in force.
struct Seen {
  double answers_ms = 0, in_sync_ms = 0;
  double longest_ms = 0;                // an answer to `drops`, from the first that came
  double refused_ms = 0;                // the longest "try again" to an ADD
  std::atomic<double> added_at_ms = 0;  // the first ADD that was done, from the start
  int asked = 0, refused = 0;
};

// Asks again and again until told to stop.
class Asker {
 public:
  Asker(const Site& site, Clock::time_point start, Seen& seen)
      : thread_([this, &site, start, &seen] { Run(site, start, seen); }) {}
  ~Asker() {
    stop_ = true;
    thread_.join();
  }

 private:
  void Run(const Site& site, Clock::time_point start, Seen& seen) {
    while (!stop_ && access(AgentProcess::SocketIn(site.folder).c_str(), F_OK) != 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    const auto stub = Connect(site);
    while (!stop_) {
      grpc::ClientContext context;
      context.set_wait_for_ready(seen.asked == 0);
      agent::v1::DropsReply reply;
      const auto asked = Clock::now();
      const bool answered = stub->Drops(&context, {}, &reply).ok();
      if (seen.asked == 0 && answered) {
        seen.answers_ms = MsSince(start);
      } else {
        seen.longest_ms = std::max(seen.longest_ms, MsSince(asked));
      }
      seen.asked += answered;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

// An ADD every 50 ms until one is done.
class Adder {
 public:
  Adder(const Site& site, const TestNetns& pod, Clock::time_point start, Seen& seen)
      : thread_([this, &site, &pod, start, &seen] { Run(site, pod, start, seen); }) {}
  ~Adder() {
    stop_ = true;
    thread_.join();
  }

 private:
  void Run(const Site& site, const TestNetns& pod, Clock::time_point start, Seen& seen) {
    static int starts = 0;  // each start a pod of its own
    const agent::LocalEndpoint endpoint = PodOf(world, world.pods() + 20'000 + starts++);
    while (!stop_ && seen.added_at_ms == 0) {
      agent::v1::CniAnswer answer;
      const auto asked = Clock::now();
      const auto outcome =
          agent::CallAgent(site.cni(), Call(endpoint, &pod), 0, kAnswerMs, &answer);
      if (outcome == agent::CallOutcome::kAnswered) {
        if (answer.code() == 0) {
          seen.added_at_ms = MsSince(start);
        } else {
          seen.refused_ms = std::max(seen.refused_ms, MsSince(asked));
          ++seen.refused;
        }
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }

  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

absl::Status WaitUntilReady(const Site& site, const AgentProcess& process,
                            Clock::time_point start) {
  std::string why = "it does not answer";
  while (MsSince(start) < kLimitSeconds * 1000) {
    if (!process.running()) return absl::InternalError("the agent ended");
    const auto stub = Connect(site);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(1));
    agent::v1::StatusReply reply;
    if (stub->Status(&context, {}, &reply).ok()) {
      if (reply.ready()) return absl::OkStatus();
      why = reply.not_ready_reasons().empty() ? "" : reply.not_ready_reasons(0);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return absl::DeadlineExceededError("the agent is not ready: " + why);
}

absl::StatusOr<std::unique_ptr<AgentProcess>> Start(const Site& site, const TestNetns& pod,
                                                    const std::string& what) {
  Seen seen;
  const auto start = Clock::now();
  ASSIGN_OR_RETURN(auto process,
                   AgentProcess::Start(site.netns, site.folder, site.store, site.pins(), program));
  {
    Asker asker(site, start, seen);
    Adder adder(site, pod, start, seen);
    RETURN_IF_ERROR(WaitUntilReady(site, *process, start));
    seen.in_sync_ms = MsSince(start);
    while (seen.added_at_ms == 0 && process->running() && MsSince(start) < kLimitSeconds * 1000) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  const double cpu = process->CpuMs();
  const AgentProcess::Memory memory = process->memory();
  const auto print = [&](const char* name, double value, const char* unit, double bar,
                         const std::string& note = "") {
    Print({absl::StrCat(what, ": ", name), value, unit, bar, false, note}, json);
  };
  print("first answer", seen.answers_ms, "ms", 0);
  print("in sync", seen.in_sync_ms / 1000, "s", 3);
  print("processor time until then", cpu / 1000, "s", 0);
  print("longest time without an answer", seen.longest_ms, "ms", 50,
        absl::StrCat(seen.asked, " answers"));
  print("longest refusal of an ADD meanwhile", seen.refused_ms, "ms", 0,
        absl::StrCat(seen.refused, " refused"));
  print("first ADD done", seen.added_at_ms / 1000, "s", 0);
  print("resident memory, most", memory.peak, "MiB", 250);
  print("resident memory, afterwards", memory.now, "MiB", 0);
  print("resident memory, afterwards, without files", memory.anonymous, "MiB", 0);
  return process;
}

// ---- ADD and DEL ----

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
  static int fresh = world.pods() + 10'000;
  const double before_all = process.CpuMs();
  for (int i = 0; i < pairs; ++i) {
    const agent::LocalEndpoint endpoint = PodOf(world, fresh++);
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
               (process.CpuMs() - before_all) / pairs};
}

void PrintCosts(const std::string& at, const Costs& costs, const Costs& first, double bar) {
  const auto print = [&](const char* verb, double cpu, double ms, double cpu_first) {
    Print({absl::StrCat(verb, ", ", at, ": processor time"), cpu, "ms", 0, false,
           absl::StrCat("answered after ", static_cast<int>(ms * 10) / 10.0, " ms")},
          json);
    if (cpu_first == cpu) return;
    Print({absl::StrCat(verb, ", ", at, " / the first"), cpu / cpu_first, "x", bar, false, ""},
          json);
  };
  print("ADD", costs.add_cpu, costs.add_ms, first.add_cpu);
  print("DEL", costs.del_cpu, costs.del_ms, first.del_cpu);
  Print({absl::StrCat("ADD and DEL, ", at, ": mean with all that the agent did meanwhile"),
         costs.pair_cpu, "ms", 0, false, ""},
        json);
}

// Connections between addresses that are no pod's of this node.
absl::Status FillFlows(const Site& site, uint32_t from, uint32_t to) {
  const std::string path = site.pins() + "/maps/rs_flows_v1";
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
    values[i - from] = {};
    values[i - from].seen_ns =
        static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
  }
  uint32_t count = to - from;
  LIBBPF_OPTS(bpf_map_batch_opts, options);
  if (bpf_map_update_batch(map.get(), keys.data(), values.data(), &count, &options) != 0)
    return absl::ErrnoToStatus(errno, absl::StrCat(path, ": after ", count, " flows"));
  return absl::OkStatus();
}

// Pods stand in one namespace of their own each, the measured one in another.
absl::Status MeasureCurves(const Site& site, const AgentProcess& process, const TestNetns& pod) {
  std::vector<TestNetns> standing;
  Costs first;
  for (const int count : local_pods) {
    while (static_cast<int>(standing.size()) < count) {
      ASSIGN_OR_RETURN(TestNetns netns, TestNetns::Create());
      standing.push_back(std::move(netns));
      const int number = world.pods() + static_cast<int>(standing.size());
      RETURN_IF_ERROR(Ask(site, Call(PodOf(world, number), &standing.back())));
    }
    ASSIGN_OR_RETURN(const Costs costs, MeasurePairs(site, process, pod));
    if (count == local_pods.front()) first = costs;
    PrintCosts(absl::StrCat(count, " local pods"), costs, first, 1.2);
  }
  uint32_t flows = 0;
  for (const uint32_t count : flow_counts) {
    RETURN_IF_ERROR(FillFlows(site, flows, count));
    flows = count;
    ASSIGN_OR_RETURN(const Costs costs, MeasurePairs(site, process, pod));
    if (count == flow_counts.front()) first = costs;
    PrintCosts(absl::StrCat(count, " flows"), costs, first, 1.2);
  }
  return absl::OkStatus();
}

absl::Status Measure(const Site& site) {
  {
    ASSIGN_OR_RETURN(auto store, api::OpenStore(site.store));
    RETURN_IF_ERROR(Fill(world, *store));
  }
  ASSIGN_OR_RETURN(const TestNetns first, TestNetns::Create());
  ASSIGN_OR_RETURN(const TestNetns second, TestNetns::Create());
  ASSIGN_OR_RETURN(const TestNetns measured, TestNetns::Create());
  const std::string size =
      absl::StrCat(world.pods(), " dual-stack endpoints, ", world.policies, " policies");
  ASSIGN_OR_RETURN(auto process, Start(site, first, "agent's first start, " + size));
  if (!start_only) RETURN_IF_ERROR(MeasureCurves(site, *process, measured));
  process.reset();
  ASSIGN_OR_RETURN(process, Start(site, second, "agent started again, " + size));
  return absl::OkStatus();
}

absl::Status Run(const std::string& folder) {
  ASSIGN_OR_RETURN(auto bpffs, loader::testing::TestBpffs::Mount());
  ASSIGN_OR_RETURN(TestNetns netns, TestNetns::Create());
  // The device that has the node's address; there is always one.
  for (const char* command :
       {"ip link add eth0 type veth peer name fabric", "ip link set fabric up", "ip link set lo up",
        "ip link set eth0 up"}) {
    if (netns.Shell(command) != 0) return absl::InternalError(command);
  }
  if (netns.Shell(absl::StrCat("ip addr add ", kMeasuredAddress, " dev eth0")) != 0)
    return absl::InternalError("ip addr add");
  const Site site = {folder, "sqlite://" + folder + "/store.db", std::move(bpffs),
                     std::move(netns)};
  return Measure(site);
}

}  // namespace
}  // namespace ripstop::bench

int main(int argc, char** argv) {
  using namespace ripstop::bench;
  std::string keep;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--json") {
      json = true;
    } else if (argument == "--start-only") {
      start_only = true;
    } else if (argument == "--keep" && i + 1 < argc) {
      keep = argv[++i];
    } else if (argument == "--agent" && i + 1 < argc) {
      program = argv[++i];
    } else if (argument == "--quick") {
      world = {.nodes = 6, .policies = 100};
      local_pods = {1, 3};
      flow_counts = {10, 1000};
      pairs = 3;
    } else {
      std::fprintf(stderr,
                   "usage: agent_bench [--json] [--quick] [--start-only] [--agent PROGRAM] "
                   "[--keep LOG]\n");
      return 2;
    }
  }
  char made[] = "/tmp/ripstop-agent-bench-XXXXXX";
  if (mkdtemp(made) == nullptr) {
    perror("agent_bench: /tmp");
    return 1;
  }
  const absl::Status status = Run(made);
  std::error_code ignored;
  if (!keep.empty()) std::filesystem::copy(made + std::string("/agent.log"), keep, ignored);
  std::filesystem::remove_all(made, ignored);
  if (!status.ok()) std::fprintf(stderr, "agent_bench: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
