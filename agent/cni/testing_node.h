// SPDX-License-Identifier: Apache-2.0
//
// For tests of endpoints: a node and its pods on the real kernel, namespaces without names, and
// hooks that note what is asked of them.
#ifndef RIPSTOP_AGENT_CNI_TESTING_NODE_H_
#define RIPSTOP_AGENT_CNI_TESTING_NODE_H_

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
#include "agent/cni/endpoint_manager.h"
#include "agent/cni/pod_side.h"
#include "agent/ipam/testing/fake_store.h"
#include "agent/netlink/sysctl.h"
#include "policy/status_macros.h"

namespace ripstop::agent::testing {

using ripstop::agent::v1::CniRequest;

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

class EndpointNodeTest : public ::testing::Test {
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
    EXPECT_THAT(*kernel_->Read({}), ::testing::IsEmpty());
    EXPECT_THAT(ipam_->Allocations(), ::testing::IsEmpty());
    EXPECT_THAT(*netlink_->ListLinks(), ::testing::SizeIs(1)) << "lo only";
    EXPECT_THAT(manager_->endpoints(), ::testing::IsEmpty());
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

}  // namespace ripstop::agent::testing

#endif  // RIPSTOP_AGENT_CNI_TESTING_NODE_H_
