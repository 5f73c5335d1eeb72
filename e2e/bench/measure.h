// SPDX-License-Identifier: Apache-2.0
//
// One point of the curves: a world compiled, put in force and timed, each in a process of
// its own and beside a world of one rule, so that the ratio is of one moment.
#ifndef RIPSTOP_E2E_BENCH_MEASURE_H_
#define RIPSTOP_E2E_BENCH_MEASURE_H_

#include <string>

#include "e2e/bench/compiled.h"
#include "e2e/bench/rule_sets.h"

namespace ripstop::bench {

struct MeasureOptions {
  double limit_seconds = 60;  // then the point is left out, with a note
  bool straight_line = true;
  bool nft = true;  // for "hosts" and "selectors"
};

// `family`: acl, firewall, ip-chain, pathological, selectors,
// cidrs, cidrs-v6, hosts, or kubernetes (two
// rules per policy, pods as many as rules but between 100 and 10,000).
Row MeasureRules(const std::string& family, int rules, const MeasureOptions& options);

Row MeasureCluster(const KubernetesShape& shape, int size, const MeasureOptions& options);

}  // namespace ripstop::bench

#endif  // RIPSTOP_E2E_BENCH_MEASURE_H_
