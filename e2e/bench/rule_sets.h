// SPDX-License-Identifier: Apache-2.0
//
// Seeded worlds for benchmarks: the same seed and sizes give the same world everywhere.
//
//   Kubernetes-like   namespaces × deployments × policies, sizes skewed as clusters are
//   ACL, firewall, IP chain   one endpoint, N rules; prefix lengths and port classes
//                     follow the shares that Taylor and Turner report for their seed
//                     filters (ClassBench, IEEE/ACM ToN 2007), rounded
//   pathological      every rule its own CIDRs and its own port range
//   selectors         every rule its own selector
//   CIDRs             every rule its own prefix of one family, ten ports in all
//   hosts             every rule one address and one of 16 ports: what nftables can hold
//                     as one map
#ifndef RIPSTOP_E2E_BENCH_RULE_SETS_H_
#define RIPSTOP_E2E_BENCH_RULE_SETS_H_

#include <cstdint>
#include <string>

#include "policy/model.h"
#include "policy/world.h"

namespace ripstop::bench {

struct KubernetesShape {
  uint32_t seed = 1;
  int endpoints = 1000;
  int policies = 100;
  int local_endpoints = 100;
  int namespaces = 20;
  int deployments_per_namespace = 10;
};
policy::World KubernetesLike(const KubernetesShape& shape);

enum class FilterFamily { kAcl, kFirewall, kIpChain, kPathological };
const char* ToString(FilterFamily family);

// One GlobalNetworkPolicy of `rules` ingress rules on one local endpoint.
policy::World FilterLike(FilterFamily family, int rules, uint32_t seed);

// One GlobalNetworkPolicy whose `rules` rules each select their own pods: two pods of
// other nodes per rule, ten ports in all.
policy::World SelectorLike(int rules);

// One GlobalNetworkPolicy whose `rules` rules each allow one random prefix: IPv4 /16 to
// /28, or IPv6 /32 to /64.
policy::World CidrLike(int rules, bool v4, uint32_t seed);

// One GlobalNetworkPolicy whose rule i admits one address (HostAddress) to one port.
policy::World HostsLike(int rules);
std::string HostAddress(int rule);
uint16_t HostPort(int rule);

// A packet to the local endpoint of such a world that its rule `index` matches.
policy::Packet PacketForRule(const policy::World& world, size_t index);

}  // namespace ripstop::bench

#endif  // RIPSTOP_E2E_BENCH_RULE_SETS_H_
