// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/pool_rules.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "api/ctl/ipam_state.h"
#include "api/ctl/kind_words.h"
#include "api/ipam/pools.h"
#include "policy/status_macros.h"

namespace ripstop::ctl {
namespace {

using api::Mutation;
using api::Resource;

struct Known {
  Resource resource;
  bool stored = false;  // not among the documents
};

// What there will be of one kind: the documents, and what is stored beside them. Stored
// objects that cannot be read are passed over: agents set them aside.
absl::StatusOr<std::map<std::string, Known>> Together(api::Store& store, const char* kind,
                                                      const std::vector<Resource>& resources) {
  std::map<std::string, Known> known;
  ASSIGN_OR_RETURN(const api::Listing listing, store.List({kind, ""}));
  for (const api::StoredResource& item : listing.items) {
    absl::StatusOr<Resource> resource = api::Deserialize(item);
    if (resource.ok()) known[item.key.name] = {*std::move(resource), true};
  }
  for (const Resource& resource : resources) {
    if (resource.kind().store_kind == kind) known[resource.name()] = {resource, false};
  }
  return known;
}

absl::Status Refused(const Resource& resource, const std::string& path, const std::string& value,
                     const std::string& what) {
  std::string where;
  if (!resource.file.empty()) {
    where = absl::StrCat(resource.file, ":", resource.LineOf(path), ": ");
  }
  return absl::FailedPreconditionError(absl::StrCat(
      where, resource.kind().kind, " ", resource.name(), ": ", path, ": \"", value, "\" ", what));
}

std::string Stored(const Known& known) { return known.stored ? " in the store" : ""; }

void CheckOverlap(const std::map<std::string, Known>& pools, const Resource& pool, PoolPlan& plan) {
  const auto& spec = pool.As<api::v1::IPPool>()->spec();
  const auto cidr = ipam::CidrOf(spec);
  for (const auto& [name, other] : pools) {
    const auto* message = other.resource.As<api::v1::IPPool>();
    const auto taken = ipam::CidrOf(message->spec());
    // Documents among themselves: validation has looked.
    if (!other.stored || !cidr.has_value() || !taken.has_value()) continue;
    if (!taken->Contains(*cidr) && !cidr->Contains(*taken)) continue;
    plan.errors.push_back(Refused(
        pool, "spec.cidr", spec.cidr(),
        absl::StrCat("overlaps ", taken->ToString(), " of IPPool ", name, " in the store",
                     ipam::IsTerminating(*message)
                         ? ", which is being deleted and goes with its last address; wait for "
                           "that, or write a prefix of its own"
                         : "; write a prefix of its own")));
  }
}

// In either order: a pool that comes to nodes, a node that comes to pools.
void CheckSubnets(const std::map<std::string, Known>& pools,
                  const std::map<std::string, Known>& nodes, PoolPlan& plan) {
  for (const auto& [pool_name, pool] : pools) {
    const auto& spec = pool.resource.As<api::v1::IPPool>()->spec();
    for (const auto& [node_name, node] : nodes) {
      if (pool.stored && node.stored) continue;
      const auto subnet = ipam::SharedSubnet(spec, *node.resource.As<api::v1::Node>());
      if (!subnet.has_value()) continue;
      if (!pool.stored) {
        plan.errors.push_back(Refused(
            pool.resource, "spec.cidr", spec.cidr(),
            absl::StrCat("overlaps ", subnet->ToString(), ", the subnet of Node ", node_name,
                         Stored(node),
                         ": pods would get the addresses of its hosts and its gateway; write a "
                         "prefix of its own")));
      } else {
        plan.errors.push_back(Refused(
            node.resource, "spec.bgp", subnet->ToString(),
            absl::StrCat("overlaps ", spec.cidr(), " of IPPool ", pool_name,
                         " in the store: pods have or would get addresses of this subnet; delete "
                         "that pool first, or correct the address")));
      }
    }
  }
}

// The pool keeps its form while addresses of it are in use.
absl::Status CheckForm(api::Store& store, const Resource& pool, PoolPlan& plan) {
  const auto stored = store.Get(pool.key());
  if (absl::IsNotFound(stored.status())) return absl::OkStatus();
  RETURN_IF_ERROR(stored.status());
  const auto old_resource = api::Deserialize(*stored);
  if (!old_resource.ok()) return absl::OkStatus();  // replaced whole
  const auto& old = old_resource->As<api::v1::IPPool>()->spec();
  const auto& now = pool.As<api::v1::IPPool>()->spec();
  const auto old_cidr = ipam::CidrOf(old), cidr = ipam::CidrOf(now);
  if (!old_cidr.has_value() || !cidr.has_value()) return absl::OkStatus();
  const bool moved = *old_cidr != *cidr;
  if (!moved && ipam::BlockSizeOf(old) == ipam::BlockSizeOf(now)) return absl::OkStatus();

  ASSIGN_OR_RETURN(const IpamState state, ReadIpam(store));
  if (const Usage usage = UsageIn(state, *old_cidr); usage.blocks > 0) {
    const auto size = [](const api::v1::IPPoolSpec& spec) {
      return absl::StrCat(ipam::BlockSizeOf(spec));
    };
    plan.errors.push_back(
        Refused(pool, moved ? "spec.cidr" : "spec.blockSize", moved ? now.cidr() : size(now),
                absl::StrCat("cannot take the place of ", moved ? old.cidr() : size(old),
                             " while addresses of the pool are in use (", Describe(usage),
                             "): make another pool, set disabled: true in this one, and delete it "
                             "when its pods are gone")));
    return absl::OkStatus();
  }
  IpamChanges changes(state);
  for (const auto& [block, unused] : state.blocks) {
    if (old_cidr->Contains(block)) changes.Remove(block);
  }
  for (Mutation& mutation : changes.Mutations()) plan.mutations.push_back(std::move(mutation));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PoolPlan> CheckPools(api::Store& store, const std::vector<Resource>& resources) {
  PoolPlan plan;
  const bool any = std::any_of(resources.begin(), resources.end(), [](const Resource& resource) {
    const std::string& kind = resource.kind().store_kind;
    return kind == api::kKindIPPool || kind == api::kKindNode;
  });
  if (!any) return plan;
  ASSIGN_OR_RETURN(const auto pools, Together(store, api::kKindIPPool, resources));
  if (pools.empty()) return plan;
  ASSIGN_OR_RETURN(const auto nodes, Together(store, api::kKindNode, resources));
  for (const auto& [name, pool] : pools) {
    if (pool.stored) continue;
    CheckOverlap(pools, pool.resource, plan);
    RETURN_IF_ERROR(CheckForm(store, pool.resource, plan));
  }
  CheckSubnets(pools, nodes, plan);
  return plan;
}

absl::StatusOr<PoolRemoval> RemovePool(api::Store& store, const api::StoredResource& pool) {
  PoolRemoval removal;
  const Mutation gone = {Mutation::Type::kDelete, pool.key, "", pool.revision};
  const auto resource = api::Deserialize(pool);
  const auto cidr =
      resource.ok() ? ipam::CidrOf(resource->As<api::v1::IPPool>()->spec()) : std::nullopt;
  if (!cidr.has_value()) {  // damaged: no agent takes anything from it
    removal.mutations = {gone};
    return removal;
  }
  ASSIGN_OR_RETURN(const IpamState state, ReadIpam(store));
  const Usage usage = UsageIn(state, *cidr);
  if (usage.blocks == 0) {
    IpamChanges changes(state);
    for (const auto& [block, unused] : state.blocks) {
      if (cidr->Contains(block)) changes.Remove(block);
    }
    removal.mutations = changes.Mutations();
    removal.mutations.push_back(gone);
    return removal;
  }
  removal.what = absl::StrCat("is being deleted: it gives no address any more and goes with the ",
                              "last that is in use, now ", Describe(usage),
                              " (ripstopctl ipam show --show-blocks)");
  Resource marked = resource->Clone();
  if (ipam::IsTerminating(*marked.As<api::v1::IPPool>())) return removal;
  marked.mutable_metadata().set_deletion_timestamp(
      absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone()));
  removal.mutations = {{Mutation::Type::kUpdate, pool.key, api::Serialize(marked), pool.revision}};
  return removal;
}

absl::StatusOr<std::vector<std::string>> LeftOfNodes(api::Store& store,
                                                     const std::set<std::string>& nodes) {
  std::vector<std::string> notes;
  if (nodes.empty()) return notes;
  ASSIGN_OR_RETURN(const IpamState state, ReadIpam(store));
  for (const std::string& node : nodes) {
    Usage usage;
    for (const auto& [cidr, stored] : state.blocks) {
      const auto used = static_cast<int>(stored.block.AllocationsOf(node).size());
      if (used == 0 && stored.block.affinity() != node) continue;
      ++usage.blocks;
      usage.addresses += used;
    }
    if (usage.blocks == 0) continue;
    notes.push_back(absl::StrCat("node ", node, " still has ", Describe(usage),
                                 "; if it is gone for good, give them back: ripstopctl ipam ",
                                 "release --node ", node));
  }
  return notes;
}

}  // namespace ripstop::ctl
