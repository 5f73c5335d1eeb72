// SPDX-License-Identifier: Apache-2.0
//
// The same policy for nftables: rule after rule, or as one verdict map.
#ifndef RIPSTOP_E2E_BENCH_NFT_RULES_H_
#define RIPSTOP_E2E_BENCH_NFT_RULES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/base/testing/test_netns.h"

namespace ripstop::bench {

// One rule: accept from any of these addresses to this port.
struct NftRule {
  std::vector<std::string> sources;
  uint16_t port = 0;
};

enum class NftForm { kRules, kMap };

// A table with one chain. `hook`: "forward" or "output"; `first`: a rule before all
// others, or empty; `protocol`: "tcp" or "udp".
std::string NftRuleset(const std::vector<NftRule>& rules, NftForm form, const std::string& hook,
                       const std::string& first, const std::string& protocol);

// Replaces all tables of `netns`.
//   kDeadlineExceeded  nft took longer than `limit_seconds`
absl::Status LoadNft(const agent::TestNetns& netns, const std::string& ruleset, int limit_seconds);
absl::Status FlushNft(const agent::TestNetns& netns);

// What a ruleset costs each packet: UDP datagrams sent in a namespace of its own out of a
// device whose other end is down, through a chain on `output`, without connection tracking; the
// cost of the same sends without any ruleset is subtracted.
class NftCost {
 public:
  static absl::StatusOr<std::unique_ptr<NftCost>> Open();
  // Nanoseconds for a packet that the last rule accepts; best of several runs.
  absl::StatusOr<double> Packet(const std::vector<NftRule>& rules, NftForm form);

 private:
  explicit NftCost(agent::TestNetns netns) : netns_(std::move(netns)) {}
  absl::StatusOr<double> Send(const NftRule& as, int packets, int runs) const;
  const agent::TestNetns netns_;
};

}  // namespace ripstop::bench

#endif  // RIPSTOP_E2E_BENCH_NFT_RULES_H_
