// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <poll.h>

#include <atomic>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "api/ctl/testing.h"
#include "api/ipam/block.h"
#include "api/ipam/claims.h"
#include "api/resource.h"
#include "api/store/open.h"

namespace ripstop::ctl {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

// Two nodes in the store, n1 and n2, and blocks of a third that is gone. Of n1's block n2
// borrows an address, n3 another one.
class IpamCommandsTest : public CtlTest {
 protected:
  void SetUp() override {
    ASSERT_EQ(Ctl({"apply", "-f", "-"}, R"(
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pods}
spec: {cidr: 10.65.0.0/16}
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pods6}
spec: {cidr: "fd00:10:65::/48"}
---
apiVersion: projectcalico.org/v3
kind: Node
metadata: {name: n1}
---
apiVersion: projectcalico.org/v3
kind: Node
metadata: {name: n2}
)"),
              kExitOk)
        << err_;
    db_ = *api::OpenStore(store_);
    Block("10.65.0.0/26", "n1", {{"n1", "a"}, {"n2", "b"}, {"n3", "c"}});
    Block("10.65.0.64/26", "n3", {{"n3", "d"}, {"n1", "e"}});
    Block("10.65.0.128/26", "n3", {{"n3", "f"}});
    Block("fd00:10:65::/122", "n2", {{"n2", "b"}});
  }
  void Block(const std::string& cidr, const std::string& node,
             const std::vector<std::pair<std::string, std::string>>& pods) {
    const auto net = *policy::Cidr::Parse(cidr);
    ipam::Block block = ipam::Block::Make(net, node, {});
    for (const auto& [user, pod] : pods) {
      const auto made = block.Allocate({pod + "/eth0", "shop", pod}, user);
      ASSERT_TRUE(made.ok());
      Endpoint(user, pod, made->address);
    }
    const auto key = ipam::Claims::KeyFor(net);
    const auto stored = db_->Get(key);
    ipam::Claims claims = stored.ok() ? *ipam::Claims::Decode(*stored) : ipam::Claims::Of(net);
    claims.Add(net, node);
    Put(key, claims.Encode());
    Put(ipam::Block::KeyFor(net), block.Encode());
  }
  void Endpoint(const std::string& node, const std::string& pod, const policy::Address& address) {
    api::Resource resource = api::Resource::Make<api::v1::WorkloadEndpoint>();
    resource.mutable_metadata().set_name(absl::StrCat(node, "-k8s-", pod, "-eth0"));
    resource.mutable_metadata().set_namespace_("shop");
    const auto present = db_->Get(resource.key());
    if (present.ok()) resource = *api::Deserialize(*present);
    auto* spec = resource.MutableAs<api::v1::WorkloadEndpoint>()->mutable_spec();
    spec->set_node(node);
    spec->set_container_id(pod);
    spec->add_ip_networks(absl::StrCat(address.ToString(), address.is_v4() ? "/32" : "/128"));
    Put(resource.key(), api::Serialize(resource));
  }
  void DeleteEndpoint(const std::string& node, const std::string& pod) {
    ASSERT_TRUE(
        db_->Delete({api::kKindWorkloadEndpoint, "shop", absl::StrCat(node, "-k8s-", pod, "-eth0")},
                    0)
            .ok());
  }
  void Put(const api::ResourceKey& key, const std::string& value) {
    ASSERT_TRUE(db_->Txn({{api::Mutation::Type::kPut, key, value, 0}}).ok());
  }
  ipam::Block Stored(const std::string& cidr) {
    const auto stored = db_->Get(ipam::Block::KeyFor(*policy::Cidr::Parse(cidr)));
    EXPECT_TRUE(stored.ok()) << stored.status();
    auto block = ipam::Block::Decode(*stored);
    return *std::move(block);
  }
  size_t CountOf(const char* kind) {
    const auto listing = db_->List({kind, ""});
    return listing->items.size();
  }
  // Acts for an agent of `node` until the end of the test: takes the question away.
  class Agent {
   public:
    Agent(const std::string& store, const std::string& node)
        : thread_([this, store, node] {
            auto db = *api::OpenStore(store);
            auto watch = *db->WatchFrom({ipam::kNodeReleaseKind, ""}, 0);
            while (!stop_) {
              pollfd ready = {watch->fd(), POLLIN, 0};
              poll(&ready, 1, 20);
              const auto events = watch->Next();
              for (const api::WatchEvent& event : *events) {
                if (event.type == api::WatchEvent::Type::kPut && event.resource.key.name == node) {
                  db->Delete(event.resource.key, 0).IgnoreError();
                }
              }
            }
          }) {}
    ~Agent() {
      stop_ = true;
      thread_.join();
    }

   private:
    std::atomic<bool> stop_ = false;
    std::thread thread_;
  };

  std::unique_ptr<api::Store> db_;
};

// ---- show ----

TEST_F(IpamCommandsTest, ShowGroupsPoolsAndBlocks) {
  ASSERT_EQ(Ctl({"ipam", "show"}), kExitOk) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("GROUPING"), HasSubstr("IPS TOTAL"), HasSubstr("IPS IN USE")));
  EXPECT_THAT(out_,
              testing::ContainsRegex("IP Pool +pods +10.65.0.0/16 +65536 +6 \\(0%\\) +65530"));
  EXPECT_THAT(out_, Not(HasSubstr("Block")));
  ASSERT_EQ(Ctl({"ipam", "show", "--show-blocks"}), kExitOk);
  EXPECT_THAT(out_, testing::ContainsRegex("Block +- +10.65.0.0/26 +64 +3 \\(5%\\) +61"));
  EXPECT_THAT(out_, HasSubstr("node n1, 2 used by others"));
  ASSERT_EQ(Ctl({"ipam", "show", "-o", "json", "--show-blocks"}), kExitOk);
  const json all = json::parse(out_);
  ASSERT_THAT(all, SizeIs(6));
  EXPECT_EQ(all[0]["name"], "pods");
  EXPECT_EQ(all[0]["inUse"], 6);
  EXPECT_EQ(all[1]["cidr"], "10.65.0.0/26");
}

TEST_F(IpamCommandsTest, ShowOfAnAddressSaysWhoHasIt) {
  ASSERT_EQ(Ctl({"ipam", "show", "--ip", "10.65.0.1"}), kExitOk) << err_;
  EXPECT_THAT(out_,
              AllOf(HasSubstr("IP 10.65.0.1 is in use"), HasSubstr("pod: b"), HasSubstr("node: n2"),
                    HasSubstr("blockNode: n1"), HasSubstr("workloadendpoint shop/n2-k8s-b-eth0")));
  ASSERT_EQ(Ctl({"ipam", "show", "--ip=10.65.0.9"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("IP 10.65.0.9 is not currently assigned"));
  ASSERT_EQ(Ctl({"ipam", "show", "--ip", "203.0.113.1", "-o", "json"}), kExitOk);
  EXPECT_EQ(json::parse(out_)["inUse"], false);
  EXPECT_EQ(Ctl({"ipam", "show", "--ip", "300.1.1.1"}), kExitUsage);
}

TEST_F(IpamCommandsTest, ShowOfBorrowedAddresses) {
  ASSERT_EQ(Ctl({"ipam", "show", "--show-borrowed"}), kExitOk) << err_;
  EXPECT_THAT(out_, testing::ContainsRegex("10.65.0.1 +n2 +10.65.0.0/26 +n1 +shop/b"));
  EXPECT_THAT(out_, testing::ContainsRegex("10.65.0.65 +n1 +10.65.0.64/26 +n3 +shop/e"));
}

// ---- check ----

TEST_F(IpamCommandsTest, CheckOfASoundStoreFindsNothing) {
  Put({api::kKindNode, "", "n3"}, [] {
    api::Resource node = api::Resource::Make<api::v1::Node>();
    node.mutable_metadata().set_name("n3");
    return api::Serialize(node);
  }());
  EXPECT_EQ(Ctl({"ipam", "check"}), kExitOk) << out_;
  EXPECT_THAT(out_, HasSubstr("2 pools, 4 blocks, 7 addresses allocated, 7 addresses of endpoints: "
                              "0 problems"));
}

TEST_F(IpamCommandsTest, CheckNamesEachKindOfContradiction) {
  DeleteEndpoint("n1", "a");                                   // leaked
  Endpoint("n2", "x", *policy::Address::Parse("10.65.0.44"));  // not allocated
  Endpoint("n2", "y", *policy::Address::Parse("10.65.0.1"));   // shared with b
  Block("10.99.0.0/26", "n1", {});                             // no pool
  Put({ipam::kBlockKind, "", "10-65-9-0-26"}, "\xff\xff");     // damaged
  const auto inner = ipam::Block::Make(*policy::Cidr::Parse("10.65.0.64/28"), "n1", {});
  Put(ipam::Block::KeyFor(inner.cidr()), inner.Encode());  // overlaps, unclaimed
  ipam::Claims claims = ipam::Claims::Of(*policy::Cidr::Parse("10.65.16.0/26"));
  claims.Add(*policy::Cidr::Parse("10.65.16.0/26"), "n1");
  Put(ipam::Claims::KeyFor(*policy::Cidr::Parse("10.65.16.0/26")), claims.Encode());
  EXPECT_EQ(Ctl({"ipam", "check", "-o", "json"}), kExitError);
  const json report = json::parse(out_);
  std::multimap<std::string, std::string> found;
  for (const json& problem : report["problems"]) found.emplace(problem["kind"], problem["subject"]);
  const std::multimap<std::string, std::string> wanted = {{"leaked", "10.65.0.0"},
                                                          {"not allocated", "10.65.0.44"},
                                                          {"shared", "10.65.0.1"},
                                                          {"no pool", "10.99.0.0/26"},
                                                          {"damaged", "-"},
                                                          {"overlap", "10.65.0.64/28"},
                                                          {"unclaimed", "10.65.0.64/28"},
                                                          {"claim without block", "10.65.16.0/26"},
                                                          {"node gone", "n3"}};
  EXPECT_EQ(found, wanted) << out_;
  EXPECT_EQ(Ctl({"ipam", "check"}), kExitError);
  EXPECT_THAT(out_, HasSubstr("ripstopctl ipam release --node n3"));
}

// ---- release ----

TEST_F(IpamCommandsTest, ALeakedAddressIsReleasedAndOneInUseIsNot) {
  EXPECT_EQ(Ctl({"ipam", "release", "--ip", "10.65.0.0"}), kExitConflict);
  EXPECT_THAT(err_, HasSubstr("in use by workloadendpoint shop/n1-k8s-a-eth0 on node n1"));
  DeleteEndpoint("n1", "a");
  EXPECT_EQ(Ctl({"ipam", "release", "--ip", "10.65.0.0", "--ip", "10.65.0.1"}), kExitConflict);
  EXPECT_EQ(Stored("10.65.0.0/26").proto().allocations_size(), 3) << "all or nothing";
  ASSERT_EQ(Ctl({"ipam", "release", "--ip", "10.65.0.0"}), kExitOk) << err_;
  EXPECT_EQ(out_, "10.65.0.0 released\n");
  EXPECT_EQ(Stored("10.65.0.0/26").proto().allocations_size(), 2);
  EXPECT_EQ(Ctl({"ipam", "release", "--ip", "10.65.0.0"}), kExitNotFound);
  EXPECT_EQ(Ctl({"ipam", "release"}), kExitUsage);
}

TEST_F(IpamCommandsTest, AReportReleasesWhatItNamesAndNothingYounger) {
  DeleteEndpoint("n1", "a");
  DeleteEndpoint("n3", "f");
  const std::string file = folder_ + "/report.json";
  EXPECT_EQ(Ctl({"ipam", "check", "-o", file}), kExitError);
  // The address of a is given again, to the same container even, and its endpoint comes in a
  // moment.
  ipam::Block block = Stored("10.65.0.0/26");
  const auto a = *policy::Address::Parse("10.65.0.0");
  ASSERT_TRUE(block.Release(block.AllocationsOf("n1").at(0)));
  ASSERT_TRUE(block.AllocateThis(a, {"a/eth0", "shop", "a"}, "n1").ok());
  Put(ipam::Block::KeyFor(block.cidr()), block.Encode());
  ASSERT_EQ(Ctl({"ipam", "release", "--from-report", file}), kExitOk) << err_;
  EXPECT_EQ(out_, "10.65.0.0 is free already\n10.65.0.128 released\n");
  EXPECT_THAT(Stored("10.65.0.0/26").AllocationsOf("n1"), SizeIs(1));
  EXPECT_THAT(Stored("10.65.0.128/26").AllocationsOf(""), IsEmpty());
  EXPECT_EQ(Ctl({"ipam", "release", "--from-report", File("bad.json", "{}")}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("ipam check -o report.json"));
}

TEST_F(IpamCommandsTest, AllOfANodeThatIsGoneGoesInOneTransaction) {
  ASSERT_EQ(Ctl({"ipam", "release", "--node", "n3", "--wait", "10ms"}), kExitOk) << err_;
  EXPECT_EQ(out_, "node n3: 3 addresses, 2 blocks and 3 endpoints released\n");
  EXPECT_EQ(Stored("10.65.0.0/26").AllocationsOf("n3").size(), 0u);
  EXPECT_EQ(Stored("10.65.0.0/26").affinity(), "n1");
  EXPECT_EQ(Stored("10.65.0.64/26").affinity(), "") << "n1 still uses an address of it";
  EXPECT_EQ(CountOf(ipam::kBlockKind), 3u);
  EXPECT_EQ(CountOf(ipam::kNodeReleaseKind), 0u);
  EXPECT_EQ(CountOf(api::kKindWorkloadEndpoint), 3u);
  EXPECT_EQ(Ctl({"ipam", "check"}), kExitOk) << out_;
  EXPECT_EQ(Ctl({"ipam", "release", "--node", "n3"}), kExitOk) << "again, and at once";
  EXPECT_EQ(out_, "node n3: 0 addresses, 0 blocks and 0 endpoints released\n");
}

TEST_F(IpamCommandsTest, ANodeInTheStoreKeepsWhatItHas) {
  EXPECT_EQ(Ctl({"ipam", "release", "--node", "n1"}), kExitError);
  EXPECT_THAT(err_, HasSubstr("ripstopctl delete node n1"));
  EXPECT_EQ(Stored("10.65.0.0/26").affinity(), "n1");
}

// With the answer nothing is taken away; the test before it shows what is without.
TEST_F(IpamCommandsTest, ANodeWhoseAgentAnswersKeepsWhatItHasThoughItsDocumentIsGone) {
  Agent agent(store_, "n3");
  EXPECT_EQ(Ctl({"ipam", "release", "--node", "n3", "--wait", "10m"}), kExitError);
  EXPECT_THAT(err_, HasSubstr("the agent of node n3 answers"));
  EXPECT_THAT(Stored("10.65.0.128/26").AllocationsOf("n3"), SizeIs(1));
  EXPECT_EQ(CountOf(api::kKindWorkloadEndpoint), 6u);
}

}  // namespace
}  // namespace ripstop::ctl
