// SPDX-License-Identifier: Apache-2.0
//
// What happens when something does not fit, goes, or shares an address; what is told of it.
#include "absl/strings/str_cat.h"
#include "policy/engine/engine_testing.h"

namespace ripstop::policy {
namespace {

TEST_F(EngineTest, StatsNameThePoliciesWithTheMostRulesOfASet) {
  const auto with_rules = [](const std::string& name, int rules) {
    Policy p = Ingress(name, "app == 'db'", {});
    for (int i = 0; i < rules; ++i) {
      p.ingress_rules.push_back(AllowFrom("app == 'cart'", static_cast<uint16_t>(6000 + i)));
    }
    Rule log;
    log.action = Action::kLog;
    p.ingress_rules.push_back(log);
    return p;
  };
  engine_.PutPolicy(with_rules("few", 2));
  engine_.PutPolicy(with_rules("many", 7));
  engine_.PutPolicy(with_rules("also-few", 2));
  Policy other = with_rules("of-others", 9);
  other.selector = "app == 'web'";
  engine_.PutPolicy(other);
  Flush();
  const std::vector<PolicySetStats> stats = engine_.Stats();
  const auto ingress = std::find_if(stats.begin(), stats.end(), [](const PolicySetStats& s) {
    return s.direction == Direction::kIngress && s.endpoints == std::vector<std::string>{"shop/db"};
  });
  ASSERT_NE(ingress, stats.end());
  std::vector<std::pair<std::string, uint32_t>> shares;
  for (const PolicyShare& share : ingress->largest_policies) {
    EXPECT_EQ(share.first.tier, "default");
    EXPECT_EQ(share.first.rule_index, 0);
    shares.emplace_back(share.first.policy.name, share.rules);
  }
  EXPECT_EQ(shares, (std::vector<std::pair<std::string, uint32_t>>{
                        {"many", 7}, {"also-few", 2}, {"few", 2}}))
      << "not 'db' with one rule, nor Log rules, nor policies of other endpoints";
}

TEST_F(EngineTest, RemovalLeavesTheAddressToItsCidr) {
  NetworkSet set{"shop/office", {{"app", "cart"}}, {}, {C("192.0.2.96/27")}};
  engine_.PutNetworkSet(set);
  engine_.RemoveEndpoint("shop/cart-0");
  Flush();
  EXPECT_FALSE(image_.Find(A("192.0.2.100")).has_value());
  EXPECT_TRUE(Allowed("192.0.2.100", "192.0.2.1", 5432));
  EXPECT_TRUE(Allowed("192.0.2.120", "192.0.2.1", 5432));
  EXPECT_FALSE(Allowed("192.0.2.130", "192.0.2.1", 5432));
}

TEST_F(EngineTest, AllOfIpv6InTheTrieDoesNotAnswerForIpv4) {
  const EngineTotals before = engine_.Totals();
  Rule v6;
  v6.action = Action::kAllow;
  v6.source.nets = std::vector<Cidr>{C("::/0")};
  engine_.PutPolicy(Ingress("v6", "app == 'db'", {v6}));
  Flush();
  EXPECT_FALSE(Allowed("198.51.100.1", "192.0.2.1", 80));
  engine_.RemovePolicy({PolicyKind::kNetworkPolicy, "shop", "v6"});
  Flush();
  EXPECT_EQ(engine_.Totals().arena_bytes, before.arena_bytes);
}

TEST_F(EngineTest, RuleOutOfUseLeavesNothingBehind) {
  const EngineTotals before = engine_.Totals();
  Rule net;
  net.action = Action::kAllow;
  net.source.nets = std::vector<Cidr>{C("192.0.2.64/26"), C("198.51.100.7/32")};
  engine_.PutPolicy(Ingress("net", "app == 'db'", {net}));
  Flush();
  EXPECT_TRUE(Allowed("198.51.100.7", "192.0.2.1", 80));
  engine_.RemovePolicy({PolicyKind::kNetworkPolicy, "shop", "net"});
  Flush();
  EXPECT_EQ(engine_.Totals().arena_bytes, before.arena_bytes);
  EXPECT_EQ(image_.address_count(), 3u);
  EXPECT_TRUE(engine_.Flush().empty());
}

TEST(FullArena, CidrsThatDoNotFitAreDeniedWithAnAlarmAndComeBack) {
  EngineOptions options;
  options.chunk_count = 1;
  Engine engine(options);
  TableImage image;
  engine.PutEndpoint(Pod("shop/db", "192.0.2.1", {{"app", "db"}}, 10));
  engine.PutPolicy(Ingress("db", "app == 'db'", {AllowFrom("app == 'office'")}));
  const auto flush = [&] {
    image.Apply(engine.Flush());
    image.set_l4_table(engine.l4_table());
  };
  // Each /28 needs a node of its own, and a chunk has room for some 22,500.
  const auto net = [](uint32_t i) {
    return Cidr::Of(Address::FromV4(0x0a000000 + (i << 8)), 96 + 28);
  };
  const auto allowed = [&](const Address& from) {
    const auto got =
        image.Verdict(Direction::kIngress, {from, A("192.0.2.1"), kProtocolTcp, 40000, 80});
    return got && got->allow();
  };
  NetworkSet set{"shop/office", {{"app", "office"}}, {}, {}};
  for (uint32_t i = 0; i < 24'000; ++i) set.nets.push_back(net(i));
  engine.PutNetworkSet(set);
  flush();
  ASSERT_EQ(engine.Alarms().size(), 1u);
  EXPECT_NE(engine.Alarms()[0].find("CIDR table"), std::string::npos) << engine.Alarms()[0];
  size_t count = 0;
  for (uint32_t i = 0; i < 24'000; ++i) {
    count += allowed(net(i).address);
    ASSERT_FALSE(allowed(Cidr::Of(Address::FromV4(0x0a000010 + (i << 8)), 128).address))
        << "beside " << i;
  }
  EXPECT_GT(count, 20'000u);
  EXPECT_LT(count, 24'000u);
  set.nets.resize(12'000);
  engine.PutNetworkSet(set);
  flush();
  flush();
  EXPECT_TRUE(engine.Alarms().empty()) << engine.Alarms()[0];
  for (uint32_t i = 0; i < 24'000; ++i) ASSERT_EQ(allowed(net(i).address), i < 12'000) << i;
}

TEST_F(EngineTest, LastPutLocalEndpointHasTheAddress) {
  engine_.PutEndpoint(Pod("shop/next", "192.0.2.1", {{"app", "web"}}, 42));
  Flush();
  EXPECT_EQ(image_.Find(A("192.0.2.1"))->ifindex, 42u);
  engine_.RemoveEndpoint("shop/next");
  Flush();
  EXPECT_EQ(image_.Find(A("192.0.2.1"))->ifindex, 10u);
}

TEST_F(EngineTest, InactiveLocalEndpointIsDeniedAndYieldsItsAddress) {
  Endpoint done = Pod("shop/db", "192.0.2.1", {{"app", "db"}}, 10);
  done.active = false;
  engine_.PutEndpoint(done);
  Flush();
  EXPECT_EQ(image_.Find(A("192.0.2.1"))->ingress_set, 0u);
  EXPECT_EQ(image_.Find(A("192.0.2.1"))->flags, ADDRESS_LOCAL_ENDPOINT);
  engine_.PutEndpoint(Pod("shop/elsewhere", "192.0.2.1", {{"app", "db"}}));
  Flush();
  EXPECT_EQ(image_.Find(A("192.0.2.1"))->flags, ADDRESS_REMOTE_ENDPOINT);
}

TEST_F(EngineTest, HostsAreFlagged) {
  engine_.PutHost({"node-a", true, {A("203.0.113.1")}});
  engine_.PutHost({"node-b", false, {A("203.0.113.2")}});
  Flush();
  EXPECT_EQ(image_.Find(A("203.0.113.1"))->flags, ADDRESS_THIS_HOST);
  EXPECT_EQ(image_.Find(A("203.0.113.2"))->flags, ADDRESS_OTHER_NODE);
}

TEST_F(EngineTest, EveryVerdictNamesItsRule) {
  const auto got = image_.Verdict(Direction::kIngress,
                                  {A("192.0.2.100"), A("192.0.2.1"), kProtocolTcp, 1, 5432});
  EXPECT_EQ(engine_.Rule(got->rule_id())->ToString(), "default/shop/db ingress rule 0");
  EXPECT_FALSE(engine_.Rule(0).has_value());
}

class TinyTables : public EngineTest {
 protected:
  TinyTables() : EngineTest(Small()) {}
  static EngineOptions Small() {
    EngineOptions options;
    options.dense_cells_max = 64;
    options.bit_vectors = false;
    return options;
  }
};

TEST_F(TinyTables, WhatDoesNotFitIsDeniedWithAnAlarmAndComesBack) {
  std::vector<Rule> rules;
  for (int i = 0; i < 40; ++i)
    rules.push_back(AllowFrom("app == 'cart'", static_cast<uint16_t>(1000 + i)));
  engine_.PutPolicy(Ingress("many", "app == 'db'", rules));
  Flush();
  EXPECT_EQ(image_.Find(A("192.0.2.1"))->ingress_set, 0u);
  EXPECT_FALSE(Allowed("192.0.2.100", "192.0.2.1", 5432));
  ASSERT_EQ(engine_.Alarms().size(), 1u);
  EXPECT_NE(engine_.Alarms()[0].find("64 verdicts"), std::string::npos) << engine_.Alarms()[0];
  engine_.RemovePolicy({PolicyKind::kNetworkPolicy, "shop", "many"});
  Flush();
  EXPECT_TRUE(engine_.Alarms().empty());
  EXPECT_TRUE(Allowed("192.0.2.100", "192.0.2.1", 5432));
}

TEST(BitVectorsTest, ASetTooLargeForADenseTableIsShownAsBitVectorsAndTakesPodsOneByOne) {
  EngineOptions options;
  options.dense_cells_max = 64;
  Engine engine(options);
  TableImage image;
  const auto flush = [&] {
    const TableWrites writes = engine.Flush();
    image.Apply(writes);
    image.set_l4_table(engine.l4_table());
    return writes;
  };
  const auto allowed = [&](const std::string& from, uint16_t port) {
    const auto got =
        image.Verdict(Direction::kIngress, {A(from), A("192.0.2.1"), kProtocolTcp, 40000, port});
    return got && got->allow();
  };
  std::vector<Rule> rules;
  for (int i = 0; i < 300; ++i) {
    rules.push_back(AllowFrom(absl::StrCat("app == 'a", i, "'"), static_cast<uint16_t>(1000 + i)));
  }
  engine.PutEndpoint(Pod("shop/db", "192.0.2.1", {{"app", "db"}}, 10));
  engine.PutPolicy(Ingress("many", "app == 'db'", rules));
  flush();
  EXPECT_TRUE(engine.Alarms().empty());
  std::vector<std::string> kinds;
  uint64_t bytes = 0;
  for (const PolicySetStats& set : engine.Stats()) {
    bytes += set.bytes;
    if (set.rules < 300) continue;
    kinds.push_back(set.representation);
    EXPECT_EQ(set.cells, set.rules);
    EXPECT_GT(set.columns, 300u);
  }
  EXPECT_EQ(kinds, std::vector<std::string>({"bit vectors"}));
  EXPECT_GT(bytes, 300u * ARENA_LINE_BYTES);
  EXPECT_LE(bytes, engine.Totals().arena_bytes);

  // A pod of a kind nobody has seen: its bitmap, its row and its address.
  engine.PutEndpoint(Pod("shop/a7", "192.0.2.107", {{"app", "a7"}}));
  EXPECT_EQ(flush().size(), 3u);
  EXPECT_TRUE(allowed("192.0.2.107", 1007));
  EXPECT_FALSE(allowed("192.0.2.107", 1008));
  engine.RemovePolicy({PolicyKind::kNetworkPolicy, "shop", "many"});
  flush();
  for (const PolicySetStats& set : engine.Stats()) EXPECT_EQ(set.representation, "dense");
}

}  // namespace
}  // namespace ripstop::policy
