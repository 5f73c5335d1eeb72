// SPDX-License-Identifier: Apache-2.0
#include "api/ipam/claims.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "api/ipam/block.h"

namespace ripstop::ipam {

policy::Cidr Claims::RangeOf(const policy::Cidr& block) {
  return policy::Cidr::Of(block.address, 128 - kLargestBlockBits);
}

api::ResourceKey Claims::KeyFor(const policy::Cidr& block) {
  return {.kind = kClaimsKind, .ns = "", .name = KeyName(RangeOf(block))};
}

Claims Claims::Of(const policy::Cidr& block) {
  Claims claims;
  claims.proto_.set_range(RangeOf(block).ToString());
  return claims;
}

absl::StatusOr<Claims> Claims::Decode(const api::StoredResource& stored) {
  Claims claims;
  const std::string name = absl::StrCat(stored.key.kind, " ", stored.key.name);
  if (!claims.proto_.ParseFromString(stored.value)) {
    return absl::DataLossError(absl::StrCat(name, " does not hold claims"));
  }
  const auto range = policy::Cidr::Parse(claims.proto_.range());
  if (!range.ok() || KeyName(*range) != stored.key.name) {
    return absl::DataLossError(absl::StrCat(name, ": bad range '", claims.proto_.range(), "'"));
  }
  for (const auto& claim : claims.proto_.claims()) {
    const auto block = policy::Cidr::Parse(claim.cidr());
    if (!block.ok() || !range->Contains(*block)) {
      return absl::DataLossError(absl::StrCat(name, ": '", claim.cidr(), "' is no block of it"));
    }
  }
  return claims;
}

std::optional<Claims::Claim> Claims::Overlapping(const policy::Cidr& block) const {
  for (const auto& claim : proto_.claims()) {
    const auto other = policy::Cidr::Parse(claim.cidr());
    if (other.ok() && (other->Contains(block) || block.Contains(*other))) {
      return Claim{*other, claim.node()};
    }
  }
  return std::nullopt;
}

void Claims::Add(const policy::Cidr& block, const std::string& node) {
  v1::IPAMClaim* claim = proto_.add_claims();
  claim->set_cidr(block.ToString());
  claim->set_node(node);
}

void Claims::Remove(const policy::Cidr& block, uint64_t sequence) {
  auto* claims = proto_.mutable_claims();
  claims->erase(std::remove_if(claims->begin(), claims->end(),
                               [text = block.ToString()](const v1::IPAMClaim& claim) {
                                 return claim.cidr() == text;
                               }),
                claims->end());
  proto_.set_sequence(std::max(proto_.sequence(), sequence));
}

}  // namespace ripstop::ipam
