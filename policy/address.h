// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_ADDRESS_H_
#define RIPSTOP_POLICY_ADDRESS_H_

#include <endian.h>

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace ripstop::policy {

// An IPv6 address, or an IPv4 address mapped into IPv6 (RFC 4291 section
// 2.5.5.2). Bytes are in network order, so comparison is numeric order.
struct Address {
  std::array<uint8_t, 16> bytes{};

  bool is_v4() const;
  bool operator==(const Address&) const = default;
  // As two numbers: trees of addresses and CIDRs compare very often.
  std::strong_ordering operator<=>(const Address& other) const {
    const auto half = [](const Address& a, size_t first) {
      uint64_t number = 0;
      std::memcpy(&number, a.bytes.data() + first, sizeof(number));
      return be64toh(number);
    };
    const std::strong_ordering order = half(*this, 0) <=> half(other, 0);
    return order != 0 ? order : half(*this, 8) <=> half(other, 8);
  }

  // Accepts dotted quad and RFC 4291 text. An IPv4-mapped text form reads as IPv4.
  static absl::StatusOr<Address> Parse(std::string_view text);
  static Address FromV4(uint32_t host_order);
  std::string ToString() const;  // dotted quad or RFC 5952

  template <typename H>
  friend H AbslHashValue(H h, const Address& a) {
    return H::combine(std::move(h), a.bytes);
  }
};

// A prefix with its host bits masked off. `bits` counts from the start of the 128-bit
// form: an IPv4 /24 has bits = 120. A prefix belongs to one family: `::/0` does not
// contain IPv4 addresses although they are written mapped, and `0.0.0.0/0` is bits = 96.
struct Cidr {
  Address address;
  uint8_t bits = 0;

  bool is_v4() const { return bits >= 96 && address.is_v4(); }
  int family_bits() const { return is_v4() ? bits - 96 : bits; }  // as users write it
  bool Contains(const Address& a) const;                          // false across families
  bool Contains(const Cidr& other) const;
  auto operator<=>(const Cidr&) const = default;

  // `10.0.0.5/8` is masked to `10.0.0.0/8`; a bare address is a /32 or /128;
  // `::ffff:10.0.0.0/104` reads as `10.0.0.0/8`.
  static absl::StatusOr<Cidr> Parse(std::string_view text);
  static Cidr Of(const Address& address, int bits);  // masks
  std::string ToString() const;

  template <typename H>
  friend H AbslHashValue(H h, const Cidr& c) {
    return H::combine(std::move(h), c.address, c.bits);
  }
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_ADDRESS_H_
