// SPDX-License-Identifier: Apache-2.0
//
// A node with two pods, each a namespace behind a veth, and a TCP server in one of them.
//
//   client 10.1.0.10 ── hostc [node] hosts ── server 10.1.0.20:8080
#ifndef RIPSTOP_E2E_BENCH_POD_PAIR_H_
#define RIPSTOP_E2E_BENCH_POD_PAIR_H_

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/base/testing/test_netns.h"
#include "agent/dataplane/dataplane.h"
#include "bpf/loader/testing_bpffs.h"
#include "policy/world.h"

namespace ripstop::bench {

inline constexpr char kClientAddress[] = "10.1.0.10";
inline constexpr char kServerAddress[] = "10.1.0.20";
inline constexpr char kOwnAddress[] = "127.0.0.1";
inline constexpr uint16_t kServerPort = 8080;

class PodPair {
 public:
  static absl::StatusOr<std::unique_ptr<PodPair>> Make();
  ~PodPair();

  const agent::TestNetns& node() const { return *node_; }

  // New connections per second from the client for `seconds`, each reset at once: to the
  // server, or to a listener of the client's own through its loopback device, which is
  // what sockets cost without any node between them.
  absl::StatusOr<double> ConnectRate(double seconds, const char* address = kServerAddress) const;

  // Compiles `rules` as the server's ingress policy into tables that nothing uses yet. Both
  // pods are endpoints; the client's policy allows all.
  absl::Status Compile(const std::vector<policy::Rule>& rules);
  // Puts the programs on both veths, and takes them off.
  absl::Status Attach();
  absl::Status Detach();

 private:
  PodPair() = default;
  absl::Status MakePod(const agent::TestNetns& pod, const char* host_side, const char* address,
                       const char* mac);
  struct Listener {
    UniqueFd fd;
    std::thread acceptor;
  };
  absl::Status Listen(const agent::TestNetns& pod, const char* address, Listener& listener);
  policy::World World(const std::vector<policy::Rule>& rules) const;

  std::unique_ptr<agent::TestNetns> node_, client_, server_;
  std::unique_ptr<loader::testing::TestBpffs> bpffs_;
  std::string pins_;
  std::unique_ptr<agent::Dataplane> dataplane_;
  Listener server_listener_, own_listener_;
  std::atomic<bool> stop_ = false;
};

}  // namespace ripstop::bench

#endif  // RIPSTOP_E2E_BENCH_POD_PAIR_H_
