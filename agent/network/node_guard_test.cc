// SPDX-License-Identifier: Apache-2.0
#include "agent/network/node_guard.h"

#include "agent/dataplane/fake_dataplane.h"
#include "agent/network/router_advertisements.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::agent {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint32_t kPod = 7;

class FakeHost final : public GuardedHost {
 public:
  std::map<std::string, std::string> sysctls;
  std::map<uint32_t, LinkSettings> links;
  absl::Status links_error, write_error, up_error;

  absl::StatusOr<std::vector<LinkSettings>> Links() override {
    if (!links_error.ok()) return links_error;
    std::vector<LinkSettings> all;
    for (const auto& [ifindex, settings] : links) all.push_back(settings);
    return all;
  }
  absl::Status SetLinkUp(uint32_t ifindex, bool up) override {
    if (!up_error.ok()) return up_error;
    links.at(ifindex).link.up = up;
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> ReadSysctl(const std::string& path) override {
    const auto it = sysctls.find(path);
    if (it == sysctls.end()) return absl::NotFoundError(path);
    return it->second;
  }
  absl::Status WriteSysctl(const Sysctl& setting) override {
    if (!write_error.ok()) return write_error;
    sysctls[setting.path] = setting.value;
    // As the kernel: what is written shows in the link's numbers.
    for (auto& [ifindex, settings] : links) {
      if (setting.path == "net/ipv4/conf/" + settings.link.name + "/rp_filter") {
        settings.ipv4[7] = std::stoul(setting.value);
      }
      if (setting.path == "net/ipv6/conf/" + settings.link.name + "/accept_ra") {
        settings.ipv6[3] = std::stoul(setting.value);
      }
    }
    return absl::OkStatus();
  }
};

class NodeGuardTest : public ::testing::Test {
 protected:
  NodeGuardTest()
      : guard_(&host_, &dataplane_, [this](const NodeGuard::Visitor& visit) {
          for (const GuardedLink& link : guarded_) visit(link);
        }) {
    LinkSettings settings;
    settings.link.index = kPod;
    settings.link.name = "cali0123456789a";
    settings.link.kind = "veth";
    settings.link.up = true;
    settings.ipv4.assign(33, 0);
    settings.ipv6.assign(58, 0);
    host_.links[kPod] = settings;
    guarded_ = {{kPod, "pod shop/cart-1", {{"net/ipv4/conf/cali0123456789a/rp_filter", "0"}}}};
    guard_.set_node_settings({{"net/ipv4/ip_forward", "1"}, {"net/ipv6/conf/all/forwarding", "1"}});
    host_.sysctls["net/ipv4/ip_forward"] = "1";
  }
  uint64_t Repairs(const std::string& kind) {
    const auto it = guard_.repairs().find(kind);
    return it == guard_.repairs().end() ? 0 : it->second.count;
  }
  bool PodIsUp() { return host_.links.at(kPod).link.up; }

  FakeHost host_;
  FakeDataplane dataplane_;
  std::vector<GuardedLink> guarded_;
  NodeGuard guard_;
};

TEST_F(NodeGuardTest, WhatIsWellIsLeftAlone) {
  guard_.Check();
  EXPECT_THAT(guard_.repairs(), IsEmpty());
  EXPECT_THAT(guard_.problems(), IsEmpty());
}

// Its file went while no agent ran: nothing else would tell of that pod.
TEST_F(NodeGuardTest, APodsInterfaceThatNobodyKnowsIsNamed) {
  guarded_.clear();
  guard_.Check();
  EXPECT_THAT(guard_.problems(), ElementsAre(HasSubstr("cali0123456789a is of no pod")));
  host_.links.at(kPod).link.name = "calico0";  // somebody's own
  guard_.Check();
  EXPECT_THAT(guard_.problems(), IsEmpty());
}

TEST_F(NodeGuardTest, AProgramPutBackIsCountedAndTold) {
  dataplane_.findings = {
      {ProgramFinding::What::kRepaired, kPod, "from_workload at interface 7: was detached"}};
  guard_.Check();
  guard_.Check();
  EXPECT_EQ(Repairs("program"), 2u);
  EXPECT_EQ(guard_.repairs().at("program").last, "from_workload at interface 7: was detached");
  EXPECT_TRUE(PodIsUp());
  EXPECT_THAT(guard_.problems(), IsEmpty());
}

TEST_F(NodeGuardTest, WhatCannotBeJudgedIsSetDownUntilItCan) {
  dataplane_.findings = {
      {ProgramFinding::What::kFailed, kPod, "from_workload at interface 7: no memory"}};
  guard_.Check();
  EXPECT_FALSE(PodIsUp());
  EXPECT_THAT(guard_.problems(),
              ElementsAre(HasSubstr("no memory"),
                          HasSubstr("interface cali0123456789a of pod shop/cart-1 is down until")));
  guard_.Check();
  EXPECT_FALSE(PodIsUp()) << "not taken for what somebody else did";
  EXPECT_EQ(Repairs("link"), 0u);
  dataplane_.findings = {{ProgramFinding::What::kRepaired, kPod, "attached again"}};
  guard_.Check();
  EXPECT_TRUE(PodIsUp());
  EXPECT_THAT(guard_.problems(), IsEmpty());
  EXPECT_EQ(Repairs("link"), 1u);
}

TEST_F(NodeGuardTest, AnOpenLinkThatCannotBeSetDownIsCalledOpen) {
  dataplane_.findings = {{ProgramFinding::What::kFailed, kPod, "no memory"}};
  host_.up_error = absl::PermissionDeniedError("setting link 7 down: not permitted");
  guard_.Check();
  EXPECT_THAT(guard_.problems(), Contains(HasSubstr("is open: setting link 7 down")));
}

TEST_F(NodeGuardTest, ALinkThatSomebodySetDownIsSetUp) {
  host_.links[kPod].link.up = false;
  guard_.Check();
  EXPECT_TRUE(PodIsUp());
  EXPECT_EQ(Repairs("link"), 1u);
  EXPECT_THAT(guard_.repairs().at("link").last, HasSubstr("pod shop/cart-1 was set down"));
  host_.links[kPod].link.up = false;
  host_.up_error = absl::UnavailableError("setting link 7 up: busy");
  guard_.Check();
  EXPECT_THAT(guard_.problems(), ElementsAre(HasSubstr("is down: setting link 7 up: busy")));
}

TEST_F(NodeGuardTest, SettingsOfTheNodeAndOfLinksAreWrittenBack) {
  host_.sysctls["net/ipv4/ip_forward"] = "0";
  host_.links[kPod].ipv4[7] = 1;
  guard_.Check();
  EXPECT_EQ(host_.sysctls["net/ipv4/ip_forward"], "1");
  EXPECT_EQ(host_.links[kPod].ipv4[7], 0u);
  EXPECT_EQ(Repairs("setting"), 2u);
  EXPECT_EQ(guard_.repairs().at("setting").last,
            "net/ipv4/conf/cali0123456789a/rp_filter was 1, is 0 again");
  guard_.Check();
  EXPECT_EQ(Repairs("setting"), 2u);
}

TEST_F(NodeGuardTest, ASettingThatCannotBeWrittenIsNamedUntilItIsRight) {
  host_.sysctls["net/ipv4/ip_forward"] = "0";
  host_.write_error = absl::PermissionDeniedError("read-only file system");
  guard_.Check();
  EXPECT_THAT(guard_.problems(), ElementsAre("net/ipv4/ip_forward is 0, must be 1: read-only file "
                                             "system"));
  host_.sysctls["net/ipv4/ip_forward"] = "1";
  guard_.Check();
  EXPECT_THAT(guard_.problems(), IsEmpty());
}

TEST_F(NodeGuardTest, WhatCannotBeLookedAtIsAProblem) {
  host_.links_error = absl::UnavailableError("listing links and their settings: interrupted");
  guard_.Check();
  EXPECT_THAT(guard_.problems(), ElementsAre(HasSubstr("listing links")));
}

TEST_F(NodeGuardTest, AnotherProgramBeforeOursAndAMissingPinAreNamed) {
  dataplane_.findings = {{ProgramFinding::What::kShadowed, kPod, "program 9 runs before it"},
                         {ProgramFinding::What::kUnpinned, 0, "is not on a bpffs"},
                         {ProgramFinding::What::kPinned, 0, "pins of 3 maps"}};
  guard_.Check();
  EXPECT_THAT(guard_.problems(), ElementsAre("is not on a bpffs", "program 9 runs before it"));
  EXPECT_EQ(Repairs("pin"), 1u);
  EXPECT_TRUE(PodIsUp());
}

TEST_F(NodeGuardTest, AdvertisementsAreAcceptedAgainWhereTheHostLivesByThem) {
  LinkSettings uplink = host_.links[kPod];
  uplink.link.index = 2;
  uplink.link.name = "eth0";
  uplink.link.kind = "";
  uplink.ipv6[3] = 1;
  host_.links[2] = uplink;
  guard_.set_advertised([](const LinkSettings& s) { return NeedsAdvertisements(s, false, false); });
  guard_.Check();
  EXPECT_EQ(host_.links[2].ipv6[3], 2u);
  EXPECT_EQ(Repairs("setting"), 1u);
  guard_.Check();
  EXPECT_EQ(Repairs("setting"), 1u);
}

TEST(NeedsAdvertisements, OnlyWhereTheHostItselfListensAndNoContainerIs) {
  LinkSettings settings;
  settings.link.name = "eth0";
  settings.ipv6.assign(58, 0);
  const auto needs = [&](uint32_t accept_ra, const char* kind, bool uplink, bool has_route) {
    settings.ipv6[3] = accept_ra;
    settings.link.kind = kind;
    return NeedsAdvertisements(settings, uplink, has_route);
  };
  EXPECT_TRUE(needs(1, "", false, false));
  EXPECT_FALSE(needs(0, "", true, true)) << "somebody in user space does it, or nobody shall";
  EXPECT_FALSE(needs(2, "", true, true)) << "as it is to be";
  EXPECT_FALSE(needs(1, "bridge", false, false));
  EXPECT_TRUE(needs(1, "bridge", true, false));
  EXPECT_TRUE(needs(1, "bridge", false, true));
  EXPECT_FALSE(needs(1, "veth", false, false));
  settings.link.master = 9;
  EXPECT_FALSE(needs(1, "", true, true));
  settings.link.master = 0;
  settings.link.loopback = true;
  EXPECT_FALSE(needs(1, "", true, true));
}

}  // namespace
}  // namespace ripstop::agent
