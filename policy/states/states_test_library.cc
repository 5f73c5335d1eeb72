// SPDX-License-Identifier: Apache-2.0
#include "policy/states/states_test_library.h"

#include "policy/selector.h"

namespace ripstop::policy::testing {
namespace {

std::vector<Cidr> Nets(const std::vector<std::string>& texts) {
  std::vector<Cidr> nets;
  for (const std::string& text : texts) nets.push_back(*Cidr::Parse(text));
  return nets;
}

Endpoint Pod(const std::string& ns, const std::string& name, int low, uint16_t http) {
  Endpoint e;
  e.id = ns + "/" + name;
  e.labels = {{"app", name}, {kNamespaceLabel, ns}};
  e.profiles = {"kns." + ns};
  Address v6 = *Address::Parse("2001:db8::");
  v6.bytes[15] = static_cast<uint8_t>(low);
  e.addresses = {Address::FromV4(0xc0000200 + low), v6};
  if (http != 0) e.ports = {{"http", kProtocolTcp, http}};
  if (low < 100)
    e.local =
        Attachment{static_cast<uint32_t>(10 + low), {2, 0, 0, 0, 0, static_cast<uint8_t>(low)}};
  return e;
}

Profile Namespace(const std::string& name) {
  return {"kns." + name, {{"pcns.team", name}}, {Rule{Action::kAllow}}, {Rule{Action::kAllow}}};
}

Expectation Expect(Direction direction, const std::string& local, const std::string& far_text,
                   uint8_t protocol, uint16_t port, Outcome outcome, const std::string& by) {
  static const World& base = *new World(Base());
  const Address far = *Address::Parse(far_text);
  const Address near = base.endpoints.at(local).addresses[far.is_v4() ? 0 : 1];
  Expectation e{direction, local, {}, outcome, by};
  e.packet.source = direction == Direction::kIngress ? far : near;
  e.packet.destination = direction == Direction::kIngress ? near : far;
  e.packet.protocol = protocol;
  if (HasPorts(protocol)) {
    e.packet.source_port = 40000;
    e.packet.destination_port = port;
  } else if (protocol == kProtocolIcmp || protocol == kProtocolIcmpV6) {
    e.packet.icmp_type = static_cast<uint8_t>(port);
  }
  return e;
}

}  // namespace

World Base() {
  World w;
  w.Put(Namespace("shop"));
  w.Put(Namespace("other"));
  w.Put(Pod("shop", "db", 1, 0));
  w.Put(Pod("shop", "web", 2, 80));
  w.Put(Pod("shop", "cart", 100, 8080));
  w.Put(Pod("other", "probe", 101, 9090));
  return w;
}

Endpoint& At(World& world, const std::string& id) { return world.endpoints.at(id); }

R& R::FromNets(const std::vector<std::string>& nets, const std::vector<std::string>& except) {
  source.nets = Nets(nets);
  source.not_nets = Nets(except);
  return *this;
}

R& R::ToNets(const std::vector<std::string>& nets, const std::vector<std::string>& except) {
  destination.nets = Nets(nets);
  destination.not_nets = Nets(except);
  return *this;
}

R& R::Port(uint8_t p, uint16_t first, uint16_t last) {
  protocol = p;
  if (!destination.ports) destination.ports.emplace();
  destination.ports->ranges.push_back({first, last == 0 ? first : last});
  return *this;
}

R& R::Named(uint8_t p, const std::string& name) {
  protocol = p;
  if (!destination.ports) destination.ports.emplace();
  destination.ports->names.push_back(name);
  return *this;
}

Policy P(const std::string& name, const std::string& selector, std::vector<Rule> ingress,
         std::vector<Rule> egress) {
  Policy p;
  p.key = {PolicyKind::kNetworkPolicy, "shop", name};
  p.selector = selector;
  p.egress = !egress.empty();
  p.ingress = !ingress.empty() || !p.egress;
  p.ingress_rules = std::move(ingress);
  p.egress_rules = std::move(egress);
  return p;
}

Expectation Expectation::Near(const std::string& address) const {
  Expectation e = *this;
  (direction == Direction::kIngress ? e.packet.destination : e.packet.source) =
      *Address::Parse(address);
  return e;
}

Expectation In(const std::string& local, const std::string& far, uint8_t protocol, uint16_t port,
               Outcome outcome, const std::string& by) {
  return Expect(Direction::kIngress, local, far, protocol, port, outcome, by);
}
Expectation Out(const std::string& local, const std::string& far, uint8_t protocol, uint16_t port,
                Outcome outcome, const std::string& by) {
  return Expect(Direction::kEgress, local, far, protocol, port, outcome, by);
}

const std::vector<NamedState>& AllStates() {
  static const auto& states = *[] {
    auto* all = new std::vector<NamedState>();
    AddPeerStates(*all);
    AddPortStates(*all);
    AddOrderStates(*all);
    AddEndpointStates(*all);
    AddHostStates(*all);
    AddNodeStates(*all);
    return all;
  }();
  return states;
}

}  // namespace ripstop::policy::testing
