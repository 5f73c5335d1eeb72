// SPDX-License-Identifier: Apache-2.0
//
// Which blocks were claimed in one range of addresses: what keeps blocks from lying across
// each other, whatever pools say and whenever they are changed.
//
//   claim      claims of the range @ its revision + the new block     ┐ one
//   give back  claims of the range @ its revision, block @ its own    ┘ transaction
//
// A block has 4,096 addresses at most, so it lies in one /20 (one /116 of IPv6), and all
// blocks that could overlap it are listed in that range's claims. Two who claim in one
// range conflict in the store, and the slower one reads what the faster one took.
#ifndef RIPSTOP_API_IPAM_CLAIMS_H_
#define RIPSTOP_API_IPAM_CLAIMS_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "api/proto/ipam.pb.h"
#include "api/store/store.h"
#include "policy/address.h"

namespace ripstop::ipam {

inline constexpr char kClaimsKind[] = "IPAMClaims";
inline constexpr char kNodeReleaseKind[] = "IPAMNodeRelease";  // IPAMNodeRelease, by node

// Plain value.
class Claims {
 public:
  struct Claim {
    policy::Cidr block;
    std::string node;  // that claimed it
  };

  static policy::Cidr RangeOf(const policy::Cidr& block);
  static api::ResourceKey KeyFor(const policy::Cidr& block);  // of its range
  //   kDataLoss  not claims, or a block that is not of this range; names the key
  static absl::StatusOr<Claims> Decode(const api::StoredResource& stored);
  // Of a range where nothing is claimed.
  static Claims Of(const policy::Cidr& block);

  // A claimed block that shares addresses with `block`; itself, if it is claimed.
  std::optional<Claim> Overlapping(const policy::Cidr& block) const;
  void Add(const policy::Cidr& block, const std::string& node);
  // `sequence`: the block's own, when it goes.
  void Remove(const policy::Cidr& block, uint64_t sequence);

  uint64_t sequence() const { return proto_.sequence(); }
  const v1::IPAMClaims& proto() const { return proto_; }
  std::string Encode() const { return proto_.SerializeAsString(); }

 private:
  v1::IPAMClaims proto_;
};

}  // namespace ripstop::ipam

#endif  // RIPSTOP_API_IPAM_CLAIMS_H_
