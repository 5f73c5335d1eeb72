// SPDX-License-Identifier: Apache-2.0
//
// Against the real kernel, each test in a namespace of its own.
#include "agent/netlink/route_watch.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <optional>
#include <string>

#include "agent/base/testing/test_netns.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

class RouteWatchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto host = TestNetns::Create();
    if (absl::IsPermissionDenied(host.status())) GTEST_SKIP() << "needs CAP_SYS_ADMIN";
    ASSERT_TRUE(host.ok()) << host.status();
    host_.emplace(*std::move(host));
    Run("ip link add uplink type veth peer name peer && ip link set uplink up && ip link set peer "
        "up");
    Run("ip addr add 192.0.2.1/24 dev uplink && ip addr add 2001:db8::1/64 dev uplink nodad");
    const absl::Status opened = host_->Run([&]() -> absl::Status {
      ASSIGN_OR_RETURN(watch_, RouteWatch::Open());
      return absl::OkStatus();
    });
    ASSERT_TRUE(opened.ok()) << opened;
  }
  void Run(const std::string& command) { ASSERT_EQ(host_->Shell(command), 0) << command; }
  // The kernel tells at once; what it does of itself meanwhile is read away before.
  void ExpectNews(const std::string& command) {
    ASSERT_TRUE(watch_->Changed().ok());
    Run(command);
    pollfd p{.fd = watch_->fd(), .events = POLLIN, .revents = 0};
    ASSERT_EQ(poll(&p, 1, 60'000), 1) << "no news of: " << command;
    const auto changed = watch_->Changed();
    ASSERT_TRUE(changed.ok()) << changed.status();
    EXPECT_TRUE(*changed) << command;
  }

  std::optional<TestNetns> host_;
  std::unique_ptr<RouteWatch> watch_;
};

TEST_F(RouteWatchTest, TellsOfAllThatAWayOutDependsOn) {
  ExpectNews("ip route add 198.51.100.0/24 via 192.0.2.2 proto bird");
  ExpectNews("ip route replace 198.51.100.0/24 via 192.0.2.3 proto bird");
  ExpectNews("ip route del 198.51.100.0/24");
  ExpectNews("ip -6 route add 2001:db8:1::/64 via 2001:db8::2 proto static");
  ExpectNews("ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev uplink nud reachable");
  ExpectNews("ip neigh change 192.0.2.2 lladdr 02:00:00:00:00:03 dev uplink nud reachable");
  ExpectNews("ip rule add from 192.0.2.0/24 lookup 100");
  ExpectNews("ip link set uplink mtu 1400");
  ExpectNews("ip link set uplink down");
}

TEST_F(RouteWatchTest, NewsThatTheSocketHadNoRoomForAreNews) {
  ASSERT_TRUE(watch_->Changed().ok());
  Run("seq -f \"route add 198.18.0.0/15 via 192.0.2.2 table %.0f\" 1 4000 | ip -batch -");
  EXPECT_TRUE(watch_->Changed().value_or(false));
  EXPECT_FALSE(watch_->Changed().value_or(true)) << "said twice";
}

}  // namespace
}  // namespace ripstop::agent
