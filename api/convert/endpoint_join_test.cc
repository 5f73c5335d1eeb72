// SPDX-License-Identifier: Apache-2.0
#include "api/convert/endpoint_join.h"

#include <algorithm>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "api/codec/reader.h"
#include "api/convert/convert.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::api {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

class EndpointJoinTest : public ::testing::Test {
 protected:
  static Resource FromYaml(const std::string& text) {
    const Decoded decoded = DecodeText(text, "test");
    EXPECT_TRUE(decoded.problems.empty()) << text;
    return decoded.resources.at(0);
  }
  ResourceKey Put(const std::string& text, int64_t revision = 0) {
    Resource resource = FromYaml(text);
    resource.set_revision(revision != 0 ? revision : ++revision_);
    auto objects = *ToModel(resource, {.this_host = "n1"});
    join_.Put(resource, std::get<policy::Endpoint>(objects.at(0)));
    return resource.key();
  }
  // Of pod shop/db: its only endpoint on that node, or net1.
  static std::string Workload(const std::string& node, const std::string& container, int low,
                              const std::string& interface = "eth0", const std::string& uid = "") {
    return absl::Substitute(
        "{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: "
        "$0-k8s-db-$3, namespace: shop, labels: {from: workload}, annotations: "
        "{ripstop.io/pod-uid: "
        "'$4'}}, spec: {node: $0, orchestrator: k8s, pod: db, endpoint: $3, containerID: $1, "
        "ipNetworks: [192.0.2.$2/32], profiles: [kns.shop]}}",
        node, container, low, interface, uid);
  }
  static std::string Pod(const std::string& label, const std::string& uid = "",
                         const std::string& phase = "Running") {
    return absl::Substitute(
        "{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: shop, uid: '$1', labels: "
        "{from: $0}}, status: {phase: $2, podIP: 192.0.2.200}}",
        label, uid, phase);
  }
  std::string Attach(const std::string& container, int low, const std::string& interface = "eth0",
                     const std::string& uid = "") {
    policy::Endpoint own;
    own.id = WorkloadId("n1", container, interface);
    own.name = "shop/db";
    own.labels = {{"from", "own"}};
    own.addresses = {*policy::Address::Parse(absl::StrCat("192.0.2.", low))};
    join_.Attach(own, {++ifindex_, {2, 0, 0, 0, 0, 1}}, "shop/db", uid);
    return own.id;
  }
  // What each endpoint has: last part of its address, and who its labels are from.
  std::map<std::string, std::string> All() {
    std::map<std::string, std::string> all;
    join_.ForEach([&](const policy::Endpoint& e) {
      const std::string address =
          e.addresses.empty() ? "none" : e.addresses[0].ToString().substr(8);
      EXPECT_FALSE(all.contains(address));
      all[address] = e.labels.contains("from") ? e.labels.at("from") : "";
      EXPECT_EQ(join_.Find(e.id), e) << e.id;
    });
    return all;
  }

  EndpointJoin join_{"n1"};
  int64_t revision_ = 0;
  uint32_t ifindex_ = 9;
};

TEST_F(EndpointJoinTest, APodWithoutAnyEndpointIsOneByItself) {
  const ResourceKey pod = Put(Pod("pod"));
  EXPECT_THAT(All(), ElementsAre(Pair("200", "pod")));
  EXPECT_THAT(join_.TakeChanged(), ElementsAre(PodId("shop/db")));
  const ResourceKey workload = Put(Workload("n2", "c1", 1));
  EXPECT_THAT(All(), ElementsAre(Pair("1", "pod"))) << "its labels, not its address";
  EXPECT_THAT(join_.TakeChanged(), SizeIs(2));
  join_.Delete(workload);
  EXPECT_THAT(All(), ElementsAre(Pair("200", "pod")));
  join_.Delete(pod);
  EXPECT_THAT(All(), IsEmpty());
}

TEST_F(EndpointJoinTest, WhatIsSaidOfAPodIsSaidOfAllItsInterfaces) {
  Attach("c1", 1);
  Attach("c1", 2, "net1");
  EXPECT_THAT(All(), ElementsAre(Pair("1", "own"), Pair("2", "own")));
  Put(Pod("pod"));
  EXPECT_THAT(All(), ElementsAre(Pair("1", "pod"), Pair("2", "pod")));
  Put(Pod("pod", "", "Succeeded"));
  join_.ForEach([](const policy::Endpoint& e) { EXPECT_FALSE(e.active) << e.id; });
}

TEST_F(EndpointJoinTest, AnOldSandboxAndTheNewOneOfAPodAreTwoInEitherOrder) {
  for (const bool old_goes_first : {true, false}) {
    const std::string before = Attach("old", 1), after = Attach("new", 2);
    EXPECT_THAT(All(), SizeIs(2));
    EXPECT_EQ(join_.attached(), 2u);
    EXPECT_TRUE(join_.Detach(old_goes_first ? before : after));
    EXPECT_THAT(All(), ElementsAre(Pair(old_goes_first ? "2" : "1", "own")));
    EXPECT_FALSE(join_.Detach(old_goes_first ? before : after)) << "it comes thrice";
    EXPECT_TRUE(join_.Detach(old_goes_first ? after : before));
    EXPECT_THAT(All(), IsEmpty());
    EXPECT_EQ(join_.attached(), 0u);
  }
}

TEST_F(EndpointJoinTest, APodThatMovedIsKnownHereAndThere) {
  Attach("old", 1, "eth0", "uid-1");
  const ResourceKey there = Put(Workload("n2", "new", 2, "eth0", "uid-2"));
  EXPECT_THAT(All(), ElementsAre(Pair("1", "own"), Pair("2", "workload")));
  Put(Pod("pod", "uid-2"));
  EXPECT_THAT(All(), ElementsAre(Pair("1", "own"), Pair("2", "pod")));
  join_.Delete(there);
  EXPECT_THAT(All(), ElementsAre(Pair("1", "own"), Pair("200", "pod")))
      << "the new pod is known by itself, the old one is not it";
}

TEST_F(EndpointJoinTest, WhatWasSaidOfThePodOfThisUidStaysWhenTheNameIsAnothers) {
  Attach("old", 1, "eth0", "uid-1");
  const ResourceKey pod = Put(Pod("first", "uid-1"));
  EXPECT_THAT(All(), ElementsAre(Pair("1", "first")));
  Put(Pod("second", "uid-2"));
  EXPECT_THAT(All(), ElementsAre(Pair("1", "first"), Pair("200", "second")));
  join_.Delete(pod);
  EXPECT_THAT(All(), ElementsAre(Pair("1", "first")));
}

TEST_F(EndpointJoinTest, APodThatIsDeletedKeepsItsLabelsWhileItRunsWhereUidsSaySo) {
  Attach("c1", 1, "eth0", "uid-1");
  const ResourceKey pod = Put(Pod("pod", "uid-1"));
  join_.Delete(pod);
  EXPECT_THAT(All(), ElementsAre(Pair("1", "pod")));
}

TEST_F(EndpointJoinTest, ADocumentWithoutUidSaysNothingMoreOnceItIsDeleted) {
  Attach("c1", 1, "eth0", "uid-1");
  const ResourceKey pod = Put(Pod("pod"));
  EXPECT_THAT(All(), ElementsAre(Pair("1", "pod")));
  join_.Delete(pod);
  EXPECT_THAT(All(), ElementsAre(Pair("1", "own")));
}

TEST_F(EndpointJoinTest, AWorkloadEndpointOfThisNodeIsAnEndpointOnlyWhileItIsAttached) {
  const ResourceKey key = Put(Workload("n1", "c1", 1));
  EXPECT_THAT(All(), IsEmpty());
  ASSERT_THAT(join_.unattached(), SizeIs(1));
  EXPECT_EQ(join_.unattached()[0].container_id, "c1");
  EXPECT_EQ(join_.unattached()[0].pod, "shop/db");
  const std::string id = Attach("c1", 7);
  EXPECT_THAT(join_.unattached(), IsEmpty());
  EXPECT_THAT(All(), ElementsAre(Pair("7", "workload"))) << "the address is the attachment's";
  EXPECT_THAT(join_.WorkloadsOf(id), ElementsAre(key));
  join_.Detach(id);
  EXPECT_THAT(All(), IsEmpty()) << "its address may be another's at once";
  EXPECT_THAT(join_.unattached(), SizeIs(1));
  join_.Delete(key);
  EXPECT_THAT(join_.unattached(), IsEmpty());
}

TEST_F(EndpointJoinTest, TheNewSandboxTakesTheNameOfTheOldOneInTheStore) {
  const std::string before = Attach("old", 1);
  Put(Workload("n1", "old", 1));
  const std::string after = Attach("new", 2);
  const ResourceKey key = Put(Workload("n1", "new", 2));
  EXPECT_THAT(All(), ElementsAre(Pair("1", "own"), Pair("2", "workload")));
  EXPECT_THAT(join_.WorkloadsOf(before), IsEmpty());
  EXPECT_THAT(join_.WorkloadsOf(after), ElementsAre(key));
}

TEST_F(EndpointJoinTest, OneWrittenByHandForThisNodeIsAPeerAsOfAnyOther) {
  Put("{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: vm, namespace: "
      "shop}, spec: {node: n1, workload: vm, endpoint: tap0, ipNetworks: [192.0.2.9/32]}}");
  EXPECT_THAT(All(), ElementsAre(Pair("9", "")));
  EXPECT_THAT(join_.unattached(), IsEmpty());
  EXPECT_THAT(join_.Named("shop/vm"), SizeIs(1));
}

TEST_F(EndpointJoinTest, AContainersNameSaysWhichOfItsInterfacesIsMeant) {
  Put(Workload("n2", "c1", 1));
  Put(Workload("n2", "c1", 2, "net1"));
  Put(Workload("n3", "c0", 3));
  const auto addresses = [&](const std::string& name) {
    std::vector<std::string> found;
    for (const policy::Endpoint& e : join_.Named(name))
      found.push_back(e.addresses[0].ToString().substr(8));
    return found;
  };
  EXPECT_THAT(addresses("shop/db"), ElementsAre("3", "1")) << "the newest first";
  EXPECT_THAT(addresses("shop/db/net1"), ElementsAre("2"));
  EXPECT_THAT(addresses("shop/db/net2"), IsEmpty());
  EXPECT_THAT(addresses("shop"), IsEmpty());
  Attach("here", 4);
  Attach("here-later", 5);
  EXPECT_THAT(addresses("shop/db"), ElementsAre("5", "4", "3", "1")) << "what is here first";
}

TEST_F(EndpointJoinTest, ADocumentOfAnotherPodSaysNothingOfAnAttachedContainer) {
  Attach("c1", 1);
  std::string other = Workload("n1", "c1", 1);
  other.replace(other.find("pod: db"), 7, "pod: web");
  Put(other);
  EXPECT_THAT(All(), ElementsAre(Pair("1", "own")));
}

TEST_F(EndpointJoinTest, WithoutANodeEveryDocumentIsAnEndpoint) {
  EndpointJoin join("");
  const Resource resource = FromYaml(Workload("n1", "c1", 1));
  auto objects = *ToModel(resource);
  join.Put(resource, std::get<policy::Endpoint>(objects.at(0)));
  EXPECT_THAT(join.Named("shop/db"), SizeIs(1));
}

// However the same facts come, the same endpoints are there.
TEST_F(EndpointJoinTest, TheOrderOfWhatIsSaidDoesNotMatter) {
  const std::vector<std::function<void()>> steps = {
      [&] { Put(Pod("pod", "uid-2")); },
      [&] { Put(Workload("n1", "new", 2, "eth0", "uid-2"), 50); },
      [&] { Put(Workload("n3", "far", 3, "eth0", "uid-3"), 60); },
      [&] { Attach("old", 1, "eth0", "uid-1"); },
      [&] { Attach("new", 2, "eth0", "uid-2"); },
      [&] { Attach("new", 4, "net1", "uid-2"); },
  };
  std::vector<size_t> order = {0, 1, 2, 3, 4, 5};
  do {
    join_.~EndpointJoin();
    new (&join_) EndpointJoin("n1");
    for (const size_t i : order) steps[i]();
    ASSERT_THAT(All(), ElementsAre(Pair("1", "own"), Pair("2", "pod"), Pair("3", "workload"),
                                   Pair("4", "pod")));
  } while (std::next_permutation(order.begin(), order.end()));
}

}  // namespace
}  // namespace ripstop::api
