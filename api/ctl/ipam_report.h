// SPDX-License-Identifier: Apache-2.0
//
// What `ripstopctl ipam check` finds: where addresses, endpoints, pools and nodes of a store
// contradict each other. `ipam release --from-report` acts on it.
#ifndef RIPSTOP_API_CTL_IPAM_REPORT_H_
#define RIPSTOP_API_CTL_IPAM_REPORT_H_

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "api/ctl/ipam_state.h"
#include "api/proto/resources.pb.h"
#include "api/store/store.h"

namespace ripstop::ctl {

// Who is said to have an address.
struct AddressUser {
  api::ResourceKey endpoint;
  std::string node;
  std::string container_id;
};

// Everything of a store that bears on addresses.
struct AddressWorld {
  IpamState ipam;
  std::map<std::string, api::v1::IPPool> pools;
  std::set<std::string> nodes;
  std::multimap<policy::Address, AddressUser> users;
};
absl::StatusOr<AddressWorld> ReadAddressWorld(api::Store& store);

// One line of the report. Fields that say nothing are empty.
struct IpamProblem {
  enum class Kind {
    kLeaked,         // allocated, and no endpoint has it
    kNotAllocated,   // an endpoint has it, and no block knows
    kSharedAddress,  // endpoints of different containers have it
    kGoneNode,       // a block or its addresses belong to a node that is not in the store
    kNoPool,         // a block of which no pool holds the addresses
    kOverlap,        // blocks, or pools, that share addresses
    kUnclaimed,      // a block that the claims of its range do not list
    kEmptyClaim,     // claimed, and no such block
    kDamaged,        // cannot be read
  };
  Kind kind = Kind::kDamaged;
  std::string subject;  // an address, a block, a pool, a key
  std::string what;     // a sentence
  // kLeaked: what a release names, so that it frees nothing younger.
  std::string handle;
  uint64_t sequence = 0;
  std::string node, pod_namespace, pod_name;
};
std::string ToString(IpamProblem::Kind kind);

struct IpamReport {
  int pools = 0, blocks = 0, allocated = 0, endpoints = 0;
  std::vector<IpamProblem> problems;
};

// A pure function.
IpamReport CheckAddresses(const AddressWorld& world);

nlohmann::ordered_json ToJson(const IpamReport& report);
// The leaked addresses that a report names.
//   kInvalidArgument  not a report of `ipam check -o json`
absl::StatusOr<std::vector<IpamProblem>> LeakedIn(const std::string& json);

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_IPAM_REPORT_H_
