// SPDX-License-Identifier: Apache-2.0
//
// What the kernel says about queueing disciplines, made by the tool that users have, each test
// in a namespace of its own.
#include "agent/network/shaping.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <optional>

#include "agent/base/testing/test_netns.h"
#include "agent/dataplane/fake_dataplane.h"

namespace ripstop::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ShapingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto host = TestNetns::Create();
    if (absl::IsPermissionDenied(host.status())) GTEST_SKIP() << "needs CAP_SYS_ADMIN";
    ASSERT_TRUE(host.ok()) << host.status();
    host_.emplace(*std::move(host));
    for (const char* name : {"cali0", "cali1", "other"}) {
      ASSERT_EQ(
          host_->Shell(absl::StrCat("ip link add ", name, " type veth peer name p", name,
                                    " && ip link set ", name, " up && ip link set p", name, " up")),
          0);
    }
    auto netlink = Netlink::Open(host_->fd());
    ASSERT_TRUE(netlink.ok()) << netlink.status();
    netlink_ = *std::move(netlink);
    auto monitor = Monitor::Open(host_->fd());
    ASSERT_TRUE(monitor.ok()) << monitor.status();
    monitor_ = *std::move(monitor);
    for (const char* name : {"cali0", "cali1"}) {
      ASSERT_TRUE(dataplane_.AttachWorkload(Index(name)).ok());
    }
    shaping_.emplace(netlink_.get(), &dataplane_);
  }
  uint32_t Index(const std::string& name) { return netlink_->GetLink(name)->index; }
  void Tc(const std::string& command) { ASSERT_EQ(host_->Shell("tc " + command), 0) << command; }
  // What the kernel has told by now; it tells before a command returns.
  void Told() {
    pollfd p{.fd = monitor_->fd(), .events = POLLIN, .revents = 0};
    ASSERT_EQ(poll(&p, 1, 600'000), 1);
    const auto events = monitor_->Read();
    ASSERT_TRUE(events.ok()) << events.status();
    shaping_->HandleEvents(*events);
  }

  std::optional<TestNetns> host_;
  std::unique_ptr<Netlink> netlink_;
  std::unique_ptr<Monitor> monitor_;
  FakeDataplane dataplane_;
  std::optional<Shaping> shaping_;
};

TEST_F(ShapingTest, AVethAsItIsMadeLimitsNothing) {
  shaping_->Compare();
  EXPECT_THAT(dataplane_.shaped, IsEmpty());
  EXPECT_THAT(shaping_->problems(), IsEmpty());
}

TEST_F(ShapingTest, ALimitOnWhatAPodReceivesIsSeenAsItComesAndGoes) {
  Tc("qdisc add dev cali0 root tbf rate 1mbit burst 2000 limit 10000");
  Told();
  EXPECT_THAT(dataplane_.shaped, ElementsAre(Index("cali0")));
  Tc("qdisc del dev cali0 root");
  Told();
  EXPECT_THAT(dataplane_.shaped, IsEmpty());
}

TEST_F(ShapingTest, ALimitOnWhatAPodSendsIsAFilterOfWhatComesIn) {
  Tc("qdisc add dev cali1 ingress");
  Told();
  EXPECT_THAT(dataplane_.shaped, ElementsAre(Index("cali1")));
  // Both at once, as the plugin makes them; one alone is reason enough.
  Tc("qdisc add dev cali1 root tbf rate 1mbit burst 2000 limit 10000");
  Tc("qdisc del dev cali1 ingress");
  Told();
  EXPECT_THAT(dataplane_.shaped, ElementsAre(Index("cali1")));
}

TEST_F(ShapingTest, ProgramsOnClsactAndOtherInterfacesAreNoLimit) {
  Tc("qdisc add dev cali0 clsact");
  Tc("qdisc add dev other root tbf rate 1mbit burst 2000 limit 10000");
  Told();
  EXPECT_THAT(dataplane_.shaped, IsEmpty());
  EXPECT_THAT(shaping_->problems(), IsEmpty());
}

TEST_F(ShapingTest, LimitsOfBeforeTheStartAreFoundAndThoseThatWentMeanwhileForgotten) {
  Tc("qdisc add dev cali0 root tbf rate 1mbit burst 2000 limit 10000");
  dataplane_.shaped = {Index("cali1")};  // as an earlier agent left it
  shaping_->Compare();
  EXPECT_THAT(dataplane_.shaped, ElementsAre(Index("cali0")));
  Tc("qdisc del dev cali0 root");
  shaping_->HandleEvents({ResyncEvent{}});  // what was told is lost
  EXPECT_THAT(dataplane_.shaped, IsEmpty());
}

TEST_F(ShapingTest, WhatFailedIsNamedAndTriedAgain) {
  dataplane_.next_error = absl::InternalError("no room");
  Tc("qdisc add dev cali0 root tbf rate 1mbit burst 2000 limit 10000");
  Told();
  EXPECT_THAT(shaping_->problems(), ElementsAre(HasSubstr("no room")));
  shaping_->Retry();
  EXPECT_THAT(shaping_->problems(), IsEmpty());
  EXPECT_THAT(dataplane_.shaped, ElementsAre(Index("cali0")));
}

}  // namespace
}  // namespace ripstop::agent
