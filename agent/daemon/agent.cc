// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/agent.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "agent/base/logging.h"
#include "agent/cni/cni_service.h"
#include "agent/network/network_config.h"
#include "agent/network/node_identity.h"
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

// Folders of this node's agent are nobody else's, also when they were made otherwise.
absl::Status MakePrivateFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (::chmod(path.c_str(), 0700) != 0)
    return absl::ErrnoToStatus(errno, absl::StrCat("folder ", path));
  return absl::OkStatus();
}

// A predecessor that was killed holds its locks until the kernel is done with it.
constexpr absl::Duration kExiting = absl::Seconds(5);

absl::Status LockAlone(int fd, absl::string_view path, absl::string_view option) {
  const absl::Time deadline = absl::Now() + kExiting;
  for (bool told = false; ::flock(fd, LOCK_EX | LOCK_NB) != 0; told = true) {
    if (!told) spdlog::info("{}: another agent has it; waiting for its end", std::string(path));
    if (absl::Now() > deadline) {
      return absl::AlreadyExistsError(
          absl::StrCat(path, ": held by another agent; give this one its own ", option));
    }
    absl::SleepFor(absl::Milliseconds(50));
  }
  return absl::OkStatus();
}

// Two agents in one network would each undo the other's routes, whatever folders they have. The
// name of a socket that is in no file system is its network namespace's (unix(7)).
absl::StatusOr<UniqueFd> LockNetwork() {
  constexpr char kName[] = "\0ripstop-agent";
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  std::memcpy(address.sun_path, kName, sizeof(kName) - 1);
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + sizeof(kName) - 1);
  UniqueFd lock(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!lock.ok()) return absl::ErrnoToStatus(errno, "lock the network namespace");
  const absl::Time deadline = absl::Now() + kExiting;
  while (::bind(lock.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) {
    if (errno != EADDRINUSE) return absl::ErrnoToStatus(errno, "lock the network namespace");
    if (absl::Now() > deadline) {
      return absl::AlreadyExistsError(
          "another ripstop-agent runs in this network namespace, and two would undo each other's "
          "routes; end it first");
    }
    absl::SleepFor(absl::Milliseconds(50));
  }
  return lock;
}

absl::StatusOr<UniqueFd> LockFolder(const std::string& path, absl::string_view option) {
  UniqueFd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.ok()) return absl::ErrnoToStatus(errno, path);
  RETURN_IF_ERROR(LockAlone(folder.get(), path, option));
  return folder;
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
  RETURN_IF_ERROR(LockAlone(lock_.get(), path, "--run-dir"));
  ASSIGN_OR_RETURN(state_lock_, LockFolder(options_.state_dir, "--state-dir"));
  return absl::OkStatus();
}

// Maps and links are one agent's: another would empty them under it.
absl::Status Agent::LockPins() {
  std::error_code error;
  std::filesystem::create_directories(options_.bpffs, error);
  ASSIGN_OR_RETURN(pins_lock_, LockFolder(options_.bpffs, "--bpffs"));
  ASSIGN_OR_RETURN(network_lock_, LockNetwork());
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
    RETURN_IF_ERROR(LockPins());
    DataplaneOptions dataplane;
    dataplane.pin_dir = options_.bpffs;
    dataplane.mark_mask = options_.mark_mask;
    dataplane.sizes.flows = options_.flow_table_entries != 0 ? options_.flow_table_entries
                                                             : FlowTableEntriesFor(UsableMemory());
    ASSIGN_OR_RETURN(dataplane_, Dataplane::Open(dataplane));
  }
  flow_keeper_ = std::make_unique<FlowKeeper>(dataplane_.get());
  // What an earlier agent left unread names rules of its own.
  (void)dataplane_->TakeEvents();
  policy_ = std::make_unique<PolicyPlane>(options_.node, dataplane_.get());
  RETURN_IF_ERROR(policy_->Begin());
  ASSIGN_OR_RETURN(flow_log_, FlowLog::Open(options_.flow_log));
  flows_ = std::make_unique<FlowWatch>(policy_.get(), dataplane_.get(), flow_log_.get());
  RETURN_IF_ERROR(
      loop_->AddFd(dataplane_->events_fd(), EPOLLIN, [this](uint32_t) { ReadFlows(); }));
  policy_->BeforeFlush([this] { ReadFlows(); });
  // Whoever was woken for what is there may have been an earlier agent.
  loop_->AddTimer(absl::ZeroDuration(), absl::ZeroDuration(), [this] { ReadFlows(); });
  queries_ = std::make_unique<Queries>(policy_.get(), dataplane_.get());
  flow_queries_ = std::make_unique<FlowQueries>(policy_.get(), dataplane_.get());
  probe_ = std::make_unique<ProbeQueries>(policy_.get(), dataplane_.get(), queries_.get(),
                                          &flows_->drops(), loop_);
  tracer_ = std::make_unique<PacketTracer>(policy_.get(), dataplane_.get(), loop_);
  const NetworkOptions network = {options_.node, options_.run_dir, options_.bird,
                                  options_.secrets_dir};
  ASSIGN_OR_RETURN(network_, NetworkPlane::Create(network, loop_, dataplane_.get()));
  shaping_ = std::make_unique<Shaping>(network_->netlink(), dataplane_.get());
  network_->OnEvents([this](const std::vector<MonitorEvent>& events) {
    shaping_->HandleEvents(events);
    if (endpoints_ == nullptr) return;
    endpoints_->set_default_mtu(network_->workload_mtu());
    endpoints_->HandleEvents(events);
  });
  ASSIGN_OR_RETURN(host_nat_, HostNat::Create(options_.host_nat, options_.mark_mask, loop_, [this] {
                     if (in_sync_) ApplyHostNat();
                   }));
  firewall_ = std::make_unique<HostFirewall>(loop_, [this] { LogFirewall(); });
  host_ = std::make_unique<NetlinkHost>(network_->netlink());
  guard_ =
      std::make_unique<NodeGuard>(host_.get(), dataplane_.get(),
                                  [this](const NodeGuard::Visitor& visit) { VisitGuarded(visit); });
  guard_->set_node_settings(NodeSysctls());
  guard_->set_advertised(
      [this](const LinkSettings& settings) { return network_->NeedsAdvertisements(settings); });
  loop_->AddTimer(NodeGuard::kPeriod, NodeGuard::kPeriod, [this] { guard_->Check(); });
  SweepFlows();
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
    if (store_plane_->in_sync() && !ipam_->lost()) LogUnlessOk(ipam_->GiveBackIdle(absl::Now()));
  });
  RETURN_IF_ERROR(ServePlugin());
  AgentApi* const api = this;
  ASSIGN_OR_RETURN(service_, Service::Start(options_.socket, loop_, api));
  return absl::OkStatus();
}

absl::Status Agent::ServePlugin() {
  CniServerOptions options;
  options.path = options_.cni_socket;
  if (options.path.empty()) {
    options.path = std::filesystem::path(options_.socket).replace_filename("cni.sock").string();
  }
  auto service = std::make_shared<CniService>(endpoints_.get(), [this]() -> absl::Status {
    if (in_sync_ && store_plane_->in_sync()) return absl::OkStatus();
    const std::vector<std::string> problems = store_plane_->problems();
    return absl::UnavailableError(problems.empty() ? "policy is not in force yet"
                                                   : absl::StrJoin(problems, "; "));
  });
  ASSIGN_OR_RETURN(cni_, CniServer::Start(options, loop_, [service](const v1::CniCall& call) {
                     return service->Handle(call);
                   }));
  return absl::OkStatus();
}

}  // namespace ripstop::agent
