// SPDX-License-Identifier: Apache-2.0
#include "policy/world.h"

#include <algorithm>
#include <limits>
#include <set>
#include <tuple>

namespace ripstop::policy {
namespace {

double OrderOf(const std::optional<double>& order) {
  return order.value_or(std::numeric_limits<double>::infinity());
}

bool Has(const std::vector<Address>& addresses, const Address& address) {
  return std::find(addresses.begin(), addresses.end(), address) != addresses.end();
}

std::set<NamedPort> PortsOf(const Endpoint& e) { return {e.ports.begin(), e.ports.end()}; }

}  // namespace

bool Alike(const Endpoint& a, const Endpoint& b) {
  return a.labels == b.labels && a.profiles == b.profiles && PortsOf(a) == PortsOf(b);
}

bool IsNewer(const Attachment& a, std::string_view id_a, const Attachment& b,
             std::string_view id_b) {
  return std::pair(a.ifindex, id_a) > std::pair(b.ifindex, id_b);
}

World::Ownership World::OwnershipOf(const Address& address) const {
  Ownership result;
  std::vector<const Endpoint*> remote;
  for (const auto& [id, e] : endpoints) {
    if (!e.active || !Has(e.addresses, address)) continue;
    if (!e.local) {
      remote.push_back(&e);
    } else if (result.workload == nullptr ||
               IsNewer(*e.local, e.id, *result.workload->local, result.workload->id)) {
      result.workload = &e;
    }
  }
  if (result.workload != nullptr) return result;
  for (const auto& [id, e] : host_endpoints) {
    if (Has(e.expected_addresses, address)) result.hosts.push_back(&e);
  }
  if (remote.empty()) return result;
  result.disputed = !result.hosts.empty() ||
                    std::any_of(remote.begin(), remote.end(),
                                [&](const Endpoint* e) { return !Alike(*e, *remote.front()); });
  result.hosts.clear();
  if (!result.disputed) result.workload = remote.front();
  return result;
}

const HostEndpoint* World::HostEndpointAt(uint32_t interface) const {
  for (const uint32_t wanted : {interface, kAnyInterface}) {
    for (const auto& [id, e] : host_endpoints) {
      if (std::find(e.interfaces.begin(), e.interfaces.end(), wanted) != e.interfaces.end())
        return &e;
    }
  }
  return nullptr;
}

const std::map<std::string, Tier>& BuiltInTiers() {
  static const auto& tiers = *new std::map<std::string, Tier>{
      {"kube-admin", {"kube-admin", 1'000, Action::kPass}},
      {"default", {"default", 1'000'000, Action::kDeny}},
      {"kube-baseline", {"kube-baseline", 10'000'000, Action::kPass}},
  };
  return tiers;
}

bool TierBefore(const Tier& a, const Tier& b) {
  return std::forward_as_tuple(OrderOf(a.order), a.name) <
         std::forward_as_tuple(OrderOf(b.order), b.name);
}

bool PolicyBefore(const Policy& a, const Policy& b) {
  const double order_a = OrderOf(a.order), order_b = OrderOf(b.order);
  return std::tie(order_a, a.key.name, a.key.ns, a.key.kind) <
         std::tie(order_b, b.key.name, b.key.ns, b.key.kind);
}

}  // namespace ripstop::policy
