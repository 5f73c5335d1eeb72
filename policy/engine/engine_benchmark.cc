// SPDX-License-Identifier: Apache-2.0
//
// What the engine costs by itself, in time of its thread, without a kernel: cold start of a large
// cluster, and single events in it. Prints figures; asserts nothing. e2e/bench/control_bench does
// the same with the real maps.
//   policy_engine_benchmark [ENDPOINTS POLICIES LOCAL FAMILIES]
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

#include "policy/engine/engine.h"
#include "policy/testing/cluster.h"

namespace ripstop::policy {
namespace {

// Of this thread, in microseconds of its own time: the engine waits for nobody.
double Now() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

int Run(const ClusterShape& shape) {
  Engine engine;
  const double start = Now();
  PutCluster(shape, engine);
  const double put = Now() - start;
  const size_t writes = engine.Flush().size();
  const double flush = Now() - start - put;
  rusage used = {};
  getrusage(RUSAGE_SELF, &used);
  std::printf("cold start: put %.0f ms, flush %.0f ms, %zu writes, at most %ld MiB of memory\n",
              put / 1000, flush / 1000, writes, used.ru_maxrss / 1024);
  std::printf("%-55s %10s %10s %10s %9s %7s %7s\n", "event (writes: of one, the most of all)",
              "median us", "least us", "most us", "addresses", "stores", "words");
  for (const ClusterEvent& event : ClusterEvents(shape)) {
    std::vector<double> took;
    WriteCount most;
    for (int i = 0; i < event.repeat; ++i) {
      const double before = Now();
      event.happen(engine, i);
      const TableWrites made = engine.Flush();
      took.push_back(Now() - before);
      const WriteCount count = Count(made);
      most.addresses = std::max(most.addresses, count.addresses);
      most.stores = std::max(most.stores, count.stores);
      most.words = std::max(most.words, count.words);
    }
    std::sort(took.begin(), took.end());
    std::printf("%-55s %10.0f %10.0f %10.0f %9zu %7zu %7zu\n", event.name.c_str(),
                took[took.size() / 2], took.front(), took.back(), most.addresses, most.stores,
                most.words);
  }
  const EngineTotals t = engine.Totals();
  std::printf("%u address classes, %u L4 classes, %.1f MiB of tables\n", t.address_classes,
              t.l4_classes, static_cast<double>(t.arena_bytes) / (1 << 20));
  return 0;
}

}  // namespace
}  // namespace ripstop::policy

int main(int argc, char** argv) {
  const auto argument = [&](int i, int otherwise) {
    return argc > i ? std::atoi(argv[i]) : otherwise;
  };
  return ripstop::policy::Run({.endpoints = argument(1, 100'000),
                               .policies = argument(2, 10'000),
                               .local = argument(3, 200),
                               .dual_stack = argument(4, 1) == 2});
}
