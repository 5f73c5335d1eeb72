// SPDX-License-Identifier: Apache-2.0
#include "api/convert/convert.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "api/convert/converters.h"
#include "api/convert/selector_text.h"
#include "policy/status_macros.h"
#include "policy/world.h"

namespace ripstop::api {
namespace {

using policy::PolicyKind;

policy::Labels LabelsOf(const v1::ObjectMeta& metadata) {
  return {metadata.labels().begin(), metadata.labels().end()};
}

policy::Profile AccountProfile(const v1::ObjectMeta& metadata) {
  policy::Profile profile;
  profile.name = absl::StrCat("ksa.", metadata.namespace_(), ".", metadata.name());
  for (const auto& [key, value] : metadata.labels()) {
    profile.labels_to_apply[absl::StrCat(policy::kServiceAccountPrefix, key)] = value;
  }
  profile.labels_to_apply[absl::StrCat(policy::kServiceAccountPrefix, policy::kNameLabel)] =
      metadata.name();
  return profile;
}

absl::StatusOr<policy::Profile> ConvertProfile(const v1::Profile& from) {
  policy::Profile profile;
  profile.name = from.metadata().name();
  for (const auto& [key, value] : from.spec().labels_to_apply()) {
    if (policy::IsLabelKey(key)) profile.labels_to_apply[key] = value;
  }
  ASSIGN_OR_RETURN(profile.ingress_rules,
                   ConvertCalicoRules(from.spec().ingress(), "", "spec.ingress"));
  ASSIGN_OR_RETURN(profile.egress_rules,
                   ConvertCalicoRules(from.spec().egress(), "", "spec.egress"));
  return profile;
}

absl::StatusOr<policy::Tier> ConvertTier(const v1::Tier& from) {
  policy::Tier tier{.name = from.metadata().name()};
  const std::string& action = from.spec().default_action();
  if (!action.empty() && action != "Deny" && action != "Pass") {
    return BadValue("spec.defaultAction", action, "is not Deny or Pass");
  }
  const auto built_in = policy::BuiltInTiers().find(tier.name);
  const bool fixed = built_in != policy::BuiltInTiers().end();
  // What the document of a built-in tier leaves out is as it is built in.
  if (fixed) tier = built_in->second;
  if (!action.empty()) {
    tier.default_action = action == "Pass" ? policy::Action::kPass : policy::Action::kDeny;
  }
  if (from.spec().has_order()) tier.order = from.spec().order();
  if (tier.order && !std::isfinite(*tier.order)) {
    return BadValue("spec.order", absl::StrCat(*tier.order), "is not a number");
  }
  if (fixed && tier.order != built_in->second.order) {
    return BadValue("spec.order", absl::StrCat(*tier.order), "cannot change for a built-in tier");
  }
  if (fixed && tier.default_action != built_in->second.default_action) {
    return BadValue("spec.defaultAction", action, "cannot change for a built-in tier");
  }
  return tier;
}

// Learn and Ignore are notes to the author: they propose nothing.
bool Proposes(const std::string& staged_action) {
  return staged_action != "Learn" && staged_action != "Ignore";
}

// Set, the default, proposes the policy; Delete that the enforced one of its name goes,
// whatever else the document says.
absl::StatusOr<policy::Policy> Staged(const std::string& staged_action,
                                      absl::StatusOr<policy::Policy> policy) {
  if (!policy.ok()) return policy;
  if (!staged_action.empty() && staged_action != "Set" && staged_action != "Delete") {
    return BadValue("spec.stagedAction", staged_action, "is not Set, Delete, Learn or Ignore");
  }
  policy->staged_delete = staged_action == "Delete";
  return policy;
}

v1::KubernetesNetworkPolicySpec KubernetesSpec(const v1::StagedKubernetesNetworkPolicySpec& from) {
  v1::KubernetesNetworkPolicySpec spec;
  if (from.has_pod_selector()) *spec.mutable_pod_selector() = from.pod_selector();
  *spec.mutable_ingress() = from.ingress();
  *spec.mutable_egress() = from.egress();
  *spec.mutable_policy_types() = from.policy_types();
  spec.GetReflection()->MutableUnknownFields(&spec)->MergeFrom(
      from.GetReflection()->GetUnknownFields(from));
  return spec;
}

template <typename T>
absl::StatusOr<std::vector<ModelObject>> Single(absl::StatusOr<T> object) {
  if (!object.ok()) return object.status();
  std::vector<ModelObject> one;
  one.emplace_back(*std::move(object));  // what a list of initializers holds is copied
  return one;
}

absl::StatusOr<std::vector<ModelObject>> Convert(const Resource& resource,
                                                 const ConvertOptions& options) {
  const v1::ObjectMeta& metadata = resource.metadata();
  const std::vector<ModelObject> none;
  if (const auto* r = resource.As<v1::NetworkPolicy>()) {
    return Single(ConvertCalicoPolicy(PolicyKind::kNetworkPolicy, metadata, r->spec()));
  }
  if (const auto* r = resource.As<v1::GlobalNetworkPolicy>()) {
    return Single(ConvertCalicoPolicy(PolicyKind::kGlobalNetworkPolicy, metadata, r->spec()));
  }
  if (const auto* r = resource.As<v1::KubernetesNetworkPolicy>()) {
    return Single(
        ConvertKubernetesPolicy(PolicyKind::kKubernetesNetworkPolicy, metadata, r->spec()));
  }
  if (const auto* r = resource.As<v1::ClusterNetworkPolicy>()) {
    return Single(ConvertClusterPolicy(*r));
  }
  if (const auto* r = resource.As<v1::StagedNetworkPolicy>()) {
    if (!Proposes(r->spec().staged_action())) return none;
    return Single(
        Staged(r->spec().staged_action(),
               ConvertCalicoPolicy(PolicyKind::kStagedNetworkPolicy, metadata, r->spec())));
  }
  if (const auto* r = resource.As<v1::StagedGlobalNetworkPolicy>()) {
    if (!Proposes(r->spec().staged_action())) return none;
    return Single(
        Staged(r->spec().staged_action(),
               ConvertCalicoPolicy(PolicyKind::kStagedGlobalNetworkPolicy, metadata, r->spec())));
  }
  if (const auto* r = resource.As<v1::StagedKubernetesNetworkPolicy>()) {
    if (!Proposes(r->spec().staged_action())) return none;
    return Single(Staged(r->spec().staged_action(),
                         ConvertKubernetesPolicy(PolicyKind::kStagedKubernetesNetworkPolicy,
                                                 metadata, KubernetesSpec(r->spec()))));
  }
  if (const auto* r = resource.As<v1::Tier>()) return Single(ConvertTier(*r));
  if (const auto* r = resource.As<v1::Profile>()) return Single(ConvertProfile(*r));
  if (resource.As<v1::Namespace>() != nullptr) {
    return std::vector<ModelObject>{NamespaceProfile(metadata.name(), LabelsOf(metadata))};
  }
  if (resource.As<v1::ServiceAccount>() != nullptr) {
    return std::vector<ModelObject>{AccountProfile(metadata)};
  }
  if (const auto* r = resource.As<v1::Pod>()) return Single(ConvertPod(*r));
  if (const auto* r = resource.As<v1::WorkloadEndpoint>()) return Single(ConvertWorkload(*r));
  if (const auto* r = resource.As<v1::HostEndpoint>()) return Single(ConvertHostEndpoint(*r));
  if (const auto* r = resource.As<v1::NetworkSet>()) {
    return Single(ConvertNetworkSet(metadata, r->spec(), true));
  }
  if (const auto* r = resource.As<v1::GlobalNetworkSet>()) {
    return Single(ConvertNetworkSet(metadata, r->spec(), false));
  }
  if (const auto* r = resource.As<v1::Node>()) return Single(ConvertNode(*r, options.this_host));
  if (const auto* r = resource.As<v1::EndpointSlice>()) {
    ASSIGN_OR_RETURN(const auto slices, ConvertSlice(*r));
    return std::vector<ModelObject>(slices.begin(), slices.end());
  }
  return none;
}

}  // namespace

absl::StatusOr<std::vector<ModelObject>> ToModel(const Resource& resource,
                                                 const ConvertOptions& options) {
  auto objects = Convert(resource, options);
  if (objects.ok()) return objects;
  return At(absl::StrCat(resource.kind().kind, " ", resource.ns(), resource.ns().empty() ? "" : "/",
                         resource.name()),
            objects.status());
}

policy::Profile NamespaceProfile(const std::string& name, const policy::Labels& labels) {
  policy::Profile profile;
  profile.name = policy::NamespaceProfileName(name);
  for (const auto& [key, value] : labels) {
    profile.labels_to_apply[policy::KeyOfNamespace(key)] = value;
  }
  profile.labels_to_apply[absl::StrCat(policy::kNamespacePrefix, policy::kNameLabel)] = name;
  // The API server puts this label on every namespace; documents may not have met one.
  profile.labels_to_apply[policy::KeyOfNamespace("kubernetes.io/metadata.name")] = name;
  profile.ingress_rules = {{.action = policy::Action::kAllow}};
  profile.egress_rules = {{.action = policy::Action::kAllow}};
  return profile;
}

std::optional<policy::Profile> ImpliedProfile(const std::string& name) {
  if (name.starts_with("kns.")) return NamespaceProfile(name.substr(4), {});
  if (!name.starts_with("ksa.")) return std::nullopt;
  policy::Profile account{.name = name};
  account.labels_to_apply["pcsa.projectcalico.org/name"] = name.substr(name.find('.', 4) + 1);
  return account;
}

void FailClosed(policy::Rule& rule) {
  rule.degraded = true;
  if (rule.action == policy::Action::kPass) rule.action = policy::Action::kDeny;
  if (rule.action == policy::Action::kAllow || rule.action == policy::Action::kLog) {
    rule.source.nets = std::vector<policy::Cidr>{};
  }
}

void FailClosed(policy::Policy& policy) {
  for (policy::Rule& rule : policy.ingress_rules) FailClosed(rule);
  for (policy::Rule& rule : policy.egress_rules) FailClosed(rule);
}

absl::StatusOr<std::vector<policy::Cidr>> ParseCidrs(
    const google::protobuf::RepeatedPtrField<std::string>& texts, const std::string& path) {
  std::vector<policy::Cidr> cidrs;
  for (int i = 0; i < texts.size(); ++i) {
    const auto cidr = policy::Cidr::Parse(texts[i]);
    if (!cidr.ok()) return BadValue(absl::StrCat(path, "[", i, "]"), texts[i], "is not a CIDR");
    cidrs.push_back(*cidr);
  }
  return cidrs;
}

absl::Status BadValue(const std::string& path, const std::string& value, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": \"", value, "\" ", what));
}

absl::Status At(const std::string& path, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(path, ": ", std::string(status.message())));
}

}  // namespace ripstop::api
