// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_API_CONVERT_ENDPOINT_JOIN_H_
#define RIPSTOP_API_CONVERT_ENDPOINT_JOIN_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "api/resource.h"
#include "policy/base/keyed_set.h"
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
  // What many endpoints have alike, those of one deployment. Each is kept once.
  struct Traits {
    policy::Labels labels;
    std::vector<std::string> profiles;
    std::vector<policy::NamedPort> ports;
    bool active = true;
    bool operator==(const Traits&) const = default;
  };
  struct TraitsHash {
    size_t operator()(const std::shared_ptr<const Traits>& traits) const;
  };
  struct SameTraits {
    bool operator()(const std::shared_ptr<const Traits>& a,
                    const std::shared_ptr<const Traits>& b) const {
      return *a == *b;
    }
  };
  // A document's word on an endpoint. There is one for each endpoint of the cluster, as of most of
  // what follows, so it is small.
  struct Said {
    std::string name;  // empty: the pod's
    absl::InlinedVector<policy::Address, 2> addresses;
    std::shared_ptr<const Traits> traits;
  };
  // What a Pod says of its endpoints.
  struct PodFacts {
    std::string uid;
    Said said;
  };
  struct Entry;
  struct PodEntry {
    std::string key;                        // "namespace/name"
    std::shared_ptr<const PodFacts> facts;  // null: no document
    absl::InlinedVector<Entry*, 1> endpoints;
    uint32_t named = 0;  // by how many workloads and attachments
  };
  struct Workload {
    std::string key;  // "namespace/name" of the document
    int64_t revision = 0;
    bool here = false;       // its node is this one
    bool container = false;  // it is of a container's interface
    Entry* entry = nullptr;
    PodEntry* pod = nullptr;
    std::string uid;
    Said said;
  };
  struct Own {
    policy::Endpoint endpoint;
    policy::Attachment attachment;
    PodEntry* pod = nullptr;
    std::string uid;
  };
  struct Entry {
    std::string key;  // id
    absl::InlinedVector<const Workload*, 1> workloads;
    std::unique_ptr<Own> own;
    PodEntry* pod = nullptr;                // whose it is; null: it is no endpoint now
    std::shared_ptr<const PodFacts> facts;  // what was said of it last
  };
  static bool IsGone(const Workload& w) { return w.here && w.container; }
  // The one that speaks of the entry; null: none.
  static const Workload* Speaker(const Entry& entry);
  static bool MaySpeakOf(const PodFacts& facts, const Entry& entry);
  static bool BothKnown(const PodFacts& facts, const Entry& entry);
  static const std::string& UidOf(const Entry& entry);
  Said Keep(policy::Endpoint endpoint, const std::string& pod);
  static policy::Endpoint Spell(const Said& said, const std::string& id, const std::string& pod);
  static std::optional<policy::Endpoint> Joined(const Entry& entry);
  static std::optional<policy::Endpoint> Alone(const PodEntry& pod);

  void PutPod(const Resource& resource, policy::Endpoint endpoint);
  void DeletePod(const std::string& pod);
  void PutWorkload(const Resource& resource, policy::Endpoint endpoint);
  void DeleteWorkload(Workload& workload);
  PodEntry* NamePod(const std::string& pod);
  void UnnamePod(PodEntry* pod);
  void DropIfUnused(PodEntry* pod);
  // After any change of an entry: under its pod, with what is said of that, or gone.
  void Settle(Entry& entry);

  const std::string node_;
  KeyedSet<Workload, &Workload::key> workloads_;
  KeyedSet<Entry, &Entry::key> entries_;
  KeyedSet<PodEntry, &PodEntry::key> pods_;
  absl::flat_hash_set<std::shared_ptr<const Traits>, TraitsHash, SameTraits> traits_;
  size_t traits_looked_through_ = 1024;  // at that size, for those that nobody has
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
