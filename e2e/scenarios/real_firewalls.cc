// SPDX-License-Identifier: Apache-2.0
//
// Debian's own ufw, firewalld and dockerd on a node of the demo, beside its agent: what node status
// says of them, and that the commands it names let pods' packets pass. `make test-long`.
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <functional>

#include "e2e/scenarios/firewall_lab.h"

namespace ripstop::lab {
namespace {

class RealFirewalls : public FirewallLab {
 protected:
  void SetUp() override {
    for (const char* program : {"/usr/sbin/ufw", "/usr/sbin/firewalld", "/usr/sbin/dockerd"}) {
      ASSERT_TRUE(std::filesystem::exists(program)) << program << ": scripts/setup.sh long";
    }
    FirewallLab::SetUp();
    if (!IsSkipped() && !HasFatalFailure()) Type("true");  // makes Dir()
  }
  void TearDown() override {
    for (auto it = daemons_.rbegin(); it != daemons_.rend(); ++it) {
      const absl::Status stopped = Stop(*it, SIGTERM, absl::Minutes(1));
      EXPECT_TRUE(stopped.ok()) << stopped;
    }
    std::error_code error;
    std::filesystem::remove_all(Dir(), error);
    EXPECT_FALSE(error) << Dir() << ": " << error.message();
    FirewallLab::TearDown();
  }
  // Not below /run, which is another one for these programs.
  std::string Dir() const {
    return (std::filesystem::temp_directory_path() / ("ripstop-" + name())).string();
  }
  std::vector<std::string> Own(const std::string& command) {
    return {RIPSTOP_OWN_FILES, Dir(), "sh", "-c", command};
  }
  // As an operator types it on node1.
  void Type(const std::string& command) {
    const auto done = lab().Exec("node1", Own(command), "", absl::Minutes(2));
    ASSERT_TRUE(done.ok()) << done.status();
    ASSERT_EQ(done->exit_code, 0) << command << "\n" << done->out << done->err;
  }
  bool Succeeds(const std::string& command) {
    const auto done = lab().Exec("node1", Own(command), "", absl::Minutes(2));
    return done.ok() && done->exit_code == 0;
  }
  // Once a daemon is up; false if one has ended instead.
  bool Up(const std::function<bool()>& condition) {
    const auto alive = [&] { return std::all_of(daemons_.begin(), daemons_.end(), IsAlive); };
    if (Eventually([&] { return !alive() || condition(); }) && alive()) return true;
    std::cerr << ReadText(lab().state().dir() + "/daemon.log");
    return false;
  }
  void Daemon(const std::string& command) {
    const auto netns = lab().NetnsOf("node1");
    ASSERT_TRUE(netns.ok()) << netns.status();
    const auto daemon =
        Spawn({.argv = Own("exec " + command), .netns = *netns},
              lab().state().dir() + "/daemon.log", [](const auto&) { return absl::OkStatus(); });
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    daemons_.push_back(*daemon);
  }
  void TypeWhatIsNamed() {
    const std::set<std::string> remedies = Remedies("node1");
    ASSERT_FALSE(remedies.empty());
    for (const std::string& remedy : remedies) {
      std::cout << "  # " << remedy << "\n";
      Type(remedy);
    }
    EXPECT_TRUE(LosesNothing("node1"));
  }
  void ExpectAllPasses() {
    for (const int family : {4, 6}) {
      EXPECT_TRUE(ReachesOutside(family)) << family;
      EXPECT_TRUE(Reaches(ByTunnel(family))) << family;
    }
    ExpectMatrix();
  }
  void PrintStatus() {
    const auto status = lab().Ctl({"node", "status"}, "", "node1");
    ASSERT_TRUE(status.ok()) << status.status();
    std::cout << status->out;
  }

  std::vector<ProcessId> daemons_;
};

TEST_F(RealFirewalls, Ufw) {
  Type("ufw --force enable");
  ASSERT_TRUE(Loses("node1", "VXLAN of other nodes", "INPUT: its policy drops"));
  for (const int family : {4, 6}) {
    EXPECT_TRUE(Silent(ByTunnel(family)));
    EXPECT_TRUE(Reaches(Natively(family)));
    EXPECT_TRUE(ReachesOutside(family));
  }
  PrintStatus();
  TypeWhatIsNamed();
  ExpectAllPasses();
  // With rules that translate, what pods send to others goes by the stack, and is routed.
  Type(
      "nft 'add table ip n; add chain ip n p { type nat hook prerouting priority -100; }; "
      "add rule ip n p tcp dport 9 dnat to 192.0.2.77'");
  ASSERT_TRUE(Loses("node1", "what pods send", "FORWARD: its policy drops"));
  for (const int family : {4, 6}) EXPECT_TRUE(KeptFromOutside(family));
  PrintStatus();
  TypeWhatIsNamed();
  ExpectAllPasses();
  Type("ufw default deny outgoing");
  ASSERT_TRUE(Loses("node1", "VXLAN to other nodes", "OUTPUT: its policy drops"));
  ASSERT_TRUE(Loses("node1", "what this node itself sends to pods", "OUTPUT: its policy drops"));
  for (const int family : {4, 6}) EXPECT_TRUE(Silent(ByTunnel(family)));
  PrintStatus();
  TypeWhatIsNamed();
  ExpectAllPasses();
}

TEST_F(RealFirewalls, Firewalld) {
  Daemon("dbus-daemon --system --nofork --nopidfile");
  ASSERT_TRUE(Up([&] { return std::filesystem::exists(Dir() + "/run/dbus/system_bus_socket"); }));
  Daemon("firewalld --nofork --nopid");
  ASSERT_TRUE(Up([&] { return Succeeds("firewall-cmd --state"); }));
  ASSERT_TRUE(Loses("node1", "VXLAN of other nodes", "inet firewalld"));
  ASSERT_TRUE(Loses("node1", "what pods send", "inet firewalld"));
  for (const int family : {4, 6}) {
    EXPECT_TRUE(Silent(ByTunnel(family)));
    EXPECT_TRUE(KeptFromOutside(family));
    EXPECT_TRUE(Reaches(Natively(family)));
  }
  PrintStatus();
  TypeWhatIsNamed();
  ExpectAllPasses();
}

// As after a boot in which Docker was there first: where the host forwards already, it leaves the
// policy of FORWARD alone.
TEST_F(RealFirewalls, Docker) {
  ASSERT_EQ(lab().StopAgent("node1", SIGTERM), absl::OkStatus());
  Sh("node1", "echo 0 > /proc/sys/net/ipv4/ip_forward");
  const std::string docker = Dir() + "/docker";
  Daemon(absl::StrCat("dockerd --data-root ", docker, "/data --exec-root ", docker,
                      "/exec --pidfile ", docker, "/pid --host unix://", docker,
                      "/sock --storage-driver vfs"));
  ASSERT_TRUE(Up([&] { return Succeeds("iptables -S FORWARD | grep -q DOCKER-USER"); }));
  ASSERT_EQ(lab().StartAgent("node1"), absl::OkStatus());
  ASSERT_TRUE(Loses("node1", "what pods send", "nftables ip filter FORWARD: its policy drops"));
  EXPECT_TRUE(KeptFromOutside(4));
  EXPECT_TRUE(ReachesOutside(6));
  for (const int family : {4, 6}) {
    EXPECT_TRUE(Reaches(Natively(family)));
    EXPECT_TRUE(Reaches(ByTunnel(family)));
  }
  EXPECT_TRUE(Eventually([&] { return Firewall("node1").dropped_packets() > 0; }));
  PrintStatus();
  TypeWhatIsNamed();
  ExpectAllPasses();
}

TEST_F(RealFirewalls, ControlWithoutThemNothingIsSaid) {
  EXPECT_EQ(Firewall("node1").findings_size(), 0);
  EXPECT_EQ(Firewall("node1").dropped_packets(), 0u);
  ExpectAllPasses();
}

}  // namespace
}  // namespace ripstop::lab
