// SPDX-License-Identifier: Apache-2.0
//
// What ADD and DEL mean for policy, programs and the store, with fakes for the last two:
//
//   Workloads ─▶ PolicyPlane ─▶ FakeDataplane (its tables read by TableImage)
//        └────▶ FakeStore ◀─── ReleaseQueue, Ipam
#include "agent/daemon/workloads.h"

#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "agent/base/testing/from_yaml.h"
#include "agent/cni/release_queue.h"
#include "agent/daemon/workload_resource.h"
#include "agent/dataplane/fake_dataplane.h"
#include "agent/ipam/testing/fake_store.h"
#include "api/validate/validate.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policy/tables/table_image.h"

namespace ripstop::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kFar[] = "198.51.100.7";

class WorkloadsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(plane_.Begin().ok());
    // Pods with app: db are reached from nowhere, and from cart where it says so.
    Put("{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: db, namespace: "
        "shop}, spec: {selector: app == 'db', ingress: [{action: Allow, source: {selector: app == "
        "'cart'}}]}}");
    plane_.OnWhole();
    ASSERT_TRUE(plane_.Flush().ok());
    directory_ = std::filesystem::temp_directory_path() /
                 absl::StrCat("ripstop-workloads-", getpid(), "-", counter_++);
    ASSERT_TRUE(
        ipam_.SetConfig({.pools = {{.name = "four", .cidr = *policy::Cidr::Parse("192.0.2.0/24")}}})
            .ok());
    ASSERT_TRUE(ipam_.Load().ok());
    files_.emplace(directory_.string());
    releases_.emplace(&*files_, &workloads_, Later(), &ipam_);
  }
  void TearDown() override {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  void Put(const std::string& yaml) { plane_.feed().Put(FromYaml(yaml)); }
  // The store's own words to the feed, as its watch would say them.
  void ReadStore() {
    std::set<api::ResourceKey> now;
    const api::Listing all = *store_.List({});
    for (const api::StoredResource& item : all.items) {
      if (item.key.kind.starts_with("IPAM")) continue;
      now.insert(item.key);
      Reading reading = ReadStored(item, "n1");
      ASSERT_TRUE(reading.resource.ok()) << reading.resource.status();
      plane_.feed().PutRead(item.key, reading);
    }
    for (const api::ResourceKey& key : known_) {
      if (!now.contains(key)) plane_.feed().Delete(key);
    }
    known_ = now;
    ASSERT_TRUE(plane_.Flush().ok());
  }
  // A container of pod shop/<pod> that has been made, but for what Workloads does.
  LocalEndpoint Container(const std::string& id, const std::string& pod = "db-0",
                          const std::string& app = "db", const std::string& interface = "eth0") {
    LocalEndpoint e;
    e.phase = LocalEndpoint::Phase::kReady;
    e.container_id = id;
    e.interface_name = interface;
    e.pod_namespace = "shop";
    e.pod_name = pod;
    e.labels = {{"app", app}};
    e.ifindex = ++ifindex_;
    e.host_interface = EndpointManager::HostInterfaceName(e.handle());
    const auto allocated =
        ipam_.Allocate({.owner = {e.handle(), e.pod_namespace, e.pod_name}, .requested = {}});
    EXPECT_TRUE(allocated.ok()) << allocated.status();
    if (allocated.ok()) e.allocations = *allocated;
    return e;
  }
  LocalEndpoint Add(const std::string& id, const std::string& pod = "db-0",
                    const std::string& app = "db", const std::string& interface = "eth0") {
    const LocalEndpoint e = Container(id, pod, app, interface);
    EXPECT_EQ(workloads_.Admit(e), absl::OkStatus());
    EXPECT_EQ(workloads_.Prepare(e), absl::OkStatus());
    return e;
  }
  void Del(const LocalEndpoint& e) {
    workloads_.Remove(e);
    releases_->Put(e);
  }

  // Whether `from` reaches it, by the tables that were written; nullopt: no local endpoint.
  std::optional<bool> Reaches(const std::string& from, const policy::Address& to) {
    policy::TableImage image;
    image.Apply(dataplane_.written);
    image.set_l4_table(plane_.engine().l4_table());
    const auto verdict =
        image.Verdict(policy::Direction::kIngress,
                      {*policy::Address::Parse(from), to, policy::kProtocolTcp, 40000, 80});
    if (!verdict.has_value()) return std::nullopt;
    return verdict->allow();
  }
  std::vector<std::string> ContainersInStore() {
    std::vector<std::string> containers;
    const api::Listing all = *store_.List({.kind = api::kKindWorkloadEndpoint, .ns = ""});
    for (const api::StoredResource& item : all.items) {
      const auto resource = api::Deserialize(item);
      const auto& spec = resource->As<api::v1::WorkloadEndpoint>()->spec();
      containers.push_back(absl::StrCat(spec.container_id(), "/", spec.endpoint()));
    }
    return containers;
  }

  static inline int counter_ = 0;
  uint32_t ifindex_ = 10;
  std::filesystem::path directory_;
  FakeStore store_;
  FakeDataplane dataplane_;
  PolicyPlane plane_{"n1", &dataplane_};
  Ipam ipam_{&store_, "n1"};
  Workloads workloads_{"n1", &plane_, &dataplane_, &store_};
  std::optional<EndpointFiles> files_;
  std::optional<ReleaseQueue> releases_;
  std::set<api::ResourceKey> known_;
};

TEST_F(WorkloadsTest, NothingIsAdmittedBeforePolicyIsRead) {
  FakeDataplane dataplane;
  PolicyPlane plane("n1", &dataplane);
  ASSERT_TRUE(plane.Begin().ok());
  Workloads early("n1", &plane, &dataplane, &store_);
  EXPECT_TRUE(absl::IsUnavailable(early.Admit(Container("c1"))));
}

TEST_F(WorkloadsTest, AddBringsPolicyThenProgramsThenTheStore) {
  dataplane_.calls.clear();
  store_.before_write = [&](const api::ResourceKey& key, bool*) {
    if (key.kind == api::kKindWorkloadEndpoint) dataplane_.calls.push_back("store");
    return absl::OkStatus();
  };
  const LocalEndpoint e = Add("c1");
  EXPECT_THAT(dataplane_.calls,
              ElementsAre(HasSubstr("apply"), absl::StrCat("attach ", e.ifindex), "store"));
  EXPECT_EQ(Reaches(kFar, e.addresses()[0]), false);
  EXPECT_EQ(workloads_.Check(e), absl::OkStatus());
}

// The kubelet may take down a sandbox long after it has made the next one.
TEST_F(WorkloadsTest, ALateDelOfAnOldSandboxLeavesTheRunningPodOfItsName) {
  const LocalEndpoint before = Add("old"), after = Add("new");
  ReadStore();
  Del(before);
  EXPECT_EQ(Reaches(kFar, after.addresses()[0]), false) << "it is there, with its policy";
  EXPECT_EQ(Reaches(kFar, before.addresses()[0]), std::nullopt);
  EXPECT_EQ(workloads_.Check(after), absl::OkStatus());
  EXPECT_THAT(workloads_.Check(before).message(), HasSubstr("not attached"));
  EXPECT_EQ(releases_->Run(), absl::OkStatus());
  ReadStore();
  EXPECT_THAT(ContainersInStore(), ElementsAre("new/eth0"));
  EXPECT_EQ(Reaches(kFar, after.addresses()[0]), false);
  EXPECT_THAT(plane_.feed().Named("shop/db-0"), SizeIs(1));
}

TEST_F(WorkloadsTest, TheNewSandboxMayGoBeforeTheOldOne) {
  const LocalEndpoint before = Add("old"), after = Add("new");
  ReadStore();
  Del(after);
  EXPECT_EQ(releases_->Run(), absl::OkStatus());
  ReadStore();
  EXPECT_EQ(Reaches(kFar, before.addresses()[0]), false);
  EXPECT_EQ(workloads_.Check(before), absl::OkStatus());
  EXPECT_THAT(ContainersInStore(), IsEmpty());
  workloads_.Republish({before});
  EXPECT_THAT(ContainersInStore(), ElementsAre("old/eth0"));
  Del(before);
  EXPECT_EQ(releases_->Run(), absl::OkStatus());
  EXPECT_THAT(ContainersInStore(), IsEmpty());
  EXPECT_THAT(ipam_.Allocations(), IsEmpty());
  EXPECT_EQ(plane_.feed().local_endpoints(), 0u);
}

TEST_F(WorkloadsTest, ASecondInterfaceGoesAloneAndLeavesItsIdentityToNobody) {
  const LocalEndpoint eth0 = Add("c1"), net1 = Add("c1", "db-0", "db", "net1");
  ReadStore();
  Put("{apiVersion: v1, kind: Pod, metadata: {name: db-0, namespace: shop, labels: {app: db}}}");
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_THAT(ContainersInStore(), SizeIs(2));
  Del(net1);
  EXPECT_EQ(releases_->Run(), absl::OkStatus());
  ReadStore();
  EXPECT_EQ(plane_.feed().local_endpoints(), 1u);
  EXPECT_EQ(Reaches(kFar, eth0.addresses()[0]), false);
  EXPECT_EQ(Reaches(kFar, net1.addresses()[0]), std::nullopt);
  // Its address goes round; whoever has it next is himself.
  EXPECT_TRUE(plane_.feed().Named("shop/db-0/net1").empty());
  EXPECT_FALSE(plane_.feed().OwnerOf(net1.addresses()[0]).has_value());
}

TEST_F(WorkloadsTest, APodThatMovedIsKnownWhereTheOldOneStillStands) {
  const LocalEndpoint here = Add("old");
  ReadStore();
  Put("{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: "
      "n2-k8s-db--0-eth0, namespace: shop, labels: {app: cart}}, spec: {node: n2, orchestrator: "
      "k8s, pod: db-0, endpoint: eth0, containerID: new, ipNetworks: [198.51.100.9/32], profiles: "
      "[kns.shop]}}");
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_EQ(Reaches("198.51.100.9", here.addresses()[0]), true) << "it is cart's";
  EXPECT_EQ(Reaches(kFar, here.addresses()[0]), false);
  Del(here);
  ReadStore();
  EXPECT_THAT(plane_.feed().Named("shop/db-0"), SizeIs(1));
}

TEST_F(WorkloadsTest, WithdrawalAndReleaseAreOneTransaction) {
  const LocalEndpoint e = Add("c1");
  ReadStore();
  for (const char* kind : {api::kKindWorkloadEndpoint, ipam::kBlockKind}) {
    store_.before_write = [kind](const api::ResourceKey& key, bool*) {
      return key.kind == kind ? absl::UnavailableError("database is locked") : absl::OkStatus();
    };
    Del(e);
    EXPECT_TRUE(absl::IsUnavailable(releases_->Run())) << kind;
    EXPECT_THAT(ContainersInStore(), ElementsAre("c1/eth0")) << kind;
    EXPECT_THAT(ipam_.Allocations(), SizeIs(1)) << kind;
  }
  store_.before_write = nullptr;
  const int writes = store_.writes;
  EXPECT_EQ(releases_->Run(), absl::OkStatus());
  EXPECT_EQ(store_.writes, writes + 1);
  EXPECT_THAT(ContainersInStore(), IsEmpty());
  EXPECT_THAT(ipam_.Allocations(), IsEmpty());
  EXPECT_EQ(releases_->size(), 0u);
}

TEST_F(WorkloadsTest, AnAnswerThatWasLostIsFoundAtTheNextAttempt) {
  const LocalEndpoint e = Add("c1");
  store_.before_write = [](const api::ResourceKey&, bool* lost) {
    *lost = true;
    return absl::UnavailableError("who knows");
  };
  Del(e);
  EXPECT_FALSE(releases_->Run().ok());
  store_.before_write = nullptr;
  EXPECT_EQ(releases_->Run(), absl::OkStatus());
  EXPECT_THAT(ContainersInStore(), IsEmpty());
  EXPECT_THAT(ipam_.Allocations(), IsEmpty());
}

// What was seen: a DEL while the store was locked left the endpoint for ever, and the next
// pod with the address had both owners' labels.
TEST_F(WorkloadsTest, WhileTheStoreIsLockedNobodyElseGetsTheAddressOrTheLabels) {
  const LocalEndpoint db = Add("db", "db-0", "db");
  const LocalEndpoint cart = Add("cart", "cart-0", "cart");
  ReadStore();
  const std::string was_cart = cart.addresses()[0].ToString();
  ASSERT_EQ(Reaches(was_cart, db.addresses()[0]), true);
  bool locked = true;
  store_.before_write = [&](const api::ResourceKey&, bool*) {
    return locked ? absl::UnavailableError("database is locked") : absl::OkStatus();
  };
  Del(cart);
  EXPECT_FALSE(releases_->Run().ok());
  EXPECT_EQ(Reaches(was_cart, db.addresses()[0]), false) << "here it is nobody's at once";
  ReadStore();
  EXPECT_EQ(Reaches(was_cart, db.addresses()[0]), false)
      << "whatever the store still says of this node";
  locked = false;
  const LocalEndpoint next = Add("next", "web-0", "web");
  EXPECT_NE(next.addresses()[0].ToString(), was_cart) << "it is taken until it is released";
  EXPECT_EQ(releases_->Run(), absl::OkStatus());
  ReadStore();
  EXPECT_EQ(ContainersInStore().size(), 2u);
}

TEST_F(WorkloadsTest, AWithdrawalThatLosesARaceLeavesTheNewContainersEndpoint) {
  const LocalEndpoint before = Add("old");
  // The new sandbox writes its own between the look and the delete.
  const LocalEndpoint after = Container("new");
  bool raced = false;
  store_.before_write = [&](const api::ResourceKey& key, bool*) {
    if (key.kind == api::kKindWorkloadEndpoint && !raced) {
      raced = true;
      EXPECT_EQ(workloads_.Prepare(after), absl::OkStatus());
    }
    return absl::OkStatus();
  };
  Del(before);
  EXPECT_EQ(releases_->Run(), absl::OkStatus());
  EXPECT_TRUE(raced);
  EXPECT_THAT(ContainersInStore(), ElementsAre("new/eth0"));
  EXPECT_THAT(ipam_.Allocations(), SizeIs(1));
}

TEST_F(WorkloadsTest, WhatTheStoreHasOfThisNodeWithoutAContainerHereIsAStray) {
  const LocalEndpoint here = Add("here");
  const LocalEndpoint gone = Add("gone", "db-1");
  workloads_.Remove(gone);  // and then the agent's disk went
  ReadStore();
  const std::vector<EndpointName> strays = workloads_.Strays();
  ASSERT_THAT(strays, SizeIs(1));
  EXPECT_EQ(strays[0].container_id, "gone");
  EXPECT_EQ(strays[0].interface_name, "eth0");
  EXPECT_EQ(strays[0].pod_namespace, "shop");
  EXPECT_EQ(strays[0].pod_name, "db-1");
}

TEST_F(WorkloadsTest, AStoreThatForgotAnEndpointOrRemembersItsElderGetsItAgain) {
  const LocalEndpoint e = Add("new");
  ReadStore();
  const int writes = store_.writes;
  workloads_.Republish({e});
  EXPECT_EQ(store_.writes, writes) << "it has it";
  // A copy from before the pod's new sandbox.
  LocalEndpoint elder = e;
  elder.container_id = "old";
  const api::Resource resource = MakeWorkloadEndpoint(elder, "n1");
  ASSERT_TRUE(store_.Update(resource.key(), api::Serialize(resource), 0).ok());
  ReadStore();
  workloads_.Republish({e});
  EXPECT_THAT(ContainersInStore(), ElementsAre("new/eth0"));
  ASSERT_TRUE(store_.Delete(resource.key(), 0).ok());
  ReadStore();
  workloads_.Republish({elder, e});
  EXPECT_THAT(ContainersInStore(), SizeIs(1));
}

TEST_F(WorkloadsTest, CheckAsksWhatTheKernelHas) {
  const LocalEndpoint e = Add("c1");
  EXPECT_EQ(workloads_.Check(e), absl::OkStatus());
  dataplane_.workloads.erase(e.ifindex);  // `bpftool link detach`
  EXPECT_THAT(workloads_.Check(e).message(), HasSubstr("not attached"));
  dataplane_.workloads.insert(e.ifindex);
  LocalEndpoint other = e;
  other.ifindex = 99;
  dataplane_.workloads.insert(99);
  EXPECT_THAT(workloads_.Check(other).message(), HasSubstr("that of interface"));
  plane_.feed().Detach(api::WorkloadId("n1", "c1", "eth0"));
  ASSERT_TRUE(plane_.Flush().ok());
  EXPECT_THAT(workloads_.Check(e).message(), HasSubstr("no endpoint's"));
}

TEST_F(WorkloadsTest, EndpointsOfTheLastRunAreInTheFirstTables) {
  const LocalEndpoint e = Container("c1");
  FakeDataplane dataplane;
  PolicyPlane plane("n1", &dataplane);
  ASSERT_TRUE(plane.Begin().ok());
  Workloads restarted("n1", &plane, &dataplane, &store_);
  ASSERT_TRUE(restarted.Restore({e}).ok());
  EXPECT_THAT(dataplane.workloads, testing::ElementsAre(e.ifindex)) << "judged from the start";
  plane.OnWhole();
  ASSERT_TRUE(plane.Flush().ok());
  restarted.Reattach({e});
  EXPECT_EQ(restarted.Check(e), absl::OkStatus());
}

TEST_F(WorkloadsTest, WhatItPublishesIsADocumentThatApplyWouldTake) {
  for (const char* pod : {"db-0", "My_db", "quirky_euler"}) {
    for (const char* interface : {"eth0", "NET_1"}) {
      LocalEndpoint e = Container(absl::StrCat("c-", pod, interface), pod, "db", interface);
      e.pod_uid = "8f14e45f-ceea-467f-a0e6-5d2b6f3c7a10";
      e.ports = {{"sql", policy::kProtocolTcp, 5432}};
      EXPECT_EQ(api::ToString(api::Validate(MakeWorkloadEndpoint(e, "n1"))), "") << pod;
    }
  }
}

TEST(WorkloadResourceTest, NamesAreCalicosWhereTheyAreNamesAndHashedWhereNot) {
  EXPECT_EQ(WorkloadEndpointName("n-1", "db-0", "eth0"), "n--1-k8s-db--0-eth0");
  const std::string odd = WorkloadEndpointName("n1", "My_db", "eth0");
  EXPECT_THAT(odd, ::testing::StartsWith("n1-k8s-my-db-eth0-"));
  EXPECT_NE(odd, WorkloadEndpointName("n1", "my_db", "eth0"));
  const std::string longest =
      WorkloadEndpointName(std::string(253, 'n'), std::string(253, 'p'), "e");
  EXPECT_EQ(longest.size(), 253u);
  EXPECT_NE(longest, WorkloadEndpointName(std::string(253, 'n'), std::string(252, 'p'), "e"));
}

}  // namespace
}  // namespace ripstop::agent
