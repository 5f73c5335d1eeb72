// SPDX-License-Identifier: Apache-2.0
//
// Pods on the real kernel: a node and its pods are namespaces without names.
#include "agent/cni/endpoint_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "agent/base/testing/probe.h"
#include "agent/base/testing/test_netns.h"
#include "agent/cni/agent_call.h"
#include "agent/cni/cni_server.h"
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
  absl::Status Admit(const LocalEndpoint&) override { return not_ready; }
  absl::Status Check(const LocalEndpoint&) override { return detached; }
  void Remove(const LocalEndpoint& e) override { calls.push_back("remove " + e.pod_name); }
  absl::Status Forget(const std::vector<policy::Address>& addresses) override {
    if (!unforgettable.ok()) return unforgettable;
    ++walks;
    forgotten.insert(addresses.begin(), addresses.end());
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<api::Mutation>> Withdrawal(const LocalEndpoint& e) override {
    withdrawn.push_back(absl::StrCat(e.pod_namespace, "/", e.pod_name, " ", e.handle()));
    return std::vector<api::Mutation>();
  }
  std::vector<std::string> calls;
  std::vector<std::string> withdrawn;
  std::set<policy::Address> forgotten;
  int walks = 0;
  bool up_at_prepare = true;
  absl::Status not_ready, refuse, detached, unforgettable;

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
        EndpointManagerOptions{
            .state_directory = state_.string(),
            .default_mtu = 1400,
            .later = [this](absl::Duration,
                            std::function<void()> run) { later_.push_back(std::move(run)); }},
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
    request.set_network("ripstop");
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
  absl::Status Del(const std::string& id, const std::string& interface = "eth0") {
    CniRequest request;
    request.set_container_id(id);
    request.set_interface_name(interface);
    return InNode([&] { return manager_->Del(request); });
  }
  // What the loop would do once the call has been answered.
  void RunLater() {
    for (const auto& run : std::exchange(later_, {})) run();
  }
  void ExpectNothingLeft() {
    RunLater();
    EXPECT_THAT(*kernel_->Read({}), IsEmpty());
    EXPECT_THAT(ipam_->Allocations(), IsEmpty());
    EXPECT_THAT(*netlink_->ListLinks(), SizeIs(1)) << "lo only";
    EXPECT_THAT(manager_->endpoints(), IsEmpty());
    EXPECT_TRUE(!std::filesystem::exists(state_) || std::filesystem::is_empty(state_));
  }

  static inline int counter_ = 0;
  std::vector<std::function<void()>> later_;
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
  ASSERT_TRUE(manager_->RetryReleases().ok());
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

TEST_F(EndpointManagerTest, DelAsksTheStoreNothingAndTheAddressIsReleasedLater) {
  TestNetns pod = NewPod();
  ASSERT_TRUE(Add(Request("a", pod)).ok());
  const int writes = store_.writes;
  EXPECT_EQ(Del("a"), absl::OkStatus());
  EXPECT_EQ(Del("a"), absl::OkStatus());
  EXPECT_EQ(store_.writes, writes);
  EXPECT_EQ(manager_->releasing(), 1u);

  store_.before_write = [](const api::ResourceKey&, bool*) {
    return absl::UnavailableError("no store");
  };
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(later_, SizeIs(1)) << "it tries again by itself";
    RunLater();
  }
  EXPECT_THAT(ipam_->Allocations(), SizeIs(2)) << "nobody else gets it meanwhile";
  StartAgent();  // it is durable
  EXPECT_EQ(manager_->releasing(), 1u);
  store_.before_write = nullptr;
  hooks_->withdrawn.clear();
  RunLater();
  EXPECT_THAT(hooks_->withdrawn, ElementsAre("shop/a a/eth0"));
  EXPECT_EQ(manager_->releasing(), 0u);
  EXPECT_THAT(later_, IsEmpty());
  ExpectNothingLeft();
}

TEST_F(EndpointManagerTest, AddressesAreFreeOnlyWhenTheirConnectionsAreForgottenInOneWalk) {
  TestNetns a = NewPod(), b = NewPod();
  const auto ea = Add(Request("a", a)), eb = Add(Request("b", b));
  ASSERT_TRUE(ea.ok() && eb.ok());
  EXPECT_EQ(hooks_->walks, 0) << "an ADD has nothing to forget";
  ASSERT_TRUE(Del("a").ok() && Del("b").ok());
  EXPECT_EQ(hooks_->walks, 0) << "nor does a DEL wait for it";
  hooks_->unforgettable = absl::InternalError("flow_sweep");
  RunLater();
  EXPECT_THAT(ipam_->Allocations(), SizeIs(4)) << "nobody else gets them meanwhile";
  EXPECT_THAT(hooks_->withdrawn, IsEmpty());
  StartAgent();  // which finds them waiting, and forgets
  hooks_->unforgettable = absl::OkStatus();
  RunLater();
  EXPECT_EQ(hooks_->walks, 1) << "for both";
  std::set<policy::Address> all;
  for (const auto& e : {*ea, *eb}) {
    for (const policy::Address& address : e.addresses()) all.insert(address);
  }
  EXPECT_EQ(hooks_->forgotten, all);
  ExpectNothingLeft();
}

TEST_F(EndpointManagerTest, AnAddThatTakesBackItsAddressesHasNoConnectionsOfBefore) {
  TestNetns pod = NewPod();
  ASSERT_TRUE(Add(Request("a", pod)).ok());
  ASSERT_TRUE(Del("a").ok());
  const auto again = Add(Request("a", pod));
  ASSERT_TRUE(again.ok()) << again.status();
  for (const policy::Address& address : again->addresses()) {
    EXPECT_TRUE(hooks_->forgotten.contains(address)) << address.ToString();
  }
}

TEST_F(EndpointManagerTest, AnAddTakesBackWhatItsOwnDelHasNotReleasedYet) {
  TestNetns pod = NewPod(), other = NewPod();
  const auto before = Add(Request("a", pod));
  ASSERT_TRUE(before.ok());
  ASSERT_TRUE(Del("a").ok());
  const auto after = Add(Request("a", pod));
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->addresses(), before->addresses());
  RunLater();
  EXPECT_THAT(ipam_->Allocations(), SizeIs(2)) << "nothing of the DEL releases it now";
  ASSERT_TRUE(Del("a").ok());
  CniRequest wants = Request("b", other);
  wants.add_requested_ips(before->addresses()[0].ToString());
  const auto b = Add(wants);
  ASSERT_TRUE(b.ok()) << b.status() << ": what waits is released when somebody needs it";
  EXPECT_EQ(b->addresses()[0], before->addresses()[0]);
}

TEST_F(EndpointManagerTest, WhatTheStoreHasOfThisNodeWithoutAPodHereIsReleased) {
  TestNetns lives = NewPod(), goes = NewPod();
  ASSERT_TRUE(Add(Request("a", lives)).ok());
  const auto lost = Add(Request("b", goes));
  ASSERT_TRUE(lost.ok());
  // As after a disk was replaced: the files are gone, and with a reboot the interface of b.
  std::filesystem::remove_all(state_);
  ASSERT_TRUE(netlink_->DeleteLink(lost->ifindex).ok());
  StartAgent();
  later_.clear();
  EXPECT_THAT(manager_->endpoints(), IsEmpty());
  hooks_->withdrawn.clear();
  const std::vector<EndpointName> published = {
      {"b", "eth0", "shop", "b"}, {"c", "eth0", "shop", "c"}, {"../c", "eth0", "shop", "c"}};
  EXPECT_EQ(manager_->ReleaseStrays(published), 2u);
  EXPECT_EQ(manager_->ReleaseStrays(published), 0u) << "they are in the queue already";
  RunLater();
  EXPECT_THAT(hooks_->withdrawn, ElementsAre("shop/b b/eth0", "shop/c c/eth0"));
  ASSERT_THAT(ipam_->Allocations(), SizeIs(2));
  EXPECT_EQ(ipam_->Allocations()[0].handle, "a/eth0") << "its interface is here";
}

TEST_F(EndpointManagerTest, AFifoForANamespaceIsRefusedAtOnce) {
  std::filesystem::create_directories(state_);
  const std::string fifo = state_ / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  TestNetns pod = NewPod();
  CniRequest request = Request("a", pod);
  for (const std::string& path : {fifo, std::string("/dev/null"), std::string("/proc/self/ns/mnt"),
                                  std::string("/etc/passwd"), state_.string()}) {
    request.set_netns(path);
    EXPECT_EQ(Add(request).status().code(), absl::StatusCode::kInvalidArgument) << path;
  }
  std::filesystem::remove(fifo);
  ExpectNothingLeft();
}

TEST_F(EndpointManagerTest, WhatIsRefusedHasClaimedNothing) {
  TestNetns pod = NewPod();
  std::vector<CniRequest> refused(8, Request("a", pod));
  refused[0].set_pod_name("../../x");
  refused[1].set_pod_name("a/b");
  refused[2].set_pod_name("a\nb");
  refused[3].set_pod_namespace("../etc");
  refused[4].set_container_id("../x");
  refused[5].set_interface_name("eth%d");
  refused[6].set_mtu(100);
  refused[7].add_requested_ips("nonsense");
  for (const CniRequest& request : refused) {
    EXPECT_EQ(Add(request).status().code(), absl::StatusCode::kInvalidArgument)
        << request.ShortDebugString();
  }
  ASSERT_EQ(pod.Shell("ip link add eth0 type veth peer name other0"), 0);
  EXPECT_EQ(Add(Request("a", pod)).status().code(), absl::StatusCode::kAlreadyExists);
  ASSERT_EQ(pod.Shell("ip link del eth0"), 0);
  hooks_->not_ready = absl::UnavailableError("the agent has not read all policy");
  EXPECT_EQ(Add(Request("a", pod)).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(store_.writes, 0) << "not even a block";
  EXPECT_THAT(hooks_->calls, IsEmpty());
  ExpectNothingLeft();
}

TEST_F(EndpointManagerTest, GcIsOfOneNetwork) {
  TestNetns a = NewPod(), b = NewPod(), c = NewPod();
  ASSERT_TRUE(Add(Request("a", a)).ok());
  CniRequest other = Request("b", b);
  other.set_network("storage");
  ASSERT_TRUE(Add(other).ok());
  ASSERT_TRUE(Add(Request("c", c)).ok());
  const auto gc = [&](const std::string& network,
                      const std::set<std::pair<std::string, std::string>>& valid) {
    absl::StatusOr<uint32_t> removed = 0;
    InNode([&] {
      removed = manager_->Gc(network, valid);
      return removed.status();
    }).IgnoreError();
    return removed;
  };
  EXPECT_EQ(*gc("ripstop", {{"c", "eth0"}}), 1u);
  StartAgent();  // whose network it is, is on disk
  EXPECT_EQ(*gc("ripstop", {{"c", "eth0"}}), 0u);
  ASSERT_THAT(manager_->endpoints(), SizeIs(2));
  EXPECT_EQ(*gc("storage", {}), 1u) << "no attachment is valid";
  ASSERT_THAT(manager_->endpoints(), SizeIs(1));
  EXPECT_EQ(manager_->endpoints()[0].container_id, "c");
  EXPECT_FALSE(gc("", {}).ok());
}

TEST_F(EndpointManagerTest, ASecondInterfaceLeavesTheFirstOnesDefaultRouteAndBothWork) {
  TestNetns pod = NewPod(), peer = NewPod();
  CniRequest second = Request("a", pod);
  second.set_interface_name("net1");
  second.set_network("second");
  const auto first = Add(Request("a", pod));
  const auto net1 = Add(second);
  const auto other = Add(Request("b", peer));
  ASSERT_TRUE(net1.ok()) << net1.status();
  EXPECT_TRUE(first->default_route_v4 && first->default_route_v6);
  EXPECT_FALSE(net1->default_route_v4 || net1->default_route_v6);
  EXPECT_EQ(pod.Shell("ip -4 route show default | grep -q \"dev eth0\""), 0);
  EXPECT_EQ(pod.Shell("ip -6 route show default | grep -q \"dev eth0\""), 0);
  const auto check = [&](const CniRequest& request) {
    return InNode([&] { return manager_->Check(request); });
  };
  for (const int family : {0, 1}) {
    const std::string to = other->allocations[family].address.ToString();
    for (const LocalEndpoint* e : {&*first, &*net1}) {
      const std::string from = e->allocations[family].address.ToString();
      EXPECT_EQ(Probe(pod.fd(), from, peer.fd(), to), absl::OkStatus()) << from;
      EXPECT_EQ(Probe(peer.fd(), to, pod.fd(), from), absl::OkStatus()) << from;
      // By its own interface, or the spoof check of the other would drop it.
      EXPECT_EQ(pod.Shell(absl::StrCat("ip route get ", to, " from ", from, " | grep -q \"dev ",
                                       e->interface_name, "\"")),
                0);
    }
    EXPECT_EQ(pod.Shell(absl::StrCat("ip route get ", to, " oif net1 | grep -q \"src ",
                                     net1->allocations[family].address.ToString(), "\"")),
              0)
        << "a socket that is bound to the interface";
  }
  EXPECT_EQ(check(Request("a", pod)), absl::OkStatus());
  EXPECT_EQ(check(second), absl::OkStatus());
  const v1::CniAddReply reply = AddReplyFor(*net1);
  EXPECT_FALSE(reply.ips(0).default_route() || reply.ips(1).default_route());

  ASSERT_EQ(pod.Shell("ip rule del pref 8200 oif net1"), 0);
  EXPECT_THAT(check(second).message(), HasSubstr("oif net1"));
  ASSERT_TRUE(Add(second).ok()) << "what is not whole is made anew";
  EXPECT_EQ(check(second), absl::OkStatus());
  ASSERT_TRUE(Del("a", "net1").ok());
  EXPECT_EQ(check(Request("a", pod)), absl::OkStatus());
  EXPECT_EQ(pod.Shell("test $(ip rule | wc -l) = 3 -a $(ip -6 rule | wc -l) -le 3"), 0)
      << "its rules are gone";
  EXPECT_EQ(Probe(pod.fd(), first->addresses()[0].ToString(), peer.fd(),
                  other->addresses()[0].ToString()),
            absl::OkStatus());

  // The other way round: the first goes, the second stays what it was.
  ASSERT_TRUE(Add(second).ok());
  ASSERT_TRUE(Del("a").ok());
  EXPECT_EQ(check(second), absl::OkStatus());
  ASSERT_TRUE(Add(Request("a", pod)).ok());
  EXPECT_EQ(check(Request("a", pod)), absl::OkStatus());
  EXPECT_EQ(pod.Shell("ip -4 route show default | grep -q \"dev eth0\""), 0);
  for (const char* interface : {"eth0", "net1"}) ASSERT_TRUE(Del("a", interface).ok());
  ASSERT_TRUE(Del("b").ok());
  ExpectNothingLeft();
}

TEST_F(EndpointManagerTest, CheckNamesWhatIsMissing) {
  TestNetns a = NewPod(), b = NewPod(), c = NewPod();
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
  ASSERT_TRUE(Add(Request("c", c)).ok());
  EXPECT_EQ(check("c", c), absl::OkStatus());
  hooks_->detached = absl::FailedPreconditionError("program from_workload is not attached");
  EXPECT_THAT(check("c", c).message(), HasSubstr("from_workload"));
}

// The whole way: the plugin's socket, the loop's thread, and back.
TEST_F(EndpointManagerTest, TheServiceRunsCallsOnTheLoopAndReportsItsStatus) {
  auto loop = *EventLoop::Create();
  CniService service(manager_.get(), [] { return absl::UnavailableError("not yet"); });
  const std::string socket = state_.string() + ".sock";
  auto server = CniServer::Start({.path = socket}, loop.get(),
                                 [&](const v1::CniCall& call) { return service.Handle(call); });
  ASSERT_TRUE(server.ok()) << server.status();
  std::thread runner([&] { InNode([&] { return loop->RunUntilStopped(); }).IgnoreError(); });
  const auto ask = [&socket](const v1::CniCall& call) {
    v1::CniAnswer answer;
    EXPECT_EQ(CallAgent(socket, call, 5'000, 600'000, &answer), CallOutcome::kAnswered);
    return answer;
  };
  {
    TestNetns pod = NewPod();
    v1::CniCall add, check, del, status;
    *add.mutable_add() = Request("a", pod);
    const v1::CniAnswer added = ask(add);
    EXPECT_EQ(added.code(), 0) << added.message();
    ASSERT_EQ(added.add().ips_size(), 2);
    EXPECT_THAT(added.add().ips(0).address(), HasSubstr("10.65.0."));
    EXPECT_EQ(added.add().ips(1).gateway(), kGatewayV6);
    *check.mutable_check() = Request("zz", pod);
    EXPECT_EQ(ask(check).code(), static_cast<int>(absl::StatusCode::kNotFound));
    status.mutable_status();
    EXPECT_EQ(ask(status).message(), "not yet");
    *del.mutable_del() = Request("a", pod);
    EXPECT_EQ(ask(del).code(), 0);
  }
  loop->Stop();
  runner.join();
  ExpectNothingLeft();
}

}  // namespace
}  // namespace ripstop::agent
