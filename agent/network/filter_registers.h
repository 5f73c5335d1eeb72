// SPDX-License-Identifier: Apache-2.0
//
// nftables' registers for a packet of which some is known. Private to this folder.
#ifndef RIPSTOP_AGENT_NETWORK_FILTER_REGISTERS_H_
#define RIPSTOP_AGENT_NETWORK_FILTER_REGISTERS_H_

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "agent/network/filter_walk.h"

namespace ripstop::agent {

enum class Match { kNo, kMaybe, kYes };
inline Match Not(Match match) {
  return match == Match::kNo ? Match::kYes : match == Match::kYes ? Match::kNo : Match::kMaybe;
}
inline Match MatchOf(bool matches) { return matches ? Match::kYes : Match::kNo; }

// Bytes, and which of their bits are known.
struct PartlyKnown {
  std::vector<uint8_t> value, known;

  explicit PartlyKnown(size_t bytes = 0) : value(bytes), known(bytes) {}
  void Put(size_t at, const void* data, size_t bytes);
  bool all_known() const;
  // The least and the greatest that it may be.
  std::vector<uint8_t> Low() const;
  std::vector<uint8_t> High() const;
};

class FilterRegisters {
 public:
  // At one hook, NF_INET_*. `tracked`: its connection is known there.
  FilterRegisters(const SamplePacket& packet, uint32_t hook, bool tracked);

  // A step that loads, calculates or compares; kLookup and kEnd are others' business.
  Match Run(const RuleStep& step);
  PartlyKnown Read(uint32_t place, uint32_t length) const;

 private:
  void Load(const RuleStep& step);
  std::optional<PartlyKnown> Meta(uint32_t key) const;
  std::optional<PartlyKnown> Conntrack(uint32_t key) const;
  std::optional<PartlyKnown> Fib(uint32_t result, uint32_t flags) const;
  std::optional<PartlyKnown> Payload(uint32_t base, uint32_t offset, uint32_t length) const;
  Match Compare(const RuleStep& step) const;
  Match Range(const RuleStep& step) const;
  Match States(const RuleStep& step) const;
  Match Ports(const RuleStep& step) const;

  const SamplePacket& packet_;
  const uint32_t hook_;
  const bool tracked_;
  PartlyKnown file_{kRegisterBytes};
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_FILTER_REGISTERS_H_
