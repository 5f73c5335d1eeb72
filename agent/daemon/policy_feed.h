// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_DAEMON_POLICY_FEED_H_
#define RIPSTOP_AGENT_DAEMON_POLICY_FEED_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "api/convert/convert.h"
#include "api/resource.h"
#include "policy/engine/engine.h"

namespace ripstop::agent {

// Feeds the policy engine from the store and from this node's own attachments.
//
//   resources ──ToModel──▶ ┐                ┌─Put/Remove──▶ policy::Engine, enforced
//   CNI ADD and DEL ─────▶ [PolicyFeed] ────┴─────────────▶ policy::Engine, staged
//
// The second engine, while there is one, gets the staged world (api/convert/staged.h): the
// same but for the policies that staged ones add, replace or delete.
//
// A resource that cannot be decoded or converted is set aside by name and changes nothing:
// what it meant before stays, until it is corrected or deleted, also across a restart
// (last_good.h). One that never could be read denies what it may select (api/convert/closed.h).
// A rule that is not understood whole (Rule::degraded) fails closed alone and is reported with
// its policy.
//
// An endpoint has up to three sources, joined by its id: the WorkloadEndpoint (addresses,
// labels), the Pod of the same name (its labels, ports and phase are newer), and the
// attachment, which only this node knows. An attached endpoint
// stays until it is detached, whatever happens to its resources. A namespace or service
// account without a resource is implied, as `ripstopctl evaluate` implies it, also once its
// resource was there and is deleted: an agent that starts then would imply it too.
// For the agent's loop; not thread-safe.
class PolicyFeed {
 public:
  explicit PolicyFeed(std::string node) : node_(std::move(node)) {}

  // From now on feeds `engine`, beginning with all that is known. Must be called first.
  void FeedInto(policy::Engine* engine);
  // Likewise for the staged world; nullptr: no longer.
  void FeedStagedInto(policy::Engine* engine);

  // Of the store, as it holds it; the resource, unless it could not be decoded.
  absl::StatusOr<api::Resource> PutStored(const api::StoredResource& stored);
  void Put(const api::Resource& resource);
  void Delete(const api::ResourceKey& key);
  // `decoded`: the document, where its bytes could be decoded.
  void SetAside(const api::ResourceKey& key, const absl::Status& why,
                const api::Resource* decoded = nullptr);
  bool IsSetAside(const api::ResourceKey& key) const { return set_aside_.contains(key); }

  // A pod of this node is attached; `endpoint` is what is known of it until (and unless)
  // its resources say more.
  void Attach(const policy::Endpoint& endpoint, const policy::Attachment& attachment);
  void Detach(const std::string& id);

  // The endpoint as the engine has it, or nullptr.
  const policy::Endpoint* FindEndpoint(const std::string& id) const;
  // The endpoint that holds `address`, or nullptr.
  const policy::Endpoint* FindEndpoint(const policy::Address& address) const;

  // The endpoint of this node that holds `address`, or nullptr. Constant time.
  const policy::Endpoint* FindLocal(const policy::Address& address) const;

  // Staged policies that propose something, by the key of their enforced twin.
  const std::map<policy::PolicyKey, policy::Policy>& staged() const { return staged_; }
  // The enforced keys whose staged policy came, went or changed since the last call.
  std::set<policy::PolicyKey> TakeStagedChanges() { return std::exchange(staged_changes_, {}); }

  // One line for each object set aside, "NetworkPolicy shop/x: why", and for each rule that
  // fails closed.
  std::vector<std::string> set_aside() const;
  uint32_t local_endpoints() const;
  uint32_t policies() const { return policies_; }

 private:
  struct Workload {
    api::ResourceKey key;
    int64_t revision = 0;
    bool here = false;  // its node is this one
    policy::Endpoint endpoint;
  };
  struct Sources {
    std::vector<Workload> workloads;  // a pod that moved has two for a moment
    std::optional<policy::Endpoint> pod;
    std::optional<policy::Endpoint> own;
    std::optional<policy::Attachment> attachment;
  };

  void Replace(const api::Resource& resource, const api::ResourceKey& key,
               std::vector<api::ModelObject> objects);
  std::string Close(const api::ResourceKey& key, const api::Resource* decoded);
  void PutEndpointSource(const api::Resource& resource, const policy::Endpoint& endpoint);
  void NoteDegraded(const api::ResourceKey& key, const std::vector<api::ModelObject>& objects);
  void DropEndpointSource(const api::ResourceKey& key, const policy::Endpoint& endpoint);
  void Join(const std::string& id);
  void Imply(const std::vector<std::string>& profiles);
  template <typename F>
  void Feed(F feed) {
    feed(*engine_);
    if (staged_engine_ != nullptr) feed(*staged_engine_);
  }
  void PutModel(const api::ModelObject& object);
  void RemoveModel(const api::ModelObject& object);
  void Stage(const policy::Policy& policy);
  void Unstage(const policy::Policy& policy);
  // Brings the staged engine's policy under this key to what it should be.
  void Restage(const policy::PolicyKey& enforced_key);
  const policy::Policy* FindPolicy(const policy::PolicyKey& key) const;
  void NoteLocal(const policy::Endpoint& endpoint, bool there);
  static std::optional<policy::Endpoint> Joined(const Sources& sources);

  const std::string node_;
  policy::Engine* engine_ = nullptr;
  policy::Engine* staged_engine_ = nullptr;
  std::map<policy::PolicyKey, policy::Policy> staged_;
  std::set<policy::PolicyKey> staged_changes_;
  std::map<api::ResourceKey, std::vector<api::ModelObject>> objects_;
  std::map<api::ResourceKey, std::string> set_aside_;
  std::set<api::ResourceKey> closed_;    // of those, that never could be read
  std::set<api::ResourceKey> degraded_;  // with a rule that fails closed
  std::map<std::string, policy::Profile> implied_;
  std::set<std::string> seen_profiles_;                      // that a resource has defined
  std::map<std::string, Sources> sources_;                   // by endpoint id
  std::map<std::string, policy::Endpoint> endpoints_;        // as given to the engine
  absl::flat_hash_map<policy::Address, std::string> local_;  // to endpoint id
  uint32_t policies_ = 0;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DAEMON_POLICY_FEED_H_
