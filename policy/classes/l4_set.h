// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_CLASSES_L4_SET_H_
#define RIPSTOP_POLICY_CLASSES_L4_SET_H_

#include <compare>
#include <cstdint>
#include <utility>
#include <vector>

#include "bpf/abi/tables.h"
#include "policy/model.h"

namespace ripstop::policy {

// Index of a packet in the L4 class table (bpf/abi/tables.h).
uint32_t L4Index(uint8_t protocol, uint16_t port, uint8_t icmp_type, uint8_t icmp_code);

// Block of a protocol with ports.
uint32_t L4PortBlock(uint8_t protocol);

// A set of L4 indexes, as sorted disjoint intervals [first, last] that do not touch.
class L4Set {
 public:
  struct Interval {
    uint32_t first;
    uint32_t last;
    auto operator<=>(const Interval&) const = default;
    template <typename H>
    friend H AbslHashValue(H h, const Interval& i) {
      return H::combine(std::move(h), i.first, i.last);
    }
  };

  static L4Set All() { return L4Set({{0, L4_TABLE_ENTRIES - 1}}); }
  static L4Set None() { return L4Set(); }
  static L4Set Of(uint32_t first, uint32_t last) { return L4Set({{first, last}}); }
  static L4Set OfIntervals(std::vector<Interval> intervals) { return Normal(std::move(intervals)); }
  static L4Set OfProtocol(uint8_t protocol);
  static L4Set OfPort(uint8_t protocol, uint16_t port);
  // `ranges` of every protocol that has ports.
  static L4Set OfRanges(const std::vector<PortRange>& ranges);
  static L4Set OfIcmp(const IcmpMatch& match);

  L4Set And(const L4Set& other) const;
  L4Set Or(const L4Set& other) const;
  L4Set Not() const;

  bool empty() const { return intervals_.empty(); }
  bool is_all() const { return *this == All(); }
  bool Contains(uint32_t index) const;
  const std::vector<Interval>& intervals() const { return intervals_; }

  auto operator<=>(const L4Set&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const L4Set& s) {
    return H::combine(std::move(h), s.intervals_);
  }

 private:
  L4Set() = default;
  explicit L4Set(std::vector<Interval> intervals) : intervals_(std::move(intervals)) {}
  static L4Set Normal(std::vector<Interval> intervals);
  std::vector<Interval> intervals_;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_CLASSES_L4_SET_H_
