// SPDX-License-Identifier: Apache-2.0
//
// Links and their addresses.
#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/veth.h>
#include <net/if.h>

#include "absl/strings/str_cat.h"
#include "agent/netlink/netlink.h"
#include "agent/netlink/parse.h"
#include "agent/netlink/socket.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

constexpr uint16_t kCreate = NLM_F_CREATE | NLM_F_EXCL;

absl::Status CheckName(const std::string& name) {
  if (!name.empty() && name.size() < IFNAMSIZ) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("interface name '", name, "': want 1 to ", IFNAMSIZ - 1, " characters"));
}

}  // namespace

Netlink::Netlink(std::unique_ptr<NetlinkSocket> socket) : socket_(std::move(socket)) {}
Netlink::~Netlink() = default;

absl::StatusOr<std::unique_ptr<Netlink>> Netlink::Open(int netns_fd) {
  ASSIGN_OR_RETURN(NetlinkSocket socket, NetlinkSocket::Open(netns_fd));
  return std::unique_ptr<Netlink>(new Netlink(std::make_unique<NetlinkSocket>(std::move(socket))));
}

absl::Status Netlink::CreateVeth(const VethSpec& spec) {
  RETURN_IF_ERROR(CheckName(spec.name));
  RETURN_IF_ERROR(CheckName(spec.peer_name));
  NetlinkRequest request(RTM_NEWLINK, kCreate,
                         absl::StrCat("creating veth ", spec.name, " with peer ", spec.peer_name));
  request.Fixed<ifinfomsg>();
  request.PutString(IFLA_IFNAME, spec.name);
  request.PutMac(IFLA_ADDRESS, spec.mac);
  request.PutU32(IFLA_MTU, spec.mtu);
  nlattr* info = request.BeginNest(IFLA_LINKINFO);
  request.PutString(IFLA_INFO_KIND, "veth");
  nlattr* data = request.BeginNest(IFLA_INFO_DATA);
  nlattr* peer = request.BeginNest(VETH_INFO_PEER);
  request.Fixed<ifinfomsg>();  // the peer's own header, inside the attribute
  request.PutString(IFLA_IFNAME, spec.peer_name);
  request.PutMac(IFLA_ADDRESS, spec.peer_mac);
  request.PutU32(IFLA_MTU, spec.mtu);
  if (spec.peer_netns_fd >= 0) {
    request.PutU32(IFLA_NET_NS_FD, static_cast<uint32_t>(spec.peer_netns_fd));
  }
  request.EndNest(peer);
  request.EndNest(data);
  request.EndNest(info);
  return socket_->Transact(request);
}

absl::Status Netlink::CreateVxlan(const VxlanSpec& spec) {
  RETURN_IF_ERROR(CheckName(spec.name));
  NetlinkRequest request(RTM_NEWLINK, kCreate, absl::StrCat("creating VXLAN device ", spec.name));
  request.Fixed<ifinfomsg>();
  request.PutString(IFLA_IFNAME, spec.name);
  request.PutMac(IFLA_ADDRESS, spec.mac);
  request.PutU32(IFLA_MTU, spec.mtu);
  nlattr* info = request.BeginNest(IFLA_LINKINFO);
  request.PutString(IFLA_INFO_KIND, "vxlan");
  nlattr* data = request.BeginNest(IFLA_INFO_DATA);
  request.PutU32(IFLA_VXLAN_ID, spec.vni);
  request.PutU16(IFLA_VXLAN_PORT, htons(spec.port));
  request.PutAddress(spec.local.is_v4() ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6, spec.local);
  request.PutU8(IFLA_VXLAN_LEARNING, 0);
  request.EndNest(data);
  request.EndNest(info);
  return socket_->Transact(request);
}

absl::Status Netlink::DeleteLink(uint32_t ifindex) {
  NetlinkRequest request(RTM_DELLINK, 0, absl::StrCat("deleting link ", ifindex));
  request.Fixed<ifinfomsg>()->ifi_index = static_cast<int>(ifindex);
  return socket_->Transact(request);
}

absl::Status Netlink::SetLinkUp(uint32_t ifindex, bool up) {
  NetlinkRequest request(RTM_NEWLINK, 0,
                         absl::StrCat("setting link ", ifindex, up ? " up" : " down"));
  auto* info = request.Fixed<ifinfomsg>();
  info->ifi_index = static_cast<int>(ifindex);
  info->ifi_change = IFF_UP;
  info->ifi_flags = up ? IFF_UP : 0;
  return socket_->Transact(request);
}

absl::Status Netlink::SetLinkMtu(uint32_t ifindex, uint32_t mtu) {
  NetlinkRequest request(RTM_NEWLINK, 0, absl::StrCat("setting MTU ", mtu, " of link ", ifindex));
  request.Fixed<ifinfomsg>()->ifi_index = static_cast<int>(ifindex);
  request.PutU32(IFLA_MTU, mtu);
  return socket_->Transact(request);
}

absl::Status Netlink::SetLinkMac(uint32_t ifindex, const Mac& mac) {
  NetlinkRequest request(RTM_NEWLINK, 0,
                         absl::StrCat("setting MAC ", mac.ToString(), " of link ", ifindex));
  request.Fixed<ifinfomsg>()->ifi_index = static_cast<int>(ifindex);
  request.PutMac(IFLA_ADDRESS, mac);
  return socket_->Transact(request);
}

absl::StatusOr<Link> Netlink::GetLink(const std::string& name) {
  RETURN_IF_ERROR(CheckName(name));
  NetlinkRequest request(RTM_GETLINK, 0, absl::StrCat("link ", name));
  request.Fixed<ifinfomsg>();
  request.PutString(IFLA_IFNAME, name);
  std::optional<Link> link;
  RETURN_IF_ERROR(socket_->Query(
      request, [] {}, [&link](const nlmsghdr* message) { link = ParseLink(message); }));
  if (!link.has_value()) return absl::NotFoundError(absl::StrCat("link ", name));
  return *link;
}

absl::StatusOr<Link> Netlink::GetLink(uint32_t ifindex) {
  NetlinkRequest request(RTM_GETLINK, 0, absl::StrCat("link ", ifindex));
  request.Fixed<ifinfomsg>()->ifi_index = static_cast<int>(ifindex);
  std::optional<Link> link;
  RETURN_IF_ERROR(socket_->Query(
      request, [] {}, [&link](const nlmsghdr* message) { link = ParseLink(message); }));
  if (!link.has_value()) return absl::NotFoundError(absl::StrCat("link ", ifindex));
  return *link;
}

absl::StatusOr<std::vector<Link>> Netlink::ListLinks() {
  NetlinkRequest request(RTM_GETLINK, NLM_F_DUMP, "listing links");
  request.Fixed<ifinfomsg>();
  std::vector<Link> links;
  RETURN_IF_ERROR(socket_->Query(
      request, [&links] { links.clear(); },
      [&links](const nlmsghdr* message) {
        if (auto link = ParseLink(message)) links.push_back(*std::move(link));
      }));
  return links;
}

absl::StatusOr<std::vector<LinkSettings>> Netlink::ListLinkSettings() {
  NetlinkRequest request(RTM_GETLINK, NLM_F_DUMP, "listing links and their settings");
  request.Fixed<ifinfomsg>();
  request.PutU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);  // most of the work, and unread
  std::vector<LinkSettings> links;
  RETURN_IF_ERROR(socket_->Query(
      request, [&links] { links.clear(); },
      [&links](const nlmsghdr* message) {
        if (auto link = ParseLinkSettings(message)) links.push_back(*std::move(link));
      }));
  return links;
}

absl::StatusOr<std::vector<Qdisc>> Netlink::ListQdiscs() {
  NetlinkRequest request(RTM_GETQDISC, NLM_F_DUMP, "listing queueing disciplines");
  request.Fixed<tcmsg>();
  std::vector<Qdisc> qdiscs;
  RETURN_IF_ERROR(socket_->Query(
      request, [&qdiscs] { qdiscs.clear(); },
      [&qdiscs](const nlmsghdr* message) {
        if (auto qdisc = ParseQdisc(message)) qdiscs.push_back(*std::move(qdisc));
      }));
  return qdiscs;
}

absl::Status Netlink::AddAddress(const InterfaceAddress& address) {
  NetlinkRequest request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE,
                         absl::StrCat("adding ", address.ToString()));
  auto* info = request.Fixed<ifaddrmsg>();
  info->ifa_family = FamilyOf(address.address);
  info->ifa_prefixlen = static_cast<uint8_t>(address.prefix_length);
  info->ifa_scope = address.scope;
  info->ifa_index = address.ifindex;
  if (address.no_dad && !address.address.is_v4()) info->ifa_flags = IFA_F_NODAD;
  request.PutAddress(IFA_LOCAL, address.address);
  request.PutAddress(IFA_ADDRESS, address.address);
  return socket_->Transact(request);
}

absl::StatusOr<std::vector<InterfaceAddress>> Netlink::ListAddresses(uint32_t ifindex) {
  std::vector<InterfaceAddress> addresses;
  for (const int family : {AF_INET, AF_INET6}) {
    NetlinkRequest request(RTM_GETADDR, NLM_F_DUMP, "listing addresses");
    auto* info = request.Fixed<ifaddrmsg>();
    info->ifa_family = family;
    info->ifa_index = ifindex;  // strict checking makes this a filter
    const size_t before = addresses.size();
    RETURN_IF_ERROR(socket_->Query(
        request, [&] { addresses.resize(before); },
        [&](const nlmsghdr* message) {
          if (auto address = ParseAddress(message)) addresses.push_back(*address);
        }));
  }
  return addresses;
}

}  // namespace ripstop::agent
