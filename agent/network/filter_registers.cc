// SPDX-License-Identifier: Apache-2.0
#include "agent/network/filter_registers.h"

#include <arpa/inet.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/xt_addrtype.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>

namespace ripstop::agent {
namespace {

constexpr size_t kNameBytes = 16;  // IFNAMSIZ

template <typename T>
PartlyKnown Known(T value) {
  PartlyKnown known(sizeof(value));
  known.Put(0, &value, sizeof(value));
  return known;
}

PartlyKnown KnownName(const std::string& name) {
  PartlyKnown known(kNameBytes);
  char padded[kNameBytes] = {};
  std::memcpy(padded, name.data(), std::min(name.size(), kNameBytes - 1));
  known.Put(0, padded, sizeof(padded));
  return known;
}

// A register of 4 bytes whose first is `value`.
PartlyKnown KnownByte(uint8_t value) {
  const uint8_t bytes[sizeof(uint32_t)] = {value};
  PartlyKnown known(sizeof(bytes));
  known.Put(0, bytes, sizeof(bytes));
  return known;
}

// Of something that holds from some value on, or up to one: by the least and by the greatest.
Match BothOr(bool low, bool high) { return low == high ? MatchOf(low) : Match::kMaybe; }

// In what is known.
bool Differs(const PartlyKnown& bytes, const std::vector<uint8_t>& other) {
  for (size_t i = 0; i < other.size(); ++i) {
    if (((bytes.value[i] ^ other[i]) & bytes.known[i]) != 0) return true;
  }
  return false;
}

}  // namespace

void PartlyKnown::Put(size_t at, const void* data, size_t bytes) {
  std::memcpy(value.data() + at, data, bytes);
  std::memset(known.data() + at, 0xff, bytes);
}

bool PartlyKnown::all_known() const {
  return std::all_of(known.begin(), known.end(), [](uint8_t bits) { return bits == 0xff; });
}

std::vector<uint8_t> PartlyKnown::Low() const {
  std::vector<uint8_t> low = value;
  for (size_t i = 0; i < low.size(); ++i) low[i] &= known[i];
  return low;
}

std::vector<uint8_t> PartlyKnown::High() const {
  std::vector<uint8_t> high = value;
  for (size_t i = 0; i < high.size(); ++i) high[i] |= static_cast<uint8_t>(~known[i]);
  return high;
}

FilterRegisters::FilterRegisters(const SamplePacket& packet, uint32_t hook, bool tracked)
    : packet_(packet), hook_(hook), tracked_(tracked) {}

PartlyKnown FilterRegisters::Read(uint32_t place, uint32_t length) const {
  PartlyKnown read(length);
  if (place > kRegisterBytes || length > kRegisterBytes - place) return read;
  std::copy_n(file_.value.begin() + place, length, read.value.begin());
  std::copy_n(file_.known.begin() + place, length, read.known.begin());
  return read;
}

std::optional<PartlyKnown> FilterRegisters::Meta(uint32_t key) const {
  // After routing, too: since Linux 5.7 (28f8bfd1ac94).
  const bool has_in = hook_ != NF_INET_LOCAL_OUT;
  const bool has_out =
      hook_ == NF_INET_FORWARD || hook_ == NF_INET_LOCAL_OUT || hook_ == NF_INET_POST_ROUTING;
  // Of this host's own it is what the packet was last on: the tunnel's device, or none.
  if (hook_ == NF_INET_POST_ROUTING && packet_.way == SamplePacket::kFromHost &&
      (key == NFT_META_IIFNAME || key == NFT_META_IIF))
    return std::nullopt;
  switch (key) {
    case NFT_META_IIFNAME: return KnownName(has_in ? packet_.in.name : "");
    case NFT_META_OIFNAME: return KnownName(has_out ? packet_.out.name : "");
    case NFT_META_IIF: return Known(has_in ? packet_.in.index : 0);
    case NFT_META_OIF: return Known(has_out ? packet_.out.index : 0);
    case NFT_META_NFPROTO: return KnownByte(packet_.family == 4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
    case NFT_META_L4PROTO: return KnownByte(packet_.protocol);
    default: return std::nullopt;
  }
}

std::optional<PartlyKnown> FilterRegisters::Conntrack(uint32_t key) const {
  if (!tracked_) return std::nullopt;
  if (key == NFT_CT_STATE)
    return Known(static_cast<uint32_t>(packet_.established ? NF_CT_STATE_BIT(IP_CT_ESTABLISHED)
                                                           : NF_CT_STATE_BIT(IP_CT_NEW)));
  if (key != NFT_CT_STATUS) return std::nullopt;
  // Of a sample, at its source at most.
  PartlyKnown status = Known<uint32_t>(0);
  const uint32_t known = IPS_DST_NAT;
  std::memcpy(status.known.data(), &known, sizeof(known));
  return status;
}

std::optional<PartlyKnown> FilterRegisters::Fib(uint32_t result, uint32_t flags) const {
  if (result == NFT_FIB_RESULT_ADDRTYPE && (flags & NFTA_FIB_F_DADDR) != 0)
    return Known<uint32_t>(packet_.way == SamplePacket::kToHost ? RTN_LOCAL : RTN_UNICAST);
  // What a sample comes from is where the route to it leads.
  if (result == NFT_FIB_RESULT_OIF && (flags & NFTA_FIB_F_SADDR) != 0 &&
      packet_.way != SamplePacket::kFromHost)
    return Known<uint32_t>((flags & NFTA_FIB_F_PRESENT) != 0 ? 1 : packet_.in.index);
  return std::nullopt;
}

std::optional<PartlyKnown> FilterRegisters::Payload(uint32_t base, uint32_t offset,
                                                    uint32_t length) const {
  constexpr size_t kPortsBytes = 4, kAddressBytes = 16, kV4At = 12;
  PartlyKnown header(base == NFT_PAYLOAD_TRANSPORT_HEADER ? kPortsBytes
                     : packet_.family == 4                ? sizeof(iphdr)
                                                          : sizeof(ipv6hdr));
  const auto port = [&header](size_t at, std::optional<uint16_t> number) {
    if (!number.has_value()) return;
    const uint16_t wire = htons(*number);
    header.Put(at, &wire, sizeof(wire));
  };
  const auto address = [&](size_t at, const std::optional<policy::Cidr>& one) {
    if (!one.has_value()) return;
    const size_t from = packet_.family == 4 ? kV4At : 0;
    header.Put(at, one->address.bytes.data() + from, kAddressBytes - from);
    for (size_t bit = one->bits; bit < kAddressBytes * 8; ++bit)
      header.known[at + bit / 8 - from] &= static_cast<uint8_t>(~(0x80 >> bit % 8));
  };
  if (base == NFT_PAYLOAD_TRANSPORT_HEADER) {
    port(0, packet_.source_port);
    port(sizeof(uint16_t), packet_.destination_port);
  } else if (base == NFT_PAYLOAD_NETWORK_HEADER && packet_.family == 4) {
    header.Put(offsetof(iphdr, protocol), &packet_.protocol, 1);
    address(offsetof(iphdr, saddr), packet_.source);
    address(offsetof(iphdr, daddr), packet_.destination);
  } else if (base == NFT_PAYLOAD_NETWORK_HEADER) {
    header.Put(offsetof(ipv6hdr, nexthdr), &packet_.protocol, 1);
    address(offsetof(ipv6hdr, saddr), packet_.source);
    address(offsetof(ipv6hdr, daddr), packet_.destination);
  } else {
    return std::nullopt;
  }
  if (offset > header.value.size() || length > header.value.size() - offset) return std::nullopt;
  PartlyKnown field(length);
  std::copy_n(header.value.begin() + offset, length, field.value.begin());
  std::copy_n(header.known.begin() + offset, length, field.known.begin());
  return field;
}

void FilterRegisters::Load(const RuleStep& step) {
  std::optional<PartlyKnown> loaded;
  switch (step.kind) {
    case RuleStep::kMeta: loaded = Meta(step.key); break;
    case RuleStep::kConntrack: loaded = Conntrack(step.key); break;
    case RuleStep::kFib: loaded = Fib(step.key, step.flags); break;
    case RuleStep::kPayload: loaded = Payload(step.key, step.offset, step.length); break;
    default: break;
  }
  // A register is written in words, the rest of the last one is zero.
  constexpr uint32_t kWord = 4;
  const uint32_t end =
      std::min(kRegisterBytes, step.to + (step.length + kWord - 1) / kWord * kWord);
  for (uint32_t at = step.to; at < end; ++at) {
    const uint32_t i = at - step.to;
    const bool within = i < step.length;
    const bool has = loaded.has_value() && i < loaded->value.size();
    file_.value[at] = within && has ? loaded->value[i] : 0;
    file_.known[at] = !within ? 0xff : has ? loaded->known[i] : 0;
  }
}

Match FilterRegisters::Compare(const RuleStep& step) const {
  const PartlyKnown have = Read(step.from, step.length);
  if (step.key == NFT_CMP_EQ || step.key == NFT_CMP_NEQ) {
    const Match equal = Differs(have, step.data) ? Match::kNo
                        : have.all_known()       ? Match::kYes
                                                 : Match::kMaybe;
    return step.key == NFT_CMP_EQ ? equal : Not(equal);
  }
  const int low = CompareBytes(have.Low(), step.data), high = CompareBytes(have.High(), step.data);
  switch (step.key) {
    case NFT_CMP_LT: return BothOr(low < 0, high < 0);
    case NFT_CMP_LTE: return BothOr(low <= 0, high <= 0);
    case NFT_CMP_GT: return BothOr(low > 0, high > 0);
    case NFT_CMP_GTE: return BothOr(low >= 0, high >= 0);
    default: return Match::kMaybe;
  }
}

Match FilterRegisters::Range(const RuleStep& step) const {
  const PartlyKnown have = Read(step.from, step.length);
  const std::vector<uint8_t> low = have.Low(), high = have.High();
  Match in = Match::kMaybe;
  if (CompareBytes(low, step.data) >= 0 && CompareBytes(high, step.data2) <= 0) in = Match::kYes;
  if (CompareBytes(high, step.data) < 0 || CompareBytes(low, step.data2) > 0) in = Match::kNo;
  return step.key == NFT_RANGE_EQ ? in : Not(in);
}

Match FilterRegisters::States(const RuleStep& step) const {
  // Not followed: whether the source was translated.
  constexpr uint32_t kFollowed = NF_CT_STATE_BIT(IP_CT_ESTABLISHED) | NF_CT_STATE_INVALID_BIT |
                                 NF_CT_STATE_BIT(IP_CT_RELATED) | NF_CT_STATE_BIT(IP_CT_NEW) |
                                 XT_CONNTRACK_STATE_DNAT | XT_CONNTRACK_STATE_UNTRACKED;
  if (!tracked_) return Match::kMaybe;
  const uint32_t state =
      packet_.established ? NF_CT_STATE_BIT(IP_CT_ESTABLISHED) : NF_CT_STATE_BIT(IP_CT_NEW);
  Match match = (step.key & state) != 0        ? Match::kYes
                : (step.key & ~kFollowed) != 0 ? Match::kMaybe
                                               : Match::kNo;
  return step.flags != 0 ? Not(match) : match;
}

Match FilterRegisters::Ports(const RuleStep& step) const {
  const auto within = [](std::optional<uint16_t> port, uint16_t first, uint16_t last) {
    if (first == 0 && last == UINT16_MAX) return Match::kYes;
    if (!port.has_value()) return Match::kMaybe;
    return MatchOf(first <= *port && *port <= last);
  };
  return std::min(within(packet_.source_port, step.ports[0], step.ports[1]),
                  within(packet_.destination_port, step.ports[2], step.ports[3]));
}

Match FilterRegisters::Run(const RuleStep& step) {
  switch (step.kind) {
    case RuleStep::kMeta:
    case RuleStep::kConntrack:
    case RuleStep::kFib:
    case RuleStep::kPayload: Load(step); return Match::kYes;
    case RuleStep::kConstant: {
      PartlyKnown constant(step.data.size());
      constant.Put(0, step.data.data(), step.data.size());
      std::copy(constant.value.begin(), constant.value.end(), file_.value.begin() + step.to);
      std::copy(constant.known.begin(), constant.known.end(), file_.known.begin() + step.to);
      return Match::kYes;
    }
    case RuleStep::kMask: {
      const PartlyKnown before = Read(step.from, step.length);
      for (uint32_t i = 0; i < step.length; ++i) {
        const uint8_t mask = step.data[i];
        file_.value[step.to + i] = static_cast<uint8_t>((before.value[i] & mask) ^ step.data2[i]);
        file_.known[step.to + i] = static_cast<uint8_t>(before.known[i] | ~mask);
      }
      return Match::kYes;
    }
    case RuleStep::kCompare: return Compare(step);
    case RuleStep::kRange: return Range(step);
    case RuleStep::kXtStates: return States(step);
    case RuleStep::kXtPorts: return Ports(step);
    case RuleStep::kNever: return Match::kNo;
    case RuleStep::kNoTrack: return Match::kYes;
    case RuleStep::kXtAddressType: {
      const uint32_t type =
          packet_.way == SamplePacket::kToHost ? XT_ADDRTYPE_LOCAL : XT_ADDRTYPE_UNICAST;
      return MatchOf(((step.key & type) != 0) == (step.flags == 0));
    }
    default: break;
  }
  file_ = PartlyKnown(kRegisterBytes);
  return Match::kMaybe;
}

}  // namespace ripstop::agent
