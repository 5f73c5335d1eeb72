// SPDX-License-Identifier: Apache-2.0
#include "bgp-bridge/escape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>

namespace ripstop::bgp {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(SafeSymbolTest, IsReadableStableAndWithinBirdsLimit) {
  // The literal hash: a change would flap every session at an upgrade.
  EXPECT_EQ(SafeSymbol("mesh4", "node-1", "node-1"), "mesh4_node_1_e696ecc2207879c3");
  const std::string symbol = SafeSymbol("global", std::string(300, '"') + "\n};", "x");
  EXPECT_LE(symbol.size(), 64u);
  for (char c : symbol) EXPECT_TRUE(std::isalnum(static_cast<unsigned char>(c)) || c == '_') << c;
}

TEST(SafeSymbolTest, NamesThatLookAlikeStayApart) {
  EXPECT_NE(SafeSymbol("node", "a-b", "a-b"), SafeSymbol("node", "a.b", "a.b"));
  EXPECT_NE(SafeSymbol("node", std::string(30, 'a') + "1", std::string(30, 'a') + "1"),
            SafeSymbol("node", std::string(30, 'a') + "2", std::string(30, 'a') + "2"));
}

TEST(QuotedDescriptionTest, HoldsNeitherQuoteNorLineEndNorControlCharacter) {
  const std::string quoted = QuotedDescription("a\"; }\nprotocol static { # \\\" \x01\xff");
  EXPECT_EQ(quoted.front(), '"');
  EXPECT_EQ(quoted.back(), '"');
  const std::string inside = quoted.substr(1, quoted.size() - 2);
  EXPECT_THAT(inside, Not(HasSubstr("\"")));
  for (char c : inside) EXPECT_TRUE(std::isprint(static_cast<unsigned char>(c)));
  EXPECT_EQ(inside, "a'; }\\nprotocol static { # \\\\' \\001\\377");
}

TEST(QuotedExactTest, RefusesWhatBirdCannotReadWithoutRepeatingIt) {
  EXPECT_EQ(QuotedExact("a b;{}#'\\", 80).value(), "\"a b;{}#'\\\"");
  for (const char* bad : {"secret\"", "secret\n", "secret\r"}) {
    const absl::Status status = QuotedExact(bad, 80).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("secret")));
  }
  EXPECT_FALSE(QuotedExact(std::string("a\0b", 3), 80).ok());
  EXPECT_FALSE(QuotedExact(std::string(81, 'a'), 80).ok());
}

}  // namespace
}  // namespace ripstop::bgp
