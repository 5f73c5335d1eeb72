// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_BPF_LOADER_MASQUERADE_STORE_H_
#define RIPSTOP_BPF_LOADER_MASQUERADE_STORE_H_

#include <cstdint>
#include <map>
#include <optional>

#include "absl/status/status.h"
#include "bpf/abi/masquerade.h"
#include "bpf/loader/datapath_object.h"
#include "policy/address.h"

namespace ripstop::loader {

// Under which addresses packets leave by an interface; absent: the host has none, and what is to
// be masqueraded is dropped.
struct Exit {
  std::optional<policy::Address> v4, v6;
  bool operator==(const Exit&) const = default;
};

struct Masquerade {
  std::map<policy::Cidr, bool> pools;  // all there are; whether pods of it are masqueraded
  std::map<uint32_t, Exit> exits;      // by interface index
  uint16_t first_port = 1024, last_port = 65535;
  bool spares_nodes = false;  // towards addresses of nodes pods show their own
  bool operator==(const Masquerade&) const = default;
  bool any() const;  // some pool is masqueraded
};

// The tables of bpf/abi/masquerade.h that programs read.
//
//   Masquerade ─▶ [MasqueradeStore] ─▶ rs_pools_v1, rs_exits_v1, rs_nat_v1
//
// Writes differences, from what pinned maps of an earlier process hold too. One thread.
class MasqueradeStore {
 public:
  explicit MasqueradeStore(DatapathObject* object) : object_(object) {}  // outlives this

  // Brings the tables to `wanted`; addresses and ports come before pools, so that nothing is
  // masqueraded without them. Stops at the first failure, which the next call makes good:
  //   kResourceExhausted  a table is full; names the pool or interface
  absl::Status Set(const Masquerade& wanted);

 private:
  absl::Status Load();
  absl::Status SetSettings(const Masquerade& wanted);
  absl::Status SetExits(const std::map<uint32_t, Exit>& wanted);
  absl::Status SetPools(const std::map<policy::Cidr, bool>& wanted);

  DatapathObject* const object_;
  bool loaded_ = false;
  std::map<policy::Cidr, uint32_t> pools_;  // as the kernel has them
  std::map<uint32_t, exit_value> exits_;
};

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_MASQUERADE_STORE_H_
