// SPDX-License-Identifier: Apache-2.0
//
// What two ends do with each other for a while, both on one CPU together with all that the kernel
// does for them: that CPU has no time over, so a rate is the inverse of CPU time.
//
// A load is made once, with its server waiting in a thread of its own, and then takes turns.
#ifndef RIPSTOP_E2E_BENCH_TRAFFIC_LOADS_H_
#define RIPSTOP_E2E_BENCH_TRAFFIC_LOADS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ripstop::bench {

enum class Work {
  kRequests,     // TCP: a byte there and one back, on one connection
  kConnections,  // TCP: connect, a byte there and one back, close
  kNewUdpFlows,  // UDP: a datagram there and one back, from another port each time
  kStream,       // TCP: as many bytes as go there
};

struct Ends {
  int client_ns = -1, server_ns = -1;  // network namespaces
  std::string server;                  // its address
  uint16_t port = 0;
};

class Load {
 public:
  virtual ~Load() = default;
  // Transactions, or bytes, per second.
  //   kDeadlineExceeded  one end waited for seconds
  virtual absl::StatusOr<double> Turn(absl::Duration duration) = 0;
  // The client's address as the server sees it; of kRequests alone.
  virtual std::string ClientSeen() const { return ""; }
};

absl::StatusOr<std::unique_ptr<Load>> MakeLoad(Work work, const Ends& ends);

// The calling thread, and those that it starts, run on the last CPU of those that it may run on.
absl::Status UseOneCpu();

}  // namespace ripstop::bench

#endif  // RIPSTOP_E2E_BENCH_TRAFFIC_LOADS_H_
