// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_IPAM_BLOCK_H_
#define RIPSTOP_AGENT_IPAM_BLOCK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "api/proto/ipam.pb.h"
#include "api/store/store.h"
#include "policy/address.h"

namespace ripstop::agent {

inline constexpr char kIpamBlockKind[] = "IPAMBlock";

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

// One block: the arithmetic and the queue, without the store. Plain value.
class Block {
 public:
  // Empty, all addresses free in order but `reserved`.
  static Block Make(const policy::Cidr& cidr, const std::string& affinity,
                    const std::vector<policy::Address>& reserved);
  //   kDataLoss  not a block, or one that contradicts itself; the message names the key
  static absl::StatusOr<Block> Decode(const api::StoredResource& stored);
  std::string Encode() const { return proto_.SerializeAsString(); }
  static api::ResourceKey KeyFor(const policy::Cidr& cidr);

  const policy::Cidr& cidr() const { return cidr_; }
  const std::string& affinity() const { return proto_.affinity(); }
  void set_affinity(const std::string& node) { proto_.set_affinity(node); }
  int free_count() const { return proto_.free_size(); }
  const ripstop::ipam::v1::IPAMBlock& proto() const { return proto_; }

  // The next free address, or that one.
  //   kResourceExhausted  none is free
  //   kAlreadyExists      it is in use; by whom
  //   kInvalidArgument    it is not in the block, or reserved
  absl::StatusOr<Allocation> Allocate(const Owner& owner, const std::string& node);
  absl::StatusOr<Allocation> AllocateThis(const policy::Address& address, const Owner& owner,
                                          const std::string& node);
  // True when exactly this allocation was there. Its address goes to the back of the
  // queue. A later allocation of the same address has another sequence and stays.
  bool Release(const Allocation& allocation);

  std::vector<Allocation> AllocationsOf(const std::string& node) const;  // empty: everybody's
  // Addresses used on other nodes than the block's: they leave as /32 or /128.
  std::vector<std::pair<policy::Address, std::string>> Borrowed() const;

 private:
  policy::Address At(uint32_t ordinal) const;
  std::optional<uint32_t> OrdinalOf(const policy::Address& address) const;
  Allocation Add(uint32_t ordinal, const Owner& owner, const std::string& node);

  policy::Cidr cidr_;
  ripstop::ipam::v1::IPAMBlock proto_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_IPAM_BLOCK_H_
