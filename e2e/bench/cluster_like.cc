// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <utility>

#include "e2e/bench/rule_set_parts.h"
#include "e2e/bench/rule_sets.h"

namespace ripstop::bench {
namespace {

using policy::Action;
using policy::Address;
using policy::Endpoint;
using policy::Policy;
using policy::PolicyKind;
using policy::Rule;
using policy::World;

std::string InNamespace(const std::string& selector, const std::string& ns) {
  return "(" + selector + ") && projectcalico.org/namespace == '" + ns + "'";
}

constexpr uint16_t kPopularPorts[] = {80, 443, 8080, 5432, 6379, 9090, 3306, 9092, 53, 50051};

Policy KubernetesPolicy(int index, const std::string& ns, int deployments, int namespaces,
                        Dice& dice) {
  Policy policy;
  policy.key = {PolicyKind::kKubernetesNetworkPolicy, ns, Number("policy-", index)};
  policy.order = 1000;
  policy.ingress = true;
  policy.egress = dice.Percent(20);
  policy.selector = InNamespace("app == '" + Number("app-", dice.Skewed(deployments)) + "'", ns);
  const int rules = 1 + dice.Below(3);
  for (int i = 0; i < rules; ++i) {
    Rule rule = AllowTcp(kPopularPorts[dice.Skewed(std::size(kPopularPorts))]);
    const uint32_t peer = dice.Below(100);
    const std::string app = "app == '" + Number("app-", dice.Skewed(deployments)) + "'";
    if (peer < 60) {
      rule.source.selector = InNamespace(app, ns);
    } else if (peer < 80) {
      rule.source.selector = InNamespace(app, Number("ns-", dice.Below(namespaces)));
    } else if (peer < 90) {
      rule.source.selector = "pcns.team == '" + Number("team-", dice.Below(8)) + "'";
    } else {
      rule.source.nets = {V4Cidr(0xc0000000 | (dice.Word() & 0x00ffff00), 24)};
    }
    policy.ingress_rules.push_back(rule);
    if (policy.egress) {
      std::swap(rule.source, rule.destination);
      rule.destination.ports = std::exchange(rule.source.ports, std::nullopt);
      policy.egress_rules.push_back(rule);
    }
  }
  return policy;
}

}  // namespace

policy::World KubernetesLike(const KubernetesShape& shape) {
  Dice dice(shape.seed);
  World world;
  world.Put(policy::Tier{"default", 1'000'000, Action::kDeny});
  for (int n = 0; n < shape.namespaces; ++n) {
    policy::Profile profile;
    profile.name = "kns." + Number("ns-", n);
    profile.labels_to_apply = {{"pcns.projectcalico.org/name", Number("ns-", n)},
                               {"pcns.team", Number("team-", static_cast<int>(dice.Below(8)))}};
    Rule allow;
    allow.action = Action::kAllow;
    profile.ingress_rules = profile.egress_rules = {allow};
    world.Put(profile);
  }
  const auto namespaces = static_cast<uint32_t>(shape.namespaces);
  for (int i = 0; i < shape.endpoints; ++i) {
    Endpoint endpoint;
    const std::string ns = Number("ns-", static_cast<int>(dice.Skewed(namespaces)));
    const auto app =
        static_cast<int>(dice.Skewed(static_cast<uint32_t>(shape.deployments_per_namespace)));
    endpoint.id = ns + "/pod-" + std::to_string(i);
    endpoint.labels = {{"app", Number("app-", app)},
                       {"tier", Number("tier-", app % 3)},
                       {"projectcalico.org/namespace", ns},
                       {"projectcalico.org/orchestrator", "k8s"}};
    endpoint.profiles = {"kns." + ns};
    endpoint.addresses = {Address::FromV4(kLocalEndpoint + static_cast<uint32_t>(i))};
    endpoint.ports = {{"http", policy::kProtocolTcp, 8080}};
    // Local ones are spread over the cluster's endpoints, as a scheduler does.
    const int stride = std::max(1, shape.endpoints / std::max(1, shape.local_endpoints));
    if (i % stride == 0 && i / stride < shape.local_endpoints) {
      endpoint.local =
          policy::Attachment{static_cast<uint32_t>(i / stride + 2), {2, 0, 0, 0, 0, 1}};
    }
    world.Put(std::move(endpoint));
  }
  for (int i = 0; i < shape.policies; ++i) {
    const std::string ns = Number("ns-", static_cast<int>(dice.Skewed(namespaces)));
    world.Put(KubernetesPolicy(i, ns, shape.deployments_per_namespace, shape.namespaces, dice));
  }
  return world;
}

}  // namespace ripstop::bench
