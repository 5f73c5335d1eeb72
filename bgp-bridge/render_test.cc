// SPDX-License-Identifier: Apache-2.0
//
// Golden files: testdata/*.conf. RIPSTOP_UPDATE_GOLDEN=1 rewrites them.
#include "bgp-bridge/render.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "bgp-bridge/file_io.h"
#include "bgp-bridge/process.h"

namespace ripstop::bgp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kBird[] = "/usr/sbin/bird";

// What `bird -p` says about `text`; empty when it accepts.
std::string BirdSays(const std::string& text) {
  if (access(kBird, X_OK) != 0) return "bird is missing; install the package bird2";
  const std::string path =
      (std::filesystem::temp_directory_path() / absl::StrCat("ripstop-render-", getpid())).string();
  EXPECT_TRUE(WriteSecret(path, text).ok());
  absl::StatusOr<Finished> check = RunToEnd({kBird, "-p", "-c", path}, absl::Seconds(20));
  std::filesystem::remove(path);
  if (!check.ok()) return check.status().ToString();
  return check->exit_code == 0 ? "" : check->output + "\n" + text;
}

void ExpectGolden(const std::string& name, const std::string& text) {
  const std::string path = absl::StrCat(BGP_TESTDATA, "/", name, ".conf");
  EXPECT_EQ(BirdSays(text), "");
  if (std::getenv("RIPSTOP_UPDATE_GOLDEN") != nullptr) {
    std::filesystem::remove(path);
    ASSERT_TRUE(WriteSecret(path, text).ok());
    std::filesystem::permissions(path, std::filesystem::perms(0644));
    return;
  }
  EXPECT_EQ(text, ReadWhole(path).value_or("(no golden file)"));
}

Model ThreeNodes() {
  Model model;
  model.nodes = {{.name = "node1", .ipv4 = "192.0.2.1/24", .ipv6 = "2001:db8::1/64"},
                 {.name = "node2", .ipv4 = "192.0.2.2/24", .ipv6 = "2001:db8::2/64"},
                 {.name = "node3", .ipv4 = "198.51.100.3/24", .ipv6 = "2001:db8:2::3/64"}};
  model.self = model.nodes[0];
  model.pools = {{.cidr = "10.65.0.0/16", .owner = RouteOwner::kBirdWithinSubnet},
                 {.cidr = "fd00:65::/32"}};
  model.blocks = {"10.65.1.64/26", "10.65.1.0/26", "fd00:65:1::/122"};
  model.borrowed = {"10.65.3.7/32"};
  model.log_path = "/run/ripstop/bird/bird.log";
  return model;
}

TEST(RenderTest, MeshOfThreeDualStackNodesAcrossSubnets) {
  const RenderedConfig config = RenderBirdConfig(ThreeNodes());
  EXPECT_THAT(config.set_aside, IsEmpty());
  EXPECT_THAT(config.sessions, SizeIs(4));
  ExpectGolden("mesh_dual_stack_cross_subnet", config.text);
}

TEST(RenderTest, PeersWithEveryOption) {
  Model model;
  model.self = {.name = "rr1",
                .ipv4 = "192.0.2.1/24",
                .as_number = 64496,
                .route_reflector_cluster_id = "192.0.2.250"};
  model.nodes = {model.self, {.name = "node2", .ipv4 = "192.0.2.2/24"}};
  model.router_id = "203.0.113.1";
  model.listen_port = 1179;
  model.kernel_table = 100;
  model.prefix_limit = 500;
  model.pools = {{.cidr = "10.65.0.0/16", .owner = RouteOwner::kAgent},
                 {.cidr = "10.66.0.0/16", .disable_bgp_export = true}};
  model.admitted = {{.cidr = "0.0.0.0/0"},
                    {.cidr = "203.0.113.0/24", .length_min = 24, .length_max = 32}};
  model.peers = {{.name = "rack.1",
                  .address = "192.0.2.254",
                  .port = 2179,
                  .as_number = 64511,
                  .password = "it's {a} #secret;",
                  .next_hop = NextHopMode::kKeep,
                  .ttl_security_hops = 2,
                  .local_as_number = 64500,
                  .allowed_local_as = 1,
                  .max_restart_time_s = 9999},
                 {.name = "client",
                  .type = PeerType::kNodeSpecific,
                  .address = "198.51.100.9",
                  .use_node_address = false,
                  .reachable_by = "192.0.2.253",
                  .route_reflector_client = true}};
  const RenderedConfig config = RenderBirdConfig(model);
  EXPECT_THAT(config.set_aside, IsEmpty());
  ExpectGolden("peers_with_every_option", config.text);
}

TEST(RenderTest, EverySettingOfTheNode) {
  Model model = ThreeNodes();
  model.listen_port = 1179;
  model.nodes[1].listen_port = 2179;
  model.node_mesh_restart_s = 300;
  model.bind_node_address = true;
  model.log_path = "/run/ripstop/bird.log";
  model.log_severity = LogSeverity::kDebug;
  model.ignored_interfaces = {"kube-ipvs*", "docker0"};
  model.advertisements = {
      {.cidr = "10.65.0.0/16",
       .communities = {{.parts = {64500, 100, 0}}, {.large = true, .parts = {4200000000, 1, 2}}}},
      {.cidr = "fd00:65::/32", .communities = {{.parts = {64500, 6, 0}}}},
      {.cidr = "10.66.0.0/16"}};
  model.peers = {{.name = "slow", .address = "192.0.2.99", .keepalive_s = 60}};
  const RenderedConfig config = RenderBirdConfig(model);
  EXPECT_THAT(config.set_aside, IsEmpty());
  ExpectGolden("every_setting_of_the_node", config.text);
}

TEST(RenderTest, LogHasWhatIsAsSevereOrMore) {
  Model model = ThreeNodes();
  model.log_path = "/run/ripstop/bird.log";
  for (const auto& [severity, first] :
       {std::pair(LogSeverity::kInfo, "{ info, "), std::pair(LogSeverity::kWarning, "{ remote, "),
        std::pair(LogSeverity::kError, "{ error, "), std::pair(LogSeverity::kFatal, "{ fatal, ")}) {
    model.log_severity = severity;
    EXPECT_THAT(RenderBirdConfig(model).text, HasSubstr(first));
    EXPECT_EQ(BirdSays(RenderBirdConfig(model).text), "");
  }
}

// A session that cannot be had as it was asked for must not come up less protected.
TEST(RenderTest, AddressOfAnUnusablePeerStaysTaken) {
  Model model = ThreeNodes();
  model.peers = {{.name = "secret",
                  .type = PeerType::kNodeSpecific,
                  .address = "192.0.2.2",
                  .unusable = "spec.password: there is no such secret"},
                 {.name = "open", .address = "192.0.2.2"}};
  const RenderedConfig config = RenderBirdConfig(model);
  EXPECT_THAT(config.text, Not(HasSubstr("neighbor 192.0.2.2 ")));
  ASSERT_THAT(config.set_aside, SizeIs(2));
  EXPECT_EQ(config.set_aside[0].object, "BGPPeer secret");
  EXPECT_EQ(config.set_aside[0].reason, "spec.password: there is no such secret");
  EXPECT_EQ(config.set_aside[1].object, "BGPPeer open");

  // Likewise one with a password that BIRD cannot read.
  model.peers = {{.name = "quote", .address = "192.0.2.2", .password = "a\"b"}};
  EXPECT_THAT(RenderBirdConfig(model).text, Not(HasSubstr("neighbor 192.0.2.2 ")));
}

TEST(RenderTest, WithoutItsPasswordThereIsNoMesh) {
  Model model = ThreeNodes();
  model.node_mesh_unusable = "spec.nodeMeshPassword: there is no such secret";
  const RenderedConfig config = RenderBirdConfig(model);
  EXPECT_THAT(config.sessions, IsEmpty());
  ASSERT_THAT(config.set_aside, SizeIs(1));
  EXPECT_EQ(config.set_aside[0].object, "BGPConfiguration default");
}

TEST(RenderTest, BindingToTheNodesAddressNeedsItInEachSession) {
  Model model = ThreeNodes();
  model.bind_node_address = true;
  model.peers = {{.name = "any", .address = "192.0.2.99", .use_node_address = false}};
  const RenderedConfig config = RenderBirdConfig(model);
  ASSERT_THAT(config.set_aside, SizeIs(1));
  EXPECT_THAT(config.set_aside[0].reason, HasSubstr("sourceAddress: None"));
  EXPECT_EQ(BirdSays(config.text), "");
}

TEST(RenderTest, NodeWithoutAddressesStillHasAValidConfiguration) {
  Model model;
  model.self.name = "bare";
  const RenderedConfig config = RenderBirdConfig(model);
  EXPECT_EQ(BirdSays(config.text), "");
  EXPECT_THAT(config.sessions, IsEmpty());
}

TEST(RenderTest, SameModelInAnotherOrderIsTheSameText) {
  Model model = ThreeNodes();
  const std::string text = RenderBirdConfig(model).text;
  std::reverse(model.nodes.begin(), model.nodes.end());
  std::reverse(model.pools.begin(), model.pools.end());
  std::reverse(model.blocks.begin(), model.blocks.end());
  EXPECT_EQ(RenderBirdConfig(model).text, text);
}

TEST(RenderTest, OneBadObjectIsSetAsideByNameAndTheRestStands) {
  Model model = ThreeNodes();
  model.nodes.push_back({.name = "node4", .ipv4 = "192.0.2.300/24"});
  model.peers = {{.name = "quote", .address = "192.0.2.90", .password = "a\"b"},
                 {.name = "dns", .address = "peer.example.com"},
                 {.name = "good", .address = "192.0.2.91"},
                 {.name = "twice", .address = "192.0.2.91"}};
  model.blocks.push_back("10.65.0.0/99");
  const RenderedConfig config = RenderBirdConfig(model);

  std::vector<std::string> objects;
  for (const SetAside& one : config.set_aside) objects.push_back(one.object);
  EXPECT_THAT(objects, ElementsAre("BGPPeer quote", "BGPPeer dns", "BGPPeer twice", "Node node4",
                                   "block 10.65.0.0/99"));
  EXPECT_EQ(BirdSays(config.text), "");
  EXPECT_THAT(config.text, HasSubstr("neighbor 192.0.2.91 "));
  EXPECT_THAT(config.sessions, SizeIs(5));
}

TEST(RenderTest, PeerForANodeReplacesItsMeshSession) {
  Model model = ThreeNodes();
  model.peers = {{.name = "special", .type = PeerType::kNodeSpecific, .address = "192.0.2.2"}};
  const RenderedConfig config = RenderBirdConfig(model);
  int to_node2 = 0;
  for (const Session& one : config.sessions) to_node2 += one.remote.Address() == "192.0.2.2";
  EXPECT_EQ(to_node2, 1);
  EXPECT_THAT(config.text, HasSubstr("node_special_"));
}

// The symbols of the sessions that wait for the other side.
std::vector<std::string> Passive(const RenderedConfig& config) {
  std::vector<std::string> names;
  for (const Session& one : config.sessions)
    if (one.passive) names.push_back(absl::StrCat(one.name, " ", one.remote.Address()));
  return names;
}

TEST(RenderTest, OneOfTwoNodesOpensTheirSession) {
  Model model = ThreeNodes();
  // As text: 9 is after 10.
  model.nodes.push_back({.name = "node4", .ipv4 = "192.0.2.10/24"});
  model.nodes.push_back({.name = "node5", .ipv4 = "192.0.2.9/24"});
  std::multiset<std::string> pairs;
  for (const Node& node : model.nodes) {
    model.self = node;
    for (const Session& one : RenderBirdConfig(model).sessions)
      if (one.passive)
        pairs.insert(absl::StrCat(std::min(node.name, one.name), " ", std::max(node.name, one.name),
                                  one.remote.ipv6 ? " 6" : " 4"));
  }
  std::multiset<std::string> expected = {"node1 node2 6", "node1 node3 6", "node2 node3 6"};
  for (int a = 1; a <= 5; ++a)
    for (int b = a + 1; b <= 5; ++b) expected.insert(absl::StrCat("node", a, " node", b, " 4"));
  EXPECT_EQ(pairs, expected);
  model.self = model.nodes[3];
  EXPECT_THAT(
      Passive(RenderBirdConfig(model)),
      ::testing::UnorderedElementsAre("node2 192.0.2.2", "node3 198.51.100.3", "node5 192.0.2.9"));
}

TEST(RenderTest, ASessionThatOnlyThisNodeIsKnownToHaveIsOpenedByIt) {
  Model model = ThreeNodes();
  model.node_mesh = false;
  model.peers = {{.name = "rack", .address = "192.0.2.99"},
                 {.name = "pair", .address = "192.0.2.98", .pairs_nodes = true},
                 {.name = "before", .address = "192.0.2.0", .pairs_nodes = true}};
  EXPECT_THAT(Passive(RenderBirdConfig(model)), ElementsAre("pair 192.0.2.98"));
}

TEST(RenderTest, RouteReflectorsLeaveTheMesh) {
  Model model = ThreeNodes();
  model.nodes[1].route_reflector_cluster_id = "192.0.2.250";
  EXPECT_THAT(RenderBirdConfig(model).text, Not(HasSubstr("neighbor 192.0.2.2 ")));
}

// Whatever stands in a name, password, address or CIDR: BIRD accepts the text, and no
// statement is in it that was not there with harmless names.
TEST(RenderTest, UserTextNeverBecomesConfiguration) {
  const std::vector<std::string> pieces = {"\"",
                                           "'",
                                           "\n",
                                           "\r",
                                           ";",
                                           "}",
                                           "{",
                                           "#",
                                           "/*",
                                           "*/",
                                           "\\",
                                           "\t",
                                           " ",
                                           "protocol static x { ipv4; }",
                                           "; }\nprotocol pipe evil {",
                                           "include \"/etc/shadow\";",
                                           std::string(1, '\0'),
                                           "\xff\xfe",
                                           "é",
                                           "192.0.2.9",
                                           "10.65.0.0/16",
                                           "/",
                                           "24",
                                           "%eth0",
                                           "a",
                                           "node2",
                                           "$(id)",
                                           "`id`"};
  std::mt19937 random(20261121);
  const auto text = [&] {
    std::string made;
    for (int n = random() % 5 + 1; n > 0; --n) made += pieces[random() % pieces.size()];
    return made;
  };
  const auto keywords = [](const std::string& config) {
    std::set<std::string> first_words;
    for (absl::string_view line : absl::StrSplit(config, '\n')) {
      std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
      if (!words.empty() && words[0] != "define") first_words.insert(words[0]);
      if (words.size() > 1 && words[0] == "protocol") first_words.insert("protocol " + words[1]);
    }
    return first_words;
  };
  Model full = ThreeNodes();
  full.node_mesh_password = "x";
  full.peers = {{.name = "p", .address = "192.0.2.99", .reachable_by = "192.0.2.98"}};
  full.advertisements = {{.cidr = "10.65.0.0/16", .communities = {{.parts = {1, 2, 0}}}}};
  const std::set<std::string> known = keywords(RenderBirdConfig(full).text);

  for (int round = 0; round < 60; ++round) {
    Model model = ThreeNodes();
    for (int i = 0; i < 8; ++i) {
      model.nodes.push_back({.name = text(),
                             .ipv4 = absl::StrCat("192.0.2.", 20 + i, "/24"),
                             .route_reflector_cluster_id = i == 7 ? text() : ""});
      model.nodes.push_back({.name = text(), .ipv4 = text(), .ipv6 = text()});
      model.peers.push_back({.name = text(),
                             .address = absl::StrCat("192.0.2.", 50 + i),
                             .password = text(),
                             .reachable_by = i % 2 ? text() : ""});
      model.peers.push_back({.name = text(), .address = text()});
    }
    model.node_mesh_password = round % 2 ? text() : "";
    model.router_id = round % 3 ? text() : "";
    model.pools.push_back({.cidr = text()});
    model.blocks.push_back(text());
    model.borrowed.push_back(text());
    model.ignored_interfaces = {text(), text()};
    model.advertisements = {{.cidr = text(), .communities = {{.parts = {1, 2, 0}}}}};
    model.admitted.push_back({.cidr = text(), .length_min = 8, .length_max = 24});
    const RenderedConfig config = RenderBirdConfig(model);

    ASSERT_EQ(BirdSays(config.text), "") << "round " << round;
    for (const std::string& word : keywords(config.text))
      ASSERT_TRUE(known.contains(word)) << word << " in\n" << config.text;
  }
}

TEST(RenderTest, FiveHundredPeersAreAccepted) {
  Model model = ThreeNodes();
  for (int i = 0; i < 500; ++i)
    model.nodes.push_back({.name = absl::StrCat("n", i),
                           .ipv4 = absl::StrCat("203.0.", 113 + i / 250, ".", i % 250 + 1, "/16")});
  for (int i = 0; i < 20; ++i) model.blocks.push_back(absl::StrCat("10.65.", 100 + i, ".0/26"));
  const absl::Time start = absl::Now();
  const RenderedConfig config = RenderBirdConfig(model);
  const absl::Time rendered = absl::Now();
  EXPECT_EQ(BirdSays(config.text), "");
  std::cout << config.sessions.size() << " sessions, " << config.text.size()
            << " bytes: rendered in " << rendered - start << ", checked in "
            << absl::Now() - rendered << "\n";
  EXPECT_THAT(config.sessions, SizeIs(504));
}

}  // namespace
}  // namespace ripstop::bgp
