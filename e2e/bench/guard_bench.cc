// SPDX-License-Identifier: Apache-2.0
//
// What it costs the agent to look whether somebody has changed something under it
// (agent/network/node_guard.h), on a node with many pods: CPU time of one check, and beside it
// the same settings read one by one below /proc.
//   guard_bench [--json] [--quick]
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/base/testing/test_netns.h"
#include "agent/dataplane/dataplane.h"
#include "agent/network/netlink_host.h"
#include "agent/network/node_guard.h"
#include "bpf/loader/testing_bpffs.h"
#include "e2e/bench/report.h"
#include "policy/status_macros.h"

namespace ripstop::bench {
namespace {

using agent::GuardedLink;

bool json = false;
int pods = 200, checks = 41;

// Of the calling thread.
double CpuMicroseconds() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

struct Cost {
  std::vector<double> samples;
  template <typename F>
  void Time(F&& f) {
    const double start = CpuMicroseconds();
    f();
    samples.push_back(CpuMicroseconds() - start);
  }
  double median() {
    std::sort(samples.begin(), samples.end());
    return samples[samples.size() / 2];
  }
};

absl::StatusOr<std::vector<GuardedLink>> MakePods(agent::Netlink& netlink, int pod_netns,
                                                  agent::Dataplane& dataplane) {
  std::vector<GuardedLink> guarded;
  for (int i = 0; i < pods; ++i) {
    char name[16];
    std::snprintf(name, sizeof(name), "cali%011x", i);
    RETURN_IF_ERROR(netlink.CreateVeth({.name = name,
                                        .mac = {0xee, 0xee, 0xee, 0xee, 0xee, 0xee},
                                        .peer_name = absl::StrCat("pod", i),
                                        .peer_mac = {2, 0, 0, 0, 1, static_cast<uint8_t>(i)},
                                        .peer_netns_fd = pod_netns}));
    ASSIGN_OR_RETURN(const agent::Link link, netlink.GetLink(name));
    RETURN_IF_ERROR(agent::WriteWherePresent(agent::HostVethSysctls(name)));
    RETURN_IF_ERROR(dataplane.AttachWorkload(link.index));
    RETURN_IF_ERROR(netlink.SetLinkUp(link.index, true));
    guarded.push_back({link.index, absl::StrCat("pod bench/", i), agent::HostVethSysctls(name)});
  }
  return guarded;
}

// In the node's namespace.
absl::Status Measure(int pod_netns, const std::string& pins) {
  RETURN_IF_ERROR(agent::WriteWherePresent(agent::NodeSysctls()));
  ASSIGN_OR_RETURN(const auto dataplane, agent::Dataplane::Open({.pin_dir = pins}));
  ASSIGN_OR_RETURN(const auto netlink, agent::Netlink::Open());
  ASSIGN_OR_RETURN(const std::vector<GuardedLink> guarded,
                   MakePods(*netlink, pod_netns, *dataplane));
  agent::NetlinkHost host(netlink.get());
  agent::NodeGuard guard(&host, dataplane.get(), [&](const agent::NodeGuard::Visitor& visit) {
    for (const GuardedLink& link : guarded) visit(link);
  });
  guard.set_node_settings(agent::NodeSysctls());
  Cost check, programs, proc;
  for (int i = 0; i < checks; ++i) {
    check.Time([&] { guard.Check(); });
    programs.Time([&] { (void)dataplane->Repair(); });
    proc.Time([&] {
      for (const GuardedLink& link : guarded) {
        for (const agent::Sysctl& setting : link.settings) (void)agent::ReadSysctl(setting.path);
      }
    });
  }
  if (!guard.problems().empty() || !guard.repairs().empty()) {
    return absl::InternalError("the guard found something to repair on an untouched node");
  }
  const std::string of = absl::StrCat(pods, " pods");
  const double each = check.median();
  Print({"guard: one check, " + of, each / 1e3, "ms", 0, false, "CPU time"}, json);
  Print({"guard: of it, programs and pins", programs.median() / each, "x", 0, false, ""}, json);
  Print({"guard: settings one by one below /proc / one check", proc.median() / each, "x", 0, false,
         "what the netlink dump saves"},
        json);
  Print({"guard: share of a processor, " + of,
         100 * each / absl::ToDoubleMicroseconds(agent::NodeGuard::kPeriod), "%", 0, false,
         "by the period of the agent's timer"},
        json);
  return absl::OkStatus();
}

absl::Status Run() {
  ASSIGN_OR_RETURN(const auto bpffs, loader::testing::TestBpffs::Mount());
  ASSIGN_OR_RETURN(const agent::TestNetns node, agent::TestNetns::Create());
  ASSIGN_OR_RETURN(const agent::TestNetns peers, agent::TestNetns::Create());
  return node.Run([&] { return Measure(peers.fd(), absl::StrCat(bpffs->dir(), "/ripstop")); });
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
      pods = 10;
      checks = 3;
    } else {
      std::fprintf(stderr, "guard_bench [--json] [--quick]\n");
      return 2;
    }
  }
  const absl::Status status = Run();
  if (!status.ok()) std::fprintf(stderr, "guard_bench: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
