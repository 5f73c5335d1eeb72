// SPDX-License-Identifier: Apache-2.0
#include "policy/selector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy/model.h"

namespace ripstop::policy {
namespace {

using ::testing::HasSubstr;

struct Case {
  const char* selector;
  bool none;  // against {}
  bool web;   // against {app: web, tier: front-end}
};

TEST(Selector, AnswersAsTheLanguageSays) {
  const Labels web = {{"app", "web"}, {"tier", "front-end"}};
  const Case cases[] = {
      {"", true, true},
      {"  all( ) ", true, true},
      {"!all()", false, false},
      {"global()", true, true},
      {"has(app)", false, true},
      {"!has(app)", true, false},
      {"!!has( app )", false, true},
      {"app == 'web'", false, true},
      {"app==\"db\"", false, false},
      {"app != 'web'", true, false},
      {"app in {'web', \"db\"}", false, true},
      {"app in {}", false, false},
      {"app not in {'web'}", true, false},
      {"app not in {}", true, true},
      {"app notin {'web'}", true, false},
      {"app in {'', 'web'}", false, true},
      {"app == ''", false, false},
      {"app != ''", true, true},
      {"app contains 'web'", false, true},
      {"app contains 'ebw'", false, false},
      {"!app contains 'web'", true, false},
      {"tier startswith \"front\"", false, true},
      {"tier endswith 'end'", false, true},
      {"!(tier starts with 'front')", true, false},
      {"!(app == 'web' && has(tier))", true, false},
      {"!(has(app) || all())", false, false},
      {"global() && has(app)", false, true},
      {"((app=='web'))&&((tier!='back'))", false, true},
      {"app == 'web' || has(x) && has(y)", false, true},
      {"\thas(app)\t&&\ttier\t==\t'front-end'\t", false, true},
      {"tier contains 'nt-e'", false, true},
      {"tier starts with 'front'", false, true},
      {"tier starts with 'end'", false, false},
      {"tier ends with 'end'", false, true},
      {"tier contains ''", false, true},
      {"! app == 'web'", true, false},
      {"!app != 'web' && has(tier)", false, true},
      {"has(x) || app == 'web' && has(x)", false, false},
      {"(has(x) || app == 'web') && tier == 'front-end'", false, true},
      {"all == 'x' || has == 'y' || in in {'z'}", false, false},
  };
  for (const Case& c : cases) {
    const auto selector = Selector::Parse(c.selector);
    ASSERT_TRUE(selector.ok()) << c.selector << ": " << selector.status();
    EXPECT_EQ(selector->Matches({}), c.none) << c.selector;
    EXPECT_EQ(selector->Matches(web), c.web) << c.selector;
    // The canonical text means the same and is a fixed point.
    const auto again = Selector::Parse(selector->Canonical());
    ASSERT_TRUE(again.ok()) << selector->Canonical();
    EXPECT_EQ(again->Canonical(), selector->Canonical());
    EXPECT_EQ(again->Matches(web), c.web) << selector->Canonical();
    EXPECT_EQ(again->Matches({}), c.none) << selector->Canonical();
  }
}

TEST(Selector, GlobalIsTheAbsenceOfTheNamespaceLabel) {
  EXPECT_FALSE(Selector::Parse("global()")->Matches({{kNamespaceLabel, "shop"}}));
}

TEST(Selector, AViewSaysWhoseWordALabelMustBe) {
  const std::map<std::string, Profile> known = {
      {"kns.shop",
       {"kns.shop",
        {{"pcns.team", "shop"},
         {"pcns.projectcalico.org/name", "shop"},
         {KeyOfNamespace(kNameLabel), "written"}},
        {},
        {}}},
      {"p", {"p", {{"app", "given"}, {"colour", "given"}, {"pcns.team", "given"}}, {}, {}}}};
  const Labels own = {{kNamespaceLabel, "shop"}, {"app", "web"}, {KeyOfPod("pcns.team"), "mine"}};
  const Case cases[] = {
      {"pcns.team == 'given' && app == 'web' && colour == 'given'", false, true},
      {"pod:app == 'web' && pod:pcns.team == 'mine'", false, true},
      {"ns:pcns.team == 'shop' && ns:pcns.projectcalico.org/name == 'written'", false, true},
      {"has(pod:colour)", false, false},
      {"!has(pod:colour) && pod:colour != 'given'", true, true},
      {"has(pod:projectcalico.org/namespace)", false, false},
      {"pcns.team == 'mine' || pcns.team == 'shop'", false, false},
      {"ns:pcns.team == 'given' || ns:pcns.team == 'mine' || has(ns:pcns.app)", false, false},
  };
  const Labels effective = EffectiveLabels(own, {"p", "kns.shop"}, known);
  const LabelViews views = ViewsOf(own, {"p", "kns.shop"}, known);
  for (const Case& c : cases) {
    const auto selector = Selector::Parse(c.selector);
    ASSERT_TRUE(selector.ok()) << c.selector << ": " << selector.status();
    EXPECT_EQ(selector->Matches(effective), c.web) << c.selector;
    EXPECT_EQ(selector->MatchesIn(views), c.web) << c.selector;
    EXPECT_EQ(selector->Matches({}), c.none) << c.selector;
    EXPECT_EQ(Selector::Parse(selector->Canonical())->Canonical(), selector->Canonical());
    EXPECT_FALSE(Selector::Parse(c.selector, kWrittenSelector).ok() &&
                 std::string_view(c.selector).find(':') != std::string_view::npos)
        << c.selector;
  }
  for (const char* bad :
       {"pod:", "has(pod:)", "ns:team == 'x'", "pod: app == 'x'", "inherited:a"}) {
    EXPECT_FALSE(Selector::Parse(bad).ok()) << bad;
  }
}

TEST(Selector, OneCanonicalTextForEqualSelectors) {
  const auto canonical = [](const char* text) { return Selector::Parse(text)->Canonical(); };
  EXPECT_EQ(canonical("a=='1'&&(b != \"2\")"), canonical("b != '2' && a == '1' && all()"));
  EXPECT_EQ(canonical("a in {'y','x','x'}"), canonical("(a in {'x', 'y'})"));
  EXPECT_EQ(canonical("!(a == 'x')"), canonical("a not in {'x'}"));
  EXPECT_NE(canonical("has(a) && has(b) || has(c)"), canonical("has(a) && (has(b) || has(c))"));
  EXPECT_EQ(canonical("a == 'say \"x\"'"), "a == 'say \"x\"'");
  EXPECT_EQ(canonical("!(has(a) && has(b))"), "!(has(a) && has(b))");
}

TEST(Selector, ErrorsSayWhereAndWhatWouldBeRight) {
  const std::pair<const char*, const char*> cases[] = {
      {"app = 'web'", "position 5: found \"=\"; write =="},
      {"app == web", "position 8: found \"web\"; expected a value in quotes"},
      {"app == 'web", "position 8: found a value that does not end"},
      {"has(app", "position 8: found the end; expected )"},
      {"(has(a)", "expected &&, || or )"},
      {"has(a) has(b)", "position 8: found \"has\"; expected &&, ||"},
      {"has(a) &&", "found the end; expected a label name"},
      {"app in 'x'", "expected {"},
      {"app in {'x'", "expected , or }"},
      {"app not 'x'", "expected \"not in\""},
      {"app starts 'x'", "expected \"starts with\""},
      {"app", "or has(app)"},
      {"has(a)\n&& has(b)", "newline"},
      {"$ == 'x'", "found \"$\""},
  };
  for (const auto& [text, message] : cases) {
    const auto selector = Selector::Parse(text);
    ASSERT_FALSE(selector.ok()) << text;
    EXPECT_EQ(selector.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(selector.status().message()), HasSubstr(message)) << text;
  }
}

TEST(Selector, LabelsHaveAllTheirCharactersAndValuesEverythingButTheirQuote) {
  const Labels labels = {
      {"a.b/c-d_E9", "x"}, {"9", "it's"}, {"-", "say \"hi\" {a, b} && !c"}, {"é", "z"}};
  for (const char* text : {"a.b/c-d_E9 == 'x'", "9 == \"it's\"", "- == 'say \"hi\" {a, b} && !c'",
                           "9 in {\"it's\", 'x'} && has(-)"}) {
    const auto selector = Selector::Parse(text);
    ASSERT_TRUE(selector.ok()) << text << ": " << selector.status();
    EXPECT_TRUE(selector->Matches(labels)) << text;
  }
  for (const char* text : {"é == 'z'", "a b == 'x'", "a:b == 'x'", "9 == 'it's'", "has(a b)",
                           "has()", "a == 'x\\''"}) {
    EXPECT_FALSE(Selector::Parse(text).ok()) << text;
  }
}

TEST(Selector, WhatAUserWritesMayBe64KiBAnd128Deep) {
  const auto nested = [](int depth) {
    return std::string(depth, '(') + "has(a)" + std::string(depth, ')');
  };
  const auto long_one = [](size_t bytes) { return "a == '" + std::string(bytes - 7, 'x') + "'"; };
  EXPECT_TRUE(Selector::Parse(nested(128), kWrittenSelector).ok());
  EXPECT_FALSE(Selector::Parse(nested(129), kWrittenSelector).ok());
  EXPECT_TRUE(Selector::Parse(long_one(65536), kWrittenSelector)
                  ->Matches({{"a", std::string(65529, 'x')}}));
  EXPECT_THAT(std::string(Selector::Parse(long_one(65537), kWrittenSelector).status().message()),
              HasSubstr("selector has 65537 bytes; at most 65536"));
  // The engine's own, since conversion adds parentheses and joins several.
  EXPECT_TRUE(Selector::Parse("((" + nested(128) + ") && has(b))").ok());
  EXPECT_TRUE(Selector::Parse(long_one(65536) + " || " + long_one(65536)).ok());
}

TEST(Selector, DeepAndLongTextsAreRefusedNotFollowed) {
  const std::string deep(10000, '(');
  EXPECT_THAT(std::string(Selector::Parse(deep).status().message()), HasSubstr("nested"));
  const std::string ok = std::string(100, '(') + "has(a)" + std::string(100, ')');
  EXPECT_TRUE(Selector::Parse(ok).ok());
  EXPECT_TRUE(Selector::Parse(std::string(10000, '!') + "has(a)")->Matches({{"a", ""}}));
  EXPECT_FALSE(Selector::Parse(std::string(kJoinedSelector.length + 1, ' ')).ok());
}

TEST(Selector, RestrictionsAreNecessaryConditions) {
  const auto keys = [](const char* text) { return Selector::Parse(text)->Restricts().keys; };
  EXPECT_EQ(keys("a == 'x' && b != 'y'").size(), 1u);
  EXPECT_EQ(keys("a == 'x' && b != 'y'")["a"].values, std::set<std::string>{"x"});
  EXPECT_EQ(keys("a == 'x' || a in {'y'}")["a"].values, (std::set<std::string>{"x", "y"}));
  EXPECT_TRUE(keys("a == 'x' || has(a)")["a"].any_value);
  EXPECT_TRUE(keys("a == 'x' || b == 'y'").empty());
  EXPECT_TRUE(keys("!has(a)").empty());
  EXPECT_TRUE(Selector::Parse("a == 'x' && a == 'y'")->Restricts().nothing);
  EXPECT_TRUE(Selector::Parse("a in {}")->Restricts().nothing);
}

}  // namespace
}  // namespace ripstop::policy
