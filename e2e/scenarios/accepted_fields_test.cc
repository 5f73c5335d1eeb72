// SPDX-License-Identifier: Apache-2.0
//
// What is accepted acts, or is named: passwords of the mesh, fields without effect, objects
// that apply would refuse, addresses that are not a node's own.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_join.h"
#include "api/codec/reader.h"
#include "api/store/open.h"
#include "e2e/scenarios/demo_lab.h"

namespace ripstop::lab {
namespace {

constexpr char kPassword[] = "Tr0ub4dor{;}#3";

class AcceptedFields : public DemoLab {
 protected:
  void WriteSecret(const std::string& node, const std::string& text) {
    const std::string path = lab().state().NodeDir(node) + "/secrets/bgp/mesh";
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path + ".new") << text << "\n";
    chmod((path + ".new").c_str(), 0600);
    std::filesystem::rename(path + ".new", path);
  }
  agent::v1::StatusReply Status(const std::string& node) {
    const auto status = lab().AgentStatus(node);
    EXPECT_TRUE(status.ok()) << status.status();
    return status.ok() ? *status : agent::v1::StatusReply();
  }
  bool AllEstablished(const std::string& node) {
    const auto status = Status(node);
    for (const auto& session : status.bgp()) {
      if (session.state() != "Established") return false;
    }
    return status.bgp_size() > 0;
  }
  bool Says(const std::string& node, const std::string& words) {
    return Eventually([&] { return absl::StrContains(Status(node).DebugString(), words); });
  }
  // Into the store past apply's checks, as an older version or another tool may have.
  void Store(const std::string& document) {
    const api::Decoded decoded = api::DecodeText(document, "test");
    ASSERT_EQ(decoded.resources.size(), 1u) << api::ToString(decoded.problems);
    auto store = api::OpenStore(lab().state().store_url());
    ASSERT_TRUE(store.ok()) << store.status();
    const api::Resource& resource = decoded.resources[0];
    const auto created = (*store)->Create(resource.key(), api::Serialize(resource));
    ASSERT_TRUE(created.ok()) << created.status();
  }
};

TEST_F(AcceptedFields, MeshPasswordComesFromAFileAndIsReadAgainWhenItChanges) {
  const std::vector<std::string> nodes = {"node1", "node2", "node3"};
  const absl::Status applied = lab().Apply(
      "{apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: default},"
      " spec: {nodeMeshPassword: {secretKeyRef: {name: bgp, key: mesh}}}}");
  ASSERT_TRUE(applied.ok()) << applied;
  for (const std::string& node : nodes) {
    EXPECT_TRUE(Says(node, "bgp/mesh: there is no such secret")) << Status(node).DebugString();
    EXPECT_EQ(Status(node).bgp_size(), 0) << "no session without the password";
  }
  for (const std::string& node : nodes) WriteSecret(node, kPassword);
  for (const std::string& node : nodes) {
    EXPECT_TRUE(Eventually([&] { return AllEstablished(node); })) << Status(node).DebugString();
  }
  WriteSecret("node3", "another");
  EXPECT_TRUE(Eventually([&] { return !AllEstablished("node3"); }));
  WriteSecret("node3", kPassword);
  EXPECT_TRUE(Eventually([&] { return AllEstablished("node3"); })) << Status("node3").DebugString();
  for (const std::string& node : nodes) {
    const std::string folder = lab().state().NodeDir(node);
    EXPECT_FALSE(absl::StrContains(ReadText(folder + "/agent.log"), "Tr0ub4dor"));
    EXPECT_FALSE(absl::StrContains(Status(node).DebugString(), "Tr0ub4dor"));
  }
}

TEST_F(AcceptedFields, NodeStatusListsWhatNothingActsOnAndWhatApplyWouldRefuse) {
  const absl::Status applied = lab().Apply(
      "{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {name: default},"
      " spec: {bpfLogLevel: Debug}}");
  ASSERT_TRUE(applied.ok()) << applied;
  Store(
      "{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: h},"
      " spec: {node: node1, interfaceName: eth0}}");
  Store(
      "{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: filtered},"
      " spec: {peerIP: 192.0.2.60, asNumber: 64512, filters: [f]}}");
  EXPECT_TRUE(Says("node1", "FelixConfiguration default: nothing acts on spec.bpfLogLevel"));
  EXPECT_TRUE(Says("node1", "HostEndpoint h: the kind is refused"));
  EXPECT_TRUE(Says("node1", "BGPPeer filtered is not in use: spec.filters is refused"))
      << Status("node1").DebugString();
  const auto shown = lab().Ctl({"node", "status"}, "", "node1");
  ASSERT_TRUE(shown.ok()) << shown.status();
  EXPECT_TRUE(absl::StrContains(shown->out, "In the store, but not all of it acts:\n  Felix"))
      << shown->out;
  // What the demo's pods may do has not changed.
  ExpectMatrix();
}

TEST_F(AcceptedFields, AnAddressThatIsNotTheNodesOwnMakesItNotReady) {
  const auto give = [&](const std::string& address) {
    const absl::Status applied = lab().Apply(
        "{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: node2},"
        " spec: {bgp: {ipv4Address: " +
        address + "/26, ipv6Address: '2001:db8:1::12/64'}}}");
    ASSERT_TRUE(applied.ok()) << applied;
  };
  give("192.0.2.11");
  EXPECT_TRUE(Says("node1", "Node node1: spec.bgp.ipv4Address 192.0.2.11: Node node2 has it too"));
  EXPECT_FALSE(Status("node1").ready());
  EXPECT_TRUE(Says("node2",
                   "Node node2: spec.bgp.ipv4Address 192.0.2.11: no interface of this "
                   "node has it; it has 192.0.2.12"));
  EXPECT_FALSE(Status("node2").ready());
  EXPECT_TRUE(Says("node3", "Node node1: spec.bgp.ipv4Address 192.0.2.11: Node node2 has it too"));
  give("192.0.2.40");
  ASSERT_EQ(
      lab().Exec("node2", {"ip", "address", "add", "192.0.2.40/26", "dev", "eth0"})->exit_code, 0);
  // The address came after the document: the kernel's word is enough.
  EXPECT_TRUE(Eventually([&] { return Status("node2").ready() && Status("node1").ready(); }))
      << Status("node2").DebugString();
}

}  // namespace
}  // namespace ripstop::lab
