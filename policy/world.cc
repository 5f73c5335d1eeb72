// SPDX-License-Identifier: Apache-2.0
#include "policy/world.h"

#include <algorithm>
#include <limits>
#include <tuple>

namespace ripstop::policy {
namespace {

double OrderOf(const std::optional<double>& order) {
  return order.value_or(std::numeric_limits<double>::infinity());
}

}  // namespace

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

Labels EffectiveLabels(const Labels& own, const std::vector<std::string>& profiles,
                       const std::map<std::string, Profile>& known) {
  Labels labels = own;
  for (const std::string& name : profiles) {
    const auto profile = known.find(name);
    if (profile == known.end()) continue;
    labels.insert(profile->second.labels_to_apply.begin(), profile->second.labels_to_apply.end());
  }
  return labels;
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
