// SPDX-License-Identifier: Apache-2.0
//
// Addresses of real pods: pools that are deleted in use, blocks that come and go, nodes that
// are gone.
#include <gmock/gmock.h>
#include <stdlib.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/ipam/block.h"
#include "api/store/open.h"
#include "e2e/scenarios/demo_lab.h"

namespace ripstop::lab {
namespace {

class Addresses : public DemoLab {
 protected:
  void SetUp() override {
    // Blocks that nobody uses go within the time of a test.
    setenv("RIPSTOP_IPAM_BLOCK_IDLE", "300ms", 1);
    DemoLab::SetUp();
  }
  void TearDown() override {
    DemoLab::TearDown();
    unsetenv("RIPSTOP_IPAM_BLOCK_IDLE");
  }
  nlohmann::json Json(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"-o", "json"});
    const auto output = lab().Ctl(arguments);
    EXPECT_TRUE(output.ok()) << output.status();
    auto json = nlohmann::json::parse(output.ok() ? output->out : "", nullptr, false);
    EXPECT_FALSE(json.is_discarded()) << output->out << output->err;
    return json;
  }
  std::string CtlText(const std::vector<std::string>& arguments, const std::string& input = "") {
    const auto output = lab().Ctl(arguments, input);
    EXPECT_TRUE(output.ok()) << output.status();
    return output.ok() ? output->out + output->err : "";
  }
  // Blocks of IPv4, of a node or of all.
  int Blocks(const std::string& node = "") {
    int count = 0;
    for (const auto& line : Json({"ipam", "show", "--show-blocks"})) {
      if (line["grouping"] != "Block" ||
          line["cidr"].get<std::string>().find(':') != std::string::npos)
        continue;
      count += line["note"].get<std::string>().starts_with("node " + node) ? 1 : 0;
    }
    return count;
  }
  int Blackholes(const std::string& node) {
    const auto routes = lab().Exec(node, {"ip", "-4", "route", "show", "type", "blackhole"});
    EXPECT_TRUE(routes.ok()) << routes.status();
    return routes.ok() ? static_cast<int>(std::count(routes->out.begin(), routes->out.end(), '\n'))
                       : -1;
  }
  absl::Status AddPods(const std::string& node, int count) {
    Pod pod = *lab().topology().FindPod("shop/cart-1");
    pod.node = node;
    for (int i = 0; i < count; ++i) {
      pod.name = absl::StrCat("more-", node, "-", i);
      if (absl::Status status = lab().AddPod(pod); !status.ok()) return status;
    }
    return absl::OkStatus();
  }
  absl::Status RemovePods(const std::string& node, int count) {
    for (int i = 0; i < count; ++i) {
      absl::Status status = lab().RemovePod(absl::StrCat("shop/more-", node, "-", i));
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }
  void Forget(const policy::Cidr& cidr, const policy::Address& address) {
    auto store = api::OpenStore(lab().state().store_url(), {.create = false});
    ASSERT_TRUE(store.ok()) << store.status();
    for (bool written = false; !written;) {  // an agent may come between
      const auto stored = (*store)->Get(ipam::Block::KeyFor(cidr));
      ASSERT_TRUE(stored.ok()) << stored.status();
      auto block = ipam::Block::Decode(*stored);
      ASSERT_TRUE(block.ok()) << block.status();
      for (const ipam::Allocation& one : block->AllocationsOf("")) {
        if (one.address == address) block->Release(one);
      }
      written = (*store)->Update(stored->key, block->Encode(), stored->revision).ok();
    }
  }
  std::string PoolStatus(const std::string& name) {
    const std::string pool = CtlText({"get", "ippool", name});
    return absl::StrContains(pool, "Terminating") ? "Terminating"
           : absl::StrContains(pool, "Active")    ? "Active"
                                                  : pool;
  }
};

TEST_F(Addresses, APoolDeletedInUseServesItsPodsUntilTheLastIsGone) {
  CtlText({"delete", "ippool", "pods-v4"});
  EXPECT_EQ(PoolStatus("pods-v4"), "Terminating");
  // Beyond the rack by VXLAN, within it by BIRD's routes: both need the pool.
  const Flow beyond = {"shop/frontend-1", "shop/cart-2", "TCP", 7070, 4};
  EXPECT_TRUE(Reaches(beyond));
  ExpectMatrix();
  ASSERT_TRUE(lab().StopAgent("node1", SIGKILL).ok());
  ASSERT_TRUE(lab().StartAgent("node1").ok());
  ExpectMatrix();
  // A new pod gets none of it.
  ASSERT_TRUE(AddPods("node1", 1).ok());
  EXPECT_FALSE(lab().AddressOf("shop/more-node1-0", 4).ok());
  ASSERT_TRUE(RemovePods("node1", 1).ok());
  std::vector<std::string> pods;
  for (const Pod& pod : lab().topology().pods) pods.push_back(pod.key());
  for (const std::string& pod : pods) ASSERT_TRUE(lab().RemovePod(pod).ok());
  EXPECT_TRUE(Eventually([&] { return PoolStatus("pods-v4") != "Terminating"; }));
  EXPECT_THAT(CtlText({"get", "ippool", "pods-v4"}), ::testing::HasSubstr("not found"));
  EXPECT_EQ(Blocks(), 0);
}

TEST_F(Addresses, EmptyBlocksGoBackAndTheirBlackholesWithThem) {
  ASSERT_EQ(lab().Apply("apiVersion: projectcalico.org/v3\nkind: IPPool\n"
                        "metadata: {name: small}\n"
                        "spec: {cidr: 10.80.0.0/24, blockSize: 30}\n"),
            absl::OkStatus());
  ASSERT_EQ(lab().Apply("apiVersion: projectcalico.org/v3\nkind: IPPool\n"
                        "metadata: {name: pods-v4}\n"
                        "spec: {cidr: 10.65.0.0/16, vxlanMode: CrossSubnet, disabled: true}\n"),
            absl::OkStatus());
  const int before = Blackholes("node1");
  ASSERT_TRUE(AddPods("node1", 6).ok());
  EXPECT_TRUE(Eventually([&] { return Blackholes("node1") == before + 2; })) << RoutesOf("node1");
  ASSERT_TRUE(RemovePods("node1", 6).ok());
  // One stays for the next pod.
  EXPECT_TRUE(Eventually([&] { return Blackholes("node1") == before + 1; })) << RoutesOf("node1");
  EXPECT_TRUE(Eventually([&] { return Blocks("node1") == 2; })) << "the disabled pool's is in use";
  CtlText({"delete", "ippool", "small"});
  EXPECT_TRUE(Eventually([&] { return Blackholes("node1") == before; })) << RoutesOf("node1");
}

TEST_F(Addresses, AllOfAGoneNodeIsGivenBackAndALiveOneKeepsItsOwn) {
  const std::string address = lab().AddressOf("shop/frontend-2", 4).value();
  ASSERT_TRUE(lab()
                  .Delete("apiVersion: projectcalico.org/v3\nkind: Node\n"
                          "metadata: {name: node1}\n")
                  .ok());
  EXPECT_THAT(CtlText({"ipam", "release", "--node", "node1", "--wait", "10m"}),
              ::testing::HasSubstr("the agent of node node1 answers"));
  EXPECT_GE(Blocks("node1"), 1);
  ASSERT_TRUE(lab().RemoveNode("node2").ok());
  EXPECT_THAT(CtlText({"ipam", "check"}), ::testing::HasSubstr("ipam release --node node2"));
  EXPECT_THAT(CtlText({"ipam", "release", "--node", "node2", "--wait", "10ms"}),
              ::testing::HasSubstr("endpoints released"));
  EXPECT_EQ(Blocks("node2"), 0);
  EXPECT_THAT(CtlText({"ipam", "show", "--ip", address}),
              ::testing::HasSubstr("not currently assigned"));
}

// The store is put back as it was before the last pod came: its address stays its own.
TEST_F(Addresses, AnAddressThatTheStoreForgotIsNotGivenAgain) {
  ASSERT_TRUE(AddPods("node1", 1).ok());
  const std::string address = lab().AddressOf("shop/more-node1-0", 4).value();
  const auto block = Json({"ipam", "show", "--ip", address})["block"].get<std::string>();
  // What a copy of the store from before would say of the block, written into the store.
  Forget(*policy::Cidr::Parse(block), *policy::Address::Parse(address));
  EXPECT_TRUE(
      Eventually([&] { return Json({"ipam", "show", "--ip", address})["inUse"].get<bool>(); }));
  Pod thief = *lab().topology().FindPod("shop/cart-1");
  thief.name = "thief";
  thief.node = "node3";
  thief.ips = {address};
  EXPECT_EQ(lab().AddPod(thief).code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace ripstop::lab
