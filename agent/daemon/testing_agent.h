// SPDX-License-Identifier: Apache-2.0
//
// The agent whole but for its datapath, which only remembers: real netlink in a namespace of its
// own, real BIRD, real store file, real socket.
#ifndef RIPSTOP_AGENT_DAEMON_TESTING_AGENT_H_
#define RIPSTOP_AGENT_DAEMON_TESTING_AGENT_H_

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "agent/base/testing/from_yaml.h"
#include "agent/base/testing/test_netns.h"
#include "agent/cni/agent_call.h"
#include "agent/cni/endpoint.h"
#include "agent/daemon/agent.h"
#include "agent/dataplane/fake_dataplane.h"
#include "agent/netlink/netlink.h"
#include "api/ipam/block.h"
#include "api/proto/agent.grpc.pb.h"
#include "api/proto/cni.pb.h"
#include "api/store/sqlite_store.h"
#include "api/store/testing/folder.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "policy/base/unique_fd.h"

namespace ripstop::agent {

inline constexpr int kHangMs = 600'000;

namespace fs = std::filesystem;

// An agent on a thread of its own, as its process would run it.
class RunningAgent {
 public:
  RunningAgent(const Options& options, bool in_force, const absl::Status& handover = {}) {
    auto dataplane = std::make_unique<FakeDataplane>();
    dataplane->refuse_handover = handover;
    dataplane->in_force = in_force;
    dataplane_ = dataplane.get();
    std::atomic<bool> started = false;
    thread_ = std::thread([&, dataplane = std::move(dataplane)]() mutable {
      loop_ = *EventLoop::Create();
      auto agent = Agent::Create(options, loop_.get(), std::move(dataplane));
      created_ = agent.status();
      started = true;
      if (!agent.ok()) return;
      EXPECT_TRUE(loop_->RunUntilStopped().ok());
    });
    while (!started) absl::SleepFor(absl::Milliseconds(1));
    // Otherwise a reader that does not read is sent as much as the machine is quick.
    grpc::ChannelArguments window;
    window.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    auto channel = grpc::CreateCustomChannel("unix:" + options.socket,
                                             grpc::InsecureChannelCredentials(), window);
    agent_ = v1::Agent::NewStub(channel);
    cni_socket_ = std::filesystem::path(options.socket).replace_filename("cni.sock").string();
  }
  ~RunningAgent() {
    if (created_.ok()) loop_->Stop();
    thread_.join();
  }
  const absl::Status& created() const { return created_; }

  v1::StatusReply Status() {
    v1::StatusReply reply;
    grpc::ClientContext context;
    const grpc::Status status = agent_->Status(&context, {}, &reply);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return reply;
  }
  grpc::Status Drops() {
    v1::DropsReply reply;
    grpc::ClientContext context;
    return agent_->Drops(&context, {}, &reply);
  }
  std::unique_ptr<grpc::ClientReader<v1::WatchFlowsReply>> Watch(grpc::ClientContext* context) {
    return agent_->WatchFlows(context, {});
  }
  // Before it returns the agent reads what its datapath has to tell.
  v1::StagedPoliciesReply StagedPolicies() {
    v1::StagedPoliciesReply reply;
    grpc::ClientContext context;
    EXPECT_TRUE(agent_->StagedPolicies(&context, {}, &reply).ok());
    return reply;
  }
  v1::WhyReply Why(const std::string& from, const std::string& to) {
    v1::WhyReply reply;
    const grpc::Status status = AskWhy(from, to, &reply);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return reply;
  }
  std::string WhyNot() {
    v1::WhyReply reply;
    return AskWhy("192.0.2.1", "192.0.2.2", &reply).error_message();
  }
  std::string HitsNot() {
    v1::RuleHitsReply reply;
    grpc::ClientContext context;
    return agent_->RuleHits(&context, {}, &reply).error_message();
  }
  v1::AcceptStoreReply AcceptStore() {
    v1::AcceptStoreReply reply;
    grpc::ClientContext context;
    EXPECT_TRUE(agent_->AcceptStore(&context, {}, &reply).ok());
    return reply;
  }
  v1::CniAnswer Add(const v1::CniRequest& request) {
    v1::CniCall call;
    *call.mutable_add() = request;
    return Ask(call);
  }
  v1::CniAnswer Del(const v1::CniRequest& request) {
    v1::CniCall call;
    *call.mutable_del() = request;
    return Ask(call);
  }
  ::testing::AssertionResult Until(const std::function<bool(const v1::StatusReply&)>& done) {
    const absl::Time end = absl::Now() + absl::Minutes(5);
    while (true) {
      const v1::StatusReply status = Status();
      if (done(status)) return ::testing::AssertionSuccess();
      if (absl::Now() > end) return ::testing::AssertionFailure() << status.DebugString();
      absl::SleepFor(absl::Milliseconds(5));
    }
  }
  ::testing::AssertionResult UntilReady() {
    return Until([](const v1::StatusReply& status) { return status.ready(); });
  }
  ::testing::AssertionResult UntilReason(const std::string& text) {
    return Until([&text](const v1::StatusReply& status) {
      return absl::StrContains(absl::StrJoin(status.not_ready_reasons(), "; "), text);
    });
  }
  void AllowHandover() {
    EXPECT_TRUE(
        loop_->CallStatus([this] { return dataplane_->refuse_handover = absl::OkStatus(); }).ok());
  }
  std::vector<std::string> Calls() {
    return loop_->Call([this] { return dataplane_->calls; }).value();
  }
  // What `read` finds, on the agent's loop.
  template <typename F>
  auto Datapath(F read) {
    return loop_->Call([&] { return read(*dataplane_); }).value();
  }
  int Commits() {
    const std::vector<std::string> calls = Calls();
    return static_cast<int>(std::count(calls.begin(), calls.end(), "commit"));
  }

 private:
  v1::CniAnswer Ask(const v1::CniCall& call) {
    v1::CniAnswer answer;
    EXPECT_EQ(CallAgent(cni_socket_, call, kHangMs, kHangMs, &answer), CallOutcome::kAnswered);
    return answer;
  }
  grpc::Status AskWhy(const std::string& from, const std::string& to, v1::WhyReply* reply) {
    v1::WhyRequest request;
    request.set_from(from);
    request.set_to(to);
    request.set_port(80);
    grpc::ClientContext context;
    return agent_->Why(&context, request, reply);
  }

  FakeDataplane* dataplane_ = nullptr;
  std::unique_ptr<EventLoop> loop_;
  absl::Status created_;
  std::unique_ptr<v1::Agent::Stub> agent_;
  std::string cni_socket_;
  std::thread thread_;
};

class AgentTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root, for a network namespace";
    GiveTheNodeItsAddress();
    options_.node = "node1";
    options_.store = "sqlite://" + store_file_;
    options_.socket = folder_.file("agent.sock");
    options_.run_dir = folder_.file("run");
    options_.state_dir = folder_.file("state");
    options_.bird = "";
  }

  // An agent that finds it on no interface is not ready.
  static void GiveTheNodeItsAddress() {
    auto netlink = Netlink::Open();
    ASSERT_TRUE(netlink.ok()) << netlink.status();
    const auto lo = (*netlink)->GetLink("lo");
    ASSERT_TRUE(lo.ok()) << lo.status();
    const absl::Status added =
        (*netlink)->AddAddress({.ifindex = lo->index,
                                .address = *policy::Address::Parse("192.0.2.1"),
                                .prefix_length = 32});
    ASSERT_TRUE(added.ok()) << added;
  }
  void MakeStore() {
    Put("{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: node1}, spec: {bgp: "
        "{ipv4Address: 192.0.2.1/24, asNumber: 64512}}}");
    Put("{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: pool}, spec: {cidr: "
        "198.51.100.0/24, blockSize: 26}}");
  }
  void Put(const std::string& yaml) {
    const api::Resource resource = FromYaml(yaml);
    ASSERT_TRUE(
        Store()->Txn({{api::Mutation::Type::kPut, resource.key(), api::Serialize(resource)}}).ok());
  }
  std::unique_ptr<api::SqliteStore> Store() {
    auto store = api::SqliteStore::Open(store_file_);
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }
  // A pod of the last run, whose interface is gone.
  void LeaveAnEndpoint() {
    fs::create_directories(options_.state_dir + "/endpoints");
    LocalEndpoint gone;
    gone.phase = LocalEndpoint::Phase::kReady;
    gone.container_id = "c0";
    gone.interface_name = "eth0";
    gone.pod_namespace = "shop";
    gone.pod_name = "gone";
    gone.host_interface = "calibeef";
    ASSERT_TRUE(EndpointFiles(options_.state_dir + "/endpoints").Save(gone).ok());
  }
  static mode_t Mode(const std::string& path) {
    struct stat status;
    return stat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
  }

  const api::Folder folder_;
  const std::string store_file_ = folder_.file();
  Options options_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DAEMON_TESTING_AGENT_H_
