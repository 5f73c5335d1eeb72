// SPDX-License-Identifier: Apache-2.0
//
// Traffic for tests and the demo, from ordinary sockets. Everything ends by itself,
// except a server that was not told for how long.
//
// The protocol of the server: each line (TCP) or datagram (UDP) is answered with
// "NAME " followed by what came.
#ifndef RIPSTOP_E2E_LAB_PROBE_PROBE_H_
#define RIPSTOP_E2E_LAB_PROBE_PROBE_H_

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ripstop::lab {

struct ServeOptions {
  std::string name;
  std::vector<uint16_t> tcp, udp;
  std::string ready_file;  // made once every port listens
  absl::Duration duration = absl::InfiniteDuration();
};
absl::Status Serve(const ServeOptions& options);

// Reads destinations from standard input, one JSON object a line:
//   {"id": "…", "protocol": "TCP"|"UDP", "address": "…", "port": 80}
// (with "source", from that address), tries all at once, and writes one line each, in the
// order of the input:
//   {"id": "…", "result": "ok", "peer": "shop/cart-1", "ms": 0.4}
// result: ok, timeout, refused, unreachable, error (with "why").
absl::Status Connect(absl::Duration timeout);

// One flow that sends a counter every `interval` and watches the answers. Writes
// {"event":"connected"} once the first answer is there, {"event":"cut"} when none has
// come for `cut_after`, {"event":"restored"} when one comes again, and last
// {"event":"end","sent","answered","lost","retransmits","longest_gap_ms","cut"}; and with each
// hundred sent {"event":"progress","sent"}.
// Sends until `duration` is over, `count` were sent, SIGTERM comes, or it is cut if
// `stop_when_cut`; then listens until all is answered or nothing has come for `listen`.
inline constexpr int64_t kStreamProgress = 100;
struct StreamOptions {
  std::string protocol = "TCP", address;
  uint16_t port = 0;
  absl::Duration interval = absl::Milliseconds(5);
  absl::Duration duration = absl::Seconds(10);
  absl::Duration cut_after = absl::Seconds(1);
  absl::Duration listen = absl::Seconds(5);
  int64_t count = 0;  // 0: no limit
  bool stop_when_cut = false;
};
absl::Status Stream(const StreamOptions& options);

// UDP datagrams with a source address that may be another's, from a raw socket.
struct SpoofOptions {
  std::string source, destination;
  uint16_t source_port = 40000, port = 0;
  int count = 1;
  std::string payload = "spoofed";
};
absl::Status Spoof(const SpoofOptions& options);

// Writes {"from","fromPort","payload"} for each datagram that comes to `port`, until
// `count` have come (0: no limit) or `duration` is over. {"event":"listening"} first.
absl::Status Receive(uint16_t port, int count, absl::Duration duration);

// For all of them.
absl::StatusOr<sockaddr_storage> SocketAddress(const std::string& address, uint16_t port,
                                               socklen_t* length);

}  // namespace ripstop::lab

#endif  // RIPSTOP_E2E_LAB_PROBE_PROBE_H_
