// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_API_IPAM_BLOCK_H_
#define RIPSTOP_API_IPAM_BLOCK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "api/proto/ipam.pb.h"
#include "api/store/store.h"
#include "policy/address.h"

namespace ripstop::ipam {

inline constexpr char kBlockKind[] = "IPAMBlock";
// 4,096 addresses, a /20 or a /116: one store value stays below a megabyte, and claims
// (claims.h) go by ranges of that size.
inline constexpr int kLargestBlockBits = 12;

struct Allocation {
  policy::Address address;
  policy::Cidr block;
  std::string handle;
  uint64_t sequence = 0;
  bool operator==(const Allocation&) const = default;
};

struct Owner {
  std::string handle;  // container id '/' interface
  std::string pod_namespace;
  std::string pod_name;
};

// The `ordinal`th address of a block, from 0.
policy::Address AddressAt(const policy::Cidr& block, uint32_t ordinal);

// One block: the arithmetic and the queue, without the store. Plain value.
class Block {
 public:
  // Empty, all addresses free in order but `kept`, which nobody gets who does not ask for
  // them. Allocations are numbered from `sequence` on.
  static Block Make(const policy::Cidr& cidr, const std::string& affinity,
                    const std::vector<policy::Address>& kept, uint64_t sequence = 0);
  //   kDataLoss  not a block, one that contradicts itself, or under another's key; the
  //              message names the key
  static absl::StatusOr<Block> Decode(const api::StoredResource& stored);
  std::string Encode() const { return proto_.SerializeAsString(); }
  static api::ResourceKey KeyFor(const policy::Cidr& cidr);
  // The other way; nullopt for what no KeyFor gives.
  static std::optional<policy::Cidr> CidrOf(const api::ResourceKey& key);

  const policy::Cidr& cidr() const { return cidr_; }
  const std::string& affinity() const { return proto_.affinity(); }
  void set_affinity(const std::string& node) { proto_.set_affinity(node); }
  int free_count() const { return proto_.free_size(); }
  bool empty() const { return proto_.allocations().empty(); }
  const ripstop::ipam::v1::IPAMBlock& proto() const { return proto_; }

  // The next free address, or that one, free or kept.
  //   kResourceExhausted  none is free
  //   kAlreadyExists      it is in use; by whom
  //   kInvalidArgument    it is not in the block
  absl::StatusOr<Allocation> Allocate(const Owner& owner, const std::string& node);
  absl::StatusOr<Allocation> AllocateThis(const policy::Address& address, const Owner& owner,
                                          const std::string& node);
  // Puts back an allocation that was in force before the store lost it, under its own
  // number. Errors as AllocateThis; there already: fine.
  absl::Status Restore(const Allocation& allocation, const Owner& owner, const std::string& node);
  // True when exactly this allocation was there. Its address goes to the back of the
  // queue. A later allocation of the same address has another sequence and stays.
  bool Release(const Allocation& allocation);

  std::vector<Allocation> AllocationsOf(const std::string& node) const;  // empty: everybody's
  // What a handle has here; with `address`, whether it has that.
  std::optional<Allocation> Held(const std::string& handle, const std::string& node,
                                 const std::optional<policy::Address>& address = {}) const;
  // Addresses used on other nodes than the block's: they leave as /32 or /128.
  std::vector<std::pair<policy::Address, std::string>> Borrowed() const;

 private:
  policy::Address At(uint32_t ordinal) const { return AddressAt(cidr_, ordinal); }
  std::optional<uint32_t> OrdinalOf(const policy::Address& address) const;
  // Takes `address` out of the free ones. kAlreadyExists, kInvalidArgument as above.
  struct Taken {
    uint32_t ordinal = 0;
    bool kept_back = false;
  };
  absl::StatusOr<Taken> Take(const policy::Address& address);
  void Add(const Taken& taken, uint64_t sequence, const Owner& owner, const std::string& node);
  Allocation AddNext(const Taken& taken, const Owner& owner, const std::string& node);

  policy::Cidr cidr_;
  ripstop::ipam::v1::IPAMBlock proto_;
};

// "pod shop/cart on node n1", or the handle where the pod is not known.
std::string Describe(const ripstop::ipam::v1::IPAMAllocation& allocation);

// `cidr` as part of a key: '.', ':' and '/' are written '-'.
std::string KeyName(const policy::Cidr& cidr);

}  // namespace ripstop::ipam

#endif  // RIPSTOP_API_IPAM_BLOCK_H_
