// SPDX-License-Identifier: Apache-2.0
//
// What stands for an object that cannot be read, and of which nothing is known from before.
//
//   StoredResource ─▶ bytes that are no message of its kind ─▶ ┐
//   Resource ───────▶ ToModel: it means nothing safe ────────▶ [ReadClosed] ─▶ ModelObjects
//
// An object that selects pods denies what it may select, in the directions that it may concern,
// from the place that it may have. As much of it as can be read makes that narrower:
//
//   policies        those that its selector selects, if that can be read; else, all pods of its
//                   namespace, or of all. Its directions, tier and order likewise. Rules up to the
//                   first that cannot be read stand, where the selector does; then it denies all.
//                   A Kubernetes NetworkPolicy cannot deny what another allows: it isolates
//   Tier            all pods: any of its policies may deny them anything
//   Namespace       its pods, for their inherited labels are not known
//   ServiceAccount  likewise the pods that run as it
//   Pod             itself, as a pod that has ended
//
// The line runs there. What describes somebody else's peers (network sets, services and their
// slices, WorkloadEndpoints and Nodes) selects nothing: no rule matches by it, neither one that
// allows nor one that denies. Host endpoints are left as they are, for a node that denies itself
// everything cannot be helped any more. Staged policies deny nobody. Profiles deny by their
// absence. Of a kind that this version does not know nothing can be said.
// Pure.
#ifndef RIPSTOP_API_CONVERT_CLOSED_H_
#define RIPSTOP_API_CONVERT_CLOSED_H_

#include <optional>
#include <string>
#include <vector>

#include "api/convert/convert.h"
#include "api/resource.h"
#include "api/store/store.h"

namespace ripstop::api {

struct ClosedReading {
  std::vector<ModelObject> objects;
  std::optional<Resource> document;  // instead of objects: a Pod that has ended
  std::string denied;                // "pods of namespace shop"; empty: nothing is denied
};

// `decoded`: the document, where its bytes could be decoded; else nullptr.
ClosedReading ReadClosed(const ResourceKey& key, const Resource* decoded);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_CONVERT_CLOSED_H_
