// SPDX-License-Identifier: Apache-2.0
//
// The kinds of resource and how each is called: in documents, in the store, on the
// command line.
#ifndef RIPSTOP_API_KINDS_H_
#define RIPSTOP_API_KINDS_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "google/protobuf/message.h"

namespace ripstop::api {

// One kind. Static data: pointers to it stay valid for the life of the process and may
// be compared. Immutable, so threads may share it.
struct KindInfo {
  std::string api_version;  // "projectcalico.org/v3", "v1"
  std::string kind;         // as in documents: "NetworkPolicy"
  // ResourceKey::kind, unique across groups: the kind, or "NetworkPolicy.networking.k8s.io"
  // for the one that collides.
  std::string store_kind;
  std::string plural;                // "networkpolicies"
  std::vector<std::string> aliases;  // lower case; kind and plural are implied
  bool namespaced = false;
  const google::protobuf::Message* prototype = nullptr;

  std::unique_ptr<google::protobuf::Message> New() const {
    return std::unique_ptr<google::protobuf::Message>(prototype->New());
  }
};

// Store kinds, for filters and switches.
inline constexpr char kKindNode[] = "Node";
inline constexpr char kKindIPPool[] = "IPPool";
inline constexpr char kKindNetworkPolicy[] = "NetworkPolicy";
inline constexpr char kKindGlobalNetworkPolicy[] = "GlobalNetworkPolicy";
inline constexpr char kKindStagedNetworkPolicy[] = "StagedNetworkPolicy";
inline constexpr char kKindStagedGlobalNetworkPolicy[] = "StagedGlobalNetworkPolicy";
inline constexpr char kKindStagedKubernetesNetworkPolicy[] = "StagedKubernetesNetworkPolicy";
inline constexpr char kKindNetworkSet[] = "NetworkSet";
inline constexpr char kKindGlobalNetworkSet[] = "GlobalNetworkSet";
inline constexpr char kKindTier[] = "Tier";
inline constexpr char kKindProfile[] = "Profile";
inline constexpr char kKindWorkloadEndpoint[] = "WorkloadEndpoint";
inline constexpr char kKindHostEndpoint[] = "HostEndpoint";
inline constexpr char kKindBGPConfiguration[] = "BGPConfiguration";
inline constexpr char kKindBGPPeer[] = "BGPPeer";
inline constexpr char kKindFelixConfiguration[] = "FelixConfiguration";
inline constexpr char kKindKubernetesNetworkPolicy[] = "NetworkPolicy.networking.k8s.io";
inline constexpr char kKindClusterNetworkPolicy[] = "ClusterNetworkPolicy";
inline constexpr char kKindNamespace[] = "Namespace";
inline constexpr char kKindServiceAccount[] = "ServiceAccount";
inline constexpr char kKindPod[] = "Pod";
inline constexpr char kKindService[] = "Service";
inline constexpr char kKindEndpointSlice[] = "EndpointSlice";

const std::vector<KindInfo>& AllKinds();

// Each returns nullptr when there is none.
const KindInfo* FindKind(std::string_view api_version, std::string_view kind);
const KindInfo* FindStoreKind(std::string_view store_kind);
// What an operator types: kind, plural, alias, or kind.group, in any case. "networkpolicy"
// and "np" are projectcalico.org's; Kubernetes' is "knp", "netpol" or
// "networkpolicy.networking.k8s.io".
const KindInfo* FindKindByAlias(std::string_view word);

// Those of `known` nearest to `word` (edit distance, case aside), or "" when none is near.
std::string Nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_KINDS_H_
