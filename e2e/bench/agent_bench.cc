// SPDX-License-Identifier: Apache-2.0
//
// The real agent of one node of a large cluster, from its store: when it is in sync, what memory
// it takes, for how long nobody is answered meanwhile, and what ADD and DEL cost it as local pods
// and flows grow.
//   agent_bench [--json] [--quick] [--start-only] [--agent PROGRAM] [--keep LOG]
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "api/store/open.h"
#include "e2e/bench/agent_site.h"
#include "policy/status_macros.h"

namespace ripstop::bench {
namespace {

absl::Status Measure(const Site& site) {
  {
    ASSIGN_OR_RETURN(auto store, api::OpenStore(site.store));
    RETURN_IF_ERROR(Fill(site.options.world, *store));
  }
  ASSIGN_OR_RETURN(const TestNetns first, TestNetns::Create());
  ASSIGN_OR_RETURN(const TestNetns second, TestNetns::Create());
  ASSIGN_OR_RETURN(const TestNetns measured, TestNetns::Create());
  const std::string size = absl::StrCat(site.options.world.pods(), " dual-stack endpoints, ",
                                        site.options.world.policies, " policies");
  ASSIGN_OR_RETURN(auto process, MeasureStart(site, first, "agent's first start, " + size));
  if (!site.options.start_only) RETURN_IF_ERROR(MeasureCosts(site, *process, measured));
  process.reset();
  ASSIGN_OR_RETURN(process, MeasureStart(site, second, "agent started again, " + size));
  return absl::OkStatus();
}

absl::Status Run(const AgentBenchOptions& options, const std::string& folder) {
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
  const Site site = {options, folder, "sqlite://" + folder + "/store.db", std::move(bpffs),
                     std::move(netns)};
  return Measure(site);
}

}  // namespace
}  // namespace ripstop::bench

int main(int argc, char** argv) {
  using namespace ripstop::bench;
  AgentBenchOptions options;
  std::string keep;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--json") {
      options.json = true;
    } else if (argument == "--start-only") {
      options.start_only = true;
    } else if (argument == "--keep" && i + 1 < argc) {
      keep = argv[++i];
    } else if (argument == "--agent" && i + 1 < argc) {
      options.program = argv[++i];
    } else if (argument == "--quick") {
      options.world = {.nodes = 6, .policies = 100};
      options.local_pods = {1, 3};
      options.flow_counts = {10, 1000};
      options.pairs = 3;
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
  const absl::Status status = Run(options, made);
  std::error_code ignored;
  if (!keep.empty()) std::filesystem::copy(made + std::string("/agent.log"), keep, ignored);
  std::filesystem::remove_all(made, ignored);
  if (!status.ok()) std::fprintf(stderr, "agent_bench: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
