// SPDX-License-Identifier: Apache-2.0
//
// Bringing kernel and store to what is wanted.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agent/base/logging.h"
#include "agent/daemon/agent.h"
#include "agent/network/network_config.h"
#include "policy/status_macros.h"

namespace ripstop::agent {

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
    ApplyFelix();
    network_->Apply(cluster_, felix_);
    endpoints_->set_default_mtu(network_->workload_mtu());
    settings_.host_mac = kHostMac.bytes;
    ApplyHostNat();
  }
  flows_->Changed(policy_->feed().TakeStagedChanges());
  SetWatching();
  if (republish_ && compared_ && store_plane_->in_sync()) {
    const absl::Status status = workloads_->Republish(endpoints_->endpoints());
    LogUnlessOk(status);
    republish_ = !status.ok();
  }
  if (!in_sync_ && policy_->committed()) {
    LogUnlessOk(FirstSync());
    in_sync_ = true;
  }
}

// What the network does not go by; the options come before the documents.
void Agent::ApplyFelix() {
  FelixSettings settings = FelixSettingsOf(cluster_, options_.node);
  // An agent that has just started finds the times of its predecessor in the kernel.
  if (in_sync_ && settings == felix_) return;
  dataplane_->SetTimeouts(settings.timeouts);
  const LogRate rate = settings.log_rate.value_or(LogRate{});
  flow_log_->SetRate(rate.interval, rate.burst);
  settings_.reject_denied = settings.reject_denied;
  if (options_.log_level.empty() && settings.log_level != felix_.log_level) {
    LogUnlessOk(SetLogLevel(settings.log_level.empty() ? kUsualLogLevel : settings.log_level));
  }
  felix_ = std::move(settings);
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
  const bool news = network_changed_ || hold_again_ || ipam_->lost();
  if (store_plane_->in_sync() && compared_ && news) LogUnlessOk(SettleStored());
}

// What this node has to say of them, to a store that is believed.
absl::Status Agent::SettleStored() {
  // First what pods have, then what nobody needs.
  if (std::exchange(hold_again_, false)) RETURN_IF_ERROR(HoldAddresses());
  RETURN_IF_ERROR(ipam_->HoldLost());
  RETURN_IF_ERROR(ipam_->GiveBackIdle(absl::Now()));
  return pools_->Settle([this](const policy::Cidr& pool) {
    const std::vector<Allocation> ours = ipam_->Allocations();
    return std::any_of(ours.begin(), ours.end(),
                       [&pool](const Allocation& one) { return pool.Contains(one.address); });
  });
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
      const bool taken = absl::IsAlreadyExists(held);
      if (!taken) unasked = held;
      address_conflicts_.push_back(absl::StrCat("pod ", owner.pod_namespace, "/", owner.pod_name,
                                                ": ", std::string(held.message()),
                                                taken ? "; delete one of the two pods" : ""));
      spdlog::error("{}", address_conflicts_.back());
    }
  }
  return unasked;
}

constexpr absl::Duration kSweepAgain = absl::Seconds(1);

void Agent::ReadFlows() {
  constexpr absl::Duration kAgain = absl::Milliseconds(50);
  static_assert(kAgain > absl::Nanoseconds(EVENT_WAKE_NS));
  // What was found may be followed by more of which nobody is told for a while (EVENT_WAKE_NS). A
  // reading that finds nothing leaves the one that is promised.
  if (flows_->Read(absl::Now())) {
    loop_->CancelTimer(read_again_);
    read_again_ = loop_->AddTimer(kAgain, absl::ZeroDuration(), [this] { ReadFlows(); });
  }
  if (settings_.watch_closed) SetWatching();
}

// Each flow is an event only while somebody watches, or there is something to compare it with.
void Agent::SetWatching() {
  const bool watched = flows_->watchers().any();
  const bool all = watched || policy_->staged().active();
  if (settings_.watch_flows == all && settings_.watch_closed == watched) return;
  settings_.watch_flows = all;
  settings_.watch_closed = watched;
  LogUnlessOk(dataplane_->Configure(settings_));
  flow_keeper_->set_watched(watched);
  // Whoever comes and goes all the time has the table swept no oftener than one who stays.
  loop_->CancelTimer(sweep_);
  const absl::Duration wait = swept_ + kSweepAgain - absl::Now();
  if (wait <= absl::ZeroDuration() || wait > kSweepAgain) return SweepFlows();
  sweep_ = loop_->AddTimer(wait, absl::ZeroDuration(), [this] { SweepFlows(); });
}

// Programs at all interfaces first: then packets may wait for their verdict.
void Agent::ApplyHostNat() {
  network_->SetHostNat(host_nat_->on());
  settings_.host_nat = host_nat_->on();
  const absl::Status status = dataplane_->Configure(settings_);
  host_nat_problem_ = status.ok() ? "" : absl::StrCat("settings: ", std::string(status.message()));
  LogUnlessOk(status);
  SettleFirewall();
}

// Programs of an agent of another layout go on until all that ours go by is there. Flows are whole
// after that only, and unknown ones unknown.
void Agent::TakeOver() {
  absl::Status status = dataplane_->TakeOver();
  if (status.ok()) status = AdoptFlows();
  handover_problem_ =
      status.ok() ? "" : absl::StrCat("taking over: ", std::string(status.message()));
  LogUnlessOk(status);
}

absl::Status Agent::AdoptFlows() {
  ASSIGN_OR_RETURN(const uint64_t lost, dataplane_->FinishAdoption());
  if (lost > 0) spdlog::warn("flow table: {} flows had no room in the smaller one", lost);
  settings_.reset_unknown = options_.tcp_mid_stream == TcpMidStream::kReset;
  return dataplane_->Configure(settings_);
}

absl::Status Agent::FirstSync() {
  workloads_->Reattach(endpoints_->endpoints());
  shaping_->Compare();
  TakeOver();
  // Ready is said only once this node's interfaces have been looked at.
  guard_->Check();
  return network_->Reconcile();
}

void Agent::SweepFlows() {
  swept_ = absl::Now();
  LogUnlessOk(flow_keeper_->Sweep());
  sweep_ = loop_->AddTimer(flow_keeper_->period(), absl::ZeroDuration(), [this] { SweepFlows(); });
  if (!settings_.watch_closed) return;
  flows_->Tick(absl::Now());
  SetWatching();
}

void Agent::VisitGuarded(const NodeGuard::Visitor& visit) const {
  const TunnelPlane& tunnel = network_->tunnel();
  if (tunnel.ifindex() != 0) {
    visit({tunnel.ifindex(), "the tunnel", VxlanSysctls(tunnel.device())});
  }
  if (endpoints_ == nullptr) return;
  endpoints_->ForEachReady([&](const LocalEndpoint& e) {
    visit({e.ifindex, absl::StrCat("pod ", e.pod_namespace, "/", e.pod_name),
           HostVethSysctls(e.host_interface)});
  });
}

void Agent::Housekeeping() {
  if (endpoints_ != nullptr) {
    for (const std::string& path : endpoints_->RestoreFiles()) {
      ++file_repairs_.count;
      file_repairs_.last = absl::StrCat(path, " was changed by somebody; written again");
      spdlog::warn("put back: {}", file_repairs_.last);
    }
  }
  flows_->Tick(absl::Now());
  ReadFlows();
  network_->RefreshSecrets();
  shaping_->Retry();
  store_plane_->Housekeeping();
  if (!host_nat_problem_.empty()) ApplyHostNat();
  if (!handover_problem_.empty()) TakeOver();
  SettleFirewall();
  // What a pod's ADD or DEL could not write, and what the store lost. Before anything whole is
  // known there is nothing to go by: half a cluster has no tunnel and no peers.
  const bool owed = policy_->broken() || !policy_problem_.empty() || ipam_->lost() || republish_;
  if (policy_->whole() && owed) Settle();
}

}  // namespace ripstop::agent
