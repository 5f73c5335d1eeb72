// SPDX-License-Identifier: Apache-2.0
//
// The connectivity matrix of a lab: every pod to every port of every other pod, over both
// families, beside what is expected. Expectations are by application (namespace and `app`
// label), in a file:
//
//   shop/frontend:
//   - shop/cart TCP/7070      # whatever is not listed must fail
#ifndef RIPSTOP_E2E_LAB_MATRIX_H_
#define RIPSTOP_E2E_LAB_MATRIX_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "e2e/lab/connectivity.h"
#include "e2e/lab/lab.h"

namespace ripstop::lab {

// By source application: the allowed "ns/app PROTOCOL/port".
using Expectation = std::map<std::string, std::set<std::string>>;

// kInvalidArgument, with file and line, if it names an application or port that the
// topology does not have: an expectation of nothing would always be met.
absl::StatusOr<Expectation> ReadExpectation(const std::string& path, const Topology& topology);

std::string ApplicationOf(const Pod& pod);  // "shop/cart"

// Every pod to every port of every other pod, IPv4 and IPv6.
std::vector<Flow> AllFlows(const Topology& topology);
bool IsExpected(const Expectation& expectation, const Topology& topology, const Flow& flow);

// "same node", "same subnet", "across subnets".
std::string PathOf(const Topology& topology, const Flow& flow);

// Those that were not as expected.
std::vector<FlowResult> Wrong(const Expectation& expectation, const Topology& topology,
                              const std::vector<FlowResult>& results);

// A table for people: for each pair of applications how many connections were answered,
// of how many, and what is expected; then one line per path and family.
std::string MatrixText(const Expectation& expectation, const Topology& topology,
                       const std::vector<FlowResult>& results);

// Polls until every expected flow gets through: routes and remote pods are known
// everywhere. kDeadlineExceeded names those that do not.
absl::Status WaitUntilExpectedFlowsPass(const Lab& lab, const Expectation& expectation,
                                        absl::Duration patience);

}  // namespace ripstop::lab

#endif  // RIPSTOP_E2E_LAB_MATRIX_H_
