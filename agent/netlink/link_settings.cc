// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/link_settings.h"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "agent/netlink/parse.h"
#include "agent/netlink/socket.h"

namespace ripstop::agent {
namespace {

struct Number {
  std::string_view name;
  size_t number;
};

// The kernel's array of IPv4 begins with its number 1.
constexpr Number kIpv4[] = {{"forwarding", IPV4_DEVCONF_FORWARDING - 1},
                            {"proxy_arp", IPV4_DEVCONF_PROXY_ARP - 1},
                            {"rp_filter", IPV4_DEVCONF_RP_FILTER - 1}};
constexpr Number kIpv6[] = {
    {"forwarding", DEVCONF_FORWARDING}, {"accept_ra", DEVCONF_ACCEPT_RA},
    {"accept_dad", DEVCONF_ACCEPT_DAD}, {"autoconf", DEVCONF_AUTOCONF},
    {"proxy_ndp", DEVCONF_PROXY_NDP},   {"disable_ipv6", DEVCONF_DISABLE_IPV6}};

template <size_t N>
std::optional<std::string> Find(const Number (&names)[N], std::string_view name,
                                const std::vector<uint32_t>& values) {
  for (const Number& known : names) {
    if (known.name != name) continue;
    if (known.number >= values.size()) return std::nullopt;
    return absl::StrCat(static_cast<int32_t>(values[known.number]));
  }
  return std::nullopt;
}

std::vector<uint32_t> Words(const nlattr* attribute) {
  if (attribute == nullptr) return {};
  std::vector<uint32_t> words(mnl_attr_get_payload_len(attribute) / sizeof(uint32_t));
  std::memcpy(words.data(), mnl_attr_get_payload(attribute), words.size() * sizeof(uint32_t));
  return words;
}

}  // namespace

std::optional<std::string> LinkSettings::Value(std::string_view path) const {
  constexpr std::string_view kV4 = "net/ipv4/conf/", kV6 = "net/ipv6/conf/";
  const bool v4 = path.substr(0, kV4.size()) == kV4;
  if (!v4 && path.substr(0, kV6.size()) != kV6) return std::nullopt;
  path.remove_prefix(kV4.size());
  if (path.size() <= link.name.size() + 1 || path.substr(0, link.name.size()) != link.name ||
      path[link.name.size()] != '/') {
    return std::nullopt;
  }
  path.remove_prefix(link.name.size() + 1);
  return v4 ? Find(kIpv4, path, ipv4) : Find(kIpv6, path, ipv6);
}

std::optional<LinkSettings> ParseLinkSettings(const nlmsghdr* message) {
  const std::optional<Link> link = ParseLink(message);
  if (!link.has_value()) return std::nullopt;
  LinkSettings settings;
  settings.link = *link;
  const Attributes attributes(message, sizeof(ifinfomsg));
  const Attributes families(attributes[IFLA_AF_SPEC]);
  settings.ipv4 = Words(Attributes(families[AF_INET])[IFLA_INET_CONF]);
  settings.ipv6 = Words(Attributes(families[AF_INET6])[IFLA_INET6_CONF]);
  return settings;
}

}  // namespace ripstop::agent
