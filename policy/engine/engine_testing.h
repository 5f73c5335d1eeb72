// SPDX-License-Identifier: Apache-2.0
//
// For engine_*test.cc: a database on this node, a cart and a web server elsewhere, and one
// policy, by which the cart may reach the database.
#ifndef RIPSTOP_POLICY_ENGINE_ENGINE_TESTING_H_
#define RIPSTOP_POLICY_ENGINE_ENGINE_TESTING_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/engine/engine.h"
#include "policy/tables/table_image.h"

namespace ripstop::policy {

inline Address A(std::string_view text) { return *Address::Parse(text); }
inline Cidr C(std::string_view text) { return *Cidr::Parse(text); }

inline Endpoint Pod(const std::string& id, const std::string& address, Labels labels,
                    uint32_t ifindex = 0) {
  Endpoint e;
  e.id = id;
  e.labels = std::move(labels);
  e.addresses = {A(address)};
  if (ifindex != 0) e.local = Attachment{ifindex, {2, 0, 0, 0, 0, 1}};
  return e;
}

inline Rule AllowFrom(const std::string& selector, uint16_t port = 0) {
  Rule r;
  r.action = Action::kAllow;
  r.source.selector = selector;
  if (port != 0) {
    r.protocol = kProtocolTcp;
    r.destination.ports = PortMatch{{{port, port}}, {}};
  }
  return r;
}

inline Policy Ingress(const std::string& name, const std::string& selector,
                      std::vector<Rule> rules) {
  Policy p;
  p.key = {PolicyKind::kNetworkPolicy, "shop", name};
  p.selector = selector;
  p.ingress = true;
  p.ingress_rules = std::move(rules);
  return p;
}

template <typename T>
size_t Count(const TableWrites& writes) {
  return static_cast<size_t>(std::count_if(writes.begin(), writes.end(), [](const TableWrite& w) {
    return std::holds_alternative<T>(w);
  }));
}

class EngineTest : public ::testing::Test {
 protected:
  explicit EngineTest(const EngineOptions& options = {}) : engine_(options) {}
  void SetUp() override {
    engine_.PutEndpoint(Pod("shop/db", "192.0.2.1", {{"app", "db"}}, 10));
    engine_.PutPolicy(Ingress("db", "app == 'db'", {AllowFrom("app == 'cart'", 5432)}));
    engine_.PutEndpoint(Pod("shop/cart-0", "192.0.2.100", {{"app", "cart"}}));
    engine_.PutEndpoint(Pod("shop/web-0", "192.0.2.101", {{"app", "web"}}));
    Flush();
  }
  TableWrites Flush() {
    TableWrites writes = engine_.Flush();
    image_.Apply(writes);
    image_.set_l4_table(engine_.l4_table());
    return writes;
  }
  bool Allowed(const std::string& from, const std::string& to, uint16_t port) {
    const auto got =
        image_.Verdict(Direction::kIngress, {A(from), A(to), kProtocolTcp, 40000, port});
    return got && got->allow();
  }
  Engine engine_;
  TableImage image_;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_ENGINE_ENGINE_TESTING_H_
