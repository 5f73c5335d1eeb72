// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/ipam_report.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "api/ctl/kind_words.h"
#include "api/ipam/pools.h"
#include "api/resource.h"
#include "policy/status_macros.h"

namespace ripstop::ctl {
namespace {

using Kind = IpamProblem::Kind;
using nlohmann::ordered_json;

const std::map<Kind, std::string>& KindNames() {
  static const auto& names = *new std::map<Kind, std::string>{
      {Kind::kLeaked, "leaked"},        {Kind::kNotAllocated, "not allocated"},
      {Kind::kSharedAddress, "shared"}, {Kind::kGoneNode, "node gone"},
      {Kind::kNoPool, "no pool"},       {Kind::kOverlap, "overlap"},
      {Kind::kUnclaimed, "unclaimed"},  {Kind::kEmptyClaim, "claim without block"},
      {Kind::kDamaged, "damaged"},
  };
  return names;
}

void CheckAllocations(const AddressWorld& world, const ipam::Block& block, IpamReport& report) {
  for (const auto& allocation : block.proto().allocations()) {
    ++report.allocated;
    const policy::Address address = ipam::AddressAt(block.cidr(), allocation.ordinal());
    if (world.users.contains(address)) continue;
    IpamProblem leak = {.kind = Kind::kLeaked,
                        .subject = address.ToString(),
                        .handle = allocation.handle(),
                        .sequence = allocation.sequence(),
                        .node = allocation.node(),
                        .pod_namespace = allocation.pod_namespace(),
                        .pod_name = allocation.pod_name()};
    leak.what = absl::StrCat("allocated to ", ipam::Describe(allocation),
                             "; no endpoint has it: ripstopctl ipam release --ip ", leak.subject);
    report.problems.push_back(std::move(leak));
  }
}

// The pool of an address or a block; nullptr: none.
const std::string* PoolOf(const AddressWorld& world, const policy::Cidr& cidr) {
  for (const auto& [name, pool] : world.pools) {
    const auto all = ipam::CidrOf(pool.spec());
    if (all.has_value() && all->Contains(cidr)) return &name;
  }
  return nullptr;
}

void CheckClaimOf(const AddressWorld& world, const policy::Cidr& block, IpamReport& report) {
  const auto claims = world.ipam.claims.find(ipam::Claims::KeyFor(block));
  if (claims == world.ipam.claims.end()) return;  // from before there were claims
  const auto claim = claims->second.claims.Overlapping(block);
  if (claim.has_value() && claim->block == block) return;
  report.problems.push_back(
      {.kind = Kind::kUnclaimed,
       .subject = block.ToString(),
       .what = absl::StrCat(claims->first.ToString(), " does not list this block")});
}

void CheckBlocks(const AddressWorld& world, IpamReport& report) {
  const policy::Cidr* before = nullptr;
  for (const auto& [cidr, stored] : world.ipam.blocks) {
    ++report.blocks;
    CheckAllocations(world, stored.block, report);
    if (PoolOf(world, cidr) == nullptr) {
      report.problems.push_back({.kind = Kind::kNoPool,
                                 .subject = cidr.ToString(),
                                 .what = "no pool holds this block: nothing says how its "
                                         "addresses are routed"});
    }
    // By address, the wider first: what overlaps follows at once.
    if (before != nullptr && before->Contains(cidr)) {
      report.problems.push_back({.kind = Kind::kOverlap,
                                 .subject = cidr.ToString(),
                                 .what = absl::StrCat("lies in block ", before->ToString())});
    } else {
      before = &cidr;
    }
    CheckClaimOf(world, cidr, report);
  }
}

void CheckNodes(const AddressWorld& world, IpamReport& report) {
  std::map<std::string, Usage> gone;
  for (const auto& [cidr, stored] : world.ipam.blocks) {
    std::map<std::string, int> used;
    if (!stored.block.affinity().empty()) used[stored.block.affinity()] = 0;
    for (const auto& allocation : stored.block.proto().allocations()) ++used[allocation.node()];
    for (const auto& [node, addresses] : used) {
      if (world.nodes.contains(node)) continue;
      ++gone[node].blocks;
      gone[node].addresses += addresses;
    }
  }
  for (const auto& [node, usage] : gone) {
    report.problems.push_back({.kind = Kind::kGoneNode,
                               .subject = node,
                               .what = absl::StrCat("is not in the store and has ", Describe(usage),
                                                    ": ripstopctl ipam release --node ", node),
                               .node = node});
  }
}

void CheckClaims(const AddressWorld& world, IpamReport& report) {
  for (const auto& [key, stored] : world.ipam.claims) {
    for (const auto& claim : stored.claims.proto().claims()) {
      const auto cidr = policy::Cidr::Parse(claim.cidr());
      if (cidr.ok() && world.ipam.blocks.contains(*cidr)) continue;
      report.problems.push_back({.kind = Kind::kEmptyClaim,
                                 .subject = claim.cidr(),
                                 .what = absl::StrCat(key.ToString(), " lists it for node ",
                                                      claim.node(), "; there is no such block"),
                                 .node = claim.node()});
    }
  }
}

bool IsAllocated(const IpamState& state, const policy::Address& address) {
  // By address, the wider first: blocks that hold it stand right before it.
  auto block = state.blocks.upper_bound(policy::Cidr::Of(address, 128));
  while (block != state.blocks.begin()) {
    --block;
    if (!block->first.Contains(address)) return false;
    const auto all = block->second.block.AllocationsOf("");
    if (std::any_of(all.begin(), all.end(),
                    [&](const ipam::Allocation& one) { return one.address == address; })) {
      return true;
    }
  }
  return false;
}

void CheckUsers(const AddressWorld& world, IpamReport& report) {
  for (auto it = world.users.begin(); it != world.users.end();) {
    const policy::Address& address = it->first;
    const auto end = world.users.upper_bound(address);
    std::set<std::string> containers;
    std::vector<std::string> labels;
    for (auto user = it; user != end; ++user) {
      containers.insert(user->second.container_id);
      labels.push_back(Label(user->second.endpoint));
    }
    // Endpoints that were written by hand may have addresses of no pool.
    const bool pooled = PoolOf(world, policy::Cidr::Of(address, 128)) != nullptr;
    if (pooled && !IsAllocated(world.ipam, address)) {
      report.problems.push_back(
          {.kind = Kind::kNotAllocated,
           .subject = address.ToString(),
           .what = absl::StrCat(labels[0], " has it, and no block knows: another pod may get it")});
    }
    if (containers.size() > 1) {
      report.problems.push_back({.kind = Kind::kSharedAddress,
                                 .subject = address.ToString(),
                                 .what = absl::StrCat(labels[0], " and ", labels[1], " have it")});
    }
    it = end;
  }
}

void CheckPoolsApart(const AddressWorld& world, IpamReport& report) {
  for (auto a = world.pools.begin(); a != world.pools.end(); ++a) {
    ++report.pools;
    const auto one = ipam::CidrOf(a->second.spec());
    for (auto b = world.pools.begin(); b != a && one.has_value(); ++b) {
      const auto other = ipam::CidrOf(b->second.spec());
      if (!other.has_value() || (!one->Contains(*other) && !other->Contains(*one))) continue;
      report.problems.push_back({.kind = Kind::kOverlap,
                                 .subject = a->first,
                                 .what = absl::StrCat("overlaps pool ", b->first)});
    }
  }
}

}  // namespace

std::string ToString(Kind kind) { return KindNames().at(kind); }

absl::StatusOr<AddressWorld> ReadAddressWorld(api::Store& store) {
  AddressWorld world;
  const auto each = [&store](const char* kind, auto take) -> absl::Status {
    ASSIGN_OR_RETURN(const api::Listing listing, store.List({kind, ""}));
    for (const api::StoredResource& item : listing.items) {
      const auto resource = api::Deserialize(item);
      if (resource.ok()) take(*resource);
    }
    return absl::OkStatus();
  };
  // Blocks before endpoints: of a pod that comes meanwhile both are seen, or the endpoint
  // alone; of one that goes, the address may look leaked, and a release asks again.
  ASSIGN_OR_RETURN(world.ipam, ReadIpam(store));
  RETURN_IF_ERROR(each(api::kKindWorkloadEndpoint, [&world](const api::Resource& resource) {
    const auto& spec = resource.As<api::v1::WorkloadEndpoint>()->spec();
    for (const std::string& network : spec.ip_networks()) {
      const auto address = policy::Address::Parse(network.substr(0, network.find('/')));
      if (!address.ok()) continue;
      world.users.emplace(*address, AddressUser{resource.key(), spec.node(), spec.container_id()});
    }
  }));
  RETURN_IF_ERROR(each(api::kKindIPPool, [&world](const api::Resource& resource) {
    world.pools[resource.name()] = *resource.As<api::v1::IPPool>();
  }));
  RETURN_IF_ERROR(each(api::kKindNode, [&world](const api::Resource& resource) {
    world.nodes.insert(resource.name());
  }));
  return world;
}

IpamReport CheckAddresses(const AddressWorld& world) {
  IpamReport report;
  CheckPoolsApart(world, report);
  CheckBlocks(world, report);
  CheckNodes(world, report);
  CheckClaims(world, report);
  CheckUsers(world, report);
  report.endpoints = static_cast<int>(world.users.size());
  for (const absl::Status& damaged : world.ipam.damaged) {
    report.problems.push_back(
        {.kind = Kind::kDamaged, .subject = "-", .what = std::string(damaged.message())});
  }
  std::stable_sort(report.problems.begin(), report.problems.end(),
                   [](const IpamProblem& a, const IpamProblem& b) { return a.kind < b.kind; });
  return report;
}

ordered_json ToJson(const IpamReport& report) {
  ordered_json problems = ordered_json::array();
  for (const IpamProblem& problem : report.problems) {
    ordered_json one = {
        {"kind", ToString(problem.kind)}, {"subject", problem.subject}, {"what", problem.what}};
    if (!problem.node.empty()) one["node"] = problem.node;
    if (problem.kind == Kind::kLeaked) {
      one["handle"] = problem.handle;
      one["sequenceNumber"] = problem.sequence;
      one["namespace"] = problem.pod_namespace;
      one["pod"] = problem.pod_name;
    }
    problems.push_back(std::move(one));
  }
  return {{"pools", report.pools},
          {"blocks", report.blocks},
          {"allocatedAddresses", report.allocated},
          {"addressesOfEndpoints", report.endpoints},
          {"problems", std::move(problems)}};
}

absl::StatusOr<std::vector<IpamProblem>> LeakedIn(const std::string& text) {
  const absl::Status bad = absl::InvalidArgumentError(
      "not a report; make one with: ripstopctl ipam check -o report.json");
  const auto report = nlohmann::json::parse(text, nullptr, false);
  if (!report.is_object() || !report.contains("problems") || !report["problems"].is_array()) {
    return bad;
  }
  std::vector<IpamProblem> leaked;
  for (const auto& item : report["problems"]) {
    if (!item.is_object() || !item.contains("kind")) return bad;
    if (item["kind"] != ToString(Kind::kLeaked)) continue;
    const auto text_of = [&item](const char* key) {
      const auto it = item.find(key);
      return it != item.end() && it->is_string() ? it->get<std::string>() : "";
    };
    const auto sequence = item.find("sequenceNumber");
    if (!policy::Address::Parse(text_of("subject")).ok() || text_of("handle").empty() ||
        sequence == item.end() || !sequence->is_number_unsigned()) {
      return bad;
    }
    leaked.push_back({.kind = Kind::kLeaked,
                      .subject = text_of("subject"),
                      .handle = text_of("handle"),
                      .sequence = sequence->get<uint64_t>(),
                      .node = text_of("node")});
  }
  return leaked;
}

}  // namespace ripstop::ctl
