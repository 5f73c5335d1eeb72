// SPDX-License-Identifier: Apache-2.0
#include "policy/classes/l4_set.h"

#include <algorithm>

namespace ripstop::policy {
namespace {

constexpr uint8_t kWithPorts[] = {kProtocolTcp, kProtocolUdp, kProtocolSctp, kProtocolUdpLite};

}  // namespace

uint32_t L4PortBlock(uint8_t protocol) {
  switch (protocol) {
    case kProtocolTcp: return L4_TCP;
    case kProtocolUdp: return L4_UDP;
    case kProtocolSctp: return L4_SCTP;
    default: return L4_UDPLITE;
  }
}

uint32_t L4Index(uint8_t protocol, uint16_t port, uint8_t icmp_type, uint8_t icmp_code) {
  if (HasPorts(protocol)) return L4_INDEX(L4PortBlock(protocol), port);
  if (protocol == kProtocolIcmp) return L4_INDEX(L4_ICMP, icmp_type << 8 | icmp_code);
  if (protocol == kProtocolIcmpV6) return L4_INDEX(L4_ICMPV6, icmp_type << 8 | icmp_code);
  return L4_INDEX(L4_OTHER, protocol);
}

L4Set L4Set::Normal(std::vector<Interval> intervals) {
  std::sort(intervals.begin(), intervals.end());
  L4Set result;
  for (const Interval& i : intervals) {
    if (!result.intervals_.empty() && i.first <= result.intervals_.back().last + 1) {
      result.intervals_.back().last = std::max(result.intervals_.back().last, i.last);
    } else {
      result.intervals_.push_back(i);
    }
  }
  return result;
}

L4Set L4Set::OfProtocol(uint8_t protocol) {
  const uint32_t first = L4Index(protocol, 0, 0, 0);
  const bool block = HasPorts(protocol) || protocol == kProtocolIcmp || protocol == kProtocolIcmpV6;
  return Of(first, block ? first + 0xffff : first);
}

L4Set L4Set::OfPort(uint8_t protocol, uint16_t port) {
  if (!HasPorts(protocol)) return None();
  const uint32_t index = L4_INDEX(L4PortBlock(protocol), port);
  return Of(index, index);
}

L4Set L4Set::OfRanges(const std::vector<PortRange>& ranges) {
  std::vector<Interval> intervals;
  for (const uint8_t protocol : kWithPorts) {
    const uint32_t block = L4PortBlock(protocol);
    for (const PortRange& r : ranges) {
      if (r.first <= r.last)
        intervals.push_back({L4_INDEX(block, r.first), L4_INDEX(block, r.last)});
    }
  }
  return Normal(std::move(intervals));
}

L4Set L4Set::OfIcmp(const IcmpMatch& match) {
  std::vector<Interval> intervals;
  for (const uint32_t block : {L4_ICMP, L4_ICMPV6}) {
    for (uint32_t type = match.type.value_or(0); type <= match.type.value_or(255); ++type) {
      intervals.push_back({L4_INDEX(block, type << 8 | match.code.value_or(0)),
                           L4_INDEX(block, type << 8 | match.code.value_or(255))});
    }
  }
  return Normal(std::move(intervals));
}

L4Set L4Set::And(const L4Set& other) const {
  L4Set result;
  auto a = intervals_.begin();
  auto b = other.intervals_.begin();
  while (a != intervals_.end() && b != other.intervals_.end()) {
    const uint32_t first = std::max(a->first, b->first);
    const uint32_t last = std::min(a->last, b->last);
    if (first <= last) result.intervals_.push_back({first, last});
    (a->last < b->last) ? ++a : ++b;
  }
  return result;
}

L4Set L4Set::Or(const L4Set& other) const {
  std::vector<Interval> both = intervals_;
  both.insert(both.end(), other.intervals_.begin(), other.intervals_.end());
  return Normal(std::move(both));
}

L4Set L4Set::Not() const {
  L4Set result;
  uint32_t next = 0;
  for (const Interval& i : intervals_) {
    if (next < i.first) result.intervals_.push_back({next, i.first - 1});
    next = i.last + 1;
  }
  if (next < L4_TABLE_ENTRIES) result.intervals_.push_back({next, L4_TABLE_ENTRIES - 1});
  return result;
}

bool L4Set::Contains(uint32_t index) const {
  const auto it = std::partition_point(intervals_.begin(), intervals_.end(),
                                       [&](const Interval& i) { return i.last < index; });
  return it != intervals_.end() && it->first <= index;
}

}  // namespace ripstop::policy
