// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/ipam_release.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "api/ctl/kind_words.h"
#include "api/resource.h"
#include "policy/status_macros.h"

namespace ripstop::ctl {
namespace {

using api::Mutation;

constexpr int kAttempts = 8;  // against agents that come between plan and transaction

absl::Status Alive(const std::string& node) {
  return absl::FailedPreconditionError(absl::StrCat(
      "the agent of node ", node, " answers: it is not gone; stop it first, if it is to go"));
}

// The allocation that `leak` means, in the block as it is now.
std::optional<ipam::Allocation> Find(const ipam::Block& block, const policy::Address& address,
                                     const IpamProblem& leak) {
  for (const ipam::Allocation& one : block.AllocationsOf("")) {
    if (one.address != address) continue;
    const bool meant =
        leak.handle.empty() || (one.handle == leak.handle && one.sequence == leak.sequence);
    return meant ? std::optional(one) : std::nullopt;
  }
  return std::nullopt;
}

absl::StatusOr<std::vector<std::string>> PlanLeaked(const AddressWorld& world,
                                                    const std::vector<IpamProblem>& leaked,
                                                    IpamChanges& changes) {
  std::vector<std::string> lines;
  std::map<policy::Cidr, ipam::Block> blocks;
  for (const IpamProblem& leak : leaked) {
    const auto address = policy::Address::Parse(leak.subject);
    if (!address.ok()) return address.status();
    if (const auto user = world.users.find(*address); user != world.users.end()) {
      return absl::AbortedError(absl::StrCat(
          "address ", leak.subject, " is in use by ", Label(user->second.endpoint), " on node ",
          user->second.node,
          "; delete that pod, or, if its node is gone: ripstopctl ipam release --node ",
          user->second.node));
    }
    std::optional<ipam::Allocation> found;
    for (const auto& [cidr, stored] : world.ipam.blocks) {
      if (!cidr.Contains(*address)) continue;
      ipam::Block& block = blocks.try_emplace(cidr, stored.block).first->second;
      found = Find(block, *address, leak);
      if (found.has_value()) block.Release(*found);
    }
    if (!found.has_value() && leak.handle.empty()) {
      return absl::NotFoundError(absl::StrCat("address ", leak.subject, " is not allocated"));
    }
    lines.push_back(
        absl::StrCat(leak.subject, found.has_value() ? " released" : " is free already"));
  }
  for (const auto& [cidr, block] : blocks) changes.Put(block);
  return lines;
}

// Withdrawals and releases, in one transaction.
absl::StatusOr<NodeRelease> PlanNode(api::Store& store, const std::string& node,
                                     std::vector<Mutation>& mutations) {
  NodeRelease counts;
  ASSIGN_OR_RETURN(const api::Listing endpoints, store.List({api::kKindWorkloadEndpoint, ""}));
  for (const api::StoredResource& item : endpoints.items) {
    const auto resource = api::Deserialize(item);
    if (!resource.ok()) continue;
    if (resource->As<api::v1::WorkloadEndpoint>()->spec().node() != node) continue;
    mutations.push_back({Mutation::Type::kDelete, item.key, "", item.revision});
    ++counts.endpoints;
  }
  ASSIGN_OR_RETURN(const IpamState state, ReadIpam(store));
  IpamChanges changes(state);
  for (const auto& [cidr, stored] : state.blocks) {
    const std::vector<ipam::Allocation> used = stored.block.AllocationsOf(node);
    const bool own = stored.block.affinity() == node;
    if (used.empty() && !own) continue;
    ipam::Block block = stored.block;
    for (const ipam::Allocation& allocation : used) block.Release(allocation);
    if (own) block.set_affinity("");
    changes.Put(block);
    counts.addresses += static_cast<int>(used.size());
    counts.blocks += own ? 1 : 0;
  }
  for (Mutation& mutation : changes.Mutations()) mutations.push_back(std::move(mutation));
  return counts;
}

// The revision of the question; nullopt: it was answered.
absl::StatusOr<std::optional<int64_t>> Ask(api::Store& store, const api::ResourceKey& question,
                                           absl::Duration patience) {
  ripstop::ipam::v1::IPAMNodeRelease ask;
  ask.set_asked_by(absl::StrCat("ripstopctl ", getpid()));
  // One that was left behind is taken up.
  ASSIGN_OR_RETURN(const std::vector<int64_t> asked,
                   store.Txn({{Mutation::Type::kPut, question, ask.SerializeAsString(), 0}}));
  ASSIGN_OR_RETURN(const auto watch, store.WatchFrom({question.kind, ""}, asked[0]));
  const absl::Time deadline = absl::Now() + patience;
  while (true) {
    ASSIGN_OR_RETURN(const std::vector<api::WatchEvent> events, watch->Next());
    for (const api::WatchEvent& event : events) {
      const bool this_one = event.resource.key == question;
      if (this_one && event.type == api::WatchEvent::Type::kDelete) return std::nullopt;
      if (this_one && event.type == api::WatchEvent::Type::kPut && event.revision != asked[0]) {
        return absl::AbortedError("somebody else releases this node at this moment; try again");
      }
    }
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) return asked[0];
    pollfd ready = {watch->fd(), POLLIN, 0};
    if (poll(&ready, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1) < 0 &&
        errno != EINTR) {
      return absl::ErrnoToStatus(errno, "store watch");
    }
  }
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ReleaseLeaked(api::Store& store,
                                                       const std::vector<IpamProblem>& leaked) {
  for (int attempt = 1;; ++attempt) {
    ASSIGN_OR_RETURN(const AddressWorld world, ReadAddressWorld(store));
    IpamChanges changes(world.ipam);
    ASSIGN_OR_RETURN(std::vector<std::string> lines, PlanLeaked(world, leaked, changes));
    const absl::Status status = store.Txn(changes.Mutations()).status();
    if (status.ok()) return lines;
    if (attempt == kAttempts || !Raced(status)) return status;
  }
}

absl::StatusOr<NodeRelease> ReleaseNode(api::Store& store, const std::string& node,
                                        absl::Duration patience) {
  const absl::Status present = store.Get({api::kKindNode, "", node}).status();
  if (present.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "Node ", node, " is in the store; if it is gone for good, first: ripstopctl delete node ",
        node));
  }
  if (!absl::IsNotFound(present)) return present;
  std::vector<Mutation> nothing;
  ASSIGN_OR_RETURN(const NodeRelease before, PlanNode(store, node, nothing));
  if (nothing.empty()) return before;

  const api::ResourceKey question = {ipam::kNodeReleaseKind, "", node};
  ASSIGN_OR_RETURN(const auto asked, Ask(store, question, patience));
  if (!asked.has_value()) return Alive(node);
  for (int attempt = 1;; ++attempt) {
    std::vector<Mutation> mutations = {{Mutation::Type::kDelete, question, "", *asked}};
    ASSIGN_OR_RETURN(const NodeRelease counts, PlanNode(store, node, mutations));
    const absl::Status status = store.Txn(mutations).status();
    if (status.ok()) return counts;
    if (absl::IsNotFound(store.Get(question).status())) return Alive(node);
    if (attempt == kAttempts || !Raced(status)) return status;
  }
}

}  // namespace ripstop::ctl
