// SPDX-License-Identifier: Apache-2.0
//
// What the engine keeps of each input, and of each address and CIDR that they name; for
// engine/ only.
#ifndef RIPSTOP_POLICY_ENGINE_RECORDS_H_
#define RIPSTOP_POLICY_ENGINE_RECORDS_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "policy/model.h"
#include "policy/tables/table_write.h"

namespace ripstop::policy {

struct SetRecord;

struct EndpointRecord {
  std::string id;
  uint32_t source = 0;  // of LabelSources
  std::vector<Address> addresses;
  std::optional<Attachment> local;
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

// An address that has an entry of its own in the kernel, or had or will have one.
struct AddressRecord {
  std::vector<EndpointRecord*> endpoints;
  std::vector<uint32_t> services;  // atoms
  uint32_t this_host = 0;
  uint32_t other_node = 0;
  bool exact_cidr = false;  // a known CIDR is this very address

  uint32_t kind = 0;
  const EndpointRecord* attached = nullptr;  // whose policy it has
  SetRecord* wanted[2] = {};                 // by Direction
  std::set<std::string> names;               // folded into the sets wanted
  std::set<ServiceName> services_folded;
  std::optional<address_value> written;

  bool needed() const {
    return !endpoints.empty() || !services.empty() || this_host + other_node > 0 || exact_cidr;
  }
};

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
