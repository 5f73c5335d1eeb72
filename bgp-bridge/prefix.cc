// SPDX-License-Identifier: Apache-2.0
#include "bgp-bridge/prefix.h"

#include <arpa/inet.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "policy/status_macros.h"

namespace ripstop::bgp {

Prefix Prefix::Masked() const {
  Prefix masked = *this;
  for (int bit = length; bit < Bits(); ++bit) masked.bytes[bit / 8] &= ~(0x80 >> (bit % 8));
  return masked;
}

bool Prefix::Contains(const Prefix& other) const {
  if (ipv6 != other.ipv6 || other.length < length) return false;
  Prefix cut = other;
  cut.length = length;
  return cut.Masked().bytes == Masked().bytes;
}

std::string Prefix::Address() const {
  char text[INET6_ADDRSTRLEN];
  return inet_ntop(ipv6 ? AF_INET6 : AF_INET, bytes.data(), text, sizeof text);
}

std::string Prefix::ToString() const { return absl::StrCat(Address(), "/", length); }

absl::StatusOr<Prefix> ParseAddress(absl::string_view text) {
  const std::string copy(text);
  Prefix prefix;
  // A NUL inside would hide what follows it from inet_pton.
  if (copy.find('\0') == std::string::npos) {
    if (inet_pton(AF_INET, copy.c_str(), prefix.bytes.data()) == 1) {
      prefix.length = 32;
      return prefix;
    }
    if (inet_pton(AF_INET6, copy.c_str(), prefix.bytes.data()) == 1) {
      prefix.ipv6 = true;
      prefix.length = 128;
      return prefix;
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", absl::CEscape(text), "\" is not an IPv4 or IPv6 address"));
}

absl::StatusOr<Prefix> ParsePrefix(absl::string_view text) {
  const size_t slash = text.find('/');
  ASSIGN_OR_RETURN(Prefix prefix, ParseAddress(text.substr(0, slash)));
  if (slash == absl::string_view::npos) return prefix;
  const absl::string_view digits = text.substr(slash + 1);
  uint32_t length = 0;
  if (digits.empty() || digits.size() > 3 ||
      !std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; }) ||
      !absl::SimpleAtoi(digits, &length) || length > prefix.Bits())
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", absl::CEscape(text), "\" needs a prefix length of 0 to ", prefix.Bits()));
  prefix.length = static_cast<uint8_t>(length);
  return prefix;
}

}  // namespace ripstop::bgp
