// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_DAEMON_POLICY_FEED_H_
#define RIPSTOP_AGENT_DAEMON_POLICY_FEED_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "api/convert/convert.h"
#include "api/resource.h"
#include "policy/engine.h"

namespace ripstop::agent {

// Feeds the policy engine from the store and from this node's own attachments.
//
//   resources ──ToModel──▶ ┐
//   CNI ADD and DEL ─────▶ [PolicyFeed] ──Put/Remove──▶ policy::Engine
//
// A resource that cannot be converted is set aside by name and changes nothing: what it
// meant before stays. An endpoint has up to three sources, joined by its id: the
// WorkloadEndpoint (addresses, labels), the Pod of the same name (its labels, ports and
// phase are newer), and the attachment, which only this node knows. An attached endpoint
// stays until it is detached, whatever happens to its resources. A namespace or service
// account without a resource is implied, as `ripstopctl evaluate` implies it; once its
// resource was there and is deleted, it stays gone, and its pods are denied.
// For the agent's loop; not thread-safe.
class PolicyFeed {
 public:
  explicit PolicyFeed(std::string node) : node_(std::move(node)) {}

  // From now on feeds `engine`, beginning with all that is known. Must be called first.
  void FeedInto(policy::Engine* engine);

  void Put(const api::Resource& resource);
  void Delete(const api::ResourceKey& key);
  // For resources that could not even be decoded.
  void SetAside(const api::ResourceKey& key, const absl::Status& why);

  // A pod of this node is attached; `endpoint` is what is known of it until (and unless)
  // its resources say more.
  void Attach(const policy::Endpoint& endpoint, const policy::Attachment& attachment);
  void Detach(const std::string& id);

  // The endpoint as the engine has it, or nullptr.
  const policy::Endpoint* FindEndpoint(const std::string& id) const;
  // The endpoint that holds `address`, or nullptr.
  const policy::Endpoint* FindEndpoint(const policy::Address& address) const;

  // One line for each object set aside: "NetworkPolicy shop/x: why".
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

  void PutEndpointSource(const api::Resource& resource, const policy::Endpoint& endpoint);
  void DropEndpointSource(const api::ResourceKey& key, const policy::Endpoint& endpoint);
  void Join(const std::string& id);
  void Imply(const std::vector<std::string>& profiles);
  static std::optional<policy::Endpoint> Joined(const Sources& sources);

  const std::string node_;
  policy::Engine* engine_ = nullptr;
  std::map<api::ResourceKey, std::vector<api::ModelObject>> objects_;
  std::map<api::ResourceKey, std::string> set_aside_;
  std::map<std::string, policy::Profile> implied_;
  std::set<std::string> seen_profiles_;  // that a resource has defined
  std::map<std::string, Sources> sources_;             // by endpoint id
  std::map<std::string, policy::Endpoint> endpoints_;  // as given to the engine
  uint32_t policies_ = 0;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DAEMON_POLICY_FEED_H_
