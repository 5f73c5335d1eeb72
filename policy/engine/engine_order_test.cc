// SPDX-License-Identifier: Apache-2.0
//
// Several changes in one Flush: between any two of its writes, each packet among the
// addresses of a small world meets its old or its new verdict. The random search of
// engine_property_test meets these constellations too rarely.
#include <gtest/gtest.h>

#include <map>
#include <tuple>

#include "policy/engine/engine.h"
#include "policy/tables/table_image.h"

namespace ripstop::policy {
namespace {

Address A(const std::string& text) { return *Address::Parse(text); }

Endpoint Pod(const std::string& name, const std::string& address, Labels labels,
             uint32_t ifindex = 0) {
  Endpoint e;
  e.id = "shop/" + name;
  e.labels = std::move(labels);
  e.addresses = {A(address)};
  if (ifindex != 0) e.local = Attachment{ifindex, {2, 0, 0, 0, 0, 1}};
  return e;
}

Rule When(Action action, Direction direction, const std::string& selector) {
  Rule r;
  r.action = action;
  (direction == Direction::kIngress ? r.source : r.destination).selector = selector;
  return r;
}

Policy Of(const std::string& name, const std::string& selector, Direction direction,
          std::vector<Rule> rules) {
  Policy p;
  p.key = {PolicyKind::kNetworkPolicy, "shop", name};
  p.selector = selector;
  p.ingress = direction == Direction::kIngress;
  p.egress = !p.ingress;
  (p.ingress ? p.ingress_rules : p.egress_rules) = std::move(rules);
  return p;
}

class EngineOrderTest : public ::testing::Test {
 protected:
  using Verdicts = std::map<std::tuple<std::string, std::string, Direction>, bool>;

  Verdicts Now() const {
    Verdicts verdicts;
    for (const std::string& from : addresses_) {
      for (const std::string& to : addresses_) {
        for (const Direction d : {Direction::kIngress, Direction::kEgress}) {
          const auto got = image_.Verdict(d, {A(from), A(to), kProtocolTcp, 40000, 80});
          verdicts[{from, to, d}] = got && got->allow();
        }
      }
    }
    return verdicts;
  }

  void Start() {
    image_.Apply(engine_.Flush());
    image_.set_l4_table(engine_.l4_table());
  }

  // Applies a Flush write by write. `changed` verdicts at least must differ at its end, so
  // that a test whose change does nothing fails.
  void FlushInOrder(size_t changed) {
    const Verdicts before = Now();
    std::vector<Verdicts> between;
    for (const TableWrite& write : engine_.Flush()) {
      image_.Apply(write);
      between.push_back(Now());
    }
    const Verdicts after = Now();
    size_t differ = 0;
    for (const auto& [packet, allowed] : after) differ += before.at(packet) != allowed;
    EXPECT_GE(differ, changed);
    for (size_t i = 0; i < between.size(); ++i) {
      for (const auto& [packet, allowed] : between[i]) {
        EXPECT_TRUE(allowed == before.at(packet) || allowed == after.at(packet))
            << std::get<0>(packet) << " to " << std::get<1>(packet) << ", "
            << ToString(std::get<2>(packet)) << ": " << before.at(packet) << " -> " << allowed
            << " -> " << after.at(packet) << " after write " << i + 1 << " of " << between.size();
      }
    }
  }

  Engine engine_;
  TableImage image_;
  std::vector<std::string> addresses_;
};

TEST_F(EngineOrderTest, NewcomerToASetThatAnotherLeavesWhileItsPeerChanges) {
  addresses_ = {"192.0.2.1", "192.0.2.2", "192.0.2.9"};
  engine_.PutPolicy(Of("servers", "app == 'server'", Direction::kIngress,
                       {When(Action::kAllow, Direction::kIngress, "group == 'in'")}));
  engine_.PutEndpoint(Pod("server-0", "192.0.2.1", {{"app", "server"}}, 10));
  engine_.PutEndpoint(Pod("client", "192.0.2.9", {{"group", "in"}}));
  Start();
  engine_.RemoveEndpoint("shop/server-0");
  engine_.PutEndpoint(Pod("server-1", "192.0.2.2", {{"app", "server"}}, 11));
  engine_.PutEndpoint(Pod("client", "192.0.2.9", {{"group", "out"}}));
  FlushInOrder(1);
}

TEST_F(EngineOrderTest, NewLocalAddressUnderACidrThatMoves) {
  addresses_ = {"192.0.2.1", "192.0.2.2", "192.0.2.77"};
  engine_.PutPolicy(Of("peers", "app == 'peer'", Direction::kEgress,
                       {When(Action::kDeny, Direction::kEgress, "role == 'secret'"),
                        When(Action::kAllow, Direction::kEgress, "zone == 'open'")}));
  engine_.PutEndpoint(Pod("peer", "192.0.2.1", {{"app", "peer"}}, 10));
  engine_.PutEndpoint(Pod("other", "192.0.2.3", {{"role", "secret"}}));
  Start();
  NetworkSet open;
  open.id = "open";
  open.labels = {{"zone", "open"}};
  open.nets = {*Cidr::Parse("192.0.2.0/24")};
  engine_.PutNetworkSet(open);
  engine_.PutEndpoint(Pod("new", "192.0.2.2", {{"role", "secret"}}, 11));
  FlushInOrder(1);
}

TEST_F(EngineOrderTest, TwoThatChangeTheirLabelsAndPoliciesAtOnce) {
  addresses_ = {"192.0.2.1", "192.0.2.2"};
  // Each may talk to those of its own colour, and to nobody else.
  for (const std::string colour : {"red", "blue"}) {
    for (const Direction d : {Direction::kIngress, Direction::kEgress}) {
      engine_.PutPolicy(Of(colour + ToString(d), "colour == '" + colour + "'", d,
                           {When(Action::kAllow, d, "colour == '" + colour + "'")}));
    }
  }
  const auto paint = [&](const std::string& colour) {
    engine_.PutEndpoint(Pod("a", "192.0.2.1", {{"colour", colour}}, 10));
    engine_.PutEndpoint(Pod("b", "192.0.2.2", {{"colour", colour}}, 11));
  };
  paint("red");
  Start();
  paint("blue");
  FlushInOrder(0);  // allowed before and after, so never denied between
  engine_.PutEndpoint(Pod("b", "192.0.2.2", {{"colour", "red"}}, 11));
  FlushInOrder(2);
}

}  // namespace
}  // namespace ripstop::policy
