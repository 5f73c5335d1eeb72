// SPDX-License-Identifier: Apache-2.0
//
// What BGPPeers and BGPConfigurations ask for, on real BIRDs:
//
//   documents ─▶ BuildBgpModel ─▶ RenderBirdConfig ─▶ BIRD of each node ─▶ sessions, routes
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/base/testing/from_yaml.h"
#include "agent/network/bgp_model.h"
#include "bgp-bridge/testing/fabric_fixture.h"

namespace ripstop::agent {
namespace {

using bgp::testing::Eventually;
using bgp::testing::In;
using bgp::testing::kPatience;
using bgp::testing::Shell;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// Two nodes in one subnet, a third behind a router; all have both address families.
class BgpFabricTest : public bgp::testing::FabricTest {
 protected:
  void SetUp() override {
    FabricTest::SetUp();
    if (IsSkipped()) return;
    AddNode(0, "192.0.2.1/24", "2001:db8::1/64", "{}", "{}");
    AddNode(1, "192.0.2.2/24", "2001:db8::2/64", "{}", "{}");
    AddNode(2, "198.51.100.3/24", "2001:db8:0:2::3/64", "{}", "{}");
    for (const char* cidr : {"10.65.0.0/16", "fd00:65::/32"}) {
      view_.pools[cidr] = MessageFromYaml<api::v1::IPPool>(
          absl::StrCat("{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: p},",
                       " spec: {cidr: '", cidr, "'}}"));
    }
  }

  static std::string Name(int index) { return absl::StrCat("node", index + 1); }

  void AddNode(int index, const std::string& v4, const std::string& v6, const std::string& labels,
               const std::string& more) {
    const std::string name = Name(index);
    view_.nodes[name] = MessageFromYaml<api::v1::Node>(
        absl::StrCat("{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: ", name,
                     ", labels: ", labels, "}, spec: {bgp: {ipv4Address: ", v4, ", ipv6Address: '",
                     v6, "'", more == "{}" ? "" : ", ", more == "{}" ? "" : more, "}}}"));
    const std::string block = absl::StrCat("10.65.", index + 1, ".0/26");
    view_.blocks[block] = {*policy::Cidr::Parse(block), name, {}};
  }
  void AddPeer(const std::string& name, const std::string& spec) {
    view_.bgp_peers[name] = MessageFromYaml<api::v1::BGPPeer>(
        absl::StrCat("{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: ", name,
                     "}, spec: ", spec, "}"));
  }
  void Configure(const std::string& name, const std::string& spec) {
    view_.bgp_configurations[name] = MessageFromYaml<api::v1::BGPConfiguration>(absl::StrCat(
        "{apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: ", name,
        "}, spec: ", spec, "}"));
  }

  // As an agent of that node would, with the secrets of its own folder.
  bgp::RenderedConfig Run(int index) {
    SecretFiles secrets(SecretsOf(index));
    const auto read = [&](const std::string& name, const std::string& key) {
      return secrets.Read(name, key);
    };
    auto model = BuildBgpModel(view_, Name(index), read);
    EXPECT_TRUE(model.ok()) << model.status();
    model->log_path = Node(index).run_dir + "/bird.log";
    bgp::RenderedConfig config = bgp::RenderBirdConfig(*model);
    const absl::Status applied = Node(index).Apply(config.text);
    EXPECT_TRUE(applied.ok()) << applied;
    return config;
  }
  void RunAll(int count = 3) {
    for (int i = 0; i < count; ++i) EXPECT_THAT(Run(i).set_aside, IsEmpty());
  }

  std::string SecretsOf(int index) { return Node(index).run_dir + "/secrets"; }
  void WriteSecret(int index, const std::string& text) {
    const std::string path = SecretsOf(index) + "/bgp/key";
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path) << text;
    chmod(path.c_str(), 0600);
  }

  bool Up(int index, size_t sessions) {
    return Eventually(kPatience, [&] { return Node(index).Established(sessions); });
  }
  // A TCP counter of the node's namespace, as the kernel names it.
  uint64_t Counter(int index, const std::string& name) {
    In in(Node(index).netns);
    const std::vector<std::string> lines =
        absl::StrSplit(Shell("grep TcpExt: /proc/self/net/netstat"), '\n');
    const std::vector<std::string> names = absl::StrSplit(lines[0], ' ');
    const std::vector<std::string> values = absl::StrSplit(lines[1], ' ');
    for (size_t i = 0; i < names.size(); ++i) {
      uint64_t value = 0;
      if (names[i] == name && absl::SimpleAtoi(values[i], &value)) return value;
    }
    ADD_FAILURE() << "this kernel has no " << name;
    return 0;
  }
  // The kernel dropped what the peers sent, for this reason, and no session came up.
  bool KeptOut(int index, const std::string& counter) {
    const uint64_t before = Counter(index, counter);
    return Eventually(kPatience, [&] { return Counter(index, counter) > before + 1; }) &&
           Node(index).Established(0);
  }
  std::string Birdc(int index, const std::string& command) {
    const auto reply = Node(index).supervisor->Command(command);
    return reply.ok() ? reply->Text() : std::string(reply.status().message());
  }

  ClusterView view_;
};

TEST_F(BgpFabricTest, RouteReflectorBySelectorsMakesTheSessionsOfBothSides) {
  AddNode(2, "198.51.100.3/24", "2001:db8:0:2::3/64", "{rr: a}",
          "routeReflectorClusterID: 192.0.2.250");
  Configure("default", "{nodeToNodeMeshEnabled: false}");
  AddPeer("to-rr", "{nodeSelector: '!has(rr)', peerSelector: has(rr)}");
  RunAll();
  EXPECT_TRUE(Up(2, 4)) << Describe(Node(2));
  EXPECT_TRUE(Up(0, 2)) << Describe(Node(0));
  EXPECT_TRUE(Up(1, 2)) << Describe(Node(1));
  // Reflected, with the next hop of the node that has the block.
  EXPECT_TRUE(HasRoute(0, "4", "10.65.2.0/26", "via 192.0.2.2 dev eth0")) << Describe(Node(0));
  EXPECT_TRUE(HasRoute(1, "4", "10.65.1.0/26", "via 192.0.2.1 dev eth0"));
  EXPECT_TRUE(HasRoute(2, "4", "10.65.1.0/26", "via 198.51.100.254"));
}

TEST_F(BgpFabricTest, WithManualReversePeeringOneSideIsNotEnough) {
  AddNode(2, "198.51.100.3/24", "2001:db8:0:2::3/64", "{rr: a}",
          "routeReflectorClusterID: 192.0.2.250");
  Configure("default", "{nodeToNodeMeshEnabled: false}");
  AddPeer("to-rr", "{nodeSelector: '!has(rr)', peerSelector: has(rr), reversePeering: Manual}");
  RunAll();
  const auto refused = [&] { return absl::StrContains(Describe(Node(0)), "Connection refused"); };
  EXPECT_TRUE(Eventually(kPatience, refused)) << Describe(Node(0));
  AddPeer("from-rr", "{nodeSelector: has(rr), peerSelector: '!has(rr)', reversePeering: Manual}");
  RunAll();
  EXPECT_TRUE(Up(2, 4)) << Describe(Node(2));
}

TEST_F(BgpFabricTest, SessionsNeedTheSamePassword) {
  Configure("default", "{nodeToNodeMeshEnabled: false}");
  AddPeer("pair",
          "{nodeSelector: all(), peerSelector: all(), password: {secretKeyRef: {name: bgp,"
          " key: key}}}");
  view_.nodes.erase("node3");
  WriteSecret(0, "s3cret {;} #'\\\n");
  WriteSecret(1, "another");
  RunAll(2);
  EXPECT_TRUE(KeptOut(0, "TCPMD5Failure")) << Describe(Node(0));
  WriteSecret(1, "s3cret {;} #'\\");
  RunAll(2);
  EXPECT_TRUE(Up(0, 2)) << Describe(Node(0));
}

// A session that wants a password must not come up without one.
TEST_F(BgpFabricTest, WithoutItsSecretThereIsNoSessionNotEvenOfTheMesh) {
  view_.nodes.erase("node3");
  RunAll(2);
  ASSERT_TRUE(Up(0, 2)) << "the mesh works, as long as nobody asks for a password";
  AddPeer("pair",
          "{nodeSelector: all(), peerSelector: all(), password: {secretKeyRef: {name: bgp,"
          " key: key}}}");
  const bgp::RenderedConfig config = Run(0);
  ASSERT_FALSE(config.set_aside.empty());
  EXPECT_THAT(config.set_aside[0].reason, HasSubstr("bgp/key: there is no such secret"));
  EXPECT_THAT(Since(0), IsEmpty()) << Describe(Node(0));
}

TEST_F(BgpFabricTest, MeshHasItsPassword) {
  view_.nodes.erase("node3");
  Configure("default", "{nodeMeshPassword: {secretKeyRef: {name: bgp, key: key}}}");
  WriteSecret(0, "mesh");
  WriteSecret(1, "other");
  RunAll(2);
  EXPECT_TRUE(KeptOut(0, "TCPMD5Failure")) << Describe(Node(0));
  WriteSecret(1, "mesh");
  RunAll(2);
  EXPECT_TRUE(Up(0, 2)) << Describe(Node(0));
  std::filesystem::remove_all(SecretsOf(0));
  EXPECT_FALSE(Run(0).set_aside.empty());
  EXPECT_THAT(Since(0), IsEmpty());
}

// GTSM, RFC 5082: node3 is behind one router, two hops away.
TEST_F(BgpFabricTest, TtlSecurityKeepsOutWhoIsFartherThanItSays) {
  Configure("default", "{nodeToNodeMeshEnabled: false}");
  view_.nodes.erase("node2");
  const auto run = [&](const std::string& more) {
    AddPeer("pair", absl::StrCat("{nodeSelector: all(), peerSelector: all()", more, "}"));
    EXPECT_THAT(Run(0).set_aside, IsEmpty());
    EXPECT_THAT(Run(2).set_aside, IsEmpty());
  };
  run(", ttlSecurity: 1");
  EXPECT_TRUE(KeptOut(0, "TCPMinTTLDrop")) << Describe(Node(0));
  run(", ttlSecurity: 2");
  EXPECT_TRUE(Up(0, 2)) << Describe(Node(0));
  run("");
  EXPECT_TRUE(Up(0, 2)) << "without it any distance does: " << Describe(Node(0));
  // One side alone: its peer sends with an ordinary TTL.
  AddPeer("pair", "{nodeSelector: all(), peerSelector: all(), ttlSecurity: 2}");
  Run(0);
  EXPECT_TRUE(KeptOut(0, "TCPMinTTLDrop")) << Describe(Node(0));
}

TEST_F(BgpFabricTest, OneNodeListensElsewhereAndOnItsOwnAddressOnly) {
  view_.nodes.erase("node3");
  Configure("default", "{listenPort: 1179}");
  Configure("node.node2", "{listenPort: 2179, bindMode: NodeIP}");
  RunAll(2);
  EXPECT_TRUE(Up(0, 2)) << Describe(Node(0));
  EXPECT_TRUE(Up(1, 2)) << Describe(Node(1));
  const auto listening = [&](int index) {
    In in(Node(index).netns);
    return Shell("ss -Hltn");
  };
  EXPECT_THAT(listening(0), AnyOf(HasSubstr("0.0.0.0:1179"), HasSubstr("*:1179")));
  EXPECT_THAT(listening(1), HasSubstr("192.0.2.2:2179"));
  EXPECT_THAT(listening(1), HasSubstr("[2001:db8::2]:2179"));
  EXPECT_THAT(listening(1), Not(HasSubstr("0.0.0.0:2179")));
  EXPECT_THAT(listening(1), Not(HasSubstr("*:2179")));
}

TEST_F(BgpFabricTest, KeepaliveTimeAndCommunitiesReachThePeer) {
  view_.nodes.erase("node3");
  Configure("default",
            "{nodeToNodeMeshEnabled: false, communities: [{name: pods, value: '64500:100'}],"
            " prefixAdvertisements: [{cidr: 10.65.1.0/24, communities: [pods, '64500:1:2']}]}");
  AddPeer("pair", "{nodeSelector: all(), peerSelector: all(), keepaliveTime: 20s}");
  RunAll(2);
  ASSERT_TRUE(Up(0, 2)) << Describe(Node(0));
  EXPECT_THAT(Birdc(0, "show protocols all"), HasSubstr("/20"));
  ASSERT_TRUE(HasRoute(1, "4", "10.65.1.0/26", "via 192.0.2.1"));
  const std::string route = Birdc(1, "show route 10.65.1.0/26 all");
  EXPECT_THAT(route, HasSubstr("BGP.community: (64500,100)"));
  EXPECT_THAT(route, HasSubstr("BGP.large_community: (64500, 1, 2)"));
  ASSERT_TRUE(HasRoute(0, "4", "10.65.2.0/26", "via 192.0.2.2"));
  EXPECT_THAT(Birdc(0, "show route 10.65.2.0/26 all"), Not(HasSubstr("community")))
      << "that block is outside";
}

TEST_F(BgpFabricTest, ThePasswordIsInNoTextThatIsShown) {
  view_.nodes.erase("node3");
  Configure("default", "{nodeMeshPassword: {secretKeyRef: {name: bgp, key: key}}}");
  WriteSecret(0, "n0b0dy-sees-this");
  WriteSecret(1, "n0b0dy-sees-this");
  RunAll(2);
  ASSERT_TRUE(Up(0, 2));
  EXPECT_THAT(Birdc(0, "show protocols all"), Not(HasSubstr("n0b0dy")));
  struct stat info{};
  const std::string conf = Node(0).run_dir + "/bird.conf";
  ASSERT_EQ(stat(conf.c_str(), &info), 0) << conf;
  EXPECT_EQ(info.st_mode & 0077, 0u);
  std::ifstream log(Node(0).run_dir + "/bird.log");
  const std::string text((std::istreambuf_iterator<char>(log)), std::istreambuf_iterator<char>());
  EXPECT_THAT(text, Not(HasSubstr("n0b0dy")));
}

}  // namespace
}  // namespace ripstop::agent
