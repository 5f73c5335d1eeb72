// SPDX-License-Identifier: Apache-2.0
//
// A world compiled and put in force, and what that and its packets cost.
#ifndef RIPSTOP_E2E_BENCH_COMPILED_H_
#define RIPSTOP_E2E_BENCH_COMPILED_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "e2e/bench/bench_kernel.h"
#include "e2e/bench/rule_sets.h"

namespace ripstop::bench {

// One point of the curves. Trivially copyable: it crosses a pipe (isolated.h).
struct Row {
  int size = 0;
  int rule = -1;  // index of the rule that decides the timed packet
  double put_ms = 0, compile_ms = 0, apply_ms = 0;
  double table_mib = 0;  // tables in use
  double map_mib = 0;    // kernel memory of all maps, more than with an empty policy
  double agent_mib = 0;  // private memory of the process, more than without engine and store
  unsigned address_classes = 0, l4_classes = 0;
  double verdict_ns = 0, new_flow_ns = 0;
  double one_verdict_ns = 0, one_new_flow_ns = 0;            // with one rule
  double straight_ns = 0, nft_rules_ns = 0, nft_map_ns = 0;  // 0: not measured
  char representation[24] = "";
  char note[240] = "";

  // Adds to `note` what fits.
  void Note(const std::string& text);
  double verdict_ratio() const { return verdict_ns > 0 ? verdict_ns / one_verdict_ns : 0; }
  double new_flow_ratio() const { return new_flow_ns > 0 ? new_flow_ns / one_new_flow_ns : 0; }
};

// A kernel with the tables of a world, and the engine that made them.
struct Compiled {
  std::unique_ptr<BenchKernel> kernel;
  std::unique_ptr<policy::Engine> engine;
  std::vector<policy::Packet> packets;  // to time
};

absl::StatusOr<Compiled> OpenCompiled();

// Puts `world` in force; fills the costs of that.
absl::Status Compile(const policy::World& world, Compiled& made, Row& row);

// The packet to time: for the rule nearest to the end that decides, and allows, the one
// made for it. None: `row` has a note.
absl::Status FindDeepest(const policy::World& world, Compiled& made, Row& row);

// The packets to time: up to `count` from a remote to a local pod that some policy allows.
absl::Status FindPairs(const std::vector<policy::Address>& local,
                       const std::vector<policy::Address>& remote, size_t count, Compiled& made,
                       Row& row);

// Times the packets of `made` and of `one` in turns; the least of each counts, the mean
// over the packets.
absl::Status TimeBoth(Compiled& made, Compiled& one, Row& row);

}  // namespace ripstop::bench

#endif  // RIPSTOP_E2E_BENCH_COMPILED_H_
