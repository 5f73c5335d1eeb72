// SPDX-License-Identifier: Apache-2.0
//
// Worlds with what is expected of them, written by hand: the states that states_test.cc
// walks between in any order, as Calico's states_for_test.go does. Expectations come from
// the semantics (DESIGN.md, model.h), not from any evaluator.
#ifndef RIPSTOP_POLICY_STATES_STATES_TEST_LIBRARY_H_
#define RIPSTOP_POLICY_STATES_STATES_TEST_LIBRARY_H_

#include <optional>
#include <string>
#include <vector>

#include "policy/world.h"

namespace ripstop::policy::testing {

enum class Outcome { kAllow, kDeny, kNoEndpoint };  // kNoEndpoint: nobody local has the address

struct Expectation {
  Direction direction = Direction::kIngress;
  std::string local;  // endpoint id; of a host endpoint its id, with `group`
  Packet packet;
  Outcome outcome = Outcome::kDeny;
  std::string by;  // RuleIdentity::ToString(); empty: not asked
  bool log = false;
  // Asked of a host endpoint's group at an interface, instead of a workload. kNoEndpoint:
  // the interface has no host endpoint.
  std::optional<HostGroup> group = {};
  uint32_t interface = 0;
  bool next = false;  // no rule of the group decides

  Expectation Near(const std::string& address) const;  // instead of the one in the Base() cast
};

struct NamedState {
  std::string name;
  World world;
  std::vector<Expectation> expected;
};

const std::vector<NamedState>& AllStates();

// Pieces of AllStates().
void AddPeerStates(std::vector<NamedState>& states);      // who the far side is
void AddPortStates(std::vector<NamedState>& states);      // protocols, ports, names, services
void AddOrderStates(std::vector<NamedState>& states);     // tiers, order, actions, profiles
void AddEndpointStates(std::vector<NamedState>& states);  // endpoints come, change and go
void AddHostStates(std::vector<NamedState>& states);      // host endpoints and their groups
void AddNodeStates(std::vector<NamedState>& states);      // nodes as peers

// The cast. Local: shop/db 192.0.2.1 and 2001:db8::1, shop/web .2 and ::2 with port http
// TCP 80. Remote: shop/cart .100 and ::64 with http TCP 8080, other/probe .101 and ::65
// with http TCP 9090. Namespaces shop and other, whose profiles allow everything.
World Base();
Endpoint& At(World& world, const std::string& id);

struct R : Rule {
  explicit R(Action a) { action = a; }
  R& From(const std::string& selector) { return source.selector = selector, *this; }
  R& NotFrom(const std::string& selector) { return source.not_selector = selector, *this; }
  R& To(const std::string& selector) { return destination.selector = selector, *this; }
  R& FromNets(const std::vector<std::string>& nets, const std::vector<std::string>& except = {});
  R& ToNets(const std::vector<std::string>& nets, const std::vector<std::string>& except = {});
  R& Protocol(uint8_t p) { return protocol = p, *this; }
  R& Port(uint8_t p, uint16_t first, uint16_t last = 0);
  R& Named(uint8_t p, const std::string& name);
};

// A policy of namespace shop in tier default that selects `selector`; its types are the
// directions that have rules, Ingress when none has.
Policy P(const std::string& name, const std::string& selector, std::vector<Rule> ingress,
         std::vector<Rule> egress = {});

// What `local` receives from, or sends to, the far address; the near one is the
// endpoint's first address of that family in the Base() cast.
Expectation In(const std::string& local, const std::string& far, uint8_t protocol, uint16_t port,
               Outcome outcome, const std::string& by = "");
Expectation Out(const std::string& local, const std::string& far, uint8_t protocol, uint16_t port,
                Outcome outcome, const std::string& by = "");

}  // namespace ripstop::policy::testing

#endif  // RIPSTOP_POLICY_STATES_STATES_TEST_LIBRARY_H_
