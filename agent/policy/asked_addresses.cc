// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/asked_addresses.h"

#include "absl/strings/str_cat.h"

namespace ripstop::agent {

absl::StatusOr<std::optional<Addresses>> AddressesOf(const PolicyFeed& feed, const char* field,
                                                     const std::string& text) {
  if (text.empty()) return std::nullopt;
  if (auto address = policy::Address::Parse(text); address.ok()) return Addresses{*address};
  if (text.find('/') == std::string::npos || policy::Cidr::Parse(text).ok()) {
    return absl::InvalidArgumentError(absl::StrCat(
        field, " '", text, "': neither an address nor namespace/pod; for example shop/cart-1"));
  }
  Addresses addresses;
  for (const policy::Endpoint& endpoint : feed.Named(text)) {
    addresses.insert(endpoint.addresses.begin(), endpoint.addresses.end());
  }
  if (addresses.empty()) {
    return absl::NotFoundError(
        absl::StrCat(field, " '", text,
                     "': no such endpoint; `ripstopctl get workloadendpoints -A` lists them"));
  }
  return addresses;
}

}  // namespace ripstop::agent
