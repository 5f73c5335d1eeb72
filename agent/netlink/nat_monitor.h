// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETLINK_NAT_MONITOR_H_
#define RIPSTOP_AGENT_NETLINK_NAT_MONITOR_H_

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct nlmsghdr;

namespace ripstop::agent {

class NetlinkSocket;

// What translates addresses in a network namespace: base chains of type nat that hold rules
// (nftables, and iptables in its nft form), the nat table of iptables-legacy, IPVS.
//
//   nftables' notifications ──▶ [NatMonitor] ──▶ found()
//   Poll, for what tells nobody ▶┘
//
// What changes is read, not all there is: of thousands of chains and rules that kube-proxy
// has, and that changed, some bytes each are looked at. A burst too large for the socket is
// one listing of chains instead. One thread at a time.
class NatMonitor {
 public:
  // Of the calling thread's namespace. A kernel without nftables has none of its chains;
  // that is no error.
  static absl::StatusOr<std::unique_ptr<NatMonitor>> Open();
  ~NatMonitor();

  int fd() const;  // readable when chains or tables have changed; -1 without nftables

  // All that has been told, without blocking.
  absl::Status Read();
  // Asks for what nobody tells: the legacy tables, IPVS. Some tens of microseconds; call
  // each second.
  absl::Status Poll();

  // What was found, in words: "nftables ip nat PREROUTING". Empty: nothing translates.
  std::vector<std::string> found() const;

 private:
  struct Chain {
    uint8_t family = 0;  // NFPROTO_*
    std::string table, name;
    auto operator<=>(const Chain&) const = default;
  };
  struct News {
    bool list = false;
    std::set<Chain> touched;
  };
  NatMonitor();
  absl::Status ListChains();
  void Note(const nlmsghdr* message, News* news) const;
  absl::StatusOr<bool> HasRules(const Chain& chain);
  static absl::StatusOr<std::vector<std::string>> ReadLegacy();

  std::unique_ptr<NetlinkSocket> requests_;
  std::unique_ptr<NetlinkSocket> events_;
  std::map<Chain, bool> chains_;  // base chains of type nat, to whether they hold rules
  std::vector<std::string> legacy_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETLINK_NAT_MONITOR_H_
