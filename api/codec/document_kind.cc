// SPDX-License-Identifier: Apache-2.0
#include "api/codec/document_kind.h"

#include <algorithm>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "api/fields/field_table.h"

namespace ripstop::api {
namespace {

std::string GroupOf(const std::string& api_version) {
  const size_t slash = api_version.find('/');
  return slash == std::string::npos ? "" : api_version.substr(0, slash);
}

// Of the groups that have kinds of ours, those of Kubernetes' that are none of ours.
bool IsNeighbour(const std::string& group, const std::string& kind) {
  static const auto* core = new std::set<std::string>{"Binding",
                                                      "ComponentStatus",
                                                      "ConfigMap",
                                                      "Endpoints",
                                                      "Event",
                                                      "LimitRange",
                                                      "PodTemplate",
                                                      "ResourceQuota",
                                                      "PersistentVolume",
                                                      "Secret",
                                                      "PersistentVolumeClaim",
                                                      "ReplicationController"};
  static const auto* networking =
      new std::set<std::string>{"IPAddress", "Ingress", "IngressClass", "ServiceCIDR"};
  return group.empty() ? core->count(kind) > 0
                       : group == "networking.k8s.io" && networking->count(kind) > 0;
}

std::vector<std::string> OurGroups() {
  std::set<std::string> groups;
  for (const KindInfo& info : AllKinds()) groups.insert(GroupOf(info.api_version));
  groups.erase("");
  return {groups.begin(), groups.end()};
}

// Where kinds of ours were, or are kept by others; what stands there is meant for us.
bool IsFormerGroup(const std::string& group) {
  return group == "extensions" || group == "crd.projectcalico.org";
}

std::string VersionsOf(const std::string& kind) {
  std::vector<std::string> versions;
  for (const KindInfo& info : AllKinds())
    if (info.kind == kind) versions.push_back(info.api_version);
  return absl::StrJoin(versions, " or ");
}

std::string Remedy(const std::string& api_version, const std::string& kind) {
  if (kind == "AdminNetworkPolicy" || kind == "BaselineAdminNetworkPolicy") {
    return "write it as a ClusterNetworkPolicy of policy.networking.k8s.io/v1alpha2";
  }
  if (const std::string versions = VersionsOf(kind); !versions.empty()) {
    return absl::StrCat("write apiVersion: ", versions,
                        api_version.empty() ? "" : absl::StrCat(" instead of ", api_version));
  }
  std::vector<std::string> kinds;
  for (const KindInfo& info : AllKinds()) kinds.push_back(info.kind);
  if (const std::string nearest = Nearest(kind, kinds); !nearest.empty()) {
    return absl::StrCat("did you mean `", nearest, "`?");
  }
  return absl::StrCat("kinds known here: ", absl::StrJoin(kinds, ", "));
}

}  // namespace

DocumentKind FindDocumentKind(const std::string& api_version, const std::string& kind) {
  DocumentKind found;
  found.info = FindKind(api_version, kind);
  if (found.info != nullptr) return found;
  const KindRow* row = FindKindRow(api_version, kind);
  if (row != nullptr && row->effect == Effect::kRefused) {
    found.refused = row->why;
    return found;
  }
  const std::string group = GroupOf(api_version);
  const std::vector<std::string> groups = OurGroups();
  const bool ours = group.empty() || IsFormerGroup(group) ||
                    std::find(groups.begin(), groups.end(), group) != groups.end();
  // A group spelt nearly as one of ours, with a kind of ours in it.
  const bool nearly = !VersionsOf(kind).empty() && !Nearest(group, groups).empty();
  found.foreign = ours ? IsNeighbour(group, kind) : !nearly;
  if (!found.foreign) found.remedy = Remedy(api_version, kind);
  return found;
}

}  // namespace ripstop::api
