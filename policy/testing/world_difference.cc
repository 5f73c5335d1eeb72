// SPDX-License-Identifier: Apache-2.0
#include <type_traits>
#include <utility>

#include "policy/testing/random_world.h"

namespace ripstop::policy::testing {
namespace {

template <typename Map, typename Put, typename Remove>
void DifferenceOf(const Map& from, const Map& to, std::vector<std::function<void(Engine&)>>& out,
                  Put put, Remove remove) {
  for (const auto& [key, value] : from) {
    if (!to.contains(key)) out.push_back([=, key = key](Engine& e) { remove(e, key); });
  }
  for (const auto& [key, value] : to) {
    const auto known = from.find(key);
    if (known == from.end() || !(known->second == value)) {
      out.push_back([=, value = value](Engine& e) { put(e, value); });
    }
  }
}

}  // namespace

std::vector<std::function<void(Engine&)>> Difference(const World& from, const World& to) {
  std::vector<std::function<void(Engine&)>> calls;
  DifferenceOf(
      from.tiers, to.tiers, calls, [](Engine& e, const Tier& t) { e.PutTier(t); },
      [](Engine& e, const std::string& n) { e.RemoveTier(n); });
  DifferenceOf(
      from.policies, to.policies, calls, [](Engine& e, const Policy& p) { e.PutPolicy(p); },
      [](Engine& e, const PolicyKey& k) { e.RemovePolicy(k); });
  DifferenceOf(
      from.profiles, to.profiles, calls, [](Engine& e, const Profile& p) { e.PutProfile(p); },
      [](Engine& e, const std::string& n) { e.RemoveProfile(n); });
  DifferenceOf(
      from.endpoints, to.endpoints, calls, [](Engine& e, const Endpoint& p) { e.PutEndpoint(p); },
      [](Engine& e, const std::string& n) { e.RemoveEndpoint(n); });
  DifferenceOf(
      from.network_sets, to.network_sets, calls,
      [](Engine& e, const NetworkSet& s) { e.PutNetworkSet(s); },
      [](Engine& e, const std::string& n) { e.RemoveNetworkSet(n); });
  DifferenceOf(
      from.services, to.services, calls,
      [](Engine& e, const ServiceBackends& b) { e.PutServiceBackends(b); },
      [](Engine& e, const std::pair<ServiceName, std::string>& k) {
        e.RemoveServiceBackends(k.first, k.second);
      });
  DifferenceOf(
      from.hosts, to.hosts, calls, [](Engine& e, const Host& h) { e.PutHost(h); },
      [](Engine& e, const std::string& n) { e.RemoveHost(n); });
  DifferenceOf(
      from.host_endpoints, to.host_endpoints, calls,
      [](Engine& e, const HostEndpoint& h) { e.PutHostEndpoint(h); },
      [](Engine& e, const std::string& n) { e.RemoveHostEndpoint(n); });
  if (!(from.failsafe == to.failsafe)) {
    calls.push_back([ports = to.failsafe](Engine& e) { e.SetFailsafePorts(ports); });
  }
  return calls;
}

World Shrink(World world, const std::function<bool(const World&)>& fails) {
  bool smaller = true;
  const auto without_each = [&](auto member) {
    std::vector<typename std::remove_reference_t<decltype(world.*member)>::key_type> keys;
    for (const auto& [key, value] : world.*member) keys.push_back(key);
    for (const auto& key : keys) {
      World less = world;
      (less.*member).erase(key);
      if (!fails(less)) continue;
      world = std::move(less);
      smaller = true;
    }
  };
  while (smaller) {
    smaller = false;
    without_each(&World::policies);
    without_each(&World::endpoints);
    without_each(&World::network_sets);
    without_each(&World::services);
    without_each(&World::profiles);
    without_each(&World::tiers);
    without_each(&World::hosts);
    without_each(&World::host_endpoints);
    std::vector<PolicyKey> keys;
    for (const auto& [key, p] : world.policies) keys.push_back(key);
    for (const PolicyKey& key : keys) {
      for (auto member : {&Policy::ingress_rules, &Policy::egress_rules}) {
        for (size_t i = 0; i < (world.policies[key].*member).size();) {
          World less = world;
          auto& rules = less.policies[key].*member;
          rules.erase(rules.begin() + static_cast<long>(i));
          if (fails(less)) {
            world = std::move(less);
            smaller = true;
          } else {
            ++i;
          }
        }
      }
    }
  }
  return world;
}

}  // namespace ripstop::policy::testing
