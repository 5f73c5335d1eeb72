// SPDX-License-Identifier: Apache-2.0
#include "bgp-bridge/protocols.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bgp-bridge/file_io.h"

namespace ripstop::bgp {
namespace {

Reply Parse(const std::string& bytes) {
  ReplyParser parser;
  EXPECT_TRUE(parser.Feed(bytes).ok());
  return parser.Next().value();
}

// testdata/show_protocols_all.txt holds the bytes of a BIRD 2.0.12 with one session up and
// one to an address where nobody is.
class ProtocolsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::string> bytes = ReadWhole(BGP_TESTDATA "/show_protocols_all.txt");
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    for (const Protocol& one : ParseProtocols(Parse(*bytes))) protocols_[one.name] = one;
  }
  std::map<std::string, Protocol> protocols_;
};

TEST_F(ProtocolsTest, EveryProtocolIsListedWithTypeAndState) {
  ASSERT_EQ(protocols_.size(), 5u);
  EXPECT_EQ(protocols_["kernel4"].type, "Kernel");
  EXPECT_EQ(protocols_["blocks4"].state, "up");
  EXPECT_EQ(protocols_["blocks4"].bgp_state, "");
}

TEST_F(ProtocolsTest, EstablishedSessionHasItsRoutesSummedOverFamilies) {
  const Protocol& up = protocols_["mesh4_up"];
  EXPECT_EQ(up.type, "BGP");
  EXPECT_EQ(up.bgp_state, "Established");
  EXPECT_EQ(up.description, "node-to-node mesh: node2");
  EXPECT_EQ(up.peer_address, "192.0.2.2");
  EXPECT_EQ(up.source_address, "192.0.2.1");
  EXPECT_EQ(up.peer_as, 64512u);
  EXPECT_EQ(up.local_as, 64512u);
  EXPECT_EQ(up.since, "2026-11-21 00:44:24");
  EXPECT_EQ(up.imported, 1u);
  EXPECT_EQ(up.exported, 1u);
  EXPECT_EQ(up.last_error, "");
}

TEST_F(ProtocolsTest, FailingSessionHasItsReason) {
  const Protocol& down = protocols_["mesh4_down"];
  EXPECT_EQ(down.state, "start");
  EXPECT_EQ(down.bgp_state, "Connect");
  EXPECT_EQ(down.description, "global: a: b");
  EXPECT_EQ(down.peer_as, 64513u);
  EXPECT_EQ(down.last_error, "Socket: No route to host");
  EXPECT_EQ(down.imported, 0u);
}

TEST(StatusTest, ReadsRecoveryAndShutdown) {
  const BirdGeneral recovering = ParseStatus(
      Parse("1000-BIRD 2.0.12\n1011-Router ID is 192.0.2.1\n Hostname is vm\n"
            " Last reconfiguration on 2026-11-21 00:44:18.109\n"
            "0024-Graceful restart recovery in progress\n   Waiting for 3 channels to recover\n"
            "0013 Daemon is up and running\n"));
  EXPECT_EQ(recovering.version, "2.0.12");
  EXPECT_EQ(recovering.router_id, "192.0.2.1");
  EXPECT_EQ(recovering.last_reconfiguration, "2026-11-21 00:44:18.109");
  EXPECT_TRUE(recovering.recovering);
  EXPECT_FALSE(recovering.shutting_down);
}

TEST(RouteCountTest, TakesTheTotal) {
  EXPECT_EQ(ParseRouteCount(Parse("1007-17 of 17 routes for 9 networks in table master4\n"
                                  "0014 Total: 21 of 21 routes for 13 networks in 2 tables\n")),
            21u);
  EXPECT_EQ(ParseRouteCount(Parse("0014 nothing\n")), 0u);
}

}  // namespace
}  // namespace ripstop::bgp
