// SPDX-License-Identifier: Apache-2.0
//
// What each kind of event costs in writes, and when an epoch moves.
#include "absl/strings/str_cat.h"
#include "policy/engine/engine_testing.h"

namespace ripstop::policy {
namespace {

TEST_F(EngineTest, PodWithAKnownCombinationCostsOneWrite) {
  engine_.PutEndpoint(Pod("shop/cart-1", "192.0.2.102", {{"app", "cart"}}));
  const TableWrites writes = Flush();
  ASSERT_EQ(writes.size(), 1u);
  EXPECT_TRUE(std::holds_alternative<SetAddress>(writes[0]));
  EXPECT_TRUE(Allowed("192.0.2.102", "192.0.2.1", 5432));
}

TEST_F(EngineTest, PodWithANewCombinationThatNoRuleTellsApartCostsOneWrite) {
  engine_.PutEndpoint(Pod("shop/cart-v2", "192.0.2.102", {{"app", "cart"}, {"version", "2"}}));
  EXPECT_EQ(Flush().size(), 1u);
  EXPECT_TRUE(Allowed("192.0.2.102", "192.0.2.1", 5432));
}

TEST_F(EngineTest, AnUnchangedInputCostsNothing) {
  engine_.PutEndpoint(Pod("shop/cart-0", "192.0.2.100", {{"app", "cart"}}));
  engine_.PutPolicy(Ingress("db", "app == 'db'", {AllowFrom("app == 'cart'", 5432)}));
  EXPECT_TRUE(Flush().empty());
}

TEST_F(EngineTest, LabelChangeThatRevokesMovesOneAddressAndTheEpoch) {
  engine_.PutEndpoint(Pod("shop/cart-0", "192.0.2.100", {{"app", "web"}}));
  const TableWrites writes = Flush();
  EXPECT_EQ(Count<SetAddress>(writes), 1u);
  EXPECT_EQ(Count<BumpEpoch>(writes), 1u);
  EXPECT_EQ(Count<Grace>(writes), 1u);
  EXPECT_EQ(writes.size(), 3u);
  EXPECT_FALSE(Allowed("192.0.2.100", "192.0.2.1", 5432));
}

TEST_F(EngineTest, LocalPodWithAKnownSetCostsOneWrite) {
  engine_.PutEndpoint(Pod("shop/db-1", "192.0.2.2", {{"app", "db"}}, 11));
  const TableWrites writes = Flush();
  ASSERT_EQ(writes.size(), 1u);
  EXPECT_TRUE(Allowed("192.0.2.100", "192.0.2.2", 5432));
  EXPECT_EQ(image_.Find(A("192.0.2.2"))->ingress_set, image_.Find(A("192.0.2.1"))->ingress_set);
}

TEST_F(EngineTest, SelectorThatAgreesOnEveryClassMovesNoAddress) {
  engine_.PutPolicy(Ingress("more", "app == 'db'", {AllowFrom("app in {'cart'}", 6379)}));
  const TableWrites writes = Flush();
  EXPECT_EQ(Count<SetAddress>(writes), 1u) << "only the database itself switches sets";
  EXPECT_TRUE(Allowed("192.0.2.100", "192.0.2.1", 6379));
}

TEST_F(EngineTest, SelectorThatSplitsAClassMovesTheSmallerPart) {
  for (int i = 0; i < 9; ++i) {
    engine_.PutEndpoint(Pod(absl::StrCat("shop/cart-x", i), absl::StrCat("192.0.2.", 110 + i),
                            {{"app", "cart"}, {"zone", i == 0 ? "west" : "east"}}));
  }
  Flush();
  engine_.PutPolicy(Ingress("zone", "app == 'db'", {AllowFrom("zone == 'east'", 6379)}));
  // Two of the ten carts are not in the east; the web pods of class 0 stay.
  EXPECT_EQ(Count<SetAddress>(Flush()), 3u);
  EXPECT_TRUE(Allowed("192.0.2.112", "192.0.2.1", 6379));
  EXPECT_FALSE(Allowed("192.0.2.110", "192.0.2.1", 6379));
}

TEST_F(EngineTest, PodWithANewCombinationThatRulesTellApartCostsARowInTheSetsThatDo) {
  engine_.PutEndpoint(Pod("shop/mail", "192.0.2.3", {{"app", "mail"}}, 12));
  engine_.PutEndpoint(Pod("shop/cache", "192.0.2.4", {{"app", "cache"}}, 13));
  engine_.PutPolicy(Ingress("mail", "app == 'mail'", {AllowFrom("zone == 'east'", 25)}));
  engine_.PutPolicy(Ingress("cache", "app == 'cache'", {AllowFrom("zone == 'east'", 6379)}));
  Flush();
  engine_.PutEndpoint(Pod("shop/east-0", "192.0.2.102", {{"zone", "east"}}));
  const TableWrites writes = Flush();
  EXPECT_EQ(Count<SetAddress>(writes), 1u);
  EXPECT_EQ(Count<WriteWords>(writes), 4u) << "mail and cache ask for the zone, the database does "
                                              "not: a row, and the class's number of it";
  EXPECT_EQ(writes.size(), 5u);
  EXPECT_TRUE(Allowed("192.0.2.102", "192.0.2.3", 25));
  EXPECT_FALSE(Allowed("192.0.2.102", "192.0.2.1", 5432));
  engine_.PutEndpoint(Pod("shop/east-1", "192.0.2.103", {{"zone", "east"}}));
  EXPECT_EQ(Flush().size(), 1u) << "the second of its kind";
  engine_.PutEndpoint(Pod("shop/east-cart", "192.0.2.104", {{"app", "cart"}, {"zone", "east"}}));
  const TableWrites known = Flush();
  EXPECT_EQ(Count<WriteWords>(known), 3u) << "all three sets, by rows that are there";
  EXPECT_EQ(known.size(), 4u);
}

TEST_F(EngineTest, PodThatGoesCostsOneWriteAndTheEpochOfTheSetThatAllowedIt) {
  engine_.RemoveEndpoint("shop/web-0");
  const TableWrites writes = Flush();
  ASSERT_EQ(writes.size(), 1u) << "nobody allowed it anything";
  EXPECT_TRUE(std::holds_alternative<RemoveAddress>(writes[0]));
  engine_.RemoveEndpoint("shop/cart-0");
  const TableWrites allowed = Flush();
  EXPECT_EQ(Count<RemoveAddress>(allowed), 1u);
  EXPECT_EQ(Count<BumpEpoch>(allowed), 1u);
  EXPECT_EQ(allowed.size(), 3u) << "these two and the grace period";
}

TEST_F(EngineTest, PolicyEditCostsTheTablesOfItsSetAndOneWriteForEachOfItsEndpoints) {
  for (int i = 2; i < 6; ++i) {
    engine_.PutEndpoint(
        Pod(absl::StrCat("shop/db-", i), absl::StrCat("192.0.2.", i), {{"app", "db"}}, 10 + i));
  }
  engine_.PutEndpoint(Pod("shop/mail", "192.0.2.9", {{"app", "mail"}}, 30));
  engine_.PutPolicy(Ingress("mail", "app == 'mail'", {AllowFrom("app == 'web'", 25)}));
  Flush();
  const address_value mail = *image_.Find(A("192.0.2.9"));
  engine_.PutPolicy(Ingress("db", "app == 'db'", {AllowFrom("app == 'web'", 5432)}));
  const TableWrites writes = Flush();
  EXPECT_EQ(Count<SetAddress>(writes), 5u) << "five databases";
  EXPECT_EQ(Count<BumpEpoch>(writes), 1u) << "the set they leave";
  size_t first_switch = writes.size(), last_table = 0;
  for (size_t i = 0; i < writes.size(); ++i) {
    if (std::holds_alternative<SetAddress>(writes[i])) first_switch = std::min(first_switch, i);
    if (std::holds_alternative<WriteWords>(writes[i])) last_table = i;
  }
  EXPECT_LT(last_table, first_switch) << "tables first";
  EXPECT_EQ(image_.Find(A("192.0.2.9"))->ingress_set, mail.ingress_set)
      << "no other set is touched";
  EXPECT_TRUE(Allowed("192.0.2.101", "192.0.2.5", 5432));
  EXPECT_FALSE(Allowed("192.0.2.100", "192.0.2.5", 5432));
}

// Local pods with sets of their own in both directions that admit what has a kind, and one whose
// rules make each of 80 kinds a class of its own.
class EngineGrowthTest : public EngineTest {
 protected:
  static constexpr int kLocals = 6;
  static constexpr int kKinds = 80;  // more than the least room of a set

  explicit EngineGrowthTest(const EngineOptions& options = {}) : EngineTest(options) {}
  void SetUp() override {
    for (int i = 0; i < kLocals; ++i) {
      Put(i, {AllowFrom("has(kind)", static_cast<uint16_t>(1000 + i))});
    }
    std::vector<Rule> each;
    for (int k = 0; k < kKinds; ++k) each.push_back(AllowFrom(absl::StrCat("kind == 'k", k, "'")));
    Put(kLocals, std::move(each));
    Flush();
  }
  void Put(int i, std::vector<Rule> ingress) {
    const std::string app = absl::StrCat("app-", i);
    engine_.PutEndpoint(Pod(app, absl::StrCat("192.0.2.", i + 1), {{"app", app}}, 10 + i));
    Policy p = Ingress(app, absl::StrCat("app == '", app, "'"), std::move(ingress));
    p.egress = i < kLocals;
    if (p.egress) {
      Rule out = AllowFrom("", static_cast<uint16_t>(2000 + i));
      out.source.selector.reset();
      out.destination.selector = "has(kind)";
      p.egress_rules.push_back(std::move(out));
    }
    engine_.PutPolicy(p);
  }
  void PutKind(int k) {
    engine_.PutEndpoint(Pod(absl::StrCat("far-", k), absl::StrCat("198.51.100.", k),
                            {{"kind", absl::StrCat("k", k)}}));
  }
  // Tables that were written whole: those of new and of grown sets.
  static size_t TablesOf(const TableWrites& writes) {
    return static_cast<size_t>(std::count_if(writes.begin(), writes.end(), [](const auto& w) {
      const auto* words = std::get_if<WriteWords>(&w);
      return words != nullptr && words->first_word == 0 && words->words.size() > ARENA_LINE_WORDS;
    }));
  }
  void ExpectEveryKindAdmitted() {
    for (int i = 0; i < kLocals; ++i) {
      for (int k = 0; k < kKinds; ++k) {
        const std::string far = absl::StrCat("198.51.100.", k),
                          near = absl::StrCat("192.0.2.", i + 1);
        EXPECT_TRUE(Allowed(far, near, static_cast<uint16_t>(1000 + i))) << i << " " << k;
        EXPECT_FALSE(Allowed(far, near, static_cast<uint16_t>(1001 + i))) << i << " " << k;
      }
    }
  }
};

TEST_F(EngineGrowthTest, SetsThatGrowAtOnceSwitchEachOfTheirUsersInOneWrite) {
  for (int k = 0; k < kKinds; ++k) PutKind(k);
  const TableWrites writes = Flush();
  EXPECT_GE(TablesOf(writes), 2u * kLocals + 1);
  for (int i = 0; i < kLocals; ++i) {
    const Address address = A(absl::StrCat("192.0.2.", i + 1));
    EXPECT_EQ(std::count_if(writes.begin(), writes.end(),
                            [&](const TableWrite& w) {
                              const auto* set = std::get_if<SetAddress>(&w);
                              return set != nullptr && set->address == address;
                            }),
              1);
  }
  ExpectEveryKindAdmitted();
}

class EngineGrowthInPiecesTest : public EngineGrowthTest {
 protected:
  EngineGrowthInPiecesTest() : EngineGrowthTest({.grow_ahead_words = 256}) {}
};

TEST_F(EngineGrowthInPiecesTest, SetsThatFillUpGrowBeforeTheyMustSomeInEachFlush) {
  size_t grown = 0;
  for (int k = 0; k < kKinds; ++k) {
    PutKind(k);
    const TableWrites writes = Flush();
    EXPECT_LE(TablesOf(writes), 4u) << "at kind " << k;
    grown += TablesOf(writes);
  }
  EXPECT_GE(grown, 2u * kLocals + 1);
  ExpectEveryKindAdmitted();
}

TEST_F(EngineTest, AllowingMoreMovesNoEpoch) {
  engine_.PutEndpoint(Pod("shop/web-0", "192.0.2.101", {{"app", "cart"}}));
  const TableWrites writes = Flush();
  ASSERT_EQ(writes.size(), 1u) << "one address to a class that is known";
  EXPECT_TRUE(Allowed("192.0.2.101", "192.0.2.1", 5432));
}

}  // namespace
}  // namespace ripstop::policy
