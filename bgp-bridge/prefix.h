// SPDX-License-Identifier: Apache-2.0
//
// Addresses and prefixes in the one spelling that goes into bird.conf: parsed and printed
// again, so that nothing else a user wrote can follow them there. Pure; any thread.
// Errors: kInvalidArgument with the offending text.
#ifndef RIPSTOP_BGP_BRIDGE_PREFIX_H_
#define RIPSTOP_BGP_BRIDGE_PREFIX_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ripstop::bgp {

struct Prefix {
  bool ipv6 = false;
  std::array<uint8_t, 16> bytes{};  // network order; IPv4 uses the first four
  uint8_t length = 0;

  uint8_t Bits() const { return ipv6 ? 128 : 32; }
  Prefix Masked() const;                     // host bits cleared
  bool Contains(const Prefix& other) const;  // `other` is equal or more specific
  std::string Address() const;               // "192.0.2.0"
  std::string ToString() const;              // "192.0.2.0/24"
  bool operator==(const Prefix&) const = default;
};

// "192.0.2.1": length is the number of bits. A prefix length or a zone is refused.
absl::StatusOr<Prefix> ParseAddress(absl::string_view text);
// "192.0.2.1/24", host bits kept; without a length it is a host prefix.
absl::StatusOr<Prefix> ParsePrefix(absl::string_view text);

}  // namespace ripstop::bgp

#endif  // RIPSTOP_BGP_BRIDGE_PREFIX_H_
