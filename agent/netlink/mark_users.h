// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETLINK_MARK_USERS_H_
#define RIPSTOP_AGENT_NETLINK_MARK_USERS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ripstop::agent {

// Who else in the calling thread's namespace writes, or routes by, bits of packets' marks
// that `mask` has: rules of nftables (iptables-nft among them) that set a mark, and policy
// rules (ip rule) that look at one. One line each, such as
//
//   nftables ip mangle PREROUTING, handle 7: sets 0xffffffff
//   ip rule 5210: fwmark 0x80000/0xff0000
//
// Reads all rules: some 2 µs each. Rules of iptables-legacy are not read.
absl::StatusOr<std::vector<std::string>> FindMarkUsers(uint32_t mask);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETLINK_MARK_USERS_H_
