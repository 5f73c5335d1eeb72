// SPDX-License-Identifier: Apache-2.0
#include "api/kinds.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "api/proto/felix.pb.h"
#include "api/proto/resources.pb.h"
#include "api/text.h"

namespace ripstop::api {
namespace {

constexpr char kCalico[] = "projectcalico.org/v3";
constexpr char kCore[] = "v1";

template <typename T>
KindInfo Kind(const char* api_version, const char* kind, const char* store_kind, const char* plural,
              bool namespaced, std::vector<std::string> aliases) {
  return {api_version,           kind, store_kind, plural, std::move(aliases), namespaced,
          &T::default_instance()};
}

// A kind that nothing reads yet (api/fields); none of them has a namespace.
KindInfo Kept(const char* kind, const char* plural, std::vector<std::string> aliases) {
  return Kind<v1::KeptResource>(kCalico, kind, kind, plural, false, std::move(aliases));
}

std::vector<KindInfo> MakeKinds() {
  return {
      Kind<v1::Node>(kCalico, "Node", kKindNode, "nodes", false, {"no", "nos"}),
      Kind<v1::IPPool>(kCalico, "IPPool", kKindIPPool, "ippools", false,
                       {"ipp", "ipps", "pool", "pools"}),
      Kind<v1::NetworkPolicy>(kCalico, "NetworkPolicy", kKindNetworkPolicy, "networkpolicies", true,
                              {"np", "policy", "pol", "pols", "policies"}),
      Kind<v1::GlobalNetworkPolicy>(kCalico, "GlobalNetworkPolicy", kKindGlobalNetworkPolicy,
                                    "globalnetworkpolicies", false, {"gnp", "gnps"}),
      Kind<v1::StagedNetworkPolicy>(kCalico, "StagedNetworkPolicy", kKindStagedNetworkPolicy,
                                    "stagednetworkpolicies", true,
                                    {"snp", "stagedpolicy", "stagedpolicies", "spol", "spols"}),
      Kind<v1::StagedGlobalNetworkPolicy>(kCalico, "StagedGlobalNetworkPolicy",
                                          kKindStagedGlobalNetworkPolicy,
                                          "stagedglobalnetworkpolicies", false, {"sgnp", "sgnps"}),
      Kind<v1::StagedKubernetesNetworkPolicy>(
          kCalico, "StagedKubernetesNetworkPolicy", kKindStagedKubernetesNetworkPolicy,
          "stagedkubernetesnetworkpolicies", true,
          {"sknp", "stagedkubernetespolicy", "stagedkubernetespolicies", "skpol", "skpols"}),
      Kind<v1::NetworkSet>(kCalico, "NetworkSet", kKindNetworkSet, "networksets", true,
                           {"netset", "netsets"}),
      Kind<v1::GlobalNetworkSet>(kCalico, "GlobalNetworkSet", kKindGlobalNetworkSet,
                                 "globalnetworksets", false, {"gns", "gnetset", "gnetsets"}),
      Kind<v1::Tier>(kCalico, "Tier", kKindTier, "tiers", false, {}),
      Kind<v1::Profile>(kCalico, "Profile", kKindProfile, "profiles", false, {"pro", "pros"}),
      Kind<v1::WorkloadEndpoint>(kCalico, "WorkloadEndpoint", kKindWorkloadEndpoint,
                                 "workloadendpoints", true, {"wep", "weps"}),
      Kind<v1::HostEndpoint>(kCalico, "HostEndpoint", kKindHostEndpoint, "hostendpoints", false,
                             {"hep", "heps"}),
      Kind<v1::BGPConfiguration>(kCalico, "BGPConfiguration", kKindBGPConfiguration,
                                 "bgpconfigurations", false, {"bgpconfig", "bgpconfigs"}),
      Kind<v1::BGPPeer>(kCalico, "BGPPeer", kKindBGPPeer, "bgppeers", false,
                        {"bgpp", "bgpps", "bp", "bps"}),
      Kind<v1::FelixConfiguration>(kCalico, "FelixConfiguration", kKindFelixConfiguration,
                                   "felixconfigurations", false, {"felixconfig", "felixconfigs"}),
      Kept("BGPFilter", "bgpfilters", {}),
      Kept("BFDConfiguration", "bfdconfigurations", {}),
      Kept("IPAMConfiguration", "ipamconfigurations", {"ipamconfig", "ipamconfigs"}),
      Kept("KubeControllersConfiguration", "kubecontrollersconfigurations",
           {"kubecontrollersconfig", "kcc", "kccs"}),
      Kept("CalicoNodeStatus", "caliconodestatuses", {}),
      Kept("ClusterInformation", "clusterinformations", {"clusterinfo", "clusterinfos"}),
      Kind<v1::KubernetesNetworkPolicy>(
          "networking.k8s.io/v1", "NetworkPolicy", kKindKubernetesNetworkPolicy, "networkpolicies",
          true,
          {"knp", "netpol", "netpols", "kubernetesnetworkpolicy", "kubernetesnetworkpolicies"}),
      Kind<v1::ClusterNetworkPolicy>("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy",
                                     kKindClusterNetworkPolicy, "clusternetworkpolicies", false,
                                     {"cnp"}),
      Kind<v1::Namespace>(kCore, "Namespace", kKindNamespace, "namespaces", false, {"ns"}),
      Kind<v1::ServiceAccount>(kCore, "ServiceAccount", kKindServiceAccount, "serviceaccounts",
                               true, {"sa"}),
      Kind<v1::Pod>(kCore, "Pod", kKindPod, "pods", true, {"po"}),
      Kind<v1::Service>(kCore, "Service", kKindService, "services", true, {"svc"}),
      Kind<v1::EndpointSlice>("discovery.k8s.io/v1", "EndpointSlice", kKindEndpointSlice,
                              "endpointslices", true, {"eps"}),
  };
}

std::string Group(const KindInfo& info) {
  const size_t slash = info.api_version.find('/');
  return slash == std::string::npos ? "" : info.api_version.substr(0, slash);
}

// Letters put in, left out, replaced, or two that changed places (optimal string alignment).
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    std::swap(before, last);
    std::swap(last, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j - 1] + (a[i - 1] != b[j - 1]), last[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

}  // namespace

const std::vector<KindInfo>& AllKinds() {
  static const auto* kinds = new std::vector<KindInfo>(MakeKinds());
  return *kinds;
}

const KindInfo* FindKind(std::string_view api_version, std::string_view kind) {
  for (const KindInfo& info : AllKinds()) {
    if (info.api_version == api_version && info.kind == kind) return &info;
  }
  return nullptr;
}

const KindInfo* FindStoreKind(std::string_view store_kind) {
  for (const KindInfo& info : AllKinds()) {
    if (info.store_kind == store_kind) return &info;
  }
  return nullptr;
}

const KindInfo* FindKindByAlias(std::string_view word) {
  const std::string lower = absl::AsciiStrToLower(Av(word));
  // In the order of AllKinds, so that a bare "networkpolicy" is projectcalico.org's.
  for (const KindInfo& info : AllKinds()) {
    const std::string kind = absl::AsciiStrToLower(info.kind);
    if (lower == kind || lower == info.plural ||
        std::find(info.aliases.begin(), info.aliases.end(), lower) != info.aliases.end()) {
      return &info;
    }
    const std::string group = Group(info);
    if (!group.empty() && (lower == absl::StrCat(kind, ".", group) ||
                           lower == absl::StrCat(info.plural, ".", group))) {
      return &info;
    }
  }
  return nullptr;
}

std::string Nearest(std::string_view word, const std::vector<std::string>& known) {
  const std::string lower = absl::AsciiStrToLower(Av(word.substr(0, 64)));
  std::string best;
  size_t best_distance = std::max<size_t>(1, lower.size() / 3) + 1;
  for (const std::string& candidate : known) {
    const size_t distance = EditDistance(lower, absl::AsciiStrToLower(candidate));
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace ripstop::api
