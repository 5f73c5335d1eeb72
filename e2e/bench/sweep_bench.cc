// SPDX-License-Identifier: Apache-2.0
//
// What looking at every flow costs: the sweep, which ends those that have been quiet too long.
//   sweep_bench [--json] [--quick]
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "bpf/loader/datapath_object.h"
#include "bpf/loader/testing_bpffs.h"
#include "e2e/bench/report.h"
#include "policy/model.h"
#include "policy/status_macros.h"

namespace ripstop::bench {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr int kRuns = 7;

bool json = false;

double ThreadMs() {
  timespec spent{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
  return static_cast<double>(spent.tv_sec) * 1e3 + static_cast<double>(spent.tv_nsec) * 1e-6;
}

// TCP connections that were last seen at `seen_ns`.
absl::Status Fill(const loader::DatapathObject& object, uint32_t count, uint64_t seen_ns) {
  for (uint32_t i = 0; i < count; ++i) {
    flow_key key = {};
    key.address[FLOW_LOW].words[3] = htonl(0x0a000000 + i / 1000);
    key.address[FLOW_HIGH].words[3] = htonl(0xc0000201);
    key.port[FLOW_LOW] = htons(static_cast<uint16_t>(1024 + i % 1000));
    key.port[FLOW_HIGH] = htons(443);
    key.protocol = policy::kProtocolTcp;
    const flow_value value = {.life = FLOW_LIFE(FLOW_OPEN, 0, i), .seen_ns = seen_ns};
    if (bpf_map_update_elem(object.flows(), &key, &value, BPF_ANY) != 0)
      return absl::ErrnoToStatus(errno, absl::StrCat("flow ", i));
  }
  return absl::OkStatus();
}

struct Sweep {
  double cpu_ms = 0;
  sweep_request done = {};
};
absl::StatusOr<Sweep> Run(const loader::DatapathObject& object, uint64_t now_ns) {
  sweep_request request = {.now_ns = now_ns};
  LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &request, .ctx_size_in = sizeof(request));
  const double before = ThreadMs();
  if (bpf_prog_test_run_opts(object.flow_sweep(), &options) != 0)
    return absl::ErrnoToStatus(errno, "run flow_sweep");
  return Sweep{ThreadMs() - before, request};
}

absl::Status RunAll(uint32_t flows) {
  loader::DatapathSizes sizes;
  sizes.flows = flows;
  ASSIGN_OR_RETURN(const auto bpffs, loader::testing::TestBpffs::Mount());
  ASSIGN_OR_RETURN(const auto object,
                   loader::DatapathObject::Load(sizes, absl::StrCat(bpffs->dir(), "/ripstop")));
  const uint64_t now = 100'000 * kSecond;
  RETURN_IF_ERROR(Fill(*object, flows, now));
  std::vector<double> runs;
  for (int i = 0; i < kRuns; ++i) {
    ASSIGN_OR_RETURN(const Sweep sweep, Run(*object, now));
    if (sweep.done.visited != flows || sweep.done.removed != 0)
      return absl::InternalError(absl::StrCat(sweep.done.visited, " flows of ", flows, " seen"));
    runs.push_back(sweep.cpu_ms);
  }
  std::sort(runs.begin(), runs.end());
  const double of_a_million = 1e6 / flows;
  Print({"a million live flows swept, CPU", runs[0] * of_a_million, "ms", 100, false,
         absl::StrCat("median ", static_cast<int>(runs[kRuns / 2] * of_a_million + 0.5))},
        json);
  ASSIGN_OR_RETURN(const Sweep ends, Run(*object, now + FLOW_TCP_IDLE_NS + kSecond));
  if (ends.done.removed != flows)
    return absl::InternalError(absl::StrCat(ends.done.removed, " flows of ", flows, " ended"));
  Print({"a million idle flows ended by one sweep, CPU", ends.cpu_ms * of_a_million, "ms"}, json);
  return absl::OkStatus();
}

}  // namespace
}  // namespace ripstop::bench

int main(int argc, char** argv) {
  uint32_t flows = 1'000'000;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--json") {
      ripstop::bench::json = true;
    } else if (option == "--quick") {
      flows = 10'000;
    } else {
      std::fprintf(stderr, "sweep_bench [--json] [--quick]\n");
      return 2;
    }
  }
  const absl::Status status = ripstop::bench::RunAll(flows);
  if (!status.ok()) std::fprintf(stderr, "sweep_bench: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
