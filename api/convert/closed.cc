// SPDX-License-Identifier: Apache-2.0
#include "api/convert/closed.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "api/convert/converters.h"
#include "api/convert/selector_text.h"
#include "policy/selector.h"
#include "policy/world.h"

namespace ripstop::api {
namespace {

using policy::Policy;
using policy::PolicyKind;

constexpr double kFirst = std::numeric_limits<double>::lowest();

policy::Rule DenyAll() { return {.action = policy::Action::kDeny, .name = "it cannot be read"}; }

void Deny(Policy& policy) {
  policy.ingress_rules.clear();
  policy.egress_rules.clear();
  if (policy.ingress) policy.ingress_rules.push_back(DenyAll());
  if (policy.egress) policy.egress_rules.push_back(DenyAll());
}

// Pods of a namespace; all, where its name fits into no selector.
std::string PodsOf(const std::string& ns) {
  return ns.empty() || !Quoted(ns).ok() ? std::string(kPodsOnly) : InNamespace(ns);
}

std::string PodsOfText(const std::string& ns) {
  return ns.empty() ? "all pods" : absl::StrCat("pods of namespace ", ns);
}

// A tier before all others, with one policy that denies these pods everything. Its name cannot be
// that of a document.
ClosedReading DenyFirst(const ResourceKey& key, PolicyKind kind, const std::string& selector,
                        std::string denied) {
  const std::string name = absl::StrCat("unreadable ", key.kind, " ", key.ns, "/", key.name);
  Policy policy;
  policy.key = {kind, "", name};
  policy.tier = name;
  policy.order = kFirst;
  policy.selector = selector;
  policy.ingress = policy.egress = true;
  Deny(policy);
  return {{policy::Tier{name, kFirst, policy::Action::kDeny}, std::move(policy)},
          std::nullopt,
          std::move(denied)};
}

// ---- projectcalico.org/v3 ----

bool CanRead(const std::string& selector) {
  return policy::Selector::Parse(selector, policy::kWrittenSelector).ok();
}

// Whether the selectors are as they were written.
bool KeepReadableSelectors(v1::PolicySpec* spec) {
  bool all = true;
  if (!CanRead(spec->selector())) {
    spec->clear_selector();
    all = false;
  }
  if (!spec->namespace_selector().empty() &&
      !NamespaceSelectorText(spec->namespace_selector()).ok()) {
    spec->clear_namespace_selector();
    all = false;
  }
  if (!spec->service_account_selector().empty() &&
      !ServiceAccountSelectorText(spec->service_account_selector()).ok()) {
    spec->clear_service_account_selector();
    all = false;
  }
  return all;
}

// Says outright which directions the policy concerns.
void WriteOutTypes(v1::PolicySpec* spec) {
  const bool all_known =
      std::all_of(spec->types().begin(), spec->types().end(),
                  [](const std::string& type) { return type == "Ingress" || type == "Egress"; });
  bool ingress = true, egress = true;
  if (spec->types_size() > 0 && all_known) return;
  if (spec->types_size() == 0) {
    egress = spec->egress_size() > 0;
    ingress = spec->ingress_size() > 0 || !egress;
  }
  spec->clear_types();
  if (ingress) spec->add_types("Ingress");
  if (egress) spec->add_types("Egress");
}

// The rules before the first that cannot be read, and one that denies in place of the others.
void DenyFromBadRule(google::protobuf::RepeatedPtrField<v1::Rule>* rules, const std::string& ns) {
  if (ConvertCalicoRules(*rules, ns, "").ok()) return;
  do {
    rules->RemoveLast();
  } while (!ConvertCalicoRules(*rules, ns, "").ok());
  v1::Rule* deny = rules->Add();
  deny->set_action("Deny");
  (*deny->mutable_metadata()->mutable_annotations())["name"] = DenyAll().name;
}

std::optional<Policy> CloseCalico(PolicyKind kind, const v1::ObjectMeta& metadata,
                                  v1::PolicySpec spec) {
  const std::string ns = kind == PolicyKind::kGlobalNetworkPolicy ? "" : metadata.namespace_();
  const bool selects_as_written = KeepReadableSelectors(&spec);
  WriteOutTypes(&spec);
  DenyFromBadRule(spec.mutable_ingress(), ns);
  DenyFromBadRule(spec.mutable_egress(), ns);
  if (spec.has_order() && !std::isfinite(spec.order())) spec.set_order(kFirst);
  auto policy = ConvertCalicoPolicy(kind, metadata, spec);
  if (!policy.ok()) return std::nullopt;
  if (!selects_as_written) {
    // It would allow to pods that it does not mean.
    Deny(*policy);
    if (kind == PolicyKind::kGlobalNetworkPolicy) {
      policy->selector = AllOf({kPodsOnly, policy->selector});
    }
  }
  return *std::move(policy);
}

// ---- Kubernetes ----

Policy CloseKubernetes(const ResourceKey& key, const v1::KubernetesNetworkPolicySpec* spec) {
  v1::ObjectMeta metadata;
  metadata.set_namespace_(key.ns);
  metadata.set_name(key.name);
  v1::KubernetesNetworkPolicySpec closed;
  if (spec == nullptr) {
    closed.add_policy_types("Ingress");
    closed.add_policy_types("Egress");
  } else {
    *closed.mutable_policy_types() = spec->policy_types();
    if (spec->policy_types_size() == 0) {
      closed.add_policy_types("Ingress");
      if (spec->egress_size() > 0) closed.add_policy_types("Egress");
    }
  }
  Policy policy =
      ConvertKubernetesPolicy(PolicyKind::kKubernetesNetworkPolicy, metadata, closed).value();
  policy.selector = PodsOf(key.ns);
  return policy;
}

// Cuts off the first rule whose action is none, and those after it. Whatever else of a rule is not
// understood, its conversion closes. Whether something was cut.
template <typename Rules>
bool CutFromBadAction(Rules* rules) {
  for (int i = 0; i < rules->size(); ++i) {
    const std::string& action = rules->Get(i).action();
    if (action == "Accept" || action == "Deny" || action == "Pass") continue;
    rules->DeleteSubrange(i, rules->size() - i);
    return true;
  }
  return false;
}

Policy CloseCluster(v1::ClusterNetworkPolicy from) {
  v1::ClusterNetworkPolicySpec* spec = from.mutable_spec();
  const bool ingress = spec->ingress_size() > 0, egress = spec->egress_size() > 0;
  const bool cut_ingress = CutFromBadAction(spec->mutable_ingress());
  const bool cut_egress = CutFromBadAction(spec->mutable_egress());
  const bool knows_tier = spec->tier() == "Admin" || spec->tier() == "Baseline";
  if (!knows_tier) spec->set_tier("Admin");
  absl::StatusOr<Policy> policy = ConvertClusterPolicy(from);
  const bool knows_subject = policy.ok();
  if (!knows_subject) {
    spec->clear_subject();
    spec->mutable_subject()->mutable_namespaces();
    policy = ConvertClusterPolicy(from);
  }
  policy->ingress = ingress;
  policy->egress = egress;
  if (!knows_tier) policy->order = kFirst;
  if (!knows_subject || !knows_tier) {
    Deny(*policy);
  } else {
    if (cut_ingress) policy->ingress_rules.push_back(DenyAll());
    if (cut_egress) policy->egress_rules.push_back(DenyAll());
  }
  return *std::move(policy);
}

ClosedReading Single(Policy policy, const ResourceKey& key) {
  return {{std::move(policy)},
          std::nullopt,
          absl::StrCat("what it may select of ", PodsOfText(key.ns))};
}

ClosedReading EndedPod(const ResourceKey& key) {
  Resource pod = Resource::Make<v1::Pod>();
  pod.mutable_metadata().set_namespace_(key.ns);
  pod.mutable_metadata().set_name(key.name);
  pod.MutableAs<v1::Pod>()->mutable_status()->set_phase("Failed");
  return {{}, std::move(pod), "the pod"};
}

}  // namespace

ClosedReading ReadClosed(const ResourceKey& key, const Resource* decoded) {
  const auto* calico = decoded == nullptr ? nullptr : decoded->As<v1::NetworkPolicy>();
  const auto* global = decoded == nullptr ? nullptr : decoded->As<v1::GlobalNetworkPolicy>();
  const auto* cluster = decoded == nullptr ? nullptr : decoded->As<v1::ClusterNetworkPolicy>();
  const auto* kubernetes =
      decoded == nullptr ? nullptr : decoded->As<v1::KubernetesNetworkPolicy>();
  std::optional<Policy> policy;
  if (calico != nullptr) {
    policy = CloseCalico(PolicyKind::kNetworkPolicy, calico->metadata(), calico->spec());
  } else if (global != nullptr) {
    policy = CloseCalico(PolicyKind::kGlobalNetworkPolicy, global->metadata(), global->spec());
  } else if (cluster != nullptr) {
    policy = CloseCluster(*cluster);
  } else if (key.kind == kKindKubernetesNetworkPolicy) {
    policy = CloseKubernetes(key, kubernetes == nullptr ? nullptr : &kubernetes->spec());
  }
  if (policy.has_value()) return Single(*std::move(policy), key);

  const auto deny_first = [&](const std::string& ns) {
    return DenyFirst(key, PolicyKind::kGlobalNetworkPolicy, PodsOf(ns), PodsOfText(ns));
  };
  if (key.kind == kKindNetworkPolicy) return deny_first(key.ns);
  if (key.kind == kKindGlobalNetworkPolicy || key.kind == kKindClusterNetworkPolicy ||
      key.kind == kKindTier) {
    // A built-in tier is where it is, whatever its document says.
    if (key.kind == kKindTier && policy::BuiltInTiers().contains(key.name)) return {};
    return deny_first("");
  }
  if (key.kind == kKindNamespace) return deny_first(key.name);
  if (key.kind == kKindServiceAccount) {
    const auto name = Quoted(key.name);
    const std::string account =
        name.ok() ? absl::StrCat(policy::kServiceAccountLabel, " == ", *name) : std::string();
    return DenyFirst(key, PolicyKind::kGlobalNetworkPolicy, AllOf({PodsOf(key.ns), account}),
                     absl::StrCat(PodsOfText(key.ns), " that run as it"));
  }
  if (key.kind == kKindPod) return EndedPod(key);
  return {};
}

}  // namespace ripstop::api
