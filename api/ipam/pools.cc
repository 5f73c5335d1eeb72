// SPDX-License-Identifier: Apache-2.0
#include "api/ipam/pools.h"

#include <algorithm>

namespace ripstop::ipam {
namespace {

// Addresses that are given out to services only are answered for where they live; a pool
// of these may lie in the nodes' subnet, as long as it holds no node.
bool ForServicesOnly(const api::v1::IPPoolSpec& pool) {
  const auto& uses = pool.allowed_uses();
  return !uses.empty() && std::all_of(uses.begin(), uses.end(),
                                      [](const std::string& use) { return use == "LoadBalancer"; });
}

bool Overlap(const policy::Cidr& a, const policy::Cidr& b) {
  return a.Contains(b) || b.Contains(a);
}

}  // namespace

std::optional<policy::Cidr> CidrOf(const api::v1::IPPoolSpec& pool) {
  const auto cidr = policy::Cidr::Parse(pool.cidr());
  return cidr.ok() ? std::optional(*cidr) : std::nullopt;
}

int64_t BlockSizeOf(const api::v1::IPPoolSpec& pool) {
  const auto cidr = CidrOf(pool);
  const int64_t size = pool.has_block_size() && pool.block_size() != 0 ? pool.block_size()
                       : cidr.has_value() && cidr->is_v4()             ? 26
                                                                       : 122;
  return cidr.has_value() ? std::max<int64_t>(size, cidr->family_bits()) : size;
}

std::optional<policy::Cidr> SharedSubnet(const api::v1::IPPoolSpec& pool,
                                         const api::v1::Node& node) {
  const auto cidr = CidrOf(pool);
  if (!cidr.has_value()) return std::nullopt;
  const auto shared = [&](const std::string& text) -> std::optional<policy::Cidr> {
    const auto subnet = policy::Cidr::Parse(text);
    const auto address = policy::Address::Parse(text.substr(0, text.find('/')));
    if (!subnet.ok() || !address.ok()) return std::nullopt;
    const bool conflict =
        ForServicesOnly(pool) ? cidr->Contains(*address) : Overlap(*cidr, *subnet);
    return conflict ? std::optional(*subnet) : std::nullopt;
  };
  for (const std::string* text :
       {&node.spec().bgp().ipv4_address(), &node.spec().bgp().ipv6_address()}) {
    if (const auto subnet = shared(*text)) return subnet;
  }
  for (const auto& address : node.spec().addresses()) {
    if (const auto subnet = shared(address.address())) return subnet;
  }
  return std::nullopt;
}

}  // namespace ripstop::ipam
