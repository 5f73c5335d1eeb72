// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_API_CONVERT_ENDPOINT_JOIN_H_
#define RIPSTOP_API_CONVERT_ENDPOINT_JOIN_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "api/resource.h"
#include "policy/model.h"

namespace ripstop::api {

// Which endpoints there are, from all that says something of them.
//
//   attachment ────────┐
//   WorkloadEndpoint ──┼─▶ [EndpointJoin] ──▶ policy::Endpoint, by id
//   Pod ───────────────┘
//
// An endpoint is one interface of one container: that is its id (WorkloadId), so the new
// sandbox of a pod is another endpoint than the old one, and net1 another than eth0. Its name,
// which people read, is the pod's.
//
//  - What is attached here is an endpoint until it is detached. Its addresses are the
//    attachment's; its labels and ports those of its WorkloadEndpoint, where the store has it.
//  - A WorkloadEndpoint of another node is one. One of a container of this node that is not
//    attached here is none: its pod is gone, or not here yet (unattached()).
//  - A Pod's labels, profiles, phase and ports are all its endpoints', by namespace and name,
//    and by UID where both are known: what is said of a pod made anew under an old name is
//    not said of the old one's endpoints. Those keep what was said of them last, also when
//    the Pod is deleted, which in Kubernetes means that it is over (or was forced), not that
//    its labels are taken from it.
//  - A Pod without any endpoint is one by itself.
//
// Pure bookkeeping; not thread-safe.
class EndpointJoin {
 public:
  // `node`: whose attachments come here. Empty: nobody's (a world of documents).
  explicit EndpointJoin(std::string node) : node_(std::move(node)) {}

  // Whether `resource` is of a kind that speaks of endpoints.
  static bool Takes(const ResourceKey& key);

  // `endpoint`: what the resource is converted to (convert.h).
  void Put(const Resource& resource, policy::Endpoint endpoint);
  void Delete(const ResourceKey& key);
  // Whether something was put under it and not deleted.
  bool Knows(const ResourceKey& key) const;
  // `pod`: "namespace/name"; `uid` may be empty.
  void Attach(policy::Endpoint endpoint, const policy::Attachment& attachment,
              const std::string& pod, const std::string& uid);
  // Whether it was attached.
  bool Detach(const std::string& id);

  // Ids of which Find may answer otherwise than when this was last called.
  absl::flat_hash_set<std::string> TakeChanged() { return std::exchange(changed_, {}); }
  std::optional<policy::Endpoint> Find(const std::string& id) const;
  void ForEach(const std::function<void(const policy::Endpoint&)>& f) const;

  // Those that are called "namespace/pod" or "namespace/pod/interface"; where none is called
  // so exactly, all of the pod. Attached ones first, the newest first among those.
  std::vector<policy::Endpoint> Named(const std::string& name) const;
  size_t attached() const { return attached_; }
  // The WorkloadEndpoints of endpoint `id`.
  std::vector<ResourceKey> WorkloadsOf(const std::string& id) const;

  // WorkloadEndpoints of this node, written for a container's interface, that is not here.
  struct Unattached {
    ResourceKey key;
    std::string container_id;
    std::string interface_name;
    std::string pod;  // "namespace/name"
  };
  std::vector<Unattached> unattached() const;

 private:
  // What a Pod says of its endpoints.
  struct PodFacts {
    std::string uid;
    policy::Endpoint endpoint;
  };
  struct Workload {
    int64_t revision = 0;
    bool here = false;  // its node is this one
    std::string pod;
    std::string uid;
    std::string container_id;  // both, or neither
    std::string interface_name;
    policy::Endpoint endpoint;
  };
  using Workloads = std::map<ResourceKey, Workload>;
  struct Own {
    policy::Endpoint endpoint;
    policy::Attachment attachment;
    std::string pod;
    std::string uid;
  };
  struct Entry {
    absl::InlinedVector<const Workloads::value_type*, 1> workloads;
    std::unique_ptr<Own> own;
    std::string pod;                        // whose it is; empty: it is no endpoint now
    std::shared_ptr<const PodFacts> facts;  // what was said of it last
  };
  struct PodEntry {
    std::shared_ptr<const PodFacts> facts;  // null: no document
    std::set<std::string> endpoints;        // ids
  };

  static bool IsGone(const Workload& w) { return w.here && !w.container_id.empty(); }
  // The one that speaks of the entry; null: none.
  static const Workload* Speaker(const Entry& entry);
  static bool MaySpeakOf(const PodFacts& facts, const Entry& entry);
  static bool BothKnown(const PodFacts& facts, const Entry& entry);
  static const std::string& UidOf(const Entry& entry);
  std::optional<policy::Endpoint> Joined(const Entry& entry) const;
  std::optional<policy::Endpoint> Alone(const PodEntry& pod) const;

  void PutPod(const Resource& resource, policy::Endpoint endpoint);
  void DeletePod(const std::string& pod);
  void PutWorkload(const Resource& resource, policy::Endpoint endpoint);
  void DeleteWorkload(Workloads::iterator workload);
  // After any change of entry `id`: under its pod, with what is said of that, or gone.
  void Settle(const std::string& id);

  const std::string node_;
  Workloads workloads_;
  absl::flat_hash_map<std::string, std::unique_ptr<Entry>> entries_;  // by id
  absl::flat_hash_map<std::string, PodEntry> pods_;                   // by "namespace/name"
  absl::flat_hash_set<std::string> changed_;
  size_t attached_ = 0;
};

// The id of a container's interface; of a Pod ("namespace/name") by itself.
std::string WorkloadId(const std::string& node, const std::string& container_id,
                       const std::string& interface_name);
std::string PodId(const std::string& pod);

// The annotation by which a WorkloadEndpoint says which Pod of its name it is of.
inline constexpr char kPodUidAnnotation[] = "ripstop.io/pod-uid";

}  // namespace ripstop::api

#endif  // RIPSTOP_API_CONVERT_ENDPOINT_JOIN_H_
