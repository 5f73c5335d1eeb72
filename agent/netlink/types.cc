// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/types.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace ripstop::agent {
namespace {
constexpr uint32_t kIpv6DefaultPriority = 1024;  // IP6_RT_PRIO_USER
}

std::string Mac::ToString() const {
  return absl::StrFormat("%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1], bytes[2], bytes[3],
                         bytes[4], bytes[5]);
}

absl::StatusOr<Mac> Mac::Parse(std::string_view given) {
  const std::string text(given);  // Debian 12's Abseil has a string_view of its own
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  Mac mac;
  bool good = parts.size() == mac.bytes.size();
  for (size_t i = 0; good && i < parts.size(); ++i) {
    uint32_t value = 0;
    good = parts[i].size() == 2 && absl::ascii_isxdigit(parts[i][0]) &&
           absl::ascii_isxdigit(parts[i][1]) && absl::SimpleHexAtoi(parts[i], &value);
    mac.bytes[i] = static_cast<uint8_t>(value);
  }
  if (!good) {
    return absl::InvalidArgumentError(
        absl::StrCat("MAC address '", text, "': want six hexadecimal pairs, 02:00:5e:10:00:01"));
  }
  return mac;
}

policy::Address Mac::LinkLocal() const {
  policy::Address address;
  address.bytes = {0xfe, 0x80};
  address.bytes[8] = bytes[0] ^ 0x02;
  address.bytes[9] = bytes[1];
  address.bytes[10] = bytes[2];
  address.bytes[11] = 0xff;
  address.bytes[12] = 0xfe;
  address.bytes[13] = bytes[3];
  address.bytes[14] = bytes[4];
  address.bytes[15] = bytes[5];
  return address;
}

std::string InterfaceAddress::ToString() const {
  return absl::StrCat("address ", address.ToString(), "/", prefix_length, " dev ", ifindex);
}

Route Route::Normalized() const {
  Route route = *this;
  if (!destination.is_v4()) {
    route.scope = RT_SCOPE_UNIVERSE;
    if (route.priority == 0) route.priority = kIpv6DefaultPriority;
  }
  if (type != RTN_UNICAST) route.ifindex = 0;  // IPv6 reports lo
  return route;
}

std::string Route::ToString() const {
  std::string text =
      absl::StrCat("route ", type == RTN_BLACKHOLE ? "blackhole " : "", destination.ToString());
  if (gateway.has_value()) absl::StrAppend(&text, " via ", gateway->ToString());
  if (ifindex != 0) absl::StrAppend(&text, " dev ", ifindex);
  if (onlink) absl::StrAppend(&text, " onlink");
  if (table != RT_TABLE_MAIN) absl::StrAppend(&text, " table ", table);
  return text;
}

std::string RoutingRule::ToString() const {
  return absl::StrCat("rule ", priority, ": ", v4 ? "IPv4" : "IPv6",
                      from.has_value() ? " from " + from->ToString() : "",
                      oif.empty() ? "" : " oif " + oif, " lookup ", table);
}

std::string Neighbour::ToString() const {
  return absl::StrCat("neighbour ", address.ToString(), " lladdr ", mac.ToString(), " dev ",
                      ifindex);
}

std::string FdbEntry::ToString() const {
  return absl::StrCat("forwarding entry ", mac.ToString(), " dst ", remote.ToString(), " dev ",
                      ifindex);
}

}  // namespace ripstop::agent
