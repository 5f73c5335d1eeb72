// SPDX-License-Identifier: Apache-2.0
#include "api/validate/validate.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "api/convert/convert.h"
#include "api/convert/selector_text.h"
#include "api/fields/judge.h"
#include "api/ipam/pools.h"
#include "api/validate/validators.h"
#include "policy/selector.h"

namespace ripstop::api {
namespace {

void CheckMetadata(const Resource& resource, Checker& check) {
  const v1::ObjectMeta& metadata = resource.metadata();
  const bool label_name =
      resource.As<v1::Namespace>() != nullptr || resource.As<v1::Service>() != nullptr;
  if (resource.As<v1::Tier>() != nullptr) {
    // CheckTier does it.
  } else if (label_name) {
    check.DnsLabel("metadata.name", metadata.name());
  } else {
    check.Subdomain("metadata.name", metadata.name());
  }
  if (resource.kind().namespaced) {
    check.DnsLabel("metadata.namespace", metadata.namespace_());
  } else if (!metadata.namespace_().empty()) {
    check.Bad("metadata.namespace", metadata.namespace_(),
              absl::StrCat("is given, and a ", resource.kind().kind, " has no namespace"),
              "remove it");
  }
  check.Labels("metadata.labels", metadata.labels());
  check.Annotations("metadata.annotations", metadata.annotations());
}

v1::KubernetesNetworkPolicySpec KubernetesPart(const v1::StagedKubernetesNetworkPolicySpec& spec) {
  v1::KubernetesNetworkPolicySpec part;
  *part.mutable_pod_selector() = spec.pod_selector();
  *part.mutable_ingress() = spec.ingress();
  *part.mutable_egress() = spec.egress();
  *part.mutable_policy_types() = spec.policy_types();
  return part;
}

void CheckNetworkSet(const v1::ObjectMeta& metadata, const v1::NetworkSetSpec& spec,
                     Checker& check) {
  // Put there by conversion; a document's would make it a set of another namespace.
  for (const auto& [key, value] :
       std::map<std::string, std::string>(metadata.labels().begin(), metadata.labels().end())) {
    if (!policy::IsReservedLabel(key)) continue;
    check.Wrong(absl::StrCat("metadata.labels[", key, "]"), "is reserved",
                key == policy::kNamespaceLabel
                    ? "remove it; metadata.namespace says where the set is"
                    : "remove it; such labels come from the namespace and the service account");
  }
  for (int i = 0; i < spec.nets_size(); ++i) check.Cidr(Index("spec.nets", i), spec.nets(i), true);
}

void CheckKind(const Resource& resource, Checker& check) {
  if (const auto* r = resource.As<v1::NetworkPolicy>()) {
    CheckCalicoPolicy(r->spec(), {}, check);
  } else if (const auto* r = resource.As<v1::GlobalNetworkPolicy>()) {
    CheckCalicoPolicy(r->spec(), {.global = true}, check);
  } else if (const auto* r = resource.As<v1::StagedNetworkPolicy>()) {
    CheckCalicoPolicy(r->spec(), {.staged = true}, check);
  } else if (const auto* r = resource.As<v1::StagedGlobalNetworkPolicy>()) {
    CheckCalicoPolicy(r->spec(), {.global = true, .staged = true}, check);
  } else if (const auto* r = resource.As<v1::StagedKubernetesNetworkPolicy>()) {
    check.EnumOrEmpty("spec.stagedAction", r->spec().staged_action(),
                      {"Set", "Delete", "Learn", "Ignore"});
    if (r->spec().staged_action() != "Delete") {
      CheckKubernetesPolicy(KubernetesPart(r->spec()), check);
    } else if (KubernetesPart(r->spec()).ByteSizeLong() > 2) {
      check.Wrong("spec", "says more, and stagedAction is Delete",
                  "remove the rest, or write stagedAction: Set");
    }
  } else if (const auto* r = resource.As<v1::KubernetesNetworkPolicy>()) {
    CheckKubernetesPolicy(r->spec(), check);
  } else if (const auto* r = resource.As<v1::ClusterNetworkPolicy>()) {
    CheckClusterPolicy(r->spec(), check);
  } else if (const auto* r = resource.As<v1::Tier>()) {
    CheckTier(*r, check);
  } else if (const auto* r = resource.As<v1::Profile>()) {
    check.Labels("spec.labelsToApply", r->spec().labels_to_apply());
    CheckCalicoRules(r->spec().ingress(), "spec.ingress", true, true, check);
    CheckCalicoRules(r->spec().egress(), "spec.egress", false, true, check);
  } else if (const auto* r = resource.As<v1::NetworkSet>()) {
    CheckNetworkSet(r->metadata(), r->spec(), check);
  } else if (const auto* r = resource.As<v1::GlobalNetworkSet>()) {
    CheckNetworkSet(r->metadata(), r->spec(), check);
  } else if (const auto* r = resource.As<v1::WorkloadEndpoint>()) {
    CheckWorkloadEndpoint(r->spec(), check);
  } else if (const auto* r = resource.As<v1::HostEndpoint>()) {
    CheckHostEndpoint(r->spec(), check);
  } else if (const auto* r = resource.As<v1::Pod>()) {
    CheckPod(*r, check);
  } else if (const auto* r = resource.As<v1::EndpointSlice>()) {
    CheckSlice(*r, check);
  } else if (const auto* r = resource.As<v1::Service>()) {
    CheckService(*r, check);
  } else if (const auto* r = resource.As<v1::IPPool>()) {
    CheckPool(r->spec(), check);
  } else if (const auto* r = resource.As<v1::Node>()) {
    CheckNode(r->spec(), check);
  } else if (const auto* r = resource.As<v1::BGPConfiguration>()) {
    CheckBgpConfiguration(*r, check);
  } else if (const auto* r = resource.As<v1::BGPPeer>()) {
    CheckBgpPeer(r->spec(), check);
  } else if (const auto* r = resource.As<v1::FelixConfiguration>()) {
    CheckFelixConfiguration(*r, check);
  }
}

// What the field table refuses, where no check has said so already.
void AddRefusals(const Resource& resource, std::vector<Problem>* problems) {
  for (Problem& refusal : FieldProblems(resource, InspectFields(resource), Effect::kRefused)) {
    const bool known = std::any_of(problems->begin(), problems->end(),
                                   [&](const Problem& one) { return one.path == refusal.path; });
    if (!known) problems->push_back(std::move(refusal));
  }
}

}  // namespace

std::vector<Problem> ValidateValues(const Resource& resource) {
  std::vector<Problem> problems;
  Checker check(resource, &problems);
  CheckMetadata(resource, check);
  CheckKind(resource, check);
  return problems;
}

std::vector<Problem> Validate(const Resource& resource) {
  std::vector<Problem> problems = ValidateValues(resource);
  Checker check(resource, &problems);
  AddRefusals(resource, &problems);
  // What conversion would refuse must not be applied, even if no check above knows why.
  if (problems.empty()) {
    if (const auto objects = ToModel(resource); !objects.ok()) {
      check.Wrong("spec", std::string(objects.status().message()),
                  "write what the message names in another way");
    }
  }
  return problems;
}

bool IsComparedWithOthers(const Resource& resource) {
  return resource.As<v1::IPPool>() != nullptr || resource.As<v1::Node>() != nullptr;
}

std::vector<Problem> ValidateTogether(const std::vector<Resource>& resources) {
  std::vector<Problem> problems;
  std::vector<std::pair<const Resource*, policy::Cidr>> pools;
  for (const Resource& resource : resources) {
    const auto* pool = resource.As<v1::IPPool>();
    if (pool == nullptr) continue;
    const auto cidr = policy::Cidr::Parse(pool->spec().cidr());
    if (!cidr.ok()) continue;
    for (const auto& [other, taken] : pools) {
      if (!taken.Contains(*cidr) && !cidr->Contains(taken)) continue;
      Checker(resource, &problems)
          .Bad("spec.cidr", pool->spec().cidr(),
               absl::StrCat("overlaps ", taken.ToString(), " of IPPool ", other->name()),
               "write a prefix of its own");
    }
    pools.emplace_back(&resource, *cidr);
  }
  for (const auto& [pool, cidr] : pools) {
    const auto& spec = pool->As<v1::IPPool>()->spec();
    for (const Resource& resource : resources) {
      const auto* node = resource.As<v1::Node>();
      const auto subnet = node == nullptr ? std::nullopt : ipam::SharedSubnet(spec, *node);
      if (!subnet.has_value()) continue;
      Checker(*pool, &problems)
          .Bad("spec.cidr", spec.cidr(),
               absl::StrCat("overlaps ", subnet->ToString(), ", the subnet of Node ",
                            resource.name()),
               "write a prefix of its own: pods would get the addresses of its hosts");
    }
  }
  return problems;
}

}  // namespace ripstop::api
