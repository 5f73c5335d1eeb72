// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/testing_agent.h"

namespace ripstop::agent {
namespace {

using testing::Contains;
using testing::HasSubstr;

// ---- nothing read, whole, in force ----

TEST_F(AgentTest, AMissingStoreIsMissingAndNotMade) {
  LeaveAnEndpoint();
  {
    RunningAgent agent(options_, true);
    ASSERT_TRUE(agent.created().ok()) << agent.created();
    ASSERT_TRUE(agent.UntilReason("No such file"));
    EXPECT_EQ(agent.Commits(), 0) << "the pod that went took no policy with it";
    EXPECT_FALSE(fs::exists(store_file_));
    EXPECT_FALSE(agent.Status().ready());
    MakeStore();
    ASSERT_TRUE(agent.UntilReady());
    EXPECT_EQ(agent.Commits(), 1);
  }
  fs::rename(store_file_, folder_.file("away.db"));
  RunningAgent again(options_, true);
  ASSERT_TRUE(again.UntilReason("in force is what was last"));
  EXPECT_EQ(again.Commits(), 1);
  EXPECT_FALSE(fs::exists(store_file_));
}

TEST_F(AgentTest, AnEmptiedStoreIsNotBelievedUntilItIsAccepted) {
  MakeStore();
  {
    ASSERT_TRUE(RunningAgent(options_, false).UntilReady());
  }
  for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(store_file_ + suffix);
  Store();
  RunningAgent agent(options_, true);
  ASSERT_TRUE(agent.UntilReason("not believed"));
  EXPECT_THAT(agent.Status().not_ready_reasons(), Contains(HasSubstr("own Node node1")));
  EXPECT_THAT(agent.AcceptStore().accepted(), HasSubstr("own Node node1"));
  ASSERT_TRUE(agent.Until([](const v1::StatusReply& status) {
    return !absl::StrContains(absl::StrJoin(status.not_ready_reasons(), "; "), "believed");
  }));
  EXPECT_EQ(agent.AcceptStore().accepted(), "") << "a second time does nothing";
}

TEST_F(AgentTest, FoldersAreRootsAloneAlsoWhenTheyWereThere) {
  MakeStore();
  for (const std::string& path : {options_.run_dir, options_.state_dir}) {
    fs::create_directories(path);
    ASSERT_EQ(chmod(path.c_str(), 0755), 0);
  }
  ASSERT_EQ(chmod(store_file_.c_str(), 0644), 0);
  RunningAgent agent(options_, false);
  ASSERT_TRUE(agent.UntilReady());
  EXPECT_EQ(Mode(options_.run_dir), 0700u);
  EXPECT_EQ(Mode(options_.state_dir), 0700u);
  const std::string last_good = options_.state_dir + "/last-good.db";  // written beside the loop
  const absl::Time end = absl::Now() + absl::Minutes(5);
  while (!fs::exists(last_good) && absl::Now() < end) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_EQ(Mode(last_good), 0600u);
  EXPECT_EQ(Mode(store_file_), 0600u);
}

TEST_F(AgentTest, AStoreUrlThatNamesNoStoreEndsTheAgent) {
  options_.store = "ldap://host";
  RunningAgent agent(options_, false);
  EXPECT_EQ(agent.created().code(), absl::StatusCode::kInvalidArgument) << agent.created();
}

// ---- two of everything ----

// A second one would make endpoints of the first one's pods, and routes with a BIRD of its own.
TEST_F(AgentTest, AStateFolderIsOneAgents) {
  MakeStore();
  RunningAgent agent(options_, false);
  ASSERT_TRUE(agent.UntilReady());
  Options other = options_;
  other.run_dir = folder_.file("other-run");
  other.socket = folder_.file("other.sock");
  RunningAgent second(other, false);
  EXPECT_EQ(second.created().code(), absl::StatusCode::kAlreadyExists) << second.created();
  EXPECT_THAT(std::string(second.created().message()), HasSubstr("--state-dir"));
}

TEST_F(AgentTest, ARunFolderIsOneAgentsWhoWaitsForOneThatIsStillEnding) {
  MakeStore();
  ASSERT_TRUE(fs::create_directories(options_.run_dir));
  UniqueFd other(
      open((options_.run_dir + "/agent.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(flock(other.get(), LOCK_EX | LOCK_NB), 0);
  {
    RunningAgent agent(options_, false);
    EXPECT_EQ(agent.created().code(), absl::StatusCode::kAlreadyExists) << agent.created();
    EXPECT_THAT(std::string(agent.created().message()), HasSubstr("--run-dir"));
  }
  // It ends once it has been seen to be waited for.
  const UniqueFd watch(inotify_init1(IN_CLOEXEC));
  ASSERT_GE(inotify_add_watch(watch.get(), (options_.run_dir + "/agent.lock").c_str(), IN_OPEN), 0);
  std::thread ends([&] {
    char opened[sizeof(inotify_event) + NAME_MAX + 1];
    EXPECT_GT(read(watch.get(), opened, sizeof(opened)), 0);
    other.reset();
  });
  RunningAgent agent(options_, false);
  EXPECT_TRUE(agent.created().ok()) << agent.created();
  ends.join();
}

// ---- pods of the last run ----

TEST_F(AgentTest, PodsOfTheLastRunAreInTheFirstGenerationAndKeepTheirPrograms) {
  MakeStore();
  const auto pod = TestNetns::Create();
  ASSERT_TRUE(pod.ok()) << pod.status();
  v1::CniRequest request;
  request.set_container_id("c1");
  request.set_interface_name("eth0");
  request.set_netns(pod->path());
  request.set_pod_namespace("shop");
  request.set_pod_name("web");
  v1::CniAddReply reply;
  {
    RunningAgent agent(options_, false);
    ASSERT_TRUE(agent.UntilReady());
    const v1::CniAnswer added = agent.Add(request);
    ASSERT_EQ(added.code(), 0) << added.message();
    reply = added.add();
    // The node's address is on its loopback, whose MTU of 65536 no pod can have.
    EXPECT_EQ(reply.mtu(), 1500u);
  }
  ASSERT_EQ(reply.ips_size(), 1);
  const std::string address = reply.ips(0).address();
  RunningAgent again(options_, true);
  ASSERT_TRUE(again.UntilReady());
  EXPECT_EQ(again.Commits(), 1);
  EXPECT_EQ(again.Status().local_endpoints(), 1u);
  const v1::WhyReply why = again.Why("shop/web", "203.0.113.9");
  EXPECT_EQ(why.source_address(), address.substr(0, address.find('/')));
  EXPECT_EQ(why.egress().verdict(), "Allow");
  const std::vector<std::string> calls = again.Calls();
  const auto at = [&](const std::string& prefix) {
    return std::find_if(calls.begin(), calls.end(),
                        [&](const std::string& call) { return absl::StartsWith(call, prefix); }) -
           calls.begin();
  };
  EXPECT_LT(at("attach"), at("apply")) << absl::StrJoin(calls, ", ");
  EXPECT_EQ(at("detach"), static_cast<ptrdiff_t>(calls.size())) << "at no moment is it open";
  EXPECT_LT(at("commit"), at("take over"));
  EXPECT_LT(at("tunnel"), at("take over"));
  EXPECT_EQ(again.Del(request).code(), 0);
}

TEST_F(AgentTest, AsLongAsTheAgentBeforeIsInChargeANodeIsNotReadyAndSaysSo) {
  MakeStore();
  RunningAgent agent(options_, false, absl::ResourceExhaustedError("replace program"));
  ASSERT_TRUE(agent.UntilReason("taking over: replace program"));
  agent.AllowHandover();
  // Housekeeping tries again.
  ASSERT_TRUE(agent.UntilReady());
}

TEST_F(AgentTest, BeforePolicyIsInForceWhyAndHitsSayWhatKeepsItFromThat) {
  RunningAgent agent(options_, true);
  ASSERT_TRUE(agent.UntilReason("No such file"));
  EXPECT_THAT(agent.WhyNot(), HasSubstr("policy of this agent is not in force yet; "));
  EXPECT_THAT(agent.WhyNot(), HasSubstr("No such file"));
  EXPECT_THAT(agent.HitsNot(), HasSubstr("No such file"));
}

// ---- the loop waits for nobody ----

class HeldUpTest : public AgentTest {
 protected:
  void SetUp() override {
    AgentTest::SetUp();
    if (IsSkipped()) return;
    MakeStore();
    if (fs::exists("/usr/sbin/bird")) options_.bird = "/usr/sbin/bird";
  }
  pid_t BirdPid() const {
    std::ifstream file(options_.run_dir + "/bird.pid");
    pid_t pid = 0;
    file >> pid;
    return pid;
  }
};

TEST_F(HeldUpTest, WhileBirdIsStoppedQuestionsAreAnsweredAndSayHowOldTheAnswerIs) {
  if (options_.bird.empty()) GTEST_SKIP() << "needs bird2";
  RunningAgent agent(options_, false);
  ASSERT_TRUE(agent.UntilReady());
  const pid_t bird = BirdPid();
  ASSERT_GT(bird, 0);
  ASSERT_EQ(kill(bird, SIGSTOP), 0);
  // Held from here to SIGCONT: what returns before that did not wait for it.
  const v1::StatusReply held = agent.Status();
  EXPECT_FALSE(held.ready());
  EXPECT_THAT(held.not_ready_reasons(), Contains(HasSubstr("silent")));
  EXPECT_THAT(held.not_ready_reasons(), Contains(HasSubstr("what is shown of BGP is of")));
  EXPECT_TRUE(agent.Drops().ok());
  // A new configuration is held up too, and nobody waits for that either.
  Put("{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: p}, spec: {peerIP: "
      "192.0.2.9, asNumber: 64513}}");
  ASSERT_TRUE(agent.Until([](const v1::StatusReply& status) { return status.bgp_size() == 1; }));
  EXPECT_TRUE(agent.Drops().ok());
  ASSERT_EQ(kill(bird, SIGCONT), 0);
  ASSERT_TRUE(agent.Until([](const v1::StatusReply& status) {
    return status.bgp_size() == 1 && status.bgp(0).state() != "Unknown" &&
           !absl::StrContains(absl::StrJoin(status.not_ready_reasons(), "; "), "silent");
  }));
  kill(bird, SIGKILL);
}

TEST_F(HeldUpTest, AnAgentEndsThoughBirdIsStopped) {
  if (options_.bird.empty()) GTEST_SKIP() << "needs bird2";
  pid_t bird = 0;
  {
    RunningAgent agent(options_, false);
    ASSERT_TRUE(agent.UntilReady());
    bird = BirdPid();
    ASSERT_EQ(kill(bird, SIGSTOP), 0);
    (void)agent.Status();
  }
  ASSERT_EQ(kill(bird, SIGCONT), 0);
  kill(bird, SIGKILL);
}

TEST_F(HeldUpTest, WhileTheStoreIsLockedDelAndQuestionsAreAnsweredAndAddWaitsAlone) {
  options_.bird = "";
  RunningAgent agent(options_, false);
  ASSERT_TRUE(agent.UntilReady());
  const auto pod = TestNetns::Create();
  const auto other = TestNetns::Create();
  ASSERT_TRUE(pod.ok() && other.ok());
  v1::CniRequest request;
  request.set_container_id("c1");
  request.set_interface_name("eth0");
  request.set_netns(pod->path());
  request.set_pod_namespace("shop");
  request.set_pod_name("web");
  const v1::CniAnswer added = agent.Add(request);
  ASSERT_EQ(added.code(), 0) << added.message();
  ASSERT_EQ(added.add().ips_size(), 1);
  ASSERT_FALSE(Store()->List({"WorkloadEndpoint", ""})->items.empty());

  auto holder = api::SqliteDatabase::Open(store_file_, SQLITE_OPEN_READWRITE, 1000);
  ASSERT_TRUE((*holder)->Execute("BEGIN EXCLUSIVE").ok());
  const v1::CniAnswer deleted = agent.Del(request);
  EXPECT_EQ(deleted.code(), 0) << deleted.message();
  EXPECT_TRUE(agent.Drops().ok());
  EXPECT_TRUE(agent.Status().ready()) << "the store is read all the same";
  v1::CniRequest second = request;
  second.set_container_id("c2");
  second.set_pod_name("api");
  second.set_netns(other->path());
  v1::CniAnswer second_added;
  std::thread waiting([&] { second_added = agent.Add(second); });
  EXPECT_TRUE(agent.Drops().ok());
  ASSERT_TRUE((*holder)->Execute("ROLLBACK").ok());
  waiting.join();
  EXPECT_EQ(second_added.code(), 0) << second_added.message();
  // What DEL could not give back is given back by itself.
  const auto allocated = [this] {
    size_t count = 0;
    const auto listing = Store()->List({ipam::kBlockKind, ""});
    for (const api::StoredResource& item : listing->items)
      count += ipam::Block::Decode(item)->AllocationsOf("").size();
    return count;
  };
  const absl::Time end = absl::Now() + absl::Minutes(5);
  while (allocated() != 1 && absl::Now() < end) absl::SleepFor(absl::Milliseconds(50));
  EXPECT_EQ(allocated(), 1u);
}

}  // namespace
}  // namespace ripstop::agent
