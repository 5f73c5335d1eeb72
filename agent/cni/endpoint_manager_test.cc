// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/endpoint_manager.h"

#include "agent/cni/agent_call.h"
#include "agent/cni/cni_server.h"
#include "agent/cni/cni_service.h"
#include "agent/cni/testing_node.h"

namespace ripstop::agent {
namespace {

using ripstop::agent::v1::CniRequest;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using EndpointManagerTest = testing::EndpointNodeTest;

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
