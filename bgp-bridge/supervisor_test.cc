// SPDX-License-Identifier: Apache-2.0
//
// The life of BIRD: refused configuration, death, adoption, planned stop.
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bgp-bridge/testing/fabric_fixture.h"

namespace ripstop::bgp::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(FabricTest, BadConfigurationIsRefusedInBirdsWordsAndTheFormerStays) {
  Start(2);
  const auto before = Since(0);

  const absl::Status refused = Node(0).Apply("router id nonsense;\n");

  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("bird.conf.new:1:11 syntax error"));
  EXPECT_EQ(Since(0), before);
}

TEST_F(FabricTest, KilledBirdIsRestartedAndNoRouteIsLostOnEitherSide) {
  Start(2);
  ASSERT_TRUE(HasRoute(0, "4", "10.65.2.0/26", "via 192.0.2.2"));
  ASSERT_TRUE(HasRoute(1, "4", "10.65.1.0/26", "via 192.0.2.1"));
  const pid_t before = Node(0).supervisor->pid();
  In in(Node(0).netns);
  // Every removal the kernels report from here on, on both nodes.
  In watch_in(Node(1).netns);
  absl::StatusOr<Detached> monitor1 =
      StartDetached({"/bin/ip", "monitor", "route"}, Node(1).run_dir + "/monitor");
  Node(0).netns.Enter();
  absl::StatusOr<Detached> monitor0 =
      StartDetached({"/bin/ip", "monitor", "route"}, Node(0).run_dir + "/monitor");
  ASSERT_TRUE(monitor0.ok() && monitor1.ok());

  ASSERT_EQ(kill(before, SIGKILL), 0);
  ASSERT_TRUE(Eventually(kPatience, [&] {
    EXPECT_TRUE(Node(0).HandleEvents().ok());
    return Node(0).supervisor->pid() != 0 && Node(0).supervisor->pid() != before;
  }));
  ASSERT_TRUE(Eventually(kPatience, [&] {
    return Node(0).Established(2) && !Node(0).Query().general.recovering;
  })) << Describe(Node(0));

  EXPECT_EQ(Node(0).supervisor->restarts(), 1u);
  EXPECT_THAT(Node(0).Routes("4", "10.65.2.0/26"), HasSubstr("via 192.0.2.2"));
  EXPECT_THAT(Node(1).Routes("4", "10.65.1.0/26"), HasSubstr("via 192.0.2.1"));
  // A route put there now shows that the monitors were listening.
  for (int i : {0, 1}) {
    In here(Node(i).netns);
    Shell("ip route add 203.0.113.9/32 dev lo; ip route del 203.0.113.9/32");
    const std::string log = Node(i).run_dir + "/monitor";
    ASSERT_TRUE(Eventually(kPatience, [&] {
      return Shell("cat " + log).find("Deleted 203.0.113.9") != std::string::npos;
    }));
    EXPECT_THAT(Shell("cat " + log), Not(HasSubstr("Deleted 10.65"))) << "node" << i + 1;
    EXPECT_THAT(Shell("cat " + log), Not(HasSubstr("Deleted fd00"))) << "node" << i + 1;
  }
  kill(monitor0->pid, SIGKILL);
  kill(monitor1->pid, SIGKILL);
}

TEST_F(FabricTest, RepeatedDeathsBackOffAndSayWhy) {
  Start(2);
  for (int deaths = 1; deaths <= 2; ++deaths) {
    const pid_t victim = Node(0).supervisor->pid();
    ASSERT_EQ(kill(victim, SIGKILL), 0);
    ASSERT_TRUE(Eventually(kPatience, [&] {
      EXPECT_TRUE(Node(0).HandleEvents().ok());
      return Node(0).supervisor->pid() != victim;
    }));
    if (deaths == 2) {
      const absl::Status down = Node(0).supervisor->Query().status();
      EXPECT_EQ(down.code(), absl::StatusCode::kUnavailable);
      EXPECT_THAT(std::string(down.message()), HasSubstr("died of signal 9"));
      EXPECT_THAT(std::string(down.message()), HasSubstr("next start in 50ms"));
    }
    ASSERT_TRUE(Eventually(kPatience, [&] {
      EXPECT_TRUE(Node(0).HandleEvents().ok());
      return Node(0).supervisor->pid() != 0;
    }));
  }
  EXPECT_EQ(Node(0).supervisor->restarts(), 2u);
}

TEST_F(FabricTest, BirdOutlivesTheProcessThatStartedItAndIsAdopted) {
  const std::string config = RenderBirdConfig(ModelOf(0, 2)).text;
  const pid_t agent = fork();
  if (agent == 0) {
    const bool ok = Node(0).Apply(config).ok();
    _exit(ok ? 0 : 1);  // no destructors: as SIGKILL would
  }
  int status = 0;
  ASSERT_EQ(waitpid(agent, &status, 0), agent);
  ASSERT_EQ(status, 0);
  absl::StatusOr<Control> control =
      Control::Connect(Node(0).supervisor->socket_path(), absl::Seconds(5));
  ASSERT_TRUE(control.ok()) << control.status();
  const pid_t bird = control->Peer();
  EXPECT_EQ(getsid(bird), bird);
  ASSERT_TRUE(Node(1).Apply(RenderBirdConfig(ModelOf(1, 2)).text).ok());
  ASSERT_TRUE(Eventually(kPatience, [&] { return Node(0).Established(2); }));
  const auto before = Since(0);

  ASSERT_TRUE(Node(0).Apply(config).ok());

  EXPECT_EQ(Node(0).supervisor->pid(), bird);
  EXPECT_EQ(Since(0), before);
  // The adopted one is watched like one's own.
  ASSERT_EQ(kill(bird, SIGKILL), 0);
  EXPECT_TRUE(Eventually(kPatience, [&] {
    EXPECT_TRUE(Node(0).HandleEvents().ok());
    return Node(0).supervisor->pid() != 0 && Node(0).supervisor->pid() != bird;
  }));
}

TEST_F(FabricTest, BirdOfAnotherNetworkNamespaceIsNotAdopted) {
  ASSERT_TRUE(Node(0).Apply(RenderBirdConfig(ModelOf(0, 2)).text).ok());
  const pid_t bird = Node(0).supervisor->pid();
  Node(0).Restarted();
  In elsewhere(Node(1).netns);

  const absl::Status refused = Node(0).supervisor->Apply(RenderBirdConfig(ModelOf(0, 2)).text);

  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("another network namespace"));
  EXPECT_EQ(Node(0).supervisor->pid(), 0);
  kill(bird, SIGKILL);
}

TEST_F(FabricTest, PlannedStopKeepsRoutes) {
  Start(2);
  ASSERT_TRUE(HasRoute(1, "4", "10.65.1.0/26", "via 192.0.2.1"));

  ASSERT_TRUE(Node(0).supervisor->StopForRestart().ok());
  EXPECT_EQ(Node(0).supervisor->pid(), 0);
  pollfd idle{Node(0).supervisor->fd(), POLLIN, 0};
  EXPECT_EQ(poll(&idle, 1, 600), 0) << "a stopped supervisor has nothing to do";
  ASSERT_TRUE(Eventually(kPatience, [&] { return Node(1).Established(0); }));
  EXPECT_THAT(Node(1).Routes("4", "10.65.1.0/26"), HasSubstr("via 192.0.2.1"));
  EXPECT_THAT(Node(0).Routes("4", "10.65.2.0/26"), HasSubstr("via 192.0.2.2"));
}

}  // namespace
}  // namespace ripstop::bgp::testing
