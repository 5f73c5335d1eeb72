// SPDX-License-Identifier: Apache-2.0
//
// Against the real kernel, each test in a namespace of its own.
#include "agent/netlink/filter_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/netfilter.h>

#include <optional>

#include "agent/base/testing/test_netns.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::UnorderedElementsAre;

class FilterRulesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto host = TestNetns::Create();
    if (absl::IsPermissionDenied(host.status())) GTEST_SKIP() << "needs CAP_SYS_ADMIN";
    ASSERT_TRUE(host.ok()) << host.status();
    host_.emplace(*std::move(host));
  }
  void Nft(const std::string& text) { ASSERT_EQ(host_->Shell("nft \"" + text + "\""), 0) << text; }
  FilterRules Read() {
    FilterRules rules;
    const absl::Status read = host_->Run([&]() -> absl::Status {
      ASSIGN_OR_RETURN(rules, ReadFilterRules());
      return absl::OkStatus();
    });
    EXPECT_TRUE(read.ok()) << read;
    return rules;
  }
  uint32_t Generation() {
    uint32_t generation = 0;
    const absl::Status asked = host_->Run([&]() -> absl::Status {
      ASSIGN_OR_RETURN(generation, FilterGeneration());
      return absl::OkStatus();
    });
    EXPECT_TRUE(asked.ok()) << asked;
    return generation;
  }
  // The only chain of its table that has rules, and its only rule.
  FilterRule Only(const std::string& rule) {
    Nft("add table ip t");
    Nft("add chain ip t c { type filter hook forward priority 0; }");
    Nft("add rule ip t c " + rule);
    const FilterRules rules = Read();
    const auto table = rules.tables.find({NFPROTO_IPV4, "t"});
    if (table == rules.tables.end() || table->second.chains.at("c").rules.size() != 1) {
      ADD_FAILURE() << rule;
      return {};
    }
    return table->second.chains.at("c").rules[0];
  }

  std::optional<TestNetns> host_;
};

TEST_F(FilterRulesTest, ThereAreNoneInAnEmptyNamespaceNorWhereOthersOnlyTranslate) {
  EXPECT_THAT(Read().tables, IsEmpty());
  Nft("add table ip t");
  Nft("add chain ip t post { type nat hook postrouting priority 100; }");
  Nft("add rule ip t post masquerade");
  EXPECT_THAT(Read().tables, IsEmpty());
}

TEST_F(FilterRulesTest, BaseChainsWithHookPriorityAndPolicyAndWhatTheyReachAreRead) {
  Nft("add table inet t");
  Nft("add chain inet t in { type filter hook input priority 7; policy drop; }");
  for (const char* chain : {"reached", "mapped", "alone"})
    Nft(std::string("add chain inet t ") + chain);
  Nft("add rule inet t in jump reached");
  Nft("add rule inet t in iifname vmap { eth0 : jump mapped, lo : accept }");
  Nft("add rule inet t mapped counter drop");
  Nft("add rule inet t alone drop");
  const FilterRules rules = Read();
  ASSERT_EQ(rules.tables.size(), 1u);
  const FilterRules::Table& table = rules.tables.at({NFPROTO_INET, "t"});
  EXPECT_THAT(table.chains, UnorderedElementsAre(Key("in"), Key("reached"), Key("mapped")));
  const FilterChain& in = table.chains.at("in");
  EXPECT_TRUE(in.base);
  EXPECT_EQ(in.hook, static_cast<uint32_t>(NF_INET_LOCAL_IN));
  EXPECT_EQ(in.priority, 7);
  EXPECT_TRUE(in.drops);
  EXPECT_FALSE(table.chains.at("mapped").base);
  const FilterRule& drop = table.chains.at("mapped").rules.at(0);
  EXPECT_NE(drop.handle, 0u);
  ASSERT_EQ(drop.steps.size(), 1u) << "a counter says nothing";
  EXPECT_EQ(drop.steps[0].end.verdict, RuleVerdict::kDrop);
  ASSERT_EQ(table.sets.size(), 1u);
  EXPECT_EQ(table.sets.begin()->second.elements.size(), 2u);
}

TEST_F(FilterRulesTest, ATableThatIsSwitchedOffActsOnNothing) {
  Nft("add table ip t { flags dormant; }");
  Nft("add chain ip t c { type filter hook forward priority 0; policy drop; }");
  EXPECT_THAT(Read().tables, IsEmpty());
}

TEST_F(FilterRulesTest, TheGenerationMovesWithEveryChangeAndWithNothingElse) {
  const uint32_t before = Generation();
  Read();
  EXPECT_EQ(Generation(), before);
  Nft("add table ip t");
  const uint32_t table = Generation();
  EXPECT_NE(table, before);
  Nft("add chain ip t c { type filter hook forward priority 0; }");
  EXPECT_NE(Generation(), table);
}

TEST_F(FilterRulesTest, WhatIsNotUnderstoodMayMatchAndNothingIsLeftOut) {
  const FilterRule rule = Only("limit rate 3/minute counter drop");
  ASSERT_EQ(rule.steps.size(), 2u);
  EXPECT_EQ(rule.steps[0].kind, RuleStep::kUnknown);
  EXPECT_EQ(rule.steps[1].end.verdict, RuleVerdict::kDrop);
}

TEST_F(FilterRulesTest, MatchesOfIptablesAreRead) {
  ASSERT_EQ(host_->Shell("iptables-nft -A FORWARD -p udp --dport 53:99 -m conntrack --ctstate NEW "
                         "-m addrtype --dst-type LOCAL -m comment --comment hers -j REJECT"),
            0);
  const FilterRules rules = Read();
  const FilterChain& chain = rules.tables.at({NFPROTO_IPV4, "filter"}).chains.at("FORWARD");
  std::vector<RuleStep::Kind> kinds;
  for (const RuleStep& step : chain.rules.at(0).steps) kinds.push_back(step.kind);
  // Of the ports iptables-nft makes comparisons or a match of its own, as its version does.
  EXPECT_THAT(kinds, ::testing::IsSupersetOf({RuleStep::kXtStates, RuleStep::kXtAddressType}));
  EXPECT_THAT(kinds, ::testing::Not(::testing::Contains(RuleStep::kUnknown)));
  EXPECT_EQ(chain.rules[0].steps.back().end.verdict, RuleVerdict::kReject);
}

}  // namespace
}  // namespace ripstop::agent
