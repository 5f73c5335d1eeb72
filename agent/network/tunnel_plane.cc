// SPDX-License-Identifier: Apache-2.0
#include "agent/network/tunnel_plane.h"

#include <algorithm>
#include <chrono>

#include "policy/status_macros.h"
#include "spdlog/spdlog.h"

namespace ripstop::agent {

namespace {

// CrossSubnet has none to nodes of this subnet, nor have nodes without blocks.
std::optional<FirewallScene::Tunnel> EndsOf(const VxlanPlan& plan) {
  if (!plan.device.has_value()) return std::nullopt;
  FirewallScene::Tunnel ends{plan.device->local, {}};
  for (const auto& [node, entries] : plan.entries) {
    for (const RoutingEntry& entry : entries) {
      if (const auto* fdb = std::get_if<FdbEntry>(&entry)) ends.others.push_back(fdb->remote);
    }
  }
  if (ends.others.empty()) return std::nullopt;
  return ends;
}

}  // namespace

TunnelPlane::TunnelPlane(Netlink* netlink, RouteManager* routes, DataplaneInterface* dataplane,
                         EventLoop* loop, std::function<absl::Time()> now)
    : dataplane_(dataplane),
      loop_(loop),
      now_(std::move(now)),
      vxlan_(netlink, routes, [this](uint32_t ifindex) { return Prepare(ifindex); }),
      programs_([netlink] { return netlink->ListLinks(); }, dataplane) {}

absl::Time TunnelPlane::Monotonic() {
  return absl::UnixEpoch() + absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

TunnelPlane::~TunnelPlane() {
  if (timer_.has_value()) loop_->CancelTimer(*timer_);
}

void TunnelPlane::Note(const absl::Status& status) {
  if (status.ok()) return;
  spdlog::error("{}", std::string(status.message()));
  problems_.push_back(std::string(status.message()));
}

absl::Status TunnelPlane::Prepare(uint32_t ifindex) {
  RETURN_IF_ERROR(dataplane_->ConfigureTunnel(port_, ifindex));
  return dataplane_->AttachTunnel(ifindex);
}

void TunnelPlane::Apply(const VxlanConfig& config, const std::vector<uint32_t>& holders) {
  const absl::Time now = now_();
  config_ = config;
  holders_ = holders;
  problems_.clear();
  VxlanPlan plan = PlanVxlan(config);
  unreachable_ = plan.problems;
  mtu_.reset();
  if (plan.device.has_value()) {
    mtu_ = plan.device->mtu;
    lingering_.reset();
  } else if (device_.has_value()) {
    lingering_ = device_;
    linger_until_ = now + OwnerTransitions::kGrace;
  }
  device_ = plan.device;
  ends_ = EndsOf(plan);
  if (lingering_.has_value() && now >= linger_until_) lingering_.reset();
  if (lingering_.has_value()) plan.device = lingering_;

  const loader::Owners owners = transitions_.Apply(PlanOwners(config), now);
  const bool tunnel = plan.device.has_value();
  port_ = tunnel ? plan.device->port : 0;
  Note(dataplane_->ConfigureTunnel(port_, vxlan_.Standing(plan)));
  Note(dataplane_->SetOwners(tunnel ? owners : loader::Owners()));
  Note(dataplane_->SetExternalNodes(tunnel ? config.external_nodes : std::set<policy::Cidr>()));
  ApplyDevice(plan);
  Schedule();
}

HostNetwork TunnelPlane::Network() const {
  return {.holders = {holders_.begin(), holders_.end()},
          .tunnel_ifindex = vxlan_.ifindex(),
          .vxlan = tunnel_,
          .nat = host_nat_ || dataplane_->marks() || dataplane_->masquerades()};
}

void TunnelPlane::SetHostNat(bool on) {
  if (host_nat_ == on) return;
  host_nat_ = on;
  programs_.Apply(Network());
}

void TunnelPlane::ApplyDevice(const VxlanPlan& plan) {
  // A device that an earlier agent left carries packets now: at no moment may it pass for
  // an interface like others, whose packets come natively.
  tunnel_ = plan.device.has_value();
  HostNetwork before = Network();
  before.tunnel_ifindex = vxlan_.Standing(plan);
  programs_.Apply(before);
  Note(vxlan_.Apply(plan));
  if (before == Network()) return;
  programs_.Apply(Network());
  Note(dataplane_->ConfigureTunnel(port_, vxlan_.ifindex()));
}

void TunnelPlane::Schedule() {
  if (timer_.has_value()) loop_->CancelTimer(*timer_);
  timer_.reset();
  absl::Time due = transitions_.due();
  if (lingering_.has_value()) due = std::min(due, linger_until_);
  if (due == absl::InfiniteFuture()) return;
  timer_ =
      loop_->AddTimer(std::max(due - now_(), absl::ZeroDuration()), absl::ZeroDuration(), [this] {
        timer_.reset();
        Apply(VxlanConfig(config_), std::vector<uint32_t>(holders_));
      });
}

void TunnelPlane::HandleEvents(const std::vector<MonitorEvent>& events) {
  const uint32_t before = vxlan_.ifindex();
  if (absl::Status status = vxlan_.HandleEvents(events); !status.ok()) {
    spdlog::warn("{}", std::string(status.message()));
  }
  programs_.HandleEvents(events);
  if (vxlan_.ifindex() != before) Apply(VxlanConfig(config_), std::vector<uint32_t>(holders_));
}

std::vector<std::string> TunnelPlane::problems() const {
  std::vector<std::string> all = unreachable_;
  all.insert(all.end(), problems_.begin(), problems_.end());
  const std::vector<std::string> programs = programs_.problems();
  all.insert(all.end(), programs.begin(), programs.end());
  return all;
}

}  // namespace ripstop::agent
