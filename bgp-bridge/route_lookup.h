// SPDX-License-Identifier: Apache-2.0
//
// Asks the kernel which way it would send to an address: `ip route get` without a process.
// In the caller's network namespace; any thread.
#ifndef RIPSTOP_BGP_BRIDGE_ROUTE_LOOKUP_H_
#define RIPSTOP_BGP_BRIDGE_ROUTE_LOOKUP_H_

#include <string>

#include "absl/status/statusor.h"
#include "bgp-bridge/prefix.h"

namespace ripstop::bgp {

struct KernelPath {
  std::string interface;
  std::string gateway;  // empty: the address is on the link
  std::string source;   // address the kernel would choose
};

// kNotFound: no route, in the kernel's words.
absl::StatusOr<KernelPath> LookUpRoute(const Prefix& address);

}  // namespace ripstop::bgp

#endif  // RIPSTOP_BGP_BRIDGE_ROUTE_LOOKUP_H_
