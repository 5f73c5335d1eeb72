// SPDX-License-Identifier: Apache-2.0
#include "api/convert/values.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "api/codec/scalar.h"

namespace ripstop::api {

std::string ToString(const v1::IntOrString& value) {
  return value.has_number() ? absl::StrCat(value.number()) : value.text();
}

std::optional<uint8_t> ProtocolNumber(const std::string& name) {
  static constexpr std::pair<const char*, uint8_t> kNames[] = {
      {"TCP", policy::kProtocolTcp},   {"UDP", policy::kProtocolUdp},
      {"ICMP", policy::kProtocolIcmp}, {"ICMPv6", policy::kProtocolIcmpV6},
      {"SCTP", policy::kProtocolSctp}, {"UDPLite", policy::kProtocolUdpLite}};
  for (const auto& [known, number] : kNames) {
    if (absl::EqualsIgnoreCase(known, name)) return number;
  }
  const std::optional<int64_t> number = DecimalInteger(name);
  if (!number || *number < 1 || *number > 255) return std::nullopt;
  return static_cast<uint8_t>(*number);
}

std::optional<uint8_t> ProtocolNumber(const v1::IntOrString& value) {
  return ProtocolNumber(ToString(value));
}

std::optional<uint16_t> PortNumber(int64_t number) {
  if (number < 0 || number > 65535) return std::nullopt;
  return static_cast<uint16_t>(number);
}

bool IsPortName(const std::string& name) {
  if (name.empty() || name.size() > 15 || name.front() == '-' || name.back() == '-') return false;
  if (absl::StrContains(name, "--")) return false;
  bool letter = false;
  for (const char c : name) {
    if (!absl::ascii_islower(c) && !absl::ascii_isdigit(c) && c != '-') return false;
    letter |= absl::ascii_islower(c);
  }
  return letter;
}

std::optional<std::variant<policy::PortRange, std::string>> CalicoPort(
    const v1::IntOrString& value) {
  const std::string text = ToString(value);
  const size_t colon = text.find(':');
  const std::string from = text.substr(0, colon);
  const std::string to = colon == std::string::npos ? from : text.substr(colon + 1);
  const std::optional<int64_t> first = DecimalInteger(from), last = DecimalInteger(to);
  if (first && last) {
    const std::optional<uint16_t> a = PortNumber(*first), b = PortNumber(*last);
    if (!a || !b || *a > *b) return std::nullopt;
    return policy::PortRange{*a, *b};
  }
  // Port names of this API: letters, digits, - _ and ., as its own validation has it.
  if (value.has_number() || colon != std::string::npos || text.empty() || text.size() > 128) {
    return std::nullopt;
  }
  const bool name = std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
  });
  if (!name) return std::nullopt;
  return text;
}

}  // namespace ripstop::api
