// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/network_plane.h"

#include <sys/epoll.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "agent/daemon/bgp_model.h"
#include "agent/daemon/network_config.h"
#include "agent/daemon/router_advertisements.h"
#include "agent/netlink/sysctl.h"
#include "policy/status_macros.h"
#include "spdlog/spdlog.h"

namespace ripstop::agent {

absl::StatusOr<std::unique_ptr<NetworkPlane>> NetworkPlane::Create(const Options& options,
                                                                   EventLoop* loop,
                                                                   DataplaneInterface* dataplane) {
  std::unique_ptr<NetworkPlane> plane(new NetworkPlane(options, loop, dataplane));
  RETURN_IF_ERROR(plane->Init());
  return plane;
}

absl::Status NetworkPlane::Init() {
  ASSIGN_OR_RETURN(netlink_, Netlink::Open());
  // Before the host forwards: then it would drop the routes that it has from them.
  RETURN_IF_ERROR(KeepAdvertisements(netlink_.get()));
  RETURN_IF_ERROR(WriteWherePresent(NodeSysctls()));
  ASSIGN_OR_RETURN(monitor_, Monitor::Open());
  kernel_ = std::make_unique<NetlinkRouteKernel>(netlink_.get());
  routes_ = std::make_unique<RouteManager>(kernel_.get());
  tunnel_ = std::make_unique<TunnelPlane>(netlink_.get(), routes_.get(), dataplane_, loop_);
  RETURN_IF_ERROR(loop_->AddFd(monitor_->fd(), EPOLLIN, [this](uint32_t) { ReadMonitor(); }));
  if (options_.bird.empty()) return absl::OkStatus();
  bgp::Supervisor::Options bird;
  bird.run_dir = options_.run_dir;
  bird.bird_path = options_.bird;
  ASSIGN_OR_RETURN(bird_, bgp::Supervisor::Create(bird));
  return loop_->AddFd(bird_->fd(), EPOLLIN, [this](uint32_t) {
    absl::Status status = bird_->HandleEvents();
    bgp_problem_ = status.ok() ? "" : std::string(status.message());
    if (!status.ok()) spdlog::warn("{}", std::string(status.message()));
  });
}

NetworkPlane::~NetworkPlane() {
  if (monitor_ != nullptr) loop_->RemoveFd(monitor_->fd());
  if (bird_ != nullptr) loop_->RemoveFd(bird_->fd());
}

void NetworkPlane::Apply(const ClusterView& cluster) {
  FindUnderlay(cluster);
  ApplyVxlan(cluster);
  ApplyBgp(cluster);
}

void NetworkPlane::FindUnderlay(const ClusterView& cluster) {
  const api::v1::Node* self = cluster.FindNode(options_.node);
  if (self == nullptr) return;
  auto addresses = netlink_->ListAddresses();
  if (!addresses.ok()) {
    spdlog::error("{}", std::string(addresses.status().message()));
    return;
  }
  underlay_.clear();
  for (const auto& wanted : {NodeIpv4(*self), NodeIpv6(*self)}) {
    if (!wanted.has_value()) continue;
    for (const InterfaceAddress& address : *addresses) {
      if (address.address != wanted->address) continue;
      if (std::find(underlay_.begin(), underlay_.end(), address.ifindex) != underlay_.end())
        continue;
      underlay_.push_back(address.ifindex);
      if (auto link = netlink_->GetLink(address.ifindex); link.ok()) underlay_mtu_ = link->mtu;
    }
  }
}

void NetworkPlane::ApplyVxlan(const ClusterView& cluster) {
  tunnel_->Apply(BuildVxlanConfig(cluster, options_.node, underlay_mtu_), underlay_);
  workload_mtu_ = tunnel_->mtu().value_or(underlay_mtu_);
}

void NetworkPlane::ApplyBgp(const ClusterView& cluster) {
  if (bird_ == nullptr) return;
  auto model = BuildBgpModel(cluster, options_.node);
  if (!model.ok()) {
    bgp_problem_ = std::string(model.status().message());
    return;
  }
  model->log_path = bird_->log_path();
  bgp::RenderedConfig rendered = bgp::RenderBirdConfig(*model);
  if (rendered_.has_value() && rendered_->text == rendered.text && bgp_problem_.empty()) return;
  absl::Status status = bird_->Apply(rendered.text);
  // An unavailable BIRD starts with this text by itself.
  bgp_problem_ = status.ok() ? "" : std::string(status.message());
  if (!status.ok()) spdlog::warn("{}", std::string(status.message()));
  rendered_ = std::move(rendered);
}

void NetworkPlane::ReadMonitor() {
  auto events = monitor_->Read();
  if (!events.ok()) {
    spdlog::error("{}", std::string(events.status().message()));
    return;
  }
  tunnel_->HandleEvents(*events);
  if (absl::Status status = routes_->HandleEvents(*events); !status.ok()) {
    spdlog::warn("{}", std::string(status.message()));
  }
  if (on_events_) on_events_(*events);
}

bool NetworkPlane::NeedsAdvertisements(const LinkSettings& settings) const {
  const bool uplink = tunnel_->role(settings.link.index) == InterfaceRole::kUplink;
  return agent::NeedsAdvertisements(settings, uplink, false);
}

bgp::BirdStatus NetworkPlane::BgpStatus() const {
  if (bird_ == nullptr) return {.ready = true, .sessions = {}, .reasons = {}};
  if (!rendered_.has_value()) {
    return {
        .ready = false, .sessions = {}, .reasons = {"BGP: not configured yet: " + bgp_problem_}};
  }
  return bgp::SummarizeBird(*rendered_, bird_->Query());
}

std::vector<std::string> NetworkPlane::problems() const {
  std::vector<std::string> all = tunnel_->problems();
  if (!bgp_problem_.empty()) all.push_back(bgp_problem_);
  return all;
}

}  // namespace ripstop::agent
