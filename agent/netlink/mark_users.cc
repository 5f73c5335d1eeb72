// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/mark_users.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/fib_rules.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/xt_CONNMARK.h>
#include <linux/netfilter/xt_MARK.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agent/netlink/socket.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

constexpr uint32_t kAllBits = 0xffffffff;

// What is in a register of nftables, as far as the packet's mark goes: these of its bits as
// they were, and all others changed.
using Registers = std::map<uint32_t, uint32_t>;

uint32_t Value(const nlattr* data) {
  return data == nullptr ? 0 : Attributes(data).U32(NFTA_DATA_VALUE);  // bits as in the packet
}
uint32_t Register(const Attributes& expression, uint16_t type) {
  return ntohl(expression.U32(type));
}

// Follows one expression; returns the bits of the mark that it sets.
uint32_t SetByMeta(const Attributes& meta, Registers& registers) {
  const bool mark = ntohl(meta.U32(NFTA_META_KEY)) == NFT_META_MARK;
  if (meta[NFTA_META_DREG] != nullptr) {
    registers[Register(meta, NFTA_META_DREG)] = mark ? kAllBits : 0;
    return 0;
  }
  if (!mark) return 0;
  const auto kept = registers.find(Register(meta, NFTA_META_SREG));
  return kept == registers.end() ? kAllBits : ~kept->second;
}

uint32_t SetByTarget(const Attributes& target) {
  const std::string name = target.String(NFTA_TARGET_NAME);
  const nlattr* info = target[NFTA_TARGET_INFO];
  if (info == nullptr) return 0;
  const size_t bytes = mnl_attr_get_payload_len(info);
  if (name == "MARK") {
    xt_mark_tginfo2 mark = {};
    if (bytes < sizeof(mark)) return kAllBits;
    std::memcpy(&mark, mnl_attr_get_payload(info), sizeof(mark));
    return mark.mask | mark.mark;
  }
  if (name == "CONNMARK") {
    // Revision 2 has two shifts before the mode.
    const bool shifts = ntohl(target.U32(NFTA_TARGET_REV)) >= 2;
    xt_connmark_tginfo2 connmark = {};
    if (bytes < sizeof(xt_connmark_tginfo1)) return kAllBits;
    std::memcpy(&connmark, mnl_attr_get_payload(info), std::min(bytes, sizeof(connmark)));
    const uint8_t mode = shifts ? connmark.mode : connmark.shift_dir;
    return mode == XT_CONNMARK_RESTORE ? connmark.nfmask : 0;
  }
  return 0;
}

uint32_t SetByExpression(const nlattr* element, Registers& registers) {
  const Attributes expression(element);
  const std::string name = expression.String(NFTA_EXPR_NAME);
  const Attributes data(expression[NFTA_EXPR_DATA]);
  if (name == "meta") return SetByMeta(data, registers);
  if (name == "target") return SetByTarget(data);
  if (name == "bitwise") {
    // (kept & mask) ^ xor, where the operation is that one; a shift keeps nothing in place.
    const auto from = registers.find(Register(data, NFTA_BITWISE_SREG));
    const bool boolean =
        data[NFTA_BITWISE_OP] == nullptr || ntohl(data.U32(NFTA_BITWISE_OP)) == NFT_BITWISE_BOOL;
    const uint32_t before = from == registers.end() || !boolean ? 0 : from->second;
    registers[Register(data, NFTA_BITWISE_DREG)] =
        before & Value(data[NFTA_BITWISE_MASK]) & ~Value(data[NFTA_BITWISE_XOR]);
    return 0;
  }
  // Any other that fills a register fills it with something else.
  if (name == "immediate") registers.erase(Register(data, NFTA_IMMEDIATE_DREG));
  if (name == "ct") registers.erase(Register(data, NFTA_CT_DREG));
  if (name == "lookup") registers.erase(Register(data, NFTA_LOOKUP_DREG));
  if (name == "numgen") registers.erase(Register(data, NFTA_NG_DREG));
  if (name == "hash") registers.erase(Register(data, NFTA_HASH_DREG));
  return 0;
}

// Bits of the mark that the rule sets, in host order.
uint32_t SetByRule(const nlattr* expressions) {
  if (expressions == nullptr) return 0;
  Registers registers;
  uint32_t set = 0;
  const auto* element = static_cast<const nlattr*>(mnl_attr_get_payload(expressions));
  const auto* tail = static_cast<const char*>(mnl_attr_get_payload(expressions)) +
                     mnl_attr_get_payload_len(expressions);
  for (; mnl_attr_ok(element, static_cast<int>(tail - reinterpret_cast<const char*>(element)));
       element = mnl_attr_next(element)) {
    set |= SetByExpression(element, registers);
  }
  return set;
}

std::string NameOfRule(uint8_t family, const Attributes& rule) {
  const char* name = family == NFPROTO_IPV4   ? "ip"
                     : family == NFPROTO_IPV6 ? "ip6"
                     : family == NFPROTO_INET ? "inet"
                                              : "other";
  uint64_t handle = 0;
  if (const nlattr* attribute = rule[NFTA_RULE_HANDLE]; attribute != nullptr) {
    handle = be64toh(mnl_attr_get_u64(attribute));
  }
  return absl::StrCat("nftables ", name, " ", rule.String(NFTA_RULE_TABLE), " ",
                      rule.String(NFTA_RULE_CHAIN), ", handle ", handle);
}

absl::Status FindInNftables(uint32_t mask, std::vector<std::string>* ret_lines) {
  auto socket = NetlinkSocket::Open(-1, NETLINK_NETFILTER);
  if (!socket.ok()) return absl::OkStatus();  // a kernel without nftables
  NetlinkRequest request(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETRULE, NLM_F_DUMP,
                         "list nftables rules");
  request.Fixed<nfgenmsg>()->nfgen_family = NFPROTO_UNSPEC;
  std::vector<std::string> lines;
  absl::Status status = socket->Query(
      request, [&] { lines.clear(); },
      [&](const nlmsghdr* message) {
        const Attributes rule(message, sizeof(nfgenmsg));
        const uint32_t set = SetByRule(rule[NFTA_RULE_EXPRESSIONS]) & mask;
        if (set == 0) return;
        const auto* generic = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(message));
        lines.push_back(absl::StrFormat("%s: sets bits 0x%x of marks",
                                        NameOfRule(generic->nfgen_family, rule), set));
      });
  if (absl::IsInvalidArgument(status) || absl::IsUnimplemented(status)) return absl::OkStatus();
  RETURN_IF_ERROR(status);
  ret_lines->insert(ret_lines->end(), lines.begin(), lines.end());
  return absl::OkStatus();
}

absl::Status FindInPolicyRouting(uint8_t family, uint32_t mask, NetlinkSocket& socket,
                                 std::vector<std::string>* ret_lines) {
  NetlinkRequest request(RTM_GETRULE, NLM_F_DUMP, "list policy rules");
  request.Fixed<fib_rule_hdr>()->family = family;
  std::vector<std::string> lines;
  RETURN_IF_ERROR(socket.Query(
      request, [&] { lines.clear(); },
      [&](const nlmsghdr* message) {
        const Attributes rule(message, sizeof(fib_rule_hdr));
        const uint32_t fwmark = rule.U32(FRA_FWMARK);
        const uint32_t fwmask = rule.U32(FRA_FWMASK);
        if ((fwmask & mask) == 0) return;
        lines.push_back(absl::StrFormat("ip%s rule %u: fwmark 0x%x/0x%x looks at bits 0x%x",
                                        family == AF_INET ? "" : " -6", rule.U32(FRA_PRIORITY),
                                        fwmark, fwmask, fwmask & mask));
      }));
  ret_lines->insert(ret_lines->end(), lines.begin(), lines.end());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> FindMarkUsers(uint32_t mask) {
  std::vector<std::string> lines;
  RETURN_IF_ERROR(FindInNftables(mask, &lines));
  ASSIGN_OR_RETURN(NetlinkSocket socket, NetlinkSocket::Open(-1));
  for (const uint8_t family : {AF_INET, AF_INET6}) {
    RETURN_IF_ERROR(FindInPolicyRouting(family, mask, socket, &lines));
  }
  return lines;
}

}  // namespace ripstop::agent
