// SPDX-License-Identifier: Apache-2.0
//
// Pools and nodes as operators write and delete them, against what the store has.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "api/ctl/testing.h"
#include "api/ipam/block.h"
#include "api/ipam/claims.h"
#include "api/store/open.h"

namespace ripstop::ctl {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string Pool(const std::string& name, const std::string& cidr, const std::string& more = "") {
  return absl::StrCat("apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: ", name,
                      "}\nspec: {cidr: \"", cidr, "\"", more, "}\n");
}
std::string Node(const std::string& name, const std::string& address) {
  return absl::StrCat("apiVersion: projectcalico.org/v3\nkind: Node\nmetadata: {name: ", name,
                      "}\nspec: {bgp: {ipv4Address: ", address, "}}\n");
}

class PoolCommandsTest : public CtlTest {
 protected:
  // As an agent does: a block with `used` addresses, and its claim.
  void AgentClaims(const std::string& cidr, const std::string& node, int used) {
    auto store = *api::OpenStore(store_);
    const auto net = *policy::Cidr::Parse(cidr);
    ipam::Block block = ipam::Block::Make(net, node, {});
    for (int i = 0; i < used; ++i) {
      ASSERT_TRUE(block.Allocate({absl::StrCat("c", i, "/eth0"), "shop", "pod"}, node).ok());
    }
    const auto key = ipam::Claims::KeyFor(net);
    const auto stored = store->Get(key);
    ipam::Claims claims = stored.ok() ? *ipam::Claims::Decode(*stored) : ipam::Claims::Of(net);
    claims.Add(net, node);
    ASSERT_TRUE(
        store
            ->Txn({{api::Mutation::Type::kPut, key, claims.Encode(), 0},
                   {api::Mutation::Type::kPut, ipam::Block::KeyFor(net), block.Encode(), 0}})
            .ok());
  }
  size_t Blocks() { return (*api::OpenStore(store_))->List({ipam::kBlockKind, ""})->items.size(); }
  size_t Claimed(const std::string& cidr) {
    const auto key = ipam::Claims::KeyFor(*policy::Cidr::Parse(cidr));
    const auto stored = (*api::OpenStore(store_))->Get(key);
    return stored.ok() ? ipam::Claims::Decode(*stored)->proto().claims_size() : 0;
  }
};

TEST_F(PoolCommandsTest, APoolThatOverlapsAStoredOneIsRefusedWithWhatIsStored) {
  ASSERT_EQ(Ctl({"apply", "-f", "-"}, Pool("wide", "10.70.0.0/16")), kExitOk) << err_;
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, Pool("inside", "10.70.4.0/24")), kExitError);
  EXPECT_THAT(err_, AllOf(HasSubstr("10.70.4.0/24"), HasSubstr("10.70.0.0/16 of IPPool wide"),
                          HasSubstr("<stdin>:")));
  EXPECT_EQ(Ctl({"create", "-f", "-"}, Pool("around", "10.0.0.0/8")), kExitError);
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, Pool("apart", "10.71.0.0/16")), kExitOk) << err_;
  EXPECT_EQ(Ctl({"replace", "-f", "-"}, Pool("apart", "10.70.9.0/24")), kExitError);
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, Pool("wide", "10.70.0.0/16", ", natOutgoing: true")), kExitOk)
      << "a pool does not overlap itself: " << err_;
}

TEST_F(PoolCommandsTest, APoolInANodesSubnetIsRefusedInEveryOrder) {
  const std::string pool = Pool("lan", "192.0.2.0/26"), node = Node("n1", "192.0.2.11/24");
  for (const char* command : {"apply", "validate"}) {
    EXPECT_EQ(Ctl({command, "-f", "-"}, node + "---\n" + pool), kExitError);
    EXPECT_THAT(err_, AllOf(HasSubstr("192.0.2.0/24"), HasSubstr("Node n1")));
  }
  ASSERT_EQ(Ctl({"apply", "-f", "-"}, node), kExitOk);
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, pool), kExitError);
  EXPECT_THAT(
      err_, AllOf(HasSubstr("\"192.0.2.0/26\""), HasSubstr("the subnet of Node n1 in the store")));
  ASSERT_EQ(Ctl({"delete", "node", "n1"}), kExitOk);
  ASSERT_EQ(Ctl({"apply", "-f", "-"}, pool), kExitOk);
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, node), kExitError);
  EXPECT_THAT(err_, AllOf(HasSubstr("Node n1"), HasSubstr("192.0.2.0/26 of IPPool lan")));
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, Node("n2", "192.0.2.11")), kExitError)
      << "without its subnet, still in the pool";
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, Node("n3", "198.51.100.1/24")), kExitOk) << err_;
}

TEST_F(PoolCommandsTest, CidrAndBlockSizeOfAPoolInUseStay) {
  ASSERT_EQ(Ctl({"apply", "-f", "-"}, Pool("p", "10.70.0.0/16")), kExitOk);
  AgentClaims("10.70.0.0/26", "n1", 3);
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, Pool("p", "10.70.0.0/16", ", blockSize: 28")), kExitError);
  EXPECT_THAT(err_, AllOf(HasSubstr("spec.blockSize: \"28\" cannot take the place of 26"),
                          HasSubstr("3 addresses in 1 block")));
  EXPECT_EQ(Ctl({"replace", "-f", "-"}, Pool("p", "10.70.0.0/15")), kExitError);
  EXPECT_THAT(err_, HasSubstr("cannot take the place of 10.70.0.0/16"));
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, Pool("p", "10.70.0.0/16", ", blockSize: 26")), kExitOk)
      << "the same, written out: " << err_;
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, Pool("p", "10.70.0.0/16", ", disabled: true")), kExitOk);
}

TEST_F(PoolCommandsTest, CidrAndBlockSizeOfAnUnusedPoolChangeAndItsEmptyBlocksGo) {
  ASSERT_EQ(Ctl({"apply", "-f", "-"}, Pool("p", "10.70.0.0/16")), kExitOk);
  AgentClaims("10.70.0.0/26", "n1", 0);
  AgentClaims("10.80.0.0/26", "n1", 2);  // another pool's
  ASSERT_EQ(Ctl({"apply", "--dry-run", "-f", "-"}, Pool("p", "10.70.0.0/16", ", blockSize: 28")),
            kExitOk);
  EXPECT_EQ(Blocks(), 2u);
  ASSERT_EQ(Ctl({"apply", "-f", "-"}, Pool("p", "10.70.0.0/16", ", blockSize: 28")), kExitOk)
      << err_;
  EXPECT_EQ(Blocks(), 1u);
  EXPECT_EQ(Claimed("10.70.0.0/26"), 0u);
  EXPECT_EQ(Claimed("10.80.0.0/26"), 1u);
}

TEST_F(PoolCommandsTest, APoolInUseIsMarkedShownAndComesBackWhenAppliedAgain) {
  ASSERT_EQ(
      Ctl({"apply", "-f", "-"}, Pool("p", "10.70.0.0/16") + "---\n" + Pool("q", "10.71.0.0/16")),
      kExitOk);
  AgentClaims("10.70.0.0/26", "n1", 3);
  AgentClaims("10.71.0.0/26", "n1", 0);
  ASSERT_EQ(Ctl({"delete", "ippool", "p", "q"}), kExitOk) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("ippool p is being deleted"),
                          HasSubstr("3 addresses in 1 block"), HasSubstr("ippool q deleted\n")));
  EXPECT_EQ(Blocks(), 1u) << "q's empty block went with it";
  ASSERT_EQ(Ctl({"get", "ippools"}), kExitOk);
  EXPECT_THAT(out_, AllOf(HasSubstr("Terminating"), Not(HasSubstr("10.71"))));
  ASSERT_EQ(Ctl({"delete", "ippool", "p"}), kExitOk) << "again: " << err_;
  EXPECT_THAT(out_, HasSubstr("is being deleted"));
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, Pool("r", "10.70.0.0/24")), kExitError);
  EXPECT_THAT(err_, HasSubstr("which is being deleted"));
  ASSERT_EQ(Ctl({"get", "ippool", "p", "-o", "yaml"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("deletionTimestamp"));
  ASSERT_EQ(Ctl({"apply", "-f", "-"}, out_), kExitOk) << err_;
  ASSERT_EQ(Ctl({"get", "ippools"}), kExitOk);
  EXPECT_THAT(out_, AllOf(HasSubstr("Active"), Not(HasSubstr("Terminating"))));
}

TEST_F(PoolCommandsTest, WhoDeletesANodeIsToldWhatStaysBehind) {
  ASSERT_EQ(Ctl({"apply", "-f", "-"},
                Node("n1", "192.0.2.11/24") + "---\n" + Node("n2", "192.0.2.12/24")),
            kExitOk);
  AgentClaims("10.70.0.0/26", "n1", 3);
  ASSERT_EQ(Ctl({"delete", "node", "n1", "n2"}), kExitOk);
  EXPECT_EQ(out_, "node n1 deleted\nnode n2 deleted\n");
  EXPECT_EQ(err_,
            "Note: node n1 still has 3 addresses in 1 block; if it is gone for good, give them "
            "back: ripstopctl ipam release --node n1\n");
}

// Pools that users met trouble with; the cases say what each must give.
TEST_F(PoolCommandsTest, ReportedPoolsAreRefused) {
  const std::filesystem::path folder = RIPSTOP_SOURCE_DIR "/../shared/testdata/reports";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " not found";
  std::ifstream file(folder / "pools-that-overlap-later.yaml");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const size_t second = text.find("---");
  ASSERT_NE(second, std::string::npos);
  ASSERT_EQ(Ctl({"apply", "-f", "-"}, text.substr(0, second)), kExitOk) << err_;
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, text.substr(second)), kExitError);
  EXPECT_THAT(err_, HasSubstr("10.70"));
  EXPECT_EQ(Ctl({"apply", "-f", folder / "pool-over-the-nodes-lan.yaml"}), kExitError);
  EXPECT_THAT(err_, HasSubstr("192.0.2"));
}

}  // namespace
}  // namespace ripstop::ctl
