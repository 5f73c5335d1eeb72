// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/nat_monitor.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/netlink/socket.h"
#include "policy/base/unique_fd.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

constexpr int kReceiveBuffer = 1 << 20;
constexpr size_t kReadBytes = 64 * 1024;

constexpr uint16_t MessageType(uint16_t message) {
  return static_cast<uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | message);
}

const char* FamilyName(uint8_t family) {
  switch (family) {
    case NFPROTO_INET: return "inet";
    case NFPROTO_IPV4: return "ip";
    case NFPROTO_IPV6: return "ip6";
    default: return "?";
  }
}

bool IsNatBase(const Attributes& chain) {
  return chain[NFTA_CHAIN_HOOK] != nullptr && chain.String(NFTA_CHAIN_TYPE) == "nat";
}

bool HasTable(const char* names, const char* table) {
  std::ifstream file(names);
  for (std::string line; std::getline(file, line);) {
    if (line == table) return true;
  }
  return false;
}

// Rules of iptables-legacy's table, which is there (to ask would make it). The kernel's own
// entries are the end of each of its chains, and one more.
template <typename Info>
absl::StatusOr<bool> LegacyTableHasRules(int family, int level, int option, const char* what) {
  const UniqueFd fd(socket(family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
  if (!fd.ok()) return absl::ErrnoToStatus(errno, absl::StrCat("raw socket, for ", what));
  Info info = {};
  std::strncpy(info.name, "nat", sizeof(info.name) - 1);
  socklen_t length = sizeof(info);
  if (getsockopt(fd.get(), level, option, &info, &length) != 0) {
    if (errno == ENOENT || errno == ENOPROTOOPT) return false;
    return absl::ErrnoToStatus(errno, absl::StrCat("ask for ", what));
  }
  uint32_t own = 1;
  for (uint32_t hooks = info.valid_hooks; hooks != 0; hooks &= hooks - 1) ++own;
  return info.num_entries > own;
}

bool HasIpvsServices() {
  constexpr int kHeaderLines = 3;
  std::ifstream file("/proc/thread-self/net/ip_vs");
  std::string line;
  int lines = 0;
  while (lines <= kHeaderLines && std::getline(file, line)) ++lines;
  return lines > kHeaderLines;
}

}  // namespace

NatMonitor::NatMonitor() = default;
NatMonitor::~NatMonitor() = default;

absl::StatusOr<std::unique_ptr<NatMonitor>> NatMonitor::Open() {
  std::unique_ptr<NatMonitor> monitor(new NatMonitor());
  auto requests = NetlinkSocket::Open(-1, NETLINK_NETFILTER);
  auto events = NetlinkSocket::Open(-1, NETLINK_NETFILTER);
  if (requests.ok() && events.ok()) {
    monitor->requests_ = std::make_unique<NetlinkSocket>(*std::move(requests));
    monitor->events_ = std::make_unique<NetlinkSocket>(*std::move(events));
    const int fd = monitor->events_->fd();
    const int bytes = kReceiveBuffer;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
    const int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
      return absl::ErrnoToStatus(errno, "nftables socket: O_NONBLOCK");
    }
    const int group = NFNLGRP_NFTABLES;
    if (mnl_socket_setsockopt(monitor->events_->get(), NETLINK_ADD_MEMBERSHIP,
                              const_cast<int*>(&group), sizeof(group)) != 0) {
      return absl::ErrnoToStatus(errno, "listen to nftables");
    }
  }
  RETURN_IF_ERROR(monitor->ListChains());
  RETURN_IF_ERROR(monitor->Poll());
  return monitor;
}

int NatMonitor::fd() const { return events_ == nullptr ? -1 : events_->fd(); }

absl::Status NatMonitor::ListChains() {
  if (requests_ == nullptr) return absl::OkStatus();
  NetlinkRequest request(MessageType(NFT_MSG_GETCHAIN), NLM_F_DUMP, "list nftables chains");
  request.Fixed<nfgenmsg>()->nfgen_family = NFPROTO_UNSPEC;
  std::map<Chain, bool> listed;
  absl::Status status = requests_->Query(
      request, [&] { listed.clear(); },
      [&](const nlmsghdr* message) {
        const Attributes chain(message, sizeof(nfgenmsg));
        if (!IsNatBase(chain)) return;
        const auto* generic = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(message));
        listed[{generic->nfgen_family, chain.String(NFTA_CHAIN_TABLE),
                chain.String(NFTA_CHAIN_NAME)}] = ntohl(chain.U32(NFTA_CHAIN_USE)) > 0;
      });
  // The kernel has no nftables.
  if (absl::IsInvalidArgument(status) || absl::IsUnimplemented(status)) return absl::OkStatus();
  RETURN_IF_ERROR(status);
  chains_ = std::move(listed);
  return absl::OkStatus();
}

absl::StatusOr<bool> NatMonitor::HasRules(const Chain& chain) {
  NetlinkRequest request(MessageType(NFT_MSG_GETCHAIN), 0,
                         absl::StrCat("ask for nftables ", FamilyName(chain.family), " ",
                                      chain.table, " ", chain.name));
  request.Fixed<nfgenmsg>()->nfgen_family = chain.family;
  request.PutString(NFTA_CHAIN_TABLE, chain.table);
  request.PutString(NFTA_CHAIN_NAME, chain.name);
  uint32_t references = 0;
  RETURN_IF_ERROR(requests_->Query(
      request, [] {},
      [&](const nlmsghdr* message) {
        references = ntohl(Attributes(message, sizeof(nfgenmsg)).U32(NFTA_CHAIN_USE));
      }));
  return references > 0;
}

absl::StatusOr<std::vector<std::string>> NatMonitor::ReadLegacy() {
  std::vector<std::string> found;
  if (HasTable("/proc/thread-self/net/ip_tables_names", "nat")) {
    ASSIGN_OR_RETURN(const bool rules,
                     (LegacyTableHasRules<ipt_getinfo>(AF_INET, IPPROTO_IP, IPT_SO_GET_INFO,
                                                       "the nat table of iptables-legacy")));
    if (rules) found.push_back("iptables-legacy nat");
  }
  if (HasTable("/proc/thread-self/net/ip6_tables_names", "nat")) {
    ASSIGN_OR_RETURN(const bool rules,
                     (LegacyTableHasRules<ip6t_getinfo>(AF_INET6, IPPROTO_IPV6, IP6T_SO_GET_INFO,
                                                        "the nat table of ip6tables-legacy")));
    if (rules) found.push_back("ip6tables-legacy nat");
  }
  if (HasIpvsServices()) found.push_back("IPVS");
  return found;
}

absl::Status NatMonitor::Poll() {
  ASSIGN_OR_RETURN(legacy_, ReadLegacy());
  return absl::OkStatus();
}

// What a message says about the chains of type nat: they are to be listed anew, one of them
// is to be asked whether it holds rules, or nothing.
void NatMonitor::Note(const nlmsghdr* message, News* news) const {
  const Attributes object(message, sizeof(nfgenmsg));
  const auto* generic = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(message));
  switch (message->nlmsg_type) {
    case MessageType(NFT_MSG_DELTABLE): news->list = true; return;
    case MessageType(NFT_MSG_NEWCHAIN):
    case MessageType(NFT_MSG_DELCHAIN):
      // Chains of other types come and go by the thousand.
      news->list |= IsNatBase(object);
      return;
    case MessageType(NFT_MSG_NEWRULE):
    case MessageType(NFT_MSG_DELRULE): {
      const Chain chain{generic->nfgen_family, object.String(NFTA_RULE_TABLE),
                        object.String(NFTA_RULE_CHAIN)};
      if (chains_.contains(chain)) news->touched.insert(chain);
      return;
    }
    default: return;
  }
}

absl::Status NatMonitor::Read() {
  if (events_ == nullptr) return absl::OkStatus();
  News news;
  std::vector<char> buffer(kReadBytes);
  while (true) {
    const ssize_t bytes = mnl_socket_recvfrom(events_->get(), buffer.data(), buffer.size());
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (bytes < 0 && errno != ENOBUFS) return absl::ErrnoToStatus(errno, "read from nftables");
    news.list |= bytes < 0;  // some were lost
    int left = static_cast<int>(bytes);
    for (auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data());
         bytes > 0 && mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      Note(message, &news);
    }
  }
  if (news.list) return ListChains();
  for (const Chain& chain : news.touched) {
    const absl::StatusOr<bool> has = HasRules(chain);
    if (absl::IsNotFound(has.status())) return ListChains();  // gone since
    RETURN_IF_ERROR(has.status());
    chains_[chain] = *has;
  }
  return absl::OkStatus();
}

std::vector<std::string> NatMonitor::found() const {
  std::vector<std::string> found;
  for (const auto& [chain, rules] : chains_) {
    if (rules) {
      found.push_back(
          absl::StrCat("nftables ", FamilyName(chain.family), " ", chain.table, " ", chain.name));
    }
  }
  found.insert(found.end(), legacy_.begin(), legacy_.end());
  return found;
}

}  // namespace ripstop::agent
