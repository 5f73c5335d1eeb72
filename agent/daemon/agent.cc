// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/agent.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "agent/cni/cni_service.h"
#include "agent/daemon/network_config.h"
#include "agent/daemon/node_identity.h"
#include "api/store/open.h"
#include "policy/status_macros.h"
#include "spdlog/spdlog.h"

namespace ripstop::agent {
namespace {

// A store that another writer holds is asked again later, not waited for.
constexpr int kStoreBusyTimeoutMs = 50;
constexpr absl::Duration kHousekeepingPeriod = absl::Seconds(10);

// Often enough for blocks to go about when they are due.
absl::Duration GiveBackPeriod(absl::Duration idle) {
  return std::clamp(idle / 4, absl::Milliseconds(100), kHousekeepingPeriod);
}

void LogUnlessOk(const absl::Status& status) {
  if (!status.ok()) spdlog::warn("{}", std::string(status.message()));
}

// Folders of this node's agent are nobody else's, also when they were made otherwise.
absl::Status MakePrivateFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (::chmod(path.c_str(), 0700) != 0)
    return absl::ErrnoToStatus(errno, absl::StrCat("folder ", path));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Agent>> Agent::Create(
    const Options& options, EventLoop* loop, std::unique_ptr<DataplaneInterface> dataplane) {
  std::unique_ptr<Agent> agent(new Agent(options, loop));
  agent->dataplane_ = std::move(dataplane);
  RETURN_IF_ERROR(agent->Init());
  return agent;
}

Agent::~Agent() {
  // Callers on other threads first: they would find a half-destroyed agent.
  service_.reset();
  cni_.reset();
  store_plane_.reset();
  if (dataplane_ != nullptr) loop_->RemoveFd(dataplane_->events_fd());
}

absl::Status Agent::Lock() {
  const std::string path = options_.run_dir + "/agent.lock";
  RETURN_IF_ERROR(MakePrivateFolder(options_.run_dir));
  RETURN_IF_ERROR(MakePrivateFolder(options_.state_dir));
  lock_ = UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock_.ok()) return absl::ErrnoToStatus(errno, path);
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::AlreadyExistsError(
        absl::StrCat(path, ": held by another agent; give this one its own --run-dir"));
  }
  return absl::OkStatus();
}

absl::Status Agent::Init() {
  RETURN_IF_ERROR(CheckNodeName(options_.node));
  RETURN_IF_ERROR(Lock());
  RETURN_IF_ERROR(InitNode());
  api::OpenStoreOptions open;
  open.create = false;  // a store that is missing is missing, not empty
  open.lazily = true;
  open.busy_timeout_ms = kStoreBusyTimeoutMs;
  ASSIGN_OR_RETURN(store_, api::OpenStore(options_.store, open));
  StorePlaneOptions store;
  store.node = options_.node;
  store.url = options_.store;
  store.last_good = options_.state_dir + "/last-good.db";
  store.agent_was_here = dataplane_->InForce();
  StorePlaneClient* const client = this;
  store_plane_ = std::make_unique<StorePlane>(store, store_.get(), loop_, client);
  RETURN_IF_ERROR(InitEndpoints());
  loop_->AddTimer(kHousekeepingPeriod, kHousekeepingPeriod, [this] { Housekeeping(); });
  store_plane_->Start();
  return absl::OkStatus();
}

absl::Status Agent::InitNode() {
  if (dataplane_ == nullptr) {
    DataplaneOptions dataplane;
    dataplane.pin_dir = options_.bpffs;
    ASSIGN_OR_RETURN(dataplane_, Dataplane::Open(dataplane));
  }
  // What an earlier agent left unread names rules of its own.
  (void)dataplane_->TakeEvents();
  policy_ = std::make_unique<PolicyPlane>(options_.node, dataplane_.get());
  RETURN_IF_ERROR(policy_->Begin());
  ASSIGN_OR_RETURN(flow_log_, FlowLog::Open(options_.flow_log));
  flows_ = std::make_unique<FlowWatch>(policy_.get(), dataplane_.get(), flow_log_.get());
  RETURN_IF_ERROR(loop_->AddFd(dataplane_->events_fd(), EPOLLIN,
                               [this](uint32_t) { flows_->Read(absl::Now()); }));
  policy_->BeforeFlush([this] { flows_->Read(absl::Now()); });
  queries_ = std::make_unique<Queries>(policy_.get(), dataplane_.get());
  ASSIGN_OR_RETURN(network_, NetworkPlane::Create(options_, loop_));
  network_->OnEvents([this](const std::vector<MonitorEvent>& events) {
    if (endpoints_ != nullptr) endpoints_->HandleEvents(events);
    const bool links = std::any_of(events.begin(), events.end(), [](const MonitorEvent& event) {
      return std::holds_alternative<LinkEvent>(event) || std::holds_alternative<ResyncEvent>(event);
    });
    if (links && in_sync_) AttachHostInterfaces();
  });
  return absl::OkStatus();
}

absl::Status Agent::InitEndpoints() {
  Ipam::Pods pods = {
      .namespace_labels = [this](const std::string& ns) { return cluster_.NamespaceLabels(ns); },
      .hold_all = [this] { return HoldAddresses(); }};
  ipam_ = std::make_unique<Ipam>(store_plane_->gate(), options_.node, std::move(pods));
  pools_ = std::make_unique<PoolKeeper>(store_plane_->gate(), &cluster_);
  workloads_ = std::make_unique<Workloads>(options_.node, policy_.get(), dataplane_.get(),
                                           store_plane_->gate());
  EndpointManagerOptions endpoints;
  endpoints.state_directory = options_.state_dir + "/endpoints";
  endpoints.later = [this](absl::Duration delay, std::function<void()> run) {
    loop_->AddTimer(delay, absl::ZeroDuration(), std::move(run));
  };
  endpoints_ = std::make_unique<EndpointManager>(endpoints, network_->netlink(), ipam_.get(),
                                                 network_->routes(), workloads_.get());
  RETURN_IF_ERROR(endpoints_->Load());
  // Before the store is read, so that what it says of these pods comes after.
  RETURN_IF_ERROR(workloads_->Restore(endpoints_->endpoints()));
  const absl::Duration give_back = GiveBackPeriod(options_.block_idle);
  loop_->AddTimer(give_back, give_back, [this] {
    if (store_plane_->in_sync()) LogUnlessOk(ipam_->GiveBackIdle(absl::Now()));
  });
  RETURN_IF_ERROR(ServePlugin());
  AgentApi* const api = this;
  ASSIGN_OR_RETURN(service_, Service::Start(options_.socket, loop_, api));
  return absl::OkStatus();
}

// ---- the store ----

Agent::Keep Agent::OnPut(const api::StoredResource& stored) {
  if (stored.key.kind == ipam::kBlockKind) return NoteBlock(stored);
  if (OnIpam(stored)) return Keep::kFormer;
  const auto resource = policy_->feed().PutStored(stored);
  if (policy_->feed().IsSetAside(stored.key)) return Keep::kFormerElseThis;
  network_changed_ |= NoteNetwork(*resource);
  if (const auto* ns = resource->As<api::v1::Namespace>()) {
    const auto& labels = ns->metadata().labels();
    cluster_.namespaces[ns->metadata().name()] = {labels.begin(), labels.end()};
  }
  fields_.Put(*resource);
  return Keep::kThis;
}

// Whether the resource bears on routes, BGP or IPAM; keeps it in the view if so.
bool Agent::NoteNetwork(const api::Resource& resource) {
  const std::string& name = resource.name();
  if (const auto* node = resource.As<api::v1::Node>()) {
    cluster_.nodes[name] = *node;
    pools_changed_ = true;
  } else if (const auto* pool = resource.As<api::v1::IPPool>()) {
    pools_->Put(*pool, resource.revision());
    pools_changed_ = true;
  } else if (const auto* configuration = resource.As<api::v1::BGPConfiguration>()) {
    cluster_.bgp_configurations[name] = *configuration;
  } else if (const auto* peer = resource.As<api::v1::BGPPeer>()) {
    cluster_.bgp_peers[name] = *peer;
  } else {
    return false;
  }
  return true;
}

// Whether it is IPAM's own and no block.
bool Agent::OnIpam(const api::StoredResource& stored) {
  if (stored.key.kind == ipam::kNodeReleaseKind && stored.key.name == options_.node) {
    spdlog::warn(
        "somebody took this node for gone and would release its addresses (ripstopctl ipam release "
        "--node {}): it is not, and says so",
        options_.node);
    const absl::Status answered = store_plane_->gate()->Delete(stored.key, 0).status();
    if (!absl::IsNotFound(answered)) LogUnlessOk(answered);
  }
  return stored.key.kind == ipam::kClaimsKind || stored.key.kind == ipam::kNodeReleaseKind;
}

Agent::Keep Agent::NoteBlock(const api::StoredResource& stored) {
  const auto block = ipam_->Note(stored);
  if (!block.ok()) {
    policy_->feed().SetAside(stored.key, block.status());
    return Keep::kFormerElseThis;
  }
  BlockView view{block->cidr, block->affinity, block->borrowed};
  // Each allocation rewrites its block; only a new owner or borrower is news here.
  BlockView& known = cluster_.blocks[stored.key.name];
  if (known == view) return Keep::kFormer;
  known = std::move(view);
  network_changed_ = true;
  return Keep::kThis;
}

void Agent::OnDelete(const api::ResourceKey& key) {
  if (key.kind == ipam::kBlockKind) {
    network_changed_ |= cluster_.blocks.erase(key.name) > 0;
    if (const auto block = Block::CidrOf(key)) ipam_->Forget(*block);
    return;
  }
  if (key.kind == api::kKindNode) {
    network_changed_ |= cluster_.nodes.erase(key.name) > 0;
    pools_changed_ = true;
  }
  if (key.kind == api::kKindIPPool) {
    pools_->Deleted(key.name);
    network_changed_ = pools_changed_ = true;
  }
  if (key.kind == api::kKindNamespace) cluster_.namespaces.erase(key.name);
  if (key.kind == api::kKindBGPConfiguration) {
    network_changed_ |= cluster_.bgp_configurations.erase(key.name) > 0;
  }
  if (key.kind == api::kKindBGPPeer) network_changed_ |= cluster_.bgp_peers.erase(key.name) > 0;
  policy_->feed().Delete(key);
  fields_.Delete(key);
}

bool Agent::OnWhole() {
  policy_->OnWhole();
  Settle();
  return policy_problem_.empty();
}

// Whatever was before: memory may be wrong about the store by now, and the store, put back
// from a copy, about what is here.
void Agent::OnSynced() {
  LogUnlessOk(ipam_->Load());
  SettleStored();
  workloads_->Republish(endpoints_->endpoints());
  endpoints_->ReleaseStrays(workloads_->Strays());
  LogUnlessOk(endpoints_->RetryReleases());
  spdlog::info("in sync with the store at revision {}: {} policies, {} local endpoints",
               store_plane_->revision(), policy_->feed().policies(),
               policy_->feed().local_endpoints());
}

// ---- bringing the kernel to what is wanted ----

void Agent::Settle() {
  absl::Status status = policy_->Flush();
  policy_problem_ = status.ok() ? "" : std::string(status.message());
  if (!status.ok()) spdlog::error("policy: {}", std::string(status.message()));
  std::vector<std::string> alarms = policy_->Alarms();
  if (alarms != alarms_) {
    for (const std::string& alarm : alarms) spdlog::error("policy: {}", alarm);
    alarms_ = std::move(alarms);
  }
  SettleAddresses();
  if (network_changed_ || !in_sync_) {
    network_changed_ = false;
    network_->Apply(cluster_);
    endpoints_->set_default_mtu(network_->workload_mtu());
    settings_.host_mac = kHostMac.bytes;
    settings_.vxlan_port = network_->uses_vxlan() ? VxlanConfig{}.port : 0;
    settings_.vxlan_vni = network_->uses_vxlan() ? VxlanConfig{}.vni : 0;
    LogUnlessOk(dataplane_->Configure(settings_));
    AttachHostInterfaces();
  }
  WatchFlows();
  if (!in_sync_ && policy_->committed()) {
    LogUnlessOk(FirstSync());
    in_sync_ = true;
  }
}

// Pools and blocks, before routes are made of them.
void Agent::SettleAddresses() {
  if (pools_changed_ || !in_sync_) {
    pools_changed_ = false;
    IpamConfig config = BuildIpamConfig(cluster_, options_.node);
    config.block_idle = options_.block_idle;
    LogUnlessOk(ipam_->SetConfig(std::move(config)));
    std::vector<std::string> problems = PoolProblems(cluster_);
    if (problems != address_problems_) {
      for (const std::string& problem : problems) spdlog::warn("{}", problem);
      address_problems_ = std::move(problems);
    }
  }
  if (store_plane_->in_sync() && (network_changed_ || ipam_->lost())) SettleStored();
}

// What this node has to say of them, to a store that is believed.
void Agent::SettleStored() {
  LogUnlessOk(ipam_->GiveBackIdle(absl::Now()));
  LogUnlessOk(ipam_->HoldLost());
  LogUnlessOk(pools_->Settle([this](const policy::Cidr& pool) {
    const std::vector<Allocation> ours = ipam_->Allocations();
    return std::any_of(ours.begin(), ours.end(),
                       [&pool](const Allocation& one) { return pool.Contains(one.address); });
  }));
}

// What pods of this node have stays theirs, also when the store was put back from a copy
// that does not know of it.
absl::Status Agent::HoldAddresses() {
  absl::Status unasked;
  address_conflicts_.clear();
  for (const LocalEndpoint& endpoint : endpoints_->endpoints()) {
    const Owner owner = {endpoint.handle(), endpoint.pod_namespace, endpoint.pod_name};
    for (const Allocation& allocation : endpoint.allocations) {
      const absl::Status held = ipam_->Hold(owner, allocation);
      if (held.ok()) continue;
      if (!absl::IsAlreadyExists(held)) unasked = held;
      address_conflicts_.push_back(absl::StrCat("pod ", owner.pod_namespace, "/", owner.pod_name,
                                                ": ", std::string(held.message()),
                                                "; delete one of the two pods"));
      spdlog::error("{}", address_conflicts_.back());
    }
  }
  return unasked;
}

// Each new flow is an event only while there is something to compare it with.
void Agent::WatchFlows() {
  flows_->Changed(policy_->feed().TakeStagedChanges());
  const bool watch = policy_->staged().active();
  if (settings_.watch_flows == watch) return;
  settings_.watch_flows = watch;
  LogUnlessOk(dataplane_->Configure(settings_));
}

absl::Status Agent::FirstSync() {
  workloads_->Reattach(endpoints_->endpoints());
  return network_->Reconcile();
}

void Agent::AttachHostInterfaces() {
  for (const uint32_t ifindex : network_->HostInterfaces()) {
    LogUnlessOk(dataplane_->AttachUplink(ifindex));
  }
}

void Agent::Housekeeping() {
  LogUnlessOk(dataplane_->SweepFlows().status());
  flows_->Tick(absl::Now());
  network_->RefreshSecrets();
  store_plane_->Housekeeping();
  // What a pod's ADD or DEL could not write, and what the store lost.
  if (!policy_problem_.empty() || ipam_->lost()) Settle();
}

// ---- questions ----

absl::StatusOr<v1::StatusReply> Agent::Status() {
  v1::StatusReply reply;
  reply.set_node(options_.node);
  reply.set_version(RIPSTOP_VERSION);
  const bgp::BirdStatus bgp = network_->BgpStatus();
  reply.set_ready(in_sync_ && store_plane_->in_sync() && policy_problem_.empty() && bgp.ready &&
                  network_->has_its_addresses());
  for (const std::string& problem : store_plane_->problems()) reply.add_not_ready_reasons(problem);
  if (!policy_problem_.empty()) reply.add_not_ready_reasons(policy_problem_);
  for (const std::string& reason : bgp.reasons) reply.add_not_ready_reasons(reason);
  for (const std::string& problem : network_->problems()) reply.add_not_ready_reasons(problem);
  for (const auto* problems : {&address_problems_, &address_conflicts_}) {
    for (const std::string& problem : *problems) reply.add_not_ready_reasons(problem);
  }
  // Endpoints that are denied because a table is full: the node serves, those do not.
  for (const std::string& alarm : policy_->Alarms()) reply.add_not_ready_reasons(alarm);
  reply.set_store_revision(store_plane_->revision());
  for (const bgp::SessionStatus& status : bgp.sessions) {
    v1::BgpSession* session = reply.add_bgp();
    session->set_name(status.name);
    session->set_peer_address(status.peer_address);
    session->set_peer_type(status.peer_type);
    session->set_peer_as(status.peer_as);
    session->set_state(status.state);
    session->set_since(status.since);
    session->set_info(status.info);
    session->set_routes_imported(status.routes_imported);
    session->set_routes_exported(status.routes_exported);
  }
  reply.set_local_endpoints(policy_->feed().local_endpoints());
  reply.set_policies(policy_->feed().policies());
  for (const std::string& line : policy_->feed().set_aside()) reply.add_set_aside(line);
  for (const std::string& line : fields_.refused()) reply.add_set_aside(line);
  for (const std::string& line : fields_.unheeded()) reply.add_unheeded(line);
  reply.set_programs_loaded(dataplane_->programs_loaded());
  reply.set_table_writes(dataplane_->table_writes());
  return reply;
}

absl::StatusOr<v1::WhyReply> Agent::Why(const v1::WhyRequest& request) {
  if (!policy_->committed())
    return absl::UnavailableError(absl::StrJoin(store_plane_->problems(), "; "));
  return queries_->Why(request);
}

absl::StatusOr<v1::StagedPoliciesReply> Agent::StagedPolicies() {
  flows_->Read(absl::Now());
  return flows_->Report(absl::Now());
}

absl::StatusOr<v1::AcceptStoreReply> Agent::AcceptStore() {
  v1::AcceptStoreReply reply;
  reply.set_store(options_.store);
  const std::optional<Doubt> accepted = store_plane_->Accept();
  if (!accepted.has_value()) {
    reply.set_identity(store_plane_->identity());
    return reply;
  }
  reply.set_identity(accepted->identity);
  reply.set_accepted(accepted->why);
  return reply;
}

}  // namespace ripstop::agent
