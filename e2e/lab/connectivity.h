// SPDX-License-Identifier: Apache-2.0
//
// Who reaches whom: real connections between the pods of a lab, all pods at once.
#ifndef RIPSTOP_E2E_LAB_CONNECTIVITY_H_
#define RIPSTOP_E2E_LAB_CONNECTIVITY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "e2e/lab/lab.h"

namespace ripstop::lab {

struct Flow {
  std::string from;  // "ns/pod"
  std::string to;    // "ns/pod", or an address
  std::string protocol = "TCP";
  uint16_t port = 0;
  int family = 4;  // ignored when `to` is an address

  std::string ToString() const;  // "shop/a → shop/b TCP/80 IPv4"
};

struct FlowResult {
  Flow flow;
  std::string result;  // ok, timeout, refused, unreachable, error: see probe/probe.h
  std::string peer;    // who answered
  double ms = 0;
  bool reached() const { return result == "ok"; }
};

// One result per flow, in their order. Takes little longer than `timeout` (of a machine of today:
// patience.h), since all are tried at once, and ends when each has its result. An answer from
// another pod than the one asked is result "error".
absl::StatusOr<std::vector<FlowResult>> Measure(const Lab& lab, const std::vector<Flow>& flows,
                                                absl::Duration timeout = absl::Milliseconds(1500));

}  // namespace ripstop::lab

#endif  // RIPSTOP_E2E_LAB_CONNECTIVITY_H_
