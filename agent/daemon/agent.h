// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_DAEMON_AGENT_H_
#define RIPSTOP_AGENT_DAEMON_AGENT_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/base/event_loop.h"
#include "agent/base/unique_fd.h"
#include "agent/cni/endpoint_manager.h"
#include "agent/daemon/flow_watch.h"
#include "agent/daemon/host_nat.h"
#include "agent/daemon/network_plane.h"
#include "agent/daemon/options.h"
#include "agent/daemon/policy_plane.h"
#include "agent/daemon/queries.h"
#include "agent/daemon/service.h"
#include "agent/daemon/shaping.h"
#include "agent/daemon/store_sync.h"
#include "agent/daemon/workloads.h"
#include "agent/dataplane/dataplane.h"
#include "agent/ipam/ipam.h"

namespace ripstop::agent {

// The agent of one node: one loop, everything on it.
//
//   store ─▶ StoreSync ─▶ Agent ─┬─▶ PolicyPlane ─▶ Dataplane (maps, programs)
//                                └─▶ NetworkPlane (routes, VXLAN, BIRD)
//   CNI ───▶ EndpointManager ───▶ Workloads ─▶ PolicyPlane, Dataplane, store
//
// Start-up is a sequence of facts, not of timers:
//   1. programs are loaded; what an earlier agent pinned stays in force
//   2. the store is read whole        (until then ADD answers "try again")
//   3. the new tables are in force    (one word is switched)
//   4. links, routes and BIRD are brought to what is wanted
// Losing the store changes nothing: what was read last stays enforced.
class Agent final : private StoreSink, private AgentApi {
 public:
  // Does step 1. kAlreadyExists: another agent of this node runs.
  static absl::StatusOr<std::unique_ptr<Agent>> Create(const Options& options, EventLoop* loop);
  ~Agent() override;

 private:
  Agent(const Options& options, EventLoop* loop) : options_(options), loop_(loop) {}
  absl::Status Init();
  absl::Status Lock();

  void OpenStore();
  absl::Status OpenWatch();
  void ReadStore();
  void RetryStore(const absl::Status& why);
  void Settle();
  absl::Status FirstSync();
  void WatchFlows();
  void ApplyHostNat();
  void Housekeeping();

  void OnPut(const api::StoredResource& stored) override;
  void OnDelete(const api::ResourceKey& key) override;
  void OnSynced(int64_t revision) override;
  bool NoteNetwork(const api::Resource& resource);
  void NoteBlock(const api::StoredResource& stored);

  absl::StatusOr<v1::StatusReply> Status() override;
  absl::StatusOr<v1::WhyReply> Why(const v1::WhyRequest& request) override;
  absl::StatusOr<v1::DropsReply> Drops() override { return queries_->Drops(); }
  absl::StatusOr<v1::PolicyTablesReply> PolicyTables() override { return queries_->PolicyTables(); }
  absl::StatusOr<v1::RuleHitsReply> RuleHits() override { return queries_->RuleHits(); }
  absl::StatusOr<v1::StagedPoliciesReply> StagedPolicies() override;

  const Options options_;
  EventLoop* const loop_;
  UniqueFd lock_;
  std::unique_ptr<Dataplane> dataplane_;
  std::unique_ptr<PolicyPlane> policy_;
  std::unique_ptr<FlowLog> flow_log_;
  std::unique_ptr<FlowWatch> flows_;
  std::unique_ptr<NetworkPlane> network_;
  std::unique_ptr<HostNat> host_nat_;
  std::unique_ptr<Shaping> shaping_;
  std::unique_ptr<Queries> queries_;

  std::unique_ptr<api::Store> store_;
  std::unique_ptr<StoreSync> sync_;
  absl::Duration store_back_off_;
  std::string store_problem_ = "the store has not been read yet";

  std::unique_ptr<Ipam> ipam_;
  std::unique_ptr<Workloads> workloads_;
  std::unique_ptr<EndpointManager> endpoints_;
  std::unique_ptr<Service> service_;

  ClusterView cluster_;
  DatapathSettings settings_;
  bool network_changed_ = false;
  bool in_sync_ = false;
  bool synced_once_ = false;  // the first snapshot is whole
  std::string policy_problem_;
  std::string host_nat_problem_;
  std::vector<std::string> alarms_;  // as last logged
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DAEMON_AGENT_H_
