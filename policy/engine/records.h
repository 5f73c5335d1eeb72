// SPDX-License-Identifier: Apache-2.0
//
// What the engine keeps of each input, and of each address and CIDR that they name; for
// engine/ only.
#ifndef RIPSTOP_POLICY_ENGINE_RECORDS_H_
#define RIPSTOP_POLICY_ENGINE_RECORDS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "policy/model.h"
#include "policy/tables/table_write.h"

namespace ripstop::policy {

struct SetRecord;

// There is one for each endpoint of the cluster, so it is small.
struct EndpointRecord {
  std::string id;
  absl::InlinedVector<Address, 2> addresses;  // sorted, unique
  std::unique_ptr<Attachment> local;          // null: an endpoint of another node
  uint32_t source = 0;                        // of LabelSources
  bool active = true;
  bool host = false;  // the owner of a host endpoint's expected addresses
};

// A host endpoint: its interfaces' policy; its expected addresses belong to `owner`.
struct HostEndpointRecord {
  HostEndpoint input;
  EndpointRecord* owner = nullptr;
  SetRecord* wanted[kHostGroups][2] = {};  // by Direction
  std::set<std::string> names;             // folded into the sets wanted
  std::set<ServiceName> services_folded;
};

struct NetworkSetRecord {
  uint32_t source = 0;  // of LabelSources
  std::vector<Cidr> nets;
};

struct SliceRecord {
  uint32_t atom = 0;
  std::vector<Address> addresses;
};

// A node of the cluster. Its labels are the atom's: a cloud gives each node twenty.
struct HostRecord {
  bool this_host = false;
  std::vector<Address> addresses;
  uint32_t atom = 0;
};

// What an address of a local endpoint has besides: its policy.
struct LocalAddress {
  const EndpointRecord* attached = nullptr;  // whose policy it has
  SetRecord* wanted[2] = {};                 // by Direction
  std::set<std::string> names;               // folded into the sets wanted
  std::set<ServiceName> services_folded;
  address_value written = {};  // but for class and flags
};

// An address that has an entry of its own in the kernel, or had or will have one. There is one
// for each address of the cluster, so it is small: one line of the processor's cache.
struct AddressRecord {
  absl::InlinedVector<EndpointRecord*, 2> endpoints;  // that claim it
  std::unique_ptr<LocalAddress> local;
  uint32_t added = 0;  // number of a set of atoms, of Regions; 0: none
  uint32_t kind = 0;
  uint32_t this_host = 0;  // hosts that name it
  uint32_t other_node = 0;
  uint32_t written_class = 0;
  uint8_t written_flags = 0;
  bool is_written = false;  // it has an entry in the kernel
  bool exact_cidr = false;  // a known CIDR is this very address
  bool dirty = false;       // Regions

  bool needed() const {
    return !endpoints.empty() || added != 0 || this_host + other_node > 0 || exact_cidr;
  }
  // The entry; zeros when there is none.
  address_value written() const {
    address_value v = local != nullptr ? local->written : address_value{};
    v.address_class = written_class;
    v.flags = written_flags;
    return v;
  }
  void SetWritten(const address_value& v) {
    is_written = true;
    written_class = v.address_class;
    written_flags = static_cast<uint8_t>(v.flags);
    if (local != nullptr) local->written = v;
  }
};
static_assert(sizeof(AddressRecord) <= 64);

// A CIDR of a rule in use or of a network set. In the trie, unless it is a single address.
struct CidrRecord {
  uint32_t rule_atom = 0;  // 0: no rule in use asks for it
  std::vector<const NetworkSetRecord*> sets;
  uint32_t kind = 0;
  std::optional<uint32_t> written;
  bool needed() const { return rule_atom != 0 || !sets.empty(); }
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_ENGINE_RECORDS_H_
