// SPDX-License-Identifier: Apache-2.0
#include "policy/address.h"

#include <arpa/inet.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "policy/status_macros.h"

namespace ripstop::policy {
namespace {

constexpr std::array<uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool SharesBits(const Address& a, const Address& b, int bits) {
  const int whole = bits / 8;
  if (!std::equal(a.bytes.begin(), a.bytes.begin() + whole, b.bytes.begin())) return false;
  if (bits % 8 == 0) return true;
  const uint8_t mask = static_cast<uint8_t>(0xff << (8 - bits % 8));
  return (a.bytes[whole] & mask) == (b.bytes[whole] & mask);
}

}  // namespace

bool Address::is_v4() const {
  return std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes.begin());
}

absl::StatusOr<Address> Address::Parse(std::string_view text) {
  const std::string copy(text);
  Address a;
  // inet_pton stops at a NUL, which would hide what follows it.
  if (copy.find('\0') == std::string::npos) {
    if (inet_pton(AF_INET6, copy.c_str(), a.bytes.data()) == 1) return a;
    std::copy(kMappedPrefix.begin(), kMappedPrefix.end(), a.bytes.begin());
    if (inet_pton(AF_INET, copy.c_str(), a.bytes.data() + 12) == 1) return a;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", copy, "\" is not an IP address; write one like 192.0.2.1 or 2001:db8::1"));
}

Address Address::FromV4(uint32_t host_order) {
  Address a;
  std::copy(kMappedPrefix.begin(), kMappedPrefix.end(), a.bytes.begin());
  for (int i = 0; i < 4; ++i) a.bytes[12 + i] = static_cast<uint8_t>(host_order >> (24 - 8 * i));
  return a;
}

std::string Address::ToString() const {
  char buffer[INET6_ADDRSTRLEN];
  if (is_v4()) return inet_ntop(AF_INET, bytes.data() + 12, buffer, sizeof(buffer));
  return inet_ntop(AF_INET6, bytes.data(), buffer, sizeof(buffer));
}

bool Cidr::Contains(const Address& a) const {
  return is_v4() == a.is_v4() && SharesBits(address, a, bits);
}

bool Cidr::Contains(const Cidr& other) const {
  return is_v4() == other.is_v4() && bits <= other.bits && SharesBits(address, other.address, bits);
}

Cidr Cidr::Of(const Address& address, int bits) {
  Cidr c;
  c.bits = static_cast<uint8_t>(std::clamp(bits, 0, 128));
  const int whole = c.bits / 8;
  std::copy(address.bytes.begin(), address.bytes.begin() + whole, c.address.bytes.begin());
  if (c.bits % 8 != 0) {
    c.address.bytes[whole] = address.bytes[whole] & static_cast<uint8_t>(0xff << (8 - c.bits % 8));
  }
  return c;
}

absl::StatusOr<Cidr> Cidr::Parse(std::string_view text) {
  const size_t slash = text.find('/');
  ASSIGN_OR_RETURN(const Address address, Address::Parse(text.substr(0, slash)));
  if (slash == std::string_view::npos) return Of(address, 128);
  const std::string length(text.substr(slash + 1));
  // A colon tells that the text was IPv6, although a mapped one reads as IPv4.
  const bool written_v6 = text.find(':') != std::string_view::npos;
  const int bits_max = written_v6 ? 128 : 32;
  int bits = -1;
  const bool digits = !length.empty() && length.size() <= 3 &&
                      std::all_of(length.begin(), length.end(), absl::ascii_isdigit);
  if (!digits || !absl::SimpleAtoi(length, &bits) || bits > bits_max) {
    return absl::InvalidArgumentError(absl::StrCat("\"", std::string(text), "\": prefix length \"",
                                                   length, "\" must be a number from 0 to ",
                                                   bits_max));
  }
  return Of(address, written_v6 ? bits : bits + 96);
}

std::string Cidr::ToString() const { return absl::StrCat(address.ToString(), "/", family_bits()); }

}  // namespace ripstop::policy
