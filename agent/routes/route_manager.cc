// SPDX-License-Identifier: Apache-2.0
#include "agent/routes/route_manager.h"

#include <algorithm>
#include <optional>

#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

using Op = RoutingWrite::Op;

void Keep(absl::Status& ret_first, const absl::Status& status) {
  if (ret_first.ok()) ret_first = status;
}

}  // namespace

absl::Status RouteManager::Write(const RoutingWrite& write) {
  ++stats_.writes;
  return kernel_->Apply(write);
}

absl::Status RouteManager::WriteWanted(Wanted& wanted, Op op) {
  const absl::Status status = Write({op, wanted.entry()});
  if (status.ok()) wanted.written = true;
  return status;
}

void RouteManager::Change(const RoutingKey& key, const std::function<void()>& change) {
  const auto interface = [&]() -> std::optional<uint32_t> {
    const auto it = wanted_.find(key);
    if (it == wanted_.end() || it->second.claims.empty()) return std::nullopt;
    return IfindexOf(it->second.entry());
  };
  const std::optional<uint32_t> before = interface();
  change();
  const std::optional<uint32_t> after = interface();
  if (before == after) return;
  if (before.has_value()) {
    const auto keys = of_interface_.find(*before);
    keys->second.erase(key);
    if (keys->second.empty()) of_interface_.erase(keys);
  }
  if (after.has_value()) of_interface_[*after].insert(key);
}

absl::Status RouteManager::Put(const std::string& owner, const std::vector<RoutingEntry>& entries) {
  RoutingState next;
  for (const RoutingEntry& entry : entries) Insert(next, entry);
  absl::Status first;

  // What it no longer wants: routes go before the neighbours that they use.
  const std::set<RoutingKey> before = std::exchange(owners_[owner], {});
  for (auto key = before.rbegin(); key != before.rend(); ++key) {
    if (next.contains(*key)) continue;
    const auto it = wanted_.find(*key);
    Wanted& wanted = it->second;
    const RoutingEntry was = wanted.entry();
    const auto is_owners = [&owner](const Claim& claim) { return claim.owner == owner; };
    Change(*key, [&] { std::erase_if(wanted.claims, is_owners); });
    if (!wanted.claims.empty()) {
      if (synced_ && wanted.entry() != was) Keep(first, WriteWanted(wanted, Op::kReplace));
      continue;
    }
    wanted_.erase(it);
    if (synced_) Keep(first, Write({Op::kDelete, was}));
  }

  for (const auto& [key, entry] : next) {
    owners_[owner].insert(key);
    Wanted& wanted = wanted_[key];
    const bool same = wanted.written && wanted.entry() == entry;
    Change(key, [&, &entry = entry] {
      std::erase_if(wanted.claims, [&owner](const Claim& claim) { return claim.owner == owner; });
      wanted.claims.push_back({owner, entry});
    });
    if (same) continue;
    wanted.written = false;
    if (synced_) Keep(first, WriteWanted(wanted, Op::kReplace));
  }
  if (next.empty()) owners_.erase(owner);
  return first;
}

absl::Status RouteManager::Reconcile() {
  ++stats_.reconciles;
  ASSIGN_OR_RETURN(const RoutingState present, kernel_->Read(own_devices_));
  synced_ = true;
  absl::Status first;
  const RoutingState all = wanted();
  for (const RoutingWrite& write : Diff(all, present)) {
    if (write.op == Op::kDelete) {
      Keep(first, Write(write));
      continue;
    }
    Wanted& wanted = wanted_.at(KeyOf(write.entry));
    const bool repair = wanted.written;
    wanted.written = false;
    const absl::Status status = WriteWanted(wanted, Op::kReplace);
    if (status.ok() && repair) ++stats_.repairs;
    Keep(first, status);
  }
  for (const auto& [key, entry] : all) {
    if (present.contains(key) && present.at(key) == entry) wanted_.at(key).written = true;
  }
  return first;
}

// Puts back what a device lost while it was down, of which the kernel says nothing.
// Without reading tables: an addition that succeeds shows that the route was missing.
absl::Status RouteManager::Reassert(uint32_t ifindex) {
  absl::Status first;
  const auto keys = of_interface_.find(ifindex);
  if (keys == of_interface_.end()) return first;
  for (const RoutingKey& key : keys->second) {
    Wanted& wanted = wanted_.at(key);
    const bool was_written = wanted.written;
    const bool route = std::holds_alternative<Route>(wanted.entry());
    const absl::Status status = WriteWanted(wanted, route ? Op::kAdd : Op::kReplace);
    if (absl::IsAlreadyExists(status)) continue;
    if (status.ok() && route && was_written) ++stats_.repairs;
    if (!status.ok()) wanted.written = false;
    Keep(first, status);
  }
  return first;
}

// Whether an event may mean that the kernel differs from what is wanted. Events of our
// own writes arrive late, so this only decides whether to look.
bool RouteManager::Suspicious(const RoutingEntry& entry, bool deleted) const {
  const auto it = wanted_.find(KeyOf(entry));
  if (const auto* route = std::get_if<Route>(&entry)) {
    const bool ours = route->protocol == kRouteProtocol;
    if (deleted) return ours && it != wanted_.end();
    if (it == wanted_.end()) return ours;  // somebody uses our number
    return it->second.entry() != RoutingEntry(route->Normalized());
  }
  if (it == wanted_.end()) {
    return !deleted && std::holds_alternative<FdbEntry>(entry) &&
           own_devices_.contains(IfindexOf(entry));
  }
  return deleted || it->second.entry() != entry;
}

absl::Status RouteManager::HandleEvents(const std::vector<MonitorEvent>& events) {
  if (!synced_) return absl::OkStatus();
  bool look = false;
  std::set<uint32_t> came_up;
  for (const MonitorEvent& event : events) {
    if (std::holds_alternative<ResyncEvent>(event)) {
      look = true;
    } else if (const auto* link = std::get_if<LinkEvent>(&event)) {
      if (link->deleted) came_up.erase(link->link.index);
      if (!link->deleted && link->link.up) came_up.insert(link->link.index);
    } else if (const auto* route = std::get_if<RouteEvent>(&event)) {
      look = look || Suspicious(route->route, route->deleted);
    } else if (const auto* neighbour = std::get_if<NeighbourEvent>(&event)) {
      look = look || Suspicious(neighbour->neighbour, neighbour->deleted);
    } else if (const auto* fdb = std::get_if<FdbEvent>(&event)) {
      look = look || Suspicious(fdb->entry, fdb->deleted);
    }
  }
  if (look) return Reconcile();
  absl::Status first;
  for (const uint32_t ifindex : came_up) Keep(first, Reassert(ifindex));
  return first;
}

RouteManager::Stats RouteManager::stats() const {
  Stats stats = stats_;
  if (!synced_) return stats;
  for (const auto& [key, wanted] : wanted_) stats.failed += wanted.written ? 0 : 1;
  return stats;
}

RoutingState RouteManager::wanted() const {
  RoutingState state;
  for (const auto& [key, wanted] : wanted_) state.emplace(key, wanted.entry());
  return state;
}

}  // namespace ripstop::agent
