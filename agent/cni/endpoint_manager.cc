// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/endpoint_manager.h"

#include <spdlog/spdlog.h>
#include <sys/random.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "agent/base/netns.h"
#include "agent/cni/names.h"
#include "agent/cni/pod_side.h"
#include "agent/netlink/sysctl.h"
#include "policy/base/stable_hash.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

using ripstop::agent::v1::CniRequest;

constexpr uint32_t kMtuMin = 1280;  // IPv6 wants no less (RFC 8200 section 5)

std::string OwnerOf(const LocalEndpoint& endpoint) {
  return absl::StrCat("pod/", endpoint.handle());
}

Mac RandomMac() {
  Mac mac;
  [[maybe_unused]] ssize_t n = getrandom(mac.bytes.data(), mac.bytes.size(), 0);
  mac.bytes[0] = (mac.bytes[0] | 0x02) & 0xfe;  // locally administered, unicast
  return mac;
}

absl::StatusOr<uint8_t> ProtocolNumber(const std::string& name) {
  const std::string upper = absl::AsciiStrToUpper(name);
  if (upper.empty() || upper == "TCP") return policy::kProtocolTcp;
  if (upper == "UDP") return policy::kProtocolUdp;
  if (upper == "SCTP") return policy::kProtocolSctp;
  return absl::InvalidArgumentError(
      absl::StrCat("port protocol '", name, "': want TCP, UDP or SCTP"));
}

}  // namespace

EndpointManager::EndpointManager(EndpointManagerOptions options, Netlink* netlink, Ipam* ipam,
                                 RouteManager* routes, EndpointHooks* hooks)
    : options_(std::move(options)),
      files_(options_.state_directory),
      netlink_(netlink),
      ipam_(ipam),
      routes_(routes),
      hooks_(hooks),
      releases_(&files_, hooks, options_.later, ipam) {}

std::string EndpointManager::HostInterfaceName(const std::string& handle) {
  uint64_t hash = StableHash(handle);
  hash ^= hash >> 44;
  return absl::StrFormat("cali%011x", hash & ((uint64_t{1} << 44) - 1));
}

absl::StatusOr<LocalEndpoint> EndpointManager::Describe(const CniRequest& request) const {
  RETURN_IF_ERROR(CheckNames(request));
  LocalEndpoint e;
  e.container_id = request.container_id();
  e.interface_name = request.interface_name();
  e.network = request.network();
  e.netns = request.netns();
  e.pod_namespace = request.pod_namespace().empty() ? "default" : request.pod_namespace();
  e.pod_name = request.pod_name().empty() ? e.container_id : request.pod_name();
  e.pod_uid = request.pod_uid();
  e.service_account = request.service_account();
  e.labels = {request.labels().begin(), request.labels().end()};
  e.annotations = {request.annotations().begin(), request.annotations().end()};
  for (const auto& port : request.ports()) {
    ASSIGN_OR_RETURN(const uint8_t protocol, ProtocolNumber(port.protocol()));
    if (port.port() == 0 || port.port() > 65535) {
      return absl::InvalidArgumentError(absl::StrCat("port ", port.name(), ": ", port.port()));
    }
    e.ports.push_back({port.name(), protocol, static_cast<uint16_t>(port.port())});
  }
  e.host_interface = HostInterfaceName(e.handle());
  e.host_mac = kHostMac;
  e.container_mac = RandomMac();
  if (!request.requested_mac().empty()) {
    ASSIGN_OR_RETURN(e.container_mac, Mac::Parse(request.requested_mac()));
    if ((e.container_mac.bytes[0] & 1) != 0 || e.container_mac == Mac{}) {
      return absl::InvalidArgumentError(
          absl::StrCat("MAC address ", request.requested_mac(), " is not a unicast address"));
    }
  }
  e.mtu = request.mtu() != 0 ? request.mtu() : options_.default_mtu;
  if (e.mtu < kMtuMin || e.mtu > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("MTU ", e.mtu, ": want 1280 to 65535"));
  }
  return e;
}

void EndpointManager::Keep(const LocalEndpoint& endpoint) {
  if (endpoint.ifindex != 0) handle_of_interface_[endpoint.ifindex] = endpoint.handle();
  endpoints_[endpoint.handle()] = endpoint;
}

absl::Status EndpointManager::Load() {
  ASSIGN_OR_RETURN(const std::vector<LocalEndpoint> loaded, files_.LoadAll(&unreadable_));
  for (LocalEndpoint endpoint : loaded) {
    if (endpoint.phase == LocalEndpoint::Phase::kReleasing) {
      releases_.Put(std::move(endpoint));
      continue;
    }
    const absl::StatusOr<Link> link = netlink_->GetLink(endpoint.host_interface);
    if (!link.ok() && !absl::IsNotFound(link.status())) return link.status();
    if (!link.ok() || endpoint.phase == LocalEndpoint::Phase::kAdding) {
      spdlog::info("endpoint {}/{} ({}): {}, removing it", endpoint.pod_namespace,
                   endpoint.pod_name, endpoint.handle(),
                   link.ok() ? "its ADD was not finished" : "its interface is gone");
      TearDown(endpoint);
      continue;
    }
    endpoint.ifindex = link->index;
    Keep(endpoint);
    routes_->Put(OwnerOf(endpoint), HostSideEntries(endpoint)).IgnoreError();  // noted, so far
  }
  return absl::OkStatus();
}

absl::Status EndpointManager::CreateLink(LocalEndpoint& e, int netns_fd) {
  // A leftover by that name has no owner: the handle is ours and unknown.
  if (const absl::StatusOr<Link> stale = netlink_->GetLink(e.host_interface); stale.ok()) {
    RETURN_IF_ERROR(netlink_->DeleteLink(stale->index));
  }
  RETURN_IF_ERROR(netlink_->CreateVeth({.name = e.host_interface,
                                        .mac = e.host_mac,
                                        .peer_name = e.interface_name,
                                        .peer_mac = e.container_mac,
                                        .mtu = e.mtu,
                                        .peer_netns_fd = netns_fd}));
  ASSIGN_OR_RETURN(const Link link, netlink_->GetLink(e.host_interface));
  e.ifindex = link.index;
  return WriteWherePresent(HostVethSysctls(e.host_interface));
}

absl::Status EndpointManager::Build(LocalEndpoint& e, int netns_fd) {
  RETURN_IF_ERROR(CreateLink(e, netns_fd));
  RETURN_IF_ERROR(ConfigurePodSide(e, netns_fd));
  RETURN_IF_ERROR(hooks_->Prepare(e));
  RETURN_IF_ERROR(netlink_->SetLinkUp(e.ifindex, true));
  RETURN_IF_ERROR(routes_->Put(OwnerOf(e), HostSideEntries(e)));
  e.phase = LocalEndpoint::Phase::kReady;
  return files_.Save(e);
}

// The pod's namespace, which must be another than the node's and have no interface of that
// name: asked before anything is claimed.
absl::StatusOr<UniqueFd> EndpointManager::OpenPod(const LocalEndpoint& e) const {
  ASSIGN_OR_RETURN(UniqueFd netns, OpenNetns(e.netns));
  ASSIGN_OR_RETURN(const UniqueFd own, OpenCurrentNetns());
  if (SameNetns(netns.get(), own.get())) {
    return absl::InvalidArgumentError(
        absl::StrCat("network namespace ", e.netns, " is the node's own"));
  }
  if (endpoints_.contains(e.handle())) return netns;  // it is ours, and about to go
  ASSIGN_OR_RETURN(const auto pod, Netlink::Open(netns.get()));
  const absl::Status there = pod->GetLink(e.interface_name).status();
  if (absl::IsNotFound(there)) return netns;
  RETURN_IF_ERROR(there);
  return absl::AlreadyExistsError(
      absl::StrCat("network namespace ", e.netns, " has an interface ", e.interface_name));
}

// What waits in the queue may be what is missing.
absl::StatusOr<std::vector<Allocation>> EndpointManager::Allocate(const AllocationRequest& wanted) {
  absl::StatusOr<std::vector<Allocation>> made = ipam_->Allocate(wanted);
  const bool taken =
      absl::IsResourceExhausted(made.status()) || absl::IsAlreadyExists(made.status());
  if (!taken || releases_.size() == 0) return made;
  releases_.Run().IgnoreError();
  return ipam_->Allocate(wanted);
}

absl::StatusOr<LocalEndpoint> EndpointManager::Add(const CniRequest& request) {
  ASSIGN_OR_RETURN(LocalEndpoint e, Describe(request));
  AllocationRequest wanted{.owner = {e.handle(), e.pod_namespace, e.pod_name}};
  for (const std::string& text : request.requested_ips()) {
    const std::vector<std::string> parts = absl::StrSplit(text, '/');  // a prefix may follow
    ASSIGN_OR_RETURN(const policy::Address address, policy::Address::Parse(parts[0]));
    wanted.requested.push_back(address);
  }
  ASSIGN_OR_RETURN(const UniqueFd netns, OpenPod(e));
  const auto known = endpoints_.find(e.handle());
  if (known != endpoints_.end() && Verify(known->second).ok()) return known->second;
  RETURN_IF_ERROR(hooks_->Admit(e));
  if (known != endpoints_.end()) {
    spdlog::info("endpoint {} is not as it was made; it is made anew", e.handle());
    TearDown(known->second);
  }

  // The intention is on disk before anything exists, so a crash leaves no orphan. What the
  // handle has of addresses, from before, IPAM gives it again.
  RETURN_IF_ERROR(releases_.Take(e.handle()));
  absl::Status status = files_.Save(e);
  if (status.ok()) unreadable_.erase(files_.PathOf(e));
  if (status.ok()) {
    absl::StatusOr<std::vector<Allocation>> allocations = Allocate(wanted);
    status = allocations.status();
    if (status.ok()) e.allocations = *std::move(allocations);
  }
  if (status.ok()) status = files_.Save(e);
  if (status.ok()) status = Build(e, netns.get());
  if (!status.ok()) {
    TearDown(e);
    return status;
  }
  Keep(e);
  return e;
}

void EndpointManager::TearDown(LocalEndpoint e) {
  const auto log = [&e](const char* what, const absl::Status& status) {
    if (!status.ok()) spdlog::warn("removing {} of {}: {}", what, e.handle(), status.ToString());
  };
  log("routes", routes_->Remove(OwnerOf(e)));
  ForgetPodSide(e);
  // By name: an index may be another interface's by now.
  const absl::StatusOr<Link> link = netlink_->GetLink(e.host_interface);
  const absl::Status gone = link.ok() ? netlink_->DeleteLink(link->index) : link.status();
  handle_of_interface_.erase(e.ifindex);
  if (!gone.ok() && !absl::IsNotFound(gone)) {
    log("interface", gone);
    e.ifindex = 0;
  }
  hooks_->Remove(e);
  endpoints_.erase(e.handle());
  releases_.Put(std::move(e));
}

absl::Status EndpointManager::Del(const CniRequest& request) {
  RETURN_IF_ERROR(CheckContainerId(request.container_id()));
  RETURN_IF_ERROR(CheckInterfaceName(request.interface_name()));
  LocalEndpoint e;
  e.container_id = request.container_id();
  e.interface_name = request.interface_name();
  e.host_interface = HostInterfaceName(e.handle());
  if (const auto it = endpoints_.find(e.handle()); it != endpoints_.end()) {
    TearDown(it->second);
    return absl::OkStatus();
  }
  if (releases_.contains(e.handle())) return absl::OkStatus();
  // Unreadable at the start: now that the pod is gone, so is the question whose it was.
  if (unreadable_.erase(files_.PathOf(e)) > 0) RETURN_IF_ERROR(files_.Remove(e));
  // Unknown: perhaps from before the state was lost.
  if (const absl::StatusOr<Link> link = netlink_->GetLink(e.host_interface); link.ok()) {
    const absl::Status status = netlink_->DeleteLink(link->index);
    if (!status.ok() && !absl::IsNotFound(status)) return status;
  }
  e.allocations = ipam_->AllocationsOf(e.handle());
  if (e.allocations.empty()) return absl::OkStatus();
  if (CheckNames(request).ok()) {
    e.pod_namespace = request.pod_namespace();
    e.pod_name = request.pod_name();
  }
  releases_.Put(std::move(e));
  return absl::OkStatus();
}

bool EndpointManager::IsOnNode(const std::string& handle) const {
  return endpoints_.contains(handle) || releases_.contains(handle) ||
         !absl::IsNotFound(netlink_->GetLink(HostInterfaceName(handle)).status());
}

uint32_t EndpointManager::ReleaseStrays(const std::vector<EndpointName>& published) {
  std::map<std::string, LocalEndpoint> strays;  // by handle
  for (const EndpointName& name : published) {
    LocalEndpoint e;
    e.container_id = name.container_id;
    e.interface_name = name.interface_name;
    e.pod_namespace = name.pod_namespace;
    e.pod_name = name.pod_name;
    // The names come from the store, and are to become a file's.
    if (CheckContainerId(e.container_id).ok() && CheckInterfaceName(e.interface_name).ok()) {
      strays.try_emplace(e.handle(), e);
    }
  }
  for (const Allocation& allocation : ipam_->Allocations()) {
    const size_t slash = allocation.handle.find('/');
    if (slash == std::string::npos) continue;  // not a pod's
    LocalEndpoint e;
    e.container_id = allocation.handle.substr(0, slash);
    e.interface_name = allocation.handle.substr(slash + 1);
    if (CheckContainerId(e.container_id).ok() && CheckInterfaceName(e.interface_name).ok()) {
      strays.try_emplace(e.handle(), e);
    }
  }
  std::erase_if(strays, [this](const auto& item) { return IsOnNode(item.first); });
  for (auto& [handle, e] : strays) {
    spdlog::warn("{} {}: the store has it of this node, and no such pod is here; releasing it",
                 handle, e.pod_name.empty() ? "" : absl::StrCat(e.pod_namespace, "/", e.pod_name));
    e.host_interface = HostInterfaceName(handle);
    e.allocations = ipam_->AllocationsOf(handle);
    unreadable_.erase(files_.PathOf(e));
    releases_.Put(std::move(e));
  }
  return static_cast<uint32_t>(strays.size());
}

absl::Status EndpointManager::Verify(const LocalEndpoint& e) {
  const absl::StatusOr<Link> link = netlink_->GetLink(e.host_interface);
  if (absl::IsNotFound(link.status())) {
    return absl::FailedPreconditionError(
        absl::StrCat("host interface ", e.host_interface, " is missing"));
  }
  RETURN_IF_ERROR(link.status());
  if (!link->up) {
    return absl::FailedPreconditionError(
        absl::StrCat("host interface ", e.host_interface, " is down"));
  }
  ASSIGN_OR_RETURN(const UniqueFd netns, OpenNetns(e.netns));
  RETURN_IF_ERROR(CheckPodSide(e, netns.get()));
  return hooks_->Check(e);
}

absl::Status EndpointManager::Check(const CniRequest& request) {
  const auto it =
      endpoints_.find(absl::StrCat(request.container_id(), "/", request.interface_name()));
  if (it == endpoints_.end()) {
    return absl::NotFoundError(
        absl::StrCat("container ", absl::CHexEscape(request.container_id()), " interface ",
                     absl::CHexEscape(request.interface_name()), " is not known here"));
  }
  return Verify(it->second);
}

absl::StatusOr<uint32_t> EndpointManager::Gc(
    const std::string& network, const std::set<std::pair<std::string, std::string>>& valid) {
  if (network.empty()) return absl::InvalidArgumentError("GC without the name of a network");
  uint32_t removed = 0;
  for (const LocalEndpoint& e : endpoints()) {
    if (e.network != network || valid.contains({e.container_id, e.interface_name})) continue;
    TearDown(e);
    ++removed;
  }
  return removed;
}

void EndpointManager::HandleEvents(const std::vector<MonitorEvent>& events) {
  for (const MonitorEvent& event : events) {
    const auto* link = std::get_if<LinkEvent>(&event);
    if (link == nullptr || !link->deleted) continue;
    const auto handle = handle_of_interface_.find(link->link.index);
    if (handle == handle_of_interface_.end()) continue;
    const LocalEndpoint e = endpoints_.at(handle->second);
    // Made anew under the same name meanwhile?
    if (netlink_->GetLink(e.host_interface).ok()) continue;
    spdlog::info("interface {} of {}/{} is gone without DEL; releasing its addresses",
                 e.host_interface, e.pod_namespace, e.pod_name);
    TearDown(e);
  }
}

std::vector<LocalEndpoint> EndpointManager::endpoints() const {
  std::vector<LocalEndpoint> ready;
  for (const auto& [handle, e] : endpoints_) ready.push_back(e);
  return ready;
}

void EndpointManager::ForEachReady(const std::function<void(const LocalEndpoint&)>& visit) const {
  for (const auto& [handle, e] : endpoints_) {
    if (e.phase == LocalEndpoint::Phase::kReady) visit(e);
  }
}

std::vector<std::string> EndpointManager::RestoreFiles() {
  std::vector<std::string> restored;
  ForEachReady([&](const LocalEndpoint& e) {
    const absl::StatusOr<bool> changed = files_.Restore(e);
    if (!changed.ok()) spdlog::error("{}", changed.status().ToString());
    if (changed.ok() && *changed) restored.push_back(files_.PathOf(e));
  });
  return restored;
}

}  // namespace ripstop::agent
