// SPDX-License-Identifier: Apache-2.0
#include "agent/network/host_programs.h"

#include "agent/dataplane/fake_dataplane.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

Link MakeLink(uint32_t index, const char* name, const char* kind, uint32_t master = 0) {
  Link link;
  link.index = index;
  link.name = name;
  link.kind = kind;
  link.master = master;
  link.up = true;
  link.loopback = std::string_view(name) == "lo";
  return link;
}

class HostProgramsTest : public ::testing::Test {
 protected:
  HostProgramsTest() : programs_([this] { return links_; }, &dataplane_) {}
  void Add(const Link& link) {
    links_->push_back(link);
    programs_.HandleEvents({LinkEvent{link}});
  }
  void Delete(const Link& link) { programs_.HandleEvents({LinkEvent{link, true}}); }

  absl::StatusOr<std::vector<Link>> links_ = std::vector<Link>{
      MakeLink(1, "lo", ""),
      MakeLink(2, "eth0", ""),
      MakeLink(3, "eth1", ""),
      MakeLink(4, "cali0123456789a", "veth"),
      MakeLink(5, "docker0", "bridge"),
      MakeLink(6, "veth12ab34c", "veth", 5),
      MakeLink(7, "eth2", "", 8),
      MakeLink(8, "bond0", "bond"),
      MakeLink(9, "vxlan.ripstop", "vxlan"),
      MakeLink(10, "tap0", "tun"),
  };
  FakeDataplane dataplane_;
  HostPrograms programs_;
};

TEST_F(HostProgramsTest, WithoutATunnelOnlyTheNodesOwnInterfacesHaveAProgram) {
  programs_.Apply({.holders = {2}});
  EXPECT_THAT(dataplane_.host, ElementsAre(Pair(2, "uplink")));
}

TEST_F(HostProgramsTest, WithATunnelEveryWayIntoTheHostHasOne) {
  programs_.Apply({.holders = {2}, .tunnel_ifindex = 9, .vxlan = true});
  EXPECT_THAT(dataplane_.host,
              UnorderedElementsAre(Pair(2, "uplink"), Pair(3, "uplink"), Pair(5, "elsewhere"),
                                   Pair(8, "uplink"), Pair(9, "tunnel"), Pair(10, "elsewhere")));
  programs_.Apply({.holders = {2}});
  EXPECT_THAT(dataplane_.host, ElementsAre(Pair(2, "uplink")));
}

// What pods send may leave by any of them, and its answers come by any.
TEST_F(HostProgramsTest, WithHostsNatEveryInterfaceHasOneAlsoWithoutATunnel) {
  Link vpn = MakeLink(11, "wg0", "wireguard");
  vpn.headless = true;
  Link in_vrf = MakeLink(12, "eth3", "", 13);
  in_vrf.slave_kind = "vrf";
  links_->push_back(vpn);
  links_->push_back(in_vrf);
  programs_.Apply({.holders = {2}, .nat = true});
  EXPECT_THAT(dataplane_.host, UnorderedElementsAre(Pair(2, "uplink"), Pair(3, "elsewhere"),
                                                    Pair(5, "elsewhere"), Pair(8, "elsewhere"),
                                                    Pair(9, "elsewhere"), Pair(10, "elsewhere"),
                                                    Pair(11, "elsewhere"), Pair(12, "elsewhere")));
  EXPECT_THAT(dataplane_.headless, ElementsAre(11));
  programs_.Apply({.holders = {2}});
  EXPECT_THAT(dataplane_.host, ElementsAre(Pair(2, "uplink")));
}

TEST_F(HostProgramsTest, ABridgeThatHoldsTheNodesAddressIsAnUplink) {
  programs_.Apply({.holders = {5}, .tunnel_ifindex = 9, .vxlan = true});
  EXPECT_EQ(dataplane_.host[5], "uplink");
}

TEST_F(HostProgramsTest, WithTheAddressOnLoopbackEveryInterfaceButBridgesIsAnUplink) {
  programs_.Apply({.holders = {1}, .tunnel_ifindex = 9, .vxlan = true});
  EXPECT_EQ(dataplane_.host[10], "uplink");
  EXPECT_EQ(dataplane_.host[5], "elsewhere");
  EXPECT_FALSE(dataplane_.host.contains(1));
}

TEST_F(HostProgramsTest, InterfacesThatComeLaterGetTheirProgram) {
  programs_.Apply({.holders = {2}, .tunnel_ifindex = 9, .vxlan = true});
  const Link bridge = MakeLink(20, "br-7", "bridge");
  Add(bridge);
  Add(MakeLink(21, "cali0123456789b", "veth"));
  EXPECT_EQ(dataplane_.host[20], "elsewhere");
  EXPECT_FALSE(dataplane_.host.contains(21)) << "a pod's own programs are for it";
  Delete(bridge);
  EXPECT_FALSE(dataplane_.host.contains(20));
  // A bridge takes what came in at an interface until now.
  Add(MakeLink(3, "eth1", "", 5));
  EXPECT_FALSE(dataplane_.host.contains(3));
}

TEST_F(HostProgramsTest, NothingIsAttachedTwice) {
  programs_.Apply({.holders = {2}, .tunnel_ifindex = 9, .vxlan = true});
  dataplane_.host.clear();
  programs_.Apply({.holders = {2}, .tunnel_ifindex = 9, .vxlan = true});
  Add(MakeLink(3, "eth1", ""));
  EXPECT_THAT(dataplane_.host, IsEmpty());
}

TEST_F(HostProgramsTest, WhatFailsIsNamedAndTriedAgain) {
  dataplane_.next_error = absl::ResourceExhaustedError("attach from_host: no memory");
  programs_.Apply({.holders = {2}});
  EXPECT_THAT(programs_.problems(), ElementsAre(HasSubstr("interface eth0: attach from_host")));
  programs_.Apply({.holders = {2}});
  EXPECT_THAT(programs_.problems(), IsEmpty());
  EXPECT_THAT(dataplane_.host, ElementsAre(Pair(2, "uplink")));
}

TEST_F(HostProgramsTest, LinksThatCannotBeListedAreAProblem) {
  links_ = absl::UnavailableError("listing links: interrupted");
  programs_.Apply({.holders = {2}});
  EXPECT_THAT(programs_.problems(), ElementsAre(HasSubstr("listing links")));
}

}  // namespace
}  // namespace ripstop::agent
