// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_DAEMON_AGENT_H_
#define RIPSTOP_AGENT_DAEMON_AGENT_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/base/event_loop.h"
#include "agent/cni/cni_server.h"
#include "agent/cni/endpoint_manager.h"
#include "agent/daemon/options.h"
#include "agent/daemon/service.h"
#include "agent/daemon/workloads.h"
#include "agent/dataplane/dataplane.h"
#include "agent/ipam/ipam.h"
#include "agent/network/felix_settings.h"
#include "agent/network/host_firewall.h"
#include "agent/network/host_nat.h"
#include "agent/network/netlink_host.h"
#include "agent/network/network_plane.h"
#include "agent/network/node_guard.h"
#include "agent/network/pool_keeper.h"
#include "agent/network/shaping.h"
#include "agent/policy/drop_queries.h"
#include "agent/policy/flow_keeper.h"
#include "agent/policy/flow_queries.h"
#include "agent/policy/flow_watch.h"
#include "agent/policy/policy_plane.h"
#include "agent/policy/probe_queries.h"
#include "agent/policy/queries.h"
#include "agent/store/field_notes.h"
#include "agent/store/store_plane.h"
#include "policy/base/unique_fd.h"

namespace ripstop::agent {

// The agent of one node: one loop, everything on it.
//
//   store ─▶ StorePlane ─▶ Agent ─┬─▶ PolicyPlane ─▶ Dataplane (maps, programs)
//   disk ──▶ ┘                    └─▶ NetworkPlane (routes, VXLAN, BIRD)
//   CNI ───▶ EndpointManager ────▶ Workloads ─▶ PolicyPlane, Dataplane, store
//
// Start-up is a sequence of facts:
//   1. programs are loaded; what an earlier agent pinned stays in force; questions are answered
//   2. the store is read whole        (until then ADD answers "try again")
//   3. the new tables are in force    (one word is switched)
//   4. links, routes and BIRD are brought to what is wanted
// Where the store cannot be read, or is not believed, step 2 is what was in force last, from the
// node's disk (store_plane.h). Losing the store later changes nothing: what was read last stays.
class Agent final : private StorePlaneClient, private AgentApi {
 public:
  // Does step 1. `dataplane`: the kernel's, unless a test has another.
  //   kAlreadyExists  another agent of this node runs
  static absl::StatusOr<std::unique_ptr<Agent>> Create(
      const Options& options, EventLoop* loop,
      std::unique_ptr<DataplaneInterface> dataplane = nullptr);
  ~Agent() override;

 private:
  Agent(const Options& options, EventLoop* loop)
      : options_(options), loop_(loop), fields_(options.node) {}
  absl::Status Init();
  absl::Status Lock();
  absl::Status LockPins();
  absl::Status InitNode();
  absl::Status InitEndpoints();
  void Settle();
  absl::Status FirstSync();
  void TakeOver();
  absl::Status AdoptFlows();
  void ReadFlows();
  void SetWatching();
  void SweepFlows();
  void ApplyHostNat();
  void SettleFirewall();
  void LogFirewall() const;
  void ReportFirewall(const bgp::BirdStatus& bgp, v1::StatusReply& reply);
  void Housekeeping();
  void VisitGuarded(const NodeGuard::Visitor& visit) const;
  void ReportGuard(v1::StatusReply& reply) const;
  // With what keeps policy from being in force, where it is not.
  absl::Status WithReasons(const absl::Status& status) const;

  std::function<void()> Prepare(const StoreReaderEvents::Piece& piece) override;
  Keep OnPut(const api::StoredResource& stored) override;
  void OnDelete(const api::ResourceKey& key) override;
  void OnPiece() override;
  bool OnWhole() override;
  void OnSynced() override;
  bool IsReadable(const api::Resource& resource);
  bool NoteNetwork(const api::Resource& resource);
  void Compare();
  absl::Status CompareOnce();
  Keep NoteBlock(const api::StoredResource& stored);
  absl::Status ServePlugin();
  void ApplyFelix();
  std::vector<std::string> Overridden() const;
  void SettleAddresses();
  absl::Status SettleStored();
  absl::Status HoldAddresses();

  void BeforeStatus() override { network_->RefreshBgp(); }
  absl::Status Trace(const v1::TraceRequest& request, const TraceListener& listener) override {
    return tracer_->Run(request, listener);
  }
  absl::Status Probe(const v1::WhyRequest& request, v1::WhyReply* reply) override {
    return probe_->Run(request, reply);
  }
  absl::StatusOr<v1::StatusReply> Status() override;
  absl::StatusOr<v1::WhyReply> Why(const v1::WhyRequest& request) override;
  absl::StatusOr<v1::DropsReply> Drops(const v1::DropsRequest& request) override {
    return agent::Drops(request, *policy_, *dataplane_, flows_->drops());
  }
  absl::StatusOr<v1::PolicyTablesReply> PolicyTables() override { return queries_->PolicyTables(); }
  absl::StatusOr<v1::RuleHitsReply> RuleHits() override;
  absl::StatusOr<v1::FlowsReply> Flows(const v1::FlowsRequest& request) override {
    return flow_queries_->Flows(request);
  }
  absl::StatusOr<v1::EndFlowsReply> EndFlows(const v1::FlowsRequest& request) override {
    return flow_queries_->EndFlows(request);
  }
  absl::StatusOr<std::shared_ptr<FlowStream>> WatchFlows(
      const v1::WatchFlowsRequest& request) override;
  absl::StatusOr<v1::StagedPoliciesReply> StagedPolicies() override;
  absl::StatusOr<v1::AcceptStoreReply> AcceptStore() override;

  const Options options_;
  EventLoop* const loop_;
  UniqueFd lock_, state_lock_;
  UniqueFd pins_lock_;
  UniqueFd network_lock_;
  std::unique_ptr<DataplaneInterface> dataplane_;
  std::unique_ptr<PolicyPlane> policy_;
  std::unique_ptr<FlowLog> flow_log_;
  std::unique_ptr<FlowWatch> flows_;
  std::unique_ptr<FlowKeeper> flow_keeper_;
  std::unique_ptr<NetworkPlane> network_;
  std::unique_ptr<HostNat> host_nat_;
  std::unique_ptr<HostFirewall> firewall_;
  FirewallLosses firewall_losses_;
  std::unique_ptr<Shaping> shaping_;
  std::unique_ptr<Queries> queries_;
  std::unique_ptr<FlowQueries> flow_queries_;
  std::unique_ptr<PacketTracer> tracer_;
  std::unique_ptr<ProbeQueries> probe_;
  std::unique_ptr<NetlinkHost> host_;
  std::unique_ptr<NodeGuard> guard_;
  NodeGuard::Repairs file_repairs_;

  std::unique_ptr<api::Store> store_;
  std::unique_ptr<StorePlane> store_plane_;

  std::unique_ptr<Ipam> ipam_;
  std::unique_ptr<PoolKeeper> pools_;
  std::unique_ptr<Workloads> workloads_;
  std::unique_ptr<EndpointManager> endpoints_;
  std::unique_ptr<CniServer> cni_;
  std::unique_ptr<Service> service_;

  std::shared_ptr<ReadAhead> ahead_;  // of the piece that is being told
  ClusterView cluster_;
  FelixSettings felix_;
  FieldNotes fields_;
  DatapathSettings settings_;
  EventLoop::TimerId sweep_ = 0;
  absl::Time swept_ = absl::InfinitePast();
  EventLoop::TimerId read_again_ = 0;
  bool network_changed_ = false;
  bool pools_changed_ = false;
  bool republish_ = false;   // somebody deleted what this node published
  bool hold_again_ = false;  // a block changed while a pod of this node lacks its address
  bool compared_ = true;     // what is here with what the store has, since it was last opened
  bool in_sync_ = false;     // the kernel, with what is to be in force
  std::string policy_problem_;
  std::string host_nat_problem_;
  std::string handover_problem_;
  std::vector<std::string> address_problems_;   // of pools
  std::vector<std::string> address_conflicts_;  // of pods of this node
  std::vector<std::string> alarms_;             // as last logged
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DAEMON_AGENT_H_
