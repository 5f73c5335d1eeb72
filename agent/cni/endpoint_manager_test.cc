// SPDX-License-Identifier: Apache-2.0
//
// Pods on the real kernel: a node and its pods are namespaces without names.
#include "agent/cni/endpoint_manager.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "agent/base/testing/probe.h"
#include "agent/base/testing/test_netns.h"
#include "agent/cni/cni_service.h"
#include "agent/cni/pod_side.h"
#include "agent/ipam/testing/fake_store.h"
#include "agent/netlink/sysctl.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

using ripstop::agent::v1::CniRequest;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Notes the calls and what the node looked like at that moment.
class RecordingHooks final : public EndpointHooks {
 public:
  explicit RecordingHooks(Netlink* netlink) : netlink_(netlink) {}
  absl::Status Prepare(const LocalEndpoint& e) override {
    calls.push_back("prepare " + e.pod_name);
    const auto link = netlink_->GetLink(e.ifindex);
    up_at_prepare = link.ok() && link->up;
    return refuse;
  }
  void Remove(const LocalEndpoint& e) override { calls.push_back("remove " + e.pod_name); }
  std::vector<std::string> calls;
  bool up_at_prepare = true;
  absl::Status refuse;

 private:
  Netlink* const netlink_;
};

class EndpointManagerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = TestNetns::Create();
    if (absl::IsPermissionDenied(made.status())) GTEST_SKIP() << "needs CAP_SYS_ADMIN";
    ASSERT_TRUE(made.ok()) << made.status();
    node_.emplace(*std::move(made));
    state_ = std::filesystem::temp_directory_path() /
             absl::StrCat("ripstop-endpoints-", getpid(), "-", counter_++);
    netlink_ = *Netlink::Open(node_->fd());
    kernel_ = std::make_unique<NetlinkRouteKernel>(netlink_.get());
    hooks_ = std::make_unique<RecordingHooks>(netlink_.get());
    ASSERT_TRUE(netlink_->SetLinkUp(1, true).ok());
    ASSERT_TRUE(
        node_->Shell("ip addr add 192.0.2.1/32 dev lo; ip addr add 2001:db8::1/128 dev lo") == 0);
    ASSERT_EQ(node_->Run([] { return WriteWherePresent(NodeSysctls()); }), absl::OkStatus());
    StartAgent();
  }
  void TearDown() override {
    std::error_code ignored;
    if (!state_.empty()) std::filesystem::remove_all(state_, ignored);
  }
  // A new agent on the same node, store and directory.
  void StartAgent() {
    routes_ = std::make_unique<RouteManager>(kernel_.get());
    ipam_ = std::make_unique<Ipam>(&store_, "node-a");
    ASSERT_TRUE(
        ipam_
            ->SetConfig(
                {.pools = {{.name = "four", .cidr = *policy::Cidr::Parse("10.65.0.0/24")},
                           {.name = "six", .cidr = *policy::Cidr::Parse("2001:db8:65::/64")}}})
            .ok());
    ASSERT_TRUE(ipam_->Load().ok());
    manager_ = std::make_unique<EndpointManager>(
        EndpointManagerOptions{.state_directory = state_.string(), .default_mtu = 1400},
        netlink_.get(), ipam_.get(), routes_.get(), hooks_.get());
    ASSERT_EQ(InNode([&] { return manager_->Load(); }), absl::OkStatus());
    ASSERT_EQ(routes_->Reconcile(), absl::OkStatus());
  }
  absl::Status InNode(const std::function<absl::Status()>& f) { return node_->Run(f); }
  TestNetns NewPod() { return *TestNetns::Create(); }
  static CniRequest Request(const std::string& id, const TestNetns& pod) {
    CniRequest request;
    request.set_container_id(id);
    request.set_interface_name("eth0");
    request.set_netns(pod.path());
    request.set_pod_namespace("shop");
    request.set_pod_name(id);
    return request;
  }
  absl::StatusOr<LocalEndpoint> Add(const CniRequest& request) {
    absl::StatusOr<LocalEndpoint> result = absl::UnknownError("");
    InNode([&] {
      result = manager_->Add(request);
      return result.status();
    }).IgnoreError();
    return result;
  }
  absl::Status Del(const std::string& id) {
    return InNode([&] { return manager_->Del(id, "eth0"); });
  }
  void ExpectNothingLeft() {
    EXPECT_THAT(*kernel_->Read({}), IsEmpty());
    EXPECT_THAT(ipam_->Allocations(), IsEmpty());
    EXPECT_THAT(*netlink_->ListLinks(), SizeIs(1)) << "lo only";
    EXPECT_THAT(manager_->endpoints(), IsEmpty());
    EXPECT_TRUE(!std::filesystem::exists(state_) || std::filesystem::is_empty(state_));
  }

  static inline int counter_ = 0;
  std::optional<TestNetns> node_;
  std::filesystem::path state_;
  FakeStore store_;
  std::unique_ptr<Netlink> netlink_;
  std::unique_ptr<NetlinkRouteKernel> kernel_;
  std::unique_ptr<RecordingHooks> hooks_;
  std::unique_ptr<RouteManager> routes_;
  std::unique_ptr<Ipam> ipam_;
  std::unique_ptr<EndpointManager> manager_;
};

TEST_F(EndpointManagerTest, PodTalksToItsNodeAndToItsNeighbourInBothFamilies) {
  TestNetns a = NewPod(), b = NewPod();
  const auto ea = Add(Request("a", a));
  const auto eb = Add(Request("b", b));
  ASSERT_TRUE(ea.ok()) << ea.status();
  ASSERT_TRUE(eb.ok()) << eb.status();
  ASSERT_THAT(ea->allocations, SizeIs(2));
  for (const int family : {0, 1}) {
    const std::string from = ea->allocations[family].address.ToString();
    const std::string to = eb->allocations[family].address.ToString();
    EXPECT_EQ(Probe(a.fd(), from, node_->fd(), family == 0 ? "192.0.2.1" : "2001:db8::1"),
              absl::OkStatus());
    EXPECT_EQ(Probe(a.fd(), from, b.fd(), to), absl::OkStatus());
  }
  EXPECT_EQ(ea->mtu, 1400u);
  EXPECT_EQ(netlink_->GetLink(ea->host_interface)->mac, kHostMac);
  EXPECT_EQ(InNode([&] { return manager_->Check(Request("a", a)); }), absl::OkStatus());

  ASSERT_TRUE(Del("a").ok());
  ASSERT_TRUE(Del("b").ok());
  ExpectNothingLeft();
}

TEST_F(EndpointManagerTest, PolicyIsInForceBeforeTheLinkIsUp) {
  TestNetns pod = NewPod();
  const auto e = Add(Request("a", pod));
  ASSERT_TRUE(e.ok()) << e.status();
  EXPECT_FALSE(hooks_->up_at_prepare);
  EXPECT_TRUE(netlink_->GetLink(e->ifindex)->up);
  ASSERT_TRUE(Del("a").ok());
  EXPECT_THAT(hooks_->calls, ElementsAre("prepare a", "remove a"));
}

TEST_F(EndpointManagerTest, AnAddThatFailsAtAnyStepLeavesNothing) {
  TestNetns pod = NewPod();
  hooks_->refuse = absl::ResourceExhaustedError("map rs_endpoints_v1 is full");
  auto refused = Add(Request("a", pod));
  EXPECT_THAT(refused.status().message(), HasSubstr("rs_endpoints_v1"));
  ExpectNothingLeft();

  hooks_->refuse = absl::OkStatus();
  ASSERT_EQ(pod.Shell("ip link add eth0 type veth peer name other0"), 0);
  EXPECT_EQ(Add(Request("a", pod)).status().code(), absl::StatusCode::kAlreadyExists);
  ExpectNothingLeft();
  ASSERT_EQ(pod.Shell("ip link del eth0"), 0);

  store_.before_write = [](const api::ResourceKey&, bool*) {
    return absl::UnavailableError("no store");
  };
  EXPECT_EQ(Add(Request("a", pod)).status().code(), absl::StatusCode::kUnavailable);
  store_.before_write = nullptr;
  ExpectNothingLeft();

  CniRequest gone = Request("a", pod);
  gone.set_netns("/run/netns/nowhere");
  EXPECT_EQ(Add(gone).status().code(), absl::StatusCode::kNotFound);
  CniRequest own = Request("a", *node_);
  EXPECT_EQ(Add(own).status().code(), absl::StatusCode::kInvalidArgument);
  for (const char* id : {"", "../x", "a,b"}) {
    EXPECT_EQ(Add(Request(id, pod)).status().code(), absl::StatusCode::kInvalidArgument) << id;
  }
  ExpectNothingLeft();
  EXPECT_TRUE(Add(Request("a", pod)).ok()) << "and then it works";
}

TEST_F(EndpointManagerTest, AddIsIdempotentAndDelMayComeThriceAndForStrangers) {
  TestNetns pod = NewPod();
  const auto first = Add(Request("a", pod));
  const auto again = Add(Request("a", pod));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->addresses(), first->addresses());
  EXPECT_EQ(again->ifindex, first->ifindex);
  EXPECT_THAT(hooks_->calls, ElementsAre("prepare a"));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Del("a"), absl::OkStatus());
  EXPECT_EQ(Del("never-seen"), absl::OkStatus());
  ExpectNothingLeft();
}

TEST_F(EndpointManagerTest, RequestedAddressAndMacAreHonoured) {
  TestNetns pod = NewPod();
  CniRequest request = Request("a", pod);
  request.add_requested_ips("10.65.0.77/24");
  request.set_requested_mac("02:00:5e:00:00:77");
  const auto e = Add(request);
  ASSERT_TRUE(e.ok()) << e.status();
  EXPECT_EQ(e->addresses()[0].ToString(), "10.65.0.77");
  EXPECT_EQ((*Netlink::Open(pod.fd()))->GetLink("eth0")->mac.ToString(), "02:00:5e:00:00:77");
}

TEST_F(EndpointManagerTest, ARestartedAgentKnowsItsPodsAndDisturbsNoRoute) {
  TestNetns pod = NewPod();
  CniRequest request = Request("a", pod);
  (*request.mutable_labels())["app"] = "web";
  auto* port = request.add_ports();
  port->set_name("http");
  port->set_port(8080);
  const auto before = Add(request);
  ASSERT_TRUE(before.ok());
  StartAgent();
  ASSERT_THAT(manager_->endpoints(), SizeIs(1));
  const LocalEndpoint after = manager_->endpoints()[0];
  EXPECT_EQ(EncodeEndpoint(after), EncodeEndpoint(*before));
  EXPECT_EQ(after.ports[0].port, 8080);
  EXPECT_EQ(routes_->stats().writes, 0u);
  EXPECT_EQ(Probe(pod.fd(), after.addresses()[0].ToString(), node_->fd(), "192.0.2.1"),
            absl::OkStatus());
  ASSERT_TRUE(Del("a").ok());
  ExpectNothingLeft();
}

TEST_F(EndpointManagerTest, AnEndpointFileThatSomebodyChangedOrRemovedIsWrittenAgain) {
  TestNetns pod = NewPod();
  const auto e = Add(Request("a", pod));
  ASSERT_TRUE(e.ok());
  EXPECT_THAT(manager_->RestoreFiles(), IsEmpty());
  const std::string path = EndpointFiles(state_.string()).PathOf(*e);
  std::filesystem::resize_file(path, 3);
  EXPECT_THAT(manager_->RestoreFiles(), SizeIs(1));
  std::filesystem::remove(path);
  EXPECT_THAT(manager_->RestoreFiles(), SizeIs(1));
  EXPECT_THAT(manager_->RestoreFiles(), IsEmpty());
  StartAgent();
  ASSERT_THAT(manager_->endpoints(), SizeIs(1));
  EXPECT_EQ(EncodeEndpoint(manager_->endpoints()[0]), EncodeEndpoint(*e));
}

TEST_F(EndpointManagerTest, AnEndpointFileThatCannotBeReadIsNamedUntilItsPodIsDeleted) {
  TestNetns pod = NewPod();
  const auto e = Add(Request("a", pod));
  ASSERT_TRUE(e.ok());
  const std::string path = EndpointFiles(state_.string()).PathOf(*e);
  std::filesystem::resize_file(path, 3);
  StartAgent();
  EXPECT_THAT(manager_->endpoints(), IsEmpty());
  ASSERT_THAT(manager_->unreadable(), SizeIs(1));
  EXPECT_EQ(manager_->unreadable().begin()->first, path);
  EXPECT_FALSE(manager_->unreadable().begin()->second.empty());
  ASSERT_TRUE(Del("a").ok());
  EXPECT_THAT(manager_->unreadable(), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(EndpointManagerTest, WhatACrashInTheMiddleOfAnAddLeftIsUndoneAtStart) {
  TestNetns pod = NewPod();
  auto e = Add(Request("a", pod));
  ASSERT_TRUE(e.ok());
  e->phase = LocalEndpoint::Phase::kAdding;  // as it is on disk until the last step
  ASSERT_TRUE(EndpointFiles(state_.string()).Save(*e).ok());
  StartAgent();
  ExpectNothingLeft();
}

TEST_F(EndpointManagerTest, APodWhoseNamespaceVanishedIsCleanedUpByEventAndAtStart) {
  auto monitor = *Monitor::Open(node_->fd());
  TestNetns a = NewPod(), b = NewPod();
  ASSERT_TRUE(Add(Request("a", a)).ok());
  a.Close();
  for (int i = 0; i < 1000 && !manager_->endpoints().empty(); ++i) {
    pollfd p{.fd = monitor->fd(), .events = POLLIN, .revents = 0};
    poll(&p, 1, 10);
    const auto events = *monitor->Read();
    InNode([&] {
      manager_->HandleEvents(events);
      return absl::OkStatus();
    }).IgnoreError();
  }
  ExpectNothingLeft();
  EXPECT_EQ(Del("a"), absl::OkStatus());

  const auto eb = Add(Request("b", b));
  ASSERT_TRUE(netlink_->DeleteLink(eb->ifindex).ok());
  StartAgent();
  ExpectNothingLeft();
}

TEST_F(EndpointManagerTest, DelSucceedsWithoutTheStoreAndTheAddressIsReleasedLater) {
  TestNetns pod = NewPod();
  ASSERT_TRUE(Add(Request("a", pod)).ok());
  store_.before_write = [](const api::ResourceKey&, bool*) {
    return absl::UnavailableError("no store");
  };
  EXPECT_EQ(Del("a"), absl::OkStatus());
  EXPECT_EQ(Del("a"), absl::OkStatus());
  EXPECT_EQ(manager_->releasing(), 1u);
  EXPECT_THAT(ipam_->Allocations(), SizeIs(2));
  EXPECT_FALSE(manager_->RetryReleases().ok());
  store_.before_write = nullptr;
  StartAgent();  // it is durable
  EXPECT_EQ(manager_->releasing(), 1u);
  EXPECT_EQ(manager_->RetryReleases(), absl::OkStatus());
  ExpectNothingLeft();
}

TEST_F(EndpointManagerTest, CheckNamesWhatIsMissingAndGcRemovesWhatIsNotValid) {
  TestNetns a = NewPod(), b = NewPod();
  ASSERT_TRUE(Add(Request("a", a)).ok());
  ASSERT_TRUE(Add(Request("b", b)).ok());
  const auto check = [&](const std::string& id, const TestNetns& pod) {
    return InNode([&] { return manager_->Check(Request(id, pod)); });
  };
  EXPECT_EQ(check("x", a).code(), absl::StatusCode::kNotFound);
  ASSERT_EQ(a.Shell("ip route del default"), 0);
  EXPECT_THAT(check("a", a).message(), HasSubstr("route 0.0.0.0/0 is missing"));
  ASSERT_EQ(b.Shell("ip link set eth0 down"), 0);
  EXPECT_THAT(check("b", b).message(), HasSubstr("eth0 of the pod is down"));
  absl::StatusOr<uint32_t> removed = 0;
  ASSERT_TRUE(InNode([&] {
                removed = manager_->Gc({{"b", "eth0"}});
                return removed.status();
              }).ok());
  EXPECT_EQ(*removed, 1u);
  ASSERT_THAT(manager_->endpoints(), SizeIs(1));
  EXPECT_EQ(manager_->endpoints()[0].container_id, "b");
}

// The whole way: gRPC over a unix socket to the loop's thread.
TEST_F(EndpointManagerTest, TheServiceRunsCallsOnTheLoopAndReportsItsStatus) {
  auto loop = *EventLoop::Create();
  std::thread runner([&] { InNode([&] { return loop->RunUntilStopped(); }).IgnoreError(); });
  CniService service(loop.get(), manager_.get());
  const std::string socket = absl::StrCat("unix:", state_.string(), ".sock");
  grpc::ServerBuilder builder;
  builder.AddListeningPort(socket, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  auto server = builder.BuildAndStart();
  ASSERT_NE(server, nullptr);
  auto stub = v1::Cni::NewStub(grpc::CreateChannel(socket, grpc::InsecureChannelCredentials()));
  {
    TestNetns pod = NewPod();
    grpc::ClientContext add, check, del;
    v1::CniAddReply reply;
    const grpc::Status added = stub->Add(&add, Request("a", pod), &reply);
    EXPECT_TRUE(added.ok()) << added.error_message();
    ASSERT_EQ(reply.ips_size(), 2);
    EXPECT_THAT(reply.ips(0).address(), HasSubstr("10.65.0."));
    EXPECT_EQ(reply.ips(1).gateway(), kGatewayV6);
    v1::CniCheckReply checked;
    EXPECT_EQ(stub->Check(&check, Request("zz", pod), &checked).error_code(),
              grpc::StatusCode::NOT_FOUND);
    v1::CniDelReply deleted;
    EXPECT_TRUE(stub->Del(&del, Request("a", pod), &deleted).ok());
  }
  server->Shutdown();
  loop->Stop();
  runner.join();
  ExpectNothingLeft();
}

}  // namespace
}  // namespace ripstop::agent
