// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/xt_steps.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/xt_CT.h>
#include <linux/netfilter/xt_addrtype.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_tcpudp.h>

#include <cstring>
#include <optional>
#include <set>
#include <string>

namespace ripstop::agent {
namespace {

// One of a plain structure; nullopt where the kernel's is shorter.
template <typename T>
std::optional<T> Info(const Attributes& of) {
  static_assert(int{NFTA_MATCH_INFO} == int{NFTA_TARGET_INFO});
  const nlattr* info = of[NFTA_MATCH_INFO];
  T read = {};
  if (info == nullptr || mnl_attr_get_payload_len(info) < sizeof(read)) return std::nullopt;
  std::memcpy(&read, mnl_attr_get_payload(info), sizeof(read));
  return read;
}

RuleStep XtConntrack(const Attributes& data) {
  const auto info = Info<xt_conntrack_mtinfo3>(data);
  RuleStep step;
  const uint32_t revision = ntohl(data.U32(NFTA_MATCH_REV));
  if (revision < 2 || !info.has_value() || info->match_flags != XT_CONNTRACK_STATE) return step;
  step.kind = RuleStep::kXtStates;
  step.key = info->state_mask;
  step.flags = (info->invert_flags & XT_CONNTRACK_STATE) != 0;
  return step;
}

// tcp and udp begin alike. Flags and options of TCP: a SYN is not followed that far.
RuleStep XtPorts(const Attributes& data, bool tcp) {
  RuleStep step;
  uint8_t inverted = 0;
  if (tcp) {
    const auto info = Info<xt_tcp>(data);
    if (!info.has_value() || info->flg_mask != 0 || info->option != 0) return step;
    step.ports = {info->spts[0], info->spts[1], info->dpts[0], info->dpts[1]};
    inverted = info->invflags;
  } else {
    const auto info = Info<xt_udp>(data);
    if (!info.has_value()) return step;
    step.ports = {info->spts[0], info->spts[1], info->dpts[0], info->dpts[1]};
    inverted = info->invflags;
  }
  if (inverted != 0) return {};
  step.kind = RuleStep::kXtPorts;
  return step;
}

RuleStep XtAddressType(const Attributes& data) {
  const auto info = Info<xt_addrtype_info_v1>(data);
  RuleStep step;
  constexpr uint32_t kFollowed = XT_ADDRTYPE_INVERT_DEST;
  if (ntohl(data.U32(NFTA_MATCH_REV)) != 1 || !info.has_value() || info->source != 0 ||
      (info->flags & ~kFollowed) != 0) {
    return step;
  }
  step.kind = RuleStep::kXtAddressType;
  step.key = info->dest;
  step.flags = (info->flags & XT_ADDRTYPE_INVERT_DEST) != 0;
  return step;
}

}  // namespace

RuleStep XtTarget(const Attributes& data) {
  static const std::set<std::string> kGoOn = {
      "AUDIT", "CHECKSUM", "CLASSIFY", "CONNMARK", "CONNSECMARK", "DSCP", "HL",    "LED",
      "LOG",   "MARK",     "NFLOG",    "SET",      "TCPMSS",      "TOS",  "TRACE", "TTL"};
  const std::string name = data.String(NFTA_TARGET_NAME);
  if (name == "NOTRACK") return NoTrack();
  if (name == "CT") {
    // Of each revision the flags come first. What it sets besides is no state.
    const auto flags = Info<uint16_t>(data);
    const bool tracks = flags.has_value() && (*flags & XT_CT_NOTRACK) == 0;
    return tracks ? Ending(RuleVerdict::kNone) : NoTrack();
  }
  if (name == "REJECT") return Ending(RuleVerdict::kReject);
  return Ending(kGoOn.contains(name) ? RuleVerdict::kNone : RuleVerdict::kElsewhere);
}

RuleStep XtMatch(const Attributes& data) {
  const std::string name = data.String(NFTA_MATCH_NAME);
  if (name == "comment") return Ending(RuleVerdict::kNone);
  if (name == "rt") return Never();
  if (name == "conntrack") return XtConntrack(data);
  if (name == "addrtype") return XtAddressType(data);
  if (name == "tcp" || name == "udp") return XtPorts(data, name == "tcp");
  return {};
}

}  // namespace ripstop::agent
