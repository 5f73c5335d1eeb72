// SPDX-License-Identifier: Apache-2.0
//
// What the generators of worlds have in common. For rule_sets.cc and cluster_like.cc.
#ifndef RIPSTOP_E2E_BENCH_RULE_SET_PARTS_H_
#define RIPSTOP_E2E_BENCH_RULE_SET_PARTS_H_

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>

#include "policy/model.h"

namespace ripstop::bench {

inline constexpr uint32_t kLocalEndpoint = 0x0a000002;  // 10.0.0.2

// std::uniform_int_distribution differs between libraries; this does not.
class Dice {
 public:
  explicit Dice(uint32_t seed) : engine_(seed) {}
  uint32_t Below(uint32_t n) { return static_cast<uint32_t>((uint64_t{engine_()} * n) >> 32); }
  bool Percent(uint32_t p) { return Below(100) < p; }
  uint32_t Word() { return engine_(); }
  // Skewed towards small values, as deployments per namespace and pods per deployment are.
  uint32_t Skewed(uint32_t n) {
    const double u = (Below(1u << 20) + 0.5) / (1u << 20);
    return std::min<uint32_t>(n - 1, static_cast<uint32_t>(n * u * u * u));
  }

 private:
  std::mt19937 engine_;
};

inline std::string Number(const char* prefix, int i) { return prefix + std::to_string(i); }

inline policy::Cidr V4Cidr(uint32_t address, int bits) {
  return policy::Cidr::Of(policy::Address::FromV4(address), 96 + bits);
}

inline policy::Rule AllowTcp(uint16_t port) {
  policy::Rule rule;
  rule.action = policy::Action::kAllow;
  rule.protocol = policy::kProtocolTcp;
  rule.destination.ports = policy::PortMatch{.ranges = {{port, port}}, .names = {}};
  return rule;
}

}  // namespace ripstop::bench

#endif  // RIPSTOP_E2E_BENCH_RULE_SET_PARTS_H_
