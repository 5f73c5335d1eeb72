// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/agent.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agent/daemon/network_config.h"
#include "api/store/open.h"
#include "policy/status_macros.h"
#include "spdlog/spdlog.h"

namespace ripstop::agent {
namespace {

constexpr absl::Duration kStoreBackOffMin = absl::Milliseconds(100);
constexpr absl::Duration kStoreBackOffMax = absl::Seconds(10);
constexpr absl::Duration kHousekeepingPeriod = absl::Seconds(10);

void LogUnlessOk(const absl::Status& status) {
  if (!status.ok()) spdlog::warn("{}", std::string(status.message()));
}

void DescribeHostNat(const HostNat& nat, const DataplaneInterface& dataplane,
                     v1::StatusReply& reply) {
  v1::HostNat& description = *reply.mutable_host_nat();
  description.set_mode(NameOf(nat.mode()));
  description.set_on(nat.on());
  for (const std::string& rules : nat.found()) description.add_found(rules);
  description.set_mark_mask(nat.mark_mask());
  for (const std::string& user : nat.mark_users()) description.add_mark_users(user);
  if (nat.on()) description.set_addresses_without_number(dataplane.addresses_without_number());
  for (const std::string& problem : nat.problems()) reply.add_not_ready_reasons(problem);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Agent>> Agent::Create(const Options& options, EventLoop* loop) {
  std::unique_ptr<Agent> agent(new Agent(options, loop));
  RETURN_IF_ERROR(agent->Init());
  return agent;
}

Agent::~Agent() {
  // Callers on other threads first: they would find a half-destroyed agent.
  service_.reset();
  if (sync_ != nullptr && sync_->fd() >= 0) loop_->RemoveFd(sync_->fd());
  if (dataplane_ != nullptr) loop_->RemoveFd(dataplane_->events_fd());
}

absl::Status Agent::Lock() {
  const std::string path = options_.run_dir + "/agent.lock";
  std::error_code error;
  std::filesystem::create_directories(options_.run_dir, error);
  lock_ = UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock_.ok()) return absl::ErrnoToStatus(errno, path);
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::AlreadyExistsError(
        absl::StrCat(path, ": held by another agent; give this one its own --run-dir"));
  }
  return absl::OkStatus();
}

absl::Status Agent::Init() {
  RETURN_IF_ERROR(Lock());
  DataplaneOptions dataplane;
  dataplane.pin_dir = options_.bpffs;
  dataplane.mark_mask = options_.mark_mask;
  ASSIGN_OR_RETURN(dataplane_, Dataplane::Open(dataplane));
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
  ASSIGN_OR_RETURN(network_, NetworkPlane::Create(options_, loop_, dataplane_.get()));
  shaping_ = std::make_unique<Shaping>(network_->netlink(), dataplane_.get());
  network_->OnEvents([this](const std::vector<MonitorEvent>& events) {
    shaping_->HandleEvents(events);
    if (endpoints_ != nullptr) endpoints_->HandleEvents(events);
  });
  ASSIGN_OR_RETURN(host_nat_, HostNat::Create(options_.host_nat, options_.mark_mask, loop_, [this] {
                     if (in_sync_) ApplyHostNat();
                   }));
  loop_->AddTimer(kHousekeepingPeriod, kHousekeepingPeriod, [this] { Housekeeping(); });
  store_back_off_ = kStoreBackOffMin;
  OpenStore();
  return absl::OkStatus();
}

// ---- the store ----

void Agent::OpenStore() {
  if (absl::Status status = OpenWatch(); !status.ok()) {
    RetryStore(status);
    return;
  }
  store_back_off_ = kStoreBackOffMin;
  absl::Status added = loop_->AddFd(sync_->fd(), EPOLLIN, [this](uint32_t) { ReadStore(); });
  if (!added.ok()) RetryStore(added);
}

absl::Status Agent::OpenWatch() {
  if (store_ == nullptr) {
    ASSIGN_OR_RETURN(store_, api::OpenStore(options_.store));
    ipam_ = std::make_unique<Ipam>(store_.get(), options_.node);
    workloads_ =
        std::make_unique<Workloads>(options_.node, policy_.get(), dataplane_.get(), store_.get());
    EndpointManagerOptions endpoints;
    endpoints.state_directory = options_.state_dir + "/endpoints";
    endpoints_ = std::make_unique<EndpointManager>(endpoints, network_->netlink(), ipam_.get(),
                                                   network_->routes(), workloads_.get());
    StoreSink* const sink = this;
    sync_ = std::make_unique<StoreSync>(store_.get(), sink);
  }
  if (service_ == nullptr) {
    RETURN_IF_ERROR(ipam_->Load());
    RETURN_IF_ERROR(endpoints_->Load());
    // Before the store is read, so that what it says of these pods comes after.
    RETURN_IF_ERROR(workloads_->Restore(endpoints_->endpoints()));
    AgentApi* const api = this;
    ASSIGN_OR_RETURN(service_, Service::Start(options_.socket, loop_, endpoints_.get(), api));
  }
  return sync_->Open();
}

void Agent::RetryStore(const absl::Status& why) {
  store_problem_ = absl::StrCat("store ", options_.store, ": ", std::string(why.message()));
  spdlog::warn("{}; trying again in {}", store_problem_, absl::FormatDuration(store_back_off_));
  loop_->AddTimer(store_back_off_, absl::ZeroDuration(), [this] { OpenStore(); });
  store_back_off_ = std::min(store_back_off_ * 2, kStoreBackOffMax);
}

void Agent::ReadStore() {
  const int fd = sync_->fd();
  if (absl::Status status = sync_->Read(); !status.ok()) {
    loop_->RemoveFd(fd);
    RetryStore(status);
  }
  Settle();
}

void Agent::OnPut(const api::StoredResource& stored) {
  if (stored.key.kind == kIpamBlockKind) {
    NoteBlock(stored);
    return;
  }
  const auto resource = policy_->feed().PutStored(stored);
  if (!resource.ok()) return;
  network_changed_ |= NoteNetwork(*resource);
  const auto* host = resource->As<api::v1::HostEndpoint>();
  if (host != nullptr && host->spec().node() == options_.node) {
    spdlog::warn(
        "HostEndpoint {}: policies know its addresses, but none is enforced at its interface "
        "\"{}\": this version attaches to workloads only",
        resource->name(), host->spec().interface_name());
  }
}

// Whether the resource bears on routes, BGP or IPAM; keeps it in the view if so.
bool Agent::NoteNetwork(const api::Resource& resource) {
  const std::string& name = resource.name();
  if (const auto* node = resource.As<api::v1::Node>()) {
    cluster_.nodes[name] = *node;
  } else if (const auto* pool = resource.As<api::v1::IPPool>()) {
    cluster_.pools[name] = *pool;
  } else if (const auto* configuration = resource.As<api::v1::BGPConfiguration>()) {
    cluster_.bgp_configurations[name] = *configuration;
  } else if (const auto* peer = resource.As<api::v1::BGPPeer>()) {
    cluster_.bgp_peers[name] = *peer;
  } else {
    return false;
  }
  return true;
}

void Agent::NoteBlock(const api::StoredResource& stored) {
  auto block = Block::Decode(stored);
  if (!block.ok()) {
    policy_->feed().SetAside(stored.key, block.status());
    return;
  }
  BlockView view{block->cidr(), block->affinity(), block->Borrowed()};
  // Each allocation rewrites its block; only a new owner or borrower is news here.
  BlockView& known = cluster_.blocks[stored.key.name];
  if (known == view) return;
  known = std::move(view);
  network_changed_ = true;
}

void Agent::OnDelete(const api::ResourceKey& key) {
  if (key.kind == kIpamBlockKind) {
    network_changed_ |= cluster_.blocks.erase(key.name) > 0;
    return;
  }
  if (key.kind == api::kKindNode) network_changed_ |= cluster_.nodes.erase(key.name) > 0;
  if (key.kind == api::kKindIPPool) network_changed_ |= cluster_.pools.erase(key.name) > 0;
  if (key.kind == api::kKindBGPConfiguration) {
    network_changed_ |= cluster_.bgp_configurations.erase(key.name) > 0;
  }
  if (key.kind == api::kKindBGPPeer) network_changed_ |= cluster_.bgp_peers.erase(key.name) > 0;
  policy_->feed().Delete(key);
}

void Agent::OnSynced(int64_t) {
  synced_once_ = true;
  store_problem_.clear();
}

// ---- bringing the kernel to what is wanted ----

void Agent::Settle() {
  if (!synced_once_) return;
  absl::Status status = policy_->Flush();
  policy_problem_ = status.ok() ? "" : std::string(status.message());
  if (!status.ok()) spdlog::error("policy: {}", std::string(status.message()));
  std::vector<std::string> alarms = policy_->engine().Alarms();
  if (alarms != alarms_) {
    for (const std::string& alarm : alarms) spdlog::error("policy: {}", alarm);
    alarms_ = std::move(alarms);
  }
  if (network_changed_ || !in_sync_) {
    network_changed_ = false;
    LogUnlessOk(ipam_->SetConfig(BuildIpamConfig(cluster_, options_.node)));
    network_->Apply(cluster_);
    endpoints_->set_default_mtu(network_->workload_mtu());
    settings_.host_mac = kHostMac.bytes;
    ApplyHostNat();
  }
  WatchFlows();
  if (!in_sync_ && policy_->committed()) {
    LogUnlessOk(FirstSync());
    in_sync_ = true;
    spdlog::info("in sync with the store at revision {}: {} policies, {} local endpoints",
                 sync_->revision(), policy_->feed().policies(), policy_->feed().local_endpoints());
  }
}

// Each new flow is an event only while there is something to compare it with.
void Agent::WatchFlows() {
  flows_->Changed(policy_->feed().TakeStagedChanges());
  const bool watch = policy_->staged().active();
  if (settings_.watch_flows == watch) return;
  settings_.watch_flows = watch;
  LogUnlessOk(dataplane_->Configure(settings_));
}

// Programs at all interfaces first: then packets may wait for their verdict.
void Agent::ApplyHostNat() {
  network_->SetHostNat(host_nat_->on());
  settings_.host_nat = host_nat_->on();
  const absl::Status status = dataplane_->Configure(settings_);
  host_nat_problem_ = status.ok() ? "" : absl::StrCat("settings: ", std::string(status.message()));
  LogUnlessOk(status);
}

absl::Status Agent::FirstSync() {
  workloads_->Reattach(endpoints_->endpoints());
  shaping_->Compare();
  return network_->Reconcile();
}

void Agent::Housekeeping() {
  LogUnlessOk(dataplane_->SweepFlows().status());
  flows_->Tick(absl::Now());
  shaping_->Retry();
  if (endpoints_ != nullptr) LogUnlessOk(endpoints_->RetryReleases());
  if (!policy_problem_.empty()) Settle();
}

// ---- questions ----

absl::StatusOr<v1::StatusReply> Agent::Status() {
  v1::StatusReply reply;
  reply.set_node(options_.node);
  reply.set_version(RIPSTOP_VERSION);
  const bgp::BirdStatus bgp = network_->BgpStatus();
  reply.set_ready(in_sync_ && store_problem_.empty() && policy_problem_.empty() &&
                  host_nat_problem_.empty() && bgp.ready);
  for (const std::string* problem : {&store_problem_, &policy_problem_, &host_nat_problem_}) {
    if (!problem->empty()) reply.add_not_ready_reasons(*problem);
  }
  for (const std::string& reason : bgp.reasons) reply.add_not_ready_reasons(reason);
  for (const std::string& problem : shaping_->problems()) reply.add_not_ready_reasons(problem);
  for (const std::string& problem : network_->problems()) reply.add_not_ready_reasons(problem);
  // Endpoints that are denied because a table is full: the node serves, those do not.
  for (const std::string& alarm : policy_->engine().Alarms()) reply.add_not_ready_reasons(alarm);
  reply.set_store_revision(sync_ == nullptr ? 0 : sync_->revision());
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
  reply.set_programs_loaded(dataplane_->programs_loaded());
  reply.set_table_writes(dataplane_->table_writes());
  DescribeHostNat(*host_nat_, *dataplane_, reply);
  return reply;
}

absl::StatusOr<v1::WhyReply> Agent::Why(const v1::WhyRequest& request) {
  if (!policy_->committed()) return absl::UnavailableError(store_problem_);
  return queries_->Why(request);
}

absl::StatusOr<v1::StagedPoliciesReply> Agent::StagedPolicies() {
  flows_->Read(absl::Now());
  return flows_->Report(absl::Now());
}

}  // namespace ripstop::agent
