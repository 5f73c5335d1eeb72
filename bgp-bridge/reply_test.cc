// SPDX-License-Identifier: Apache-2.0
#include "bgp-bridge/reply.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ripstop::bgp {
namespace {

using ::testing::ElementsAre;

// Bytes as BIRD 2.0.12 sent them.
constexpr char kStatus[] =
    "0001 BIRD 2.0.12 ready.\n"
    "1000-BIRD 2.0.12\n1011-Router ID is 192.0.2.1\n Hostname is vm\n"
    " Last reboot on 2026-11-21 00:35:32.443\n0013 Daemon is up and running\n";

TEST(ReplyParserTest, ReadsCodesContinuationsAndEndsHoweverTheBytesAreCut) {
  const std::string bytes = kStatus;
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    ReplyParser parser;
    ASSERT_TRUE(parser.Feed(bytes.substr(0, cut)).ok());
    ASSERT_TRUE(parser.Feed(bytes.substr(cut)).ok());
    EXPECT_THAT(parser.Next()->lines, ElementsAre(ReplyLine{1, "BIRD 2.0.12 ready."}));
    EXPECT_THAT(
        parser.Next()->lines,
        ElementsAre(ReplyLine{1000, "BIRD 2.0.12"}, ReplyLine{1011, "Router ID is 192.0.2.1"},
                    ReplyLine{1011, "Hostname is vm"},
                    ReplyLine{1011, "Last reboot on 2026-11-21 00:35:32.443"},
                    ReplyLine{13, "Daemon is up and running"}));
    EXPECT_EQ(parser.Next(), std::nullopt);
  }
}

TEST(ReplyParserTest, SpontaneousLinesBelongToNoReply) {
  ReplyParser parser;
  ASSERT_TRUE(
      parser.Feed("+log line\n0002-Reading configuration from x\n+more\n0003 Reconfigured\n").ok());
  EXPECT_EQ(parser.Next()->Text(), "Reading configuration from x\nReconfigured");
}

TEST(ReplyParserTest, ErrorsOfBirdAreReplies) {
  ReplyParser parser;
  ASSERT_TRUE(parser.Feed("0002-Reading configuration from x\n8002 x:40:1 syntax error\n").ok());
  const Reply reply = parser.Next().value();
  EXPECT_TRUE(reply.Failed());
  EXPECT_EQ(reply.Code(), 8002);
}

TEST(ReplyParserTest, AnotherServersWordsAreAnError) {
  for (const char* bad :
       {"HTTP/1.1 400 Bad Request\n", " no beginning\n", "12345\n", "00x1 y\n", "\n"}) {
    ReplyParser parser;
    EXPECT_EQ(parser.Feed(bad).code(), absl::StatusCode::kDataLoss) << bad;
  }
  ReplyParser parser;
  EXPECT_EQ(parser.Feed(std::string(70000, 'x')).code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace ripstop::bgp
