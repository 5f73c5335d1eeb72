// SPDX-License-Identifier: Apache-2.0
#include "agent/network/network_plane.h"

#include <sys/epoll.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agent/netlink/sysctl.h"
#include "agent/network/bgp_model.h"
#include "agent/network/network_config.h"
#include "agent/network/router_advertisements.h"
#include "policy/status_macros.h"
#include "spdlog/spdlog.h"

namespace ripstop::agent {
namespace {

// What a question of the operator waits for BIRD's answer: it has one within a millisecond or two.
constexpr absl::Duration kBirdPatience = absl::Milliseconds(300);

constexpr char kLocalPorts[] = "net/ipv4/ip_local_port_range";
// Of networks that answer everywhere (RFC 7534), so no route of a host's own leads there.
constexpr char kAnywhereV4[] = "192.175.48.1", kAnywhereV6[] = "2620:4f:8000::1";

}  // namespace

absl::StatusOr<std::unique_ptr<NetworkPlane>> NetworkPlane::Create(const NetworkOptions& options,
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
  ASSIGN_OR_RETURN(route_watch_, RouteWatch::Open());
  kernel_ = std::make_unique<NetlinkRouteKernel>(netlink_.get());
  routes_ = std::make_unique<RouteManager>(kernel_.get());
  tunnel_ = std::make_unique<TunnelPlane>(netlink_.get(), routes_.get(), dataplane_, loop_);
  RETURN_IF_ERROR(loop_->AddFd(monitor_->fd(), EPOLLIN, [this](uint32_t) { ReadMonitor(); }));
  RETURN_IF_ERROR(loop_->AddFd(route_watch_->fd(), EPOLLIN, [this](uint32_t) {
    const absl::StatusOr<bool> changed = route_watch_->Changed();
    if (!changed.ok()) spdlog::warn("{}", std::string(changed.status().message()));
    if (changed.ok() && !*changed) return;
    dataplane_->RoutesChanged();
    if (cluster_ != nullptr) ApplyMasquerade(*cluster_);
  }));
  ASSIGN_OR_RETURN(const std::string local_ports, ReadSysctl(kLocalPorts));
  ASSIGN_OR_RETURN(nat_ports_, NatPortsBeside(local_ports));
  if (options_.bird.empty()) return absl::OkStatus();
  bgp::Supervisor::Options bird;
  bird.run_dir = options_.run_dir;
  bird.bird_path = options_.bird;
  ASSIGN_OR_RETURN(bird_, BirdWorker::Create(bird, loop_, [this](const absl::Status& status) {
                     bgp_problem_ = status.ok() ? "" : std::string(status.message());
                     if (!status.ok()) spdlog::warn("{}", std::string(status.message()));
                   }));
  if (secrets_.fd() < 0) return absl::OkStatus();
  return loop_->AddFd(secrets_.fd(), EPOLLIN, [this](uint32_t) {
    secrets_.TakeEvents();
    RefreshSecrets();
  });
}

NetworkPlane::~NetworkPlane() {
  if (route_watch_ != nullptr) loop_->RemoveFd(route_watch_->fd());
  if (monitor_ != nullptr) loop_->RemoveFd(monitor_->fd());
  if (secrets_.fd() >= 0) loop_->RemoveFd(secrets_.fd());
}

void NetworkPlane::RefreshSecrets() {
  if (cluster_ != nullptr && secrets_.HaveChanged()) ApplyBgp(*cluster_);
}

void NetworkPlane::Apply(const ClusterView& cluster, const FelixSettings& settings) {
  cluster_ = &cluster;
  tunnel_settings_ = settings.tunnel;
  if (mtu_interfaces_.text() != settings.mtu_interfaces) {
    mtu_interfaces_ = InterfacePattern(settings.mtu_interfaces);
  }
  nat_settings_ = settings.nat;
  FindUnderlay(cluster);
  // First it says whether all interfaces are exits, then which they are.
  ApplyMasquerade(cluster);
  ApplyVxlan(cluster);
  ApplyMasquerade(cluster);
  ApplyBgp(cluster);
}

void NetworkPlane::FindUnderlay(const ClusterView& cluster) {
  const api::v1::Node* self = cluster.FindNode(options_.node);
  if (self == nullptr) return;
  const auto addresses = netlink_->ListAddresses();
  const auto links = netlink_->ListLinks();
  for (const absl::Status& status : {addresses.status(), links.status()}) {
    if (status.ok()) continue;
    spdlog::error("{}", std::string(status.message()));
    return;
  }
  addresses_ = CheckNodeAddresses(cluster, options_.node, *addresses);
  std::vector<policy::Address> own;
  for (const auto& one : {NodeIpv4(*self), NodeIpv6(*self)}) {
    if (one.has_value()) own.push_back(one->address);
  }
  underlay_ = agent::FindUnderlay(own, *addresses, *links, mtu_interfaces_);
  const bool none = std::none_of(links->begin(), links->end(), [this](const Link& link) {
    return mtu_interfaces_.Matches(link.name);
  });
  mtu_problem_ =
      none && !mtu_interfaces_.empty()
          ? absl::StrCat("FelixConfiguration: spec.mtuIfacePattern ", mtu_interfaces_.text(),
                         " matches no interface of this node; its MTU is that of the "
                         "interfaces that hold the node's addresses")
          : "";
}

NatHost NetworkPlane::AskNatHost(const ClusterView& cluster) {
  NatHost host;
  host.ports = nat_ports_;
  if (const api::v1::Node* self = cluster.FindNode(options_.node)) {
    if (const auto one = NodeIpv4(*self)) host.node.v4 = one->address;
    if (const auto one = NodeIpv6(*self)) host.node.v6 = one->address;
  }
  for (const uint32_t ifindex : tunnel_->exits()) {
    loader::Exit& exit = host.exits[ifindex];
    for (const auto& [to, ret] : {std::pair{kAnywhereV4, &exit.v4}, {kAnywhereV6, &exit.v6}}) {
      const auto source = netlink_->SourceTowards(policy::Address::Parse(to).value(), ifindex);
      if (!source.ok()) masquerade_problems_.push_back(std::string(source.status().message()));
      if (source.ok()) *ret = *source;
    }
    if (exit.v4.has_value() && exit.v6.has_value()) continue;
    // No way to anywhere, but to somewhere: then the first that it has.
    const auto addresses = netlink_->ListAddresses(ifindex);
    if (!addresses.ok()) continue;  // gone
    for (const InterfaceAddress& one : *addresses) {
      auto& address = one.address.is_v4() ? exit.v4 : exit.v6;
      if (one.scope == RT_SCOPE_UNIVERSE && !address.has_value()) address = one.address;
    }
  }
  return host;
}

// A node without masqueraded pools is asked nothing.
void NetworkPlane::ApplyMasquerade(const ClusterView& cluster) {
  const bool any = std::any_of(cluster.pools.begin(), cluster.pools.end(),
                               [](const auto& pool) { return pool.second.spec().nat_outgoing(); });
  masquerade_problems_.clear();
  if (!any && !dataplane_->masquerades()) return;
  const NatHost host = AskNatHost(cluster);
  MasqueradePlan plan = PlanMasquerade(cluster, nat_settings_, host);
  masquerade_problems_.insert(masquerade_problems_.end(), plan.problems.begin(),
                              plan.problems.end());
  if (masquerade_ == plan.tables) return;
  const absl::Status status = dataplane_->SetMasquerade(plan.tables);
  masquerade_.reset();
  if (status.ok()) {
    masquerade_ = std::move(plan.tables);
    return;
  }
  spdlog::error("{}", std::string(status.message()));
  masquerade_problems_.push_back(std::string(status.message()));
}

// Pods bring addresses of the link only.
bool NetworkPlane::ConcernsExits(const std::vector<MonitorEvent>& events) const {
  if (masquerade_.has_value() && tunnel_->exits().size() != masquerade_->exits.size()) return true;
  return std::any_of(events.begin(), events.end(), [this](const MonitorEvent& event) {
    if (std::holds_alternative<ResyncEvent>(event)) return true;
    if (const auto* link = std::get_if<LinkEvent>(&event))
      return tunnel_->role(link->link.index) != InterfaceRole::kNone;
    const auto* address = std::get_if<AddressEvent>(&event);
    return address != nullptr && address->address.scope == RT_SCOPE_UNIVERSE;
  });
}

void NetworkPlane::ApplyVxlan(const ClusterView& cluster) {
  const uint32_t mtu = underlay_.mtu();
  tunnel_->Apply(BuildVxlanConfig(cluster, options_.node, mtu, tunnel_settings_),
                 underlay_.holders);
  workload_mtu_ = tunnel_->mtu().value_or(mtu);
}

void NetworkPlane::ApplyBgp(const ClusterView& cluster) {
  if (bird_ == nullptr) return;
  secrets_.Begin();
  auto model = BuildBgpModel(
      cluster, options_.node,
      [this](const std::string& name, const std::string& key) { return secrets_.Read(name, key); });
  bgp_model_problem_ = model.ok() ? "" : std::string(model.status().message());
  if (!model.ok()) return;
  model->log_path = bird_->log_path();
  bgp::RenderedConfig rendered = bgp::RenderBirdConfig(*model);
  const bool same = rendered_.has_value() && rendered_->text == rendered.text;
  if (!same) bird_->Apply(rendered.text);
  rendered_ = std::move(rendered);  // what is left out may differ where the text does not
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
  if (cluster_ != nullptr && ConcernsUnderlay(*events)) {
    FindUnderlay(*cluster_);
    ApplyVxlan(*cluster_);
  }
  if (cluster_ != nullptr && ConcernsExits(*events)) ApplyMasquerade(*cluster_);
  if (on_events_) on_events_(*events);
}

// Each pod brings addresses too, and looking at all of them for each would cost with every
// pod; a node's own rarely change.
bool NetworkPlane::ConcernsUnderlay(const std::vector<MonitorEvent>& events) const {
  const api::v1::Node* self = cluster_->FindNode(options_.node);
  if (self == nullptr) return false;
  const auto own = {NodeIpv4(*self), NodeIpv6(*self)};
  return std::any_of(events.begin(), events.end(), [&](const MonitorEvent& event) {
    if (std::holds_alternative<ResyncEvent>(event)) return true;
    const auto* link = std::get_if<LinkEvent>(&event);
    if (link != nullptr) return underlay_.DependsOn(*link, mtu_interfaces_);
    const auto* address = std::get_if<AddressEvent>(&event);
    return address != nullptr && std::any_of(own.begin(), own.end(), [&](const auto& one) {
             return one.has_value() && one->address == address->address.address;
           });
  });
}

bool NetworkPlane::NeedsAdvertisements(const LinkSettings& settings) const {
  const bool uplink = tunnel_->role(settings.link.index) == InterfaceRole::kUplink;
  return agent::NeedsAdvertisements(settings, uplink, false);
}

void NetworkPlane::RefreshBgp() const {
  if (bird_ != nullptr) bird_->Refresh(kBirdPatience);
}

bgp::BirdStatus NetworkPlane::BgpStatus() const {
  if (bird_ == nullptr) return {.ready = true, .sessions = {}, .reasons = {}};
  if (!rendered_.has_value()) {
    return {.ready = false,
            .sessions = {},
            .reasons = {"BGP: not configured yet: " + bgp_model_problem_}};
  }
  const BirdKnowledge known = bird_->Last();
  // One that is down has no sessions; one that is silent may have those it last told of.
  if (known.silence.ok()) return bgp::SummarizeBird(*rendered_, *known.report);
  if (!known.report.has_value() || absl::IsUnavailable(known.silence))
    return bgp::SummarizeBird(*rendered_, known.silence);
  bgp::BirdStatus status = bgp::SummarizeBird(*rendered_, *known.report);
  status.ready = false;
  status.reasons.insert(
      status.reasons.begin(),
      absl::StrCat(known.silence.message(), "; what is shown of BGP is of ",
                   absl::FormatDuration(absl::Trunc(absl::Now() - known.at, absl::Seconds(1))),
                   " ago"));
  return status;
}

std::vector<std::string> NetworkPlane::problems() const {
  std::vector<std::string> all = addresses_.own;
  all.insert(all.end(), addresses_.others.begin(), addresses_.others.end());
  const std::vector<std::string> tunnel = tunnel_->problems();
  all.insert(all.end(), tunnel.begin(), tunnel.end());
  for (const std::string* problem : {&mtu_problem_, &bgp_model_problem_}) {
    if (!problem->empty()) all.push_back(*problem);
  }
  if (!bgp_problem_.empty()) all.push_back(bgp_problem_);
  all.insert(all.end(), masquerade_problems_.begin(), masquerade_problems_.end());
  all.insert(all.end(), secrets_.problems().begin(), secrets_.problems().end());
  return all;
}

}  // namespace ripstop::agent
