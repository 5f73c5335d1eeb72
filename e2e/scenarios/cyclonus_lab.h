// SPDX-License-Identifier: Apache-2.0
//
// Cyclonus' world in the lab: its pods with their very addresses, so that the cases'
// ipBlocks need no rewriting, spread over three nodes, the third in another subnet.
//
//        node1        node2        node3
//        w/a x/c      x/a y/c      x/b y/a      every pod has peers on its own node,
//        y/b z/a      z/b          z/c          in its subnet and across subnets
//
// A step of a case records the world and the policies that it ends with. The lab is moved
// there from wherever it is: pods come and go by CNI, all else by ripstopctl.
#ifndef RIPSTOP_E2E_SCENARIOS_CYCLONUS_LAB_H_
#define RIPSTOP_E2E_SCENARIOS_CYCLONUS_LAB_H_

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "e2e/lab/connectivity.h"
#include "e2e/lab/lab.h"

namespace ripstop::lab {

// By "TCP/80": for each source a row of '.' (allowed) and 'X' (denied), one character for
// each destination. A pod to itself is '-': that packet never leaves the pod.
using Matrices = std::map<std::string, std::vector<std::string>>;

class CyclonusLab {
 public:
  static absl::StatusOr<std::unique_ptr<CyclonusLab>> Up(const std::string& name);
  // Takes the lab down.
  static absl::Status Down(const std::string& name) { return Lab::Down(name, {}); }

  // Returns when every agent has read the last of the changes. kDeadlineExceeded names the
  // agent that has not.
  absl::Status MoveTo(const nlohmann::json& world, const nlohmann::json& policies);

  // What a step expects, without SCTP: this kernel has no SCTP sockets. The three engines
  // answer those matrices in api/ctl/cyclonus_test.cc.
  static Matrices Expected(const nlohmann::json& step);

  // The same, measured: a connection from every pod to every other on the protocols and
  // ports of `expected`, all at once.
  absl::StatusOr<Matrices> Measured(const std::vector<std::string>& pods, const Matrices& expected,
                                    absl::Duration timeout) const;

 private:
  explicit CyclonusLab(Lab lab) : lab_(std::move(lab)) {}

  absl::Status WaitForAgents();

  Lab lab_;
  std::map<std::string, nlohmann::json> documents_;  // applied, by kind and name
  int changes_ = 0;
};

// Expected beside measured, with what differs marked; empty if nothing does.
std::string Difference(const std::vector<std::string>& pods, const Matrices& expected,
                       const Matrices& measured);

// Whether any flow that must be denied got through.
bool Leaks(const Matrices& expected, const Matrices& measured);

}  // namespace ripstop::lab

#endif  // RIPSTOP_E2E_SCENARIOS_CYCLONUS_LAB_H_
