// SPDX-License-Identifier: Apache-2.0
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "agent/cni/agent_call.h"
#include "e2e/bench/agent_site.h"
#include "e2e/bench/report.h"
#include "policy/status_macros.h"

namespace ripstop::bench {

std::unique_ptr<agent::v1::Agent::Stub> Connect(const Site& site) {
  // A socket that nobody listens at yet is tried again at once, not after a second.
  grpc::ChannelArguments arguments;
  for (const char* name : {GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, GRPC_ARG_MIN_RECONNECT_BACKOFF_MS,
                           GRPC_ARG_MAX_RECONNECT_BACKOFF_MS}) {
    arguments.SetInt(name, 10);
  }
  return agent::v1::Agent::NewStub(
      grpc::CreateCustomChannel("unix:" + AgentProcess::SocketIn(site.folder),
                                grpc::InsecureChannelCredentials(), arguments));
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

namespace {

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
    const agent::LocalEndpoint endpoint =
        PodOf(site.options.world, site.options.world.pods() + 20'000 + starts++);
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

}  // namespace

absl::StatusOr<std::unique_ptr<AgentProcess>> MeasureStart(const Site& site, const TestNetns& pod,
                                                           const std::string& what) {
  Seen seen;
  const auto start = Clock::now();
  ASSIGN_OR_RETURN(auto process, AgentProcess::Start(site.netns, site.folder, site.store,
                                                     site.pins(), site.options.program));
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
    Print({absl::StrCat(what, ": ", name), value, unit, bar, false, note}, site.options.json);
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

}  // namespace ripstop::bench
