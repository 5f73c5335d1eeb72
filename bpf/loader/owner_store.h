// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_BPF_LOADER_OWNER_STORE_H_
#define RIPSTOP_BPF_LOADER_OWNER_STORE_H_

#include <cstdint>
#include <map>
#include <set>

#include "absl/status/status.h"
#include "bpf/abi/owners.h"
#include "bpf/loader/datapath_object.h"
#include "policy/address.h"

namespace ripstop::loader {

// Who owns the addresses of a prefix.
struct Owner {
  enum class Who { kNobody, kThisNode, kOtherNode };
  Who who = Who::kNobody;
  policy::Address vtep;  // of the other node: the outer source of its VXLAN
  uint32_t flags = 0;    // OWNER_*
  auto operator<=>(const Owner&) const = default;
};
using Owners = std::map<policy::Cidr, Owner>;

// The tables of bpf/abi/owners.h.
//
//   Owners ─▶ [OwnerStore] ─▶ rs_vteps_v1, rs_owners_v1, owners_epoch
//
// Writes differences, from what pinned maps of an earlier process hold too, and keeps the
// numbers that nodes have there. At each moment a packet finds the old owner of its address
// or the new one. One thread.
class OwnerStore {
 public:
  explicit OwnerStore(DatapathObject* object) : object_(object) {}  // outlives this

  // Brings the tables to `owners`. Wider prefixes are written first, so that what does not
  // fit is nobody's where its pool is known. Stops at the first failure, which the next
  // call makes good:
  //   kResourceExhausted  a table is full; names the prefix
  absl::Status Set(const Owners& owners);

  // Who may send VXLAN besides nodes, by the outer source: for addresses that nobody owns.
  //   kResourceExhausted  more than EXTERNALS_MAX
  absl::Status SetExternals(const std::set<policy::Cidr>& prefixes);

 private:
  absl::Status Load();
  absl::Status AddVteps(const Owners& owners);
  absl::Status DropVteps(const std::set<policy::Address>& wanted);
  absl::Status Put(const policy::Cidr& prefix, const owner_value& value);
  absl::Status Remove(const policy::Cidr& prefix);
  absl::StatusOr<uint32_t> FreeNumber();
  owner_value ValueOf(const Owner& owner) const;
  void Moved();

  DatapathObject* const object_;
  bool loaded_ = false;
  std::map<policy::Address, uint32_t> vteps_;  // as the kernel has them
  std::map<policy::Cidr, owner_value> owners_;
  std::set<policy::Cidr> externals_;
  std::set<uint32_t> numbers_;  // in use
  uint32_t last_number_ = 0;
};

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_OWNER_STORE_H_
