// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_POLICY_POLICY_FEED_H_
#define RIPSTOP_AGENT_POLICY_POLICY_FEED_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/policy/read_ahead.h"
#include "api/convert/convert.h"
#include "api/convert/endpoint_join.h"
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
// Which endpoints there are, of WorkloadEndpoints, Pods and attachments, says
// api::EndpointJoin. A namespace or service
// account without a resource is implied, as `ripstopctl evaluate` implies it, also once its
// resource was there and is deleted: an agent that starts then would imply it too.
// For the agent's loop; not thread-safe.
class PolicyFeed {
 public:
  explicit PolicyFeed(const std::string& node) : node_(node), join_(node) {}

  // From now on feeds `engine`, beginning with all that is known. Must be called first.
  void FeedInto(policy::Engine* engine);
  // Likewise for the staged world; nullptr: no longer.
  void FeedStagedInto(policy::Engine* engine);

  // Of the store, as ReadStored reads it for this node; the reading's model is used up.
  void PutRead(const api::ResourceKey& key, Reading& reading);
  void Put(const api::Resource& resource);
  void Delete(const api::ResourceKey& key);
  // `decoded`: the document, where its bytes could be decoded.
  void SetAside(const api::ResourceKey& key, const absl::Status& why,
                const api::Resource* decoded = nullptr);
  bool IsSetAside(const api::ResourceKey& key) const { return set_aside_.contains(key); }

  // A container's interface is attached here; `endpoint` is what is known of it until (and
  // unless) its resources say more. `pod` is "namespace/name", `uid` may be empty.
  void Attach(const policy::Endpoint& endpoint, const policy::Attachment& attachment,
              const std::string& pod, const std::string& uid);
  // Whether it was attached.
  bool Detach(const std::string& id);

  // Whose the address is, as of all inputs; nullopt: nobody's, or disputed.
  std::optional<policy::Endpoint> OwnerOf(const policy::Address& address) const;
  // By name, see EndpointJoin::Named.
  std::vector<policy::Endpoint> Named(const std::string& name) const { return join_.Named(name); }
  // What people call the endpoint; its id where it is not known any more.
  std::string DisplayName(const std::string& id) const;
  // Likewise, of what is attached by the host's interface; empty: nothing is.
  std::string NameAt(uint32_t ifindex) const;
  const api::EndpointJoin& endpoints() const { return join_; }

  // A line for each address that several endpoints claim (Engine::Conflicts), kConflictsMax
  // at most and one that counts the others.
  static constexpr size_t kConflictsMax = 20;
  std::vector<std::string> Conflicts() const;

  // Staged policies that propose something, by the key of their enforced twin.
  const std::map<policy::PolicyKey, policy::Policy>& staged() const { return staged_; }
  // The enforced keys whose staged policy came, went or changed since the last call.
  std::set<policy::PolicyKey> TakeStagedChanges() { return std::exchange(staged_changes_, {}); }

  // One line for each object set aside, "NetworkPolicy shop/x: why", and for each rule that
  // fails closed.
  std::vector<std::string> set_aside() const;
  uint32_t local_endpoints() const { return static_cast<uint32_t>(join_.attached()); }
  uint32_t policies() const { return policies_; }

 private:
  void PutConverted(const api::Resource& resource, const api::ResourceKey& key,
                    absl::StatusOr<std::vector<api::ModelObject>> converted);
  void Replace(const api::Resource& resource, const api::ResourceKey& key,
               std::vector<api::ModelObject> objects);
  std::string Close(const api::ResourceKey& key, const api::Resource* decoded);
  void NoteDegraded(const api::ResourceKey& key, const std::vector<api::ModelObject>& objects);
  void FeedEndpoints();
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
  std::set<std::string> seen_profiles_;  // that a resource has defined
  api::EndpointJoin join_;
  std::map<uint32_t, std::string> attached_;  // interface of the host, to id
  uint32_t policies_ = 0;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_POLICY_POLICY_FEED_H_
