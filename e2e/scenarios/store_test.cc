// SPDX-License-Identifier: Apache-2.0
//
// What befalls the store, and what the pods notice of it: nothing, until somebody says that what
// it holds is meant.
#include <signal.h>

#include <filesystem>
#include <iostream>
#include <thread>

#include "absl/strings/str_join.h"
#include "api/store/testing/backup.h"
#include "e2e/lab/netns.h"
#include "e2e/scenarios/demo_lab.h"

namespace ripstop::lab {
namespace {

namespace fs = std::filesystem;

class StoreScenario : public DemoLab {
 protected:
  std::string StoreFile() const { return lab_state().dir() + "/store.db"; }
  const State& lab_state() const { return const_cast<StoreScenario*>(this)->lab().state(); }

  // Flows from node1 and to it that pass, and some that do not; started before a misfortune and
  // judged after it.
  void StartFlows() {
    for (const Flow& flow : allowed_) Start(flow, &allowed_live_);
    for (const LiveFlow& live : allowed_live_) ASSERT_TRUE(live.WaitFor("connected").ok());
    for (const Flow& flow : denied_) Start(flow, &denied_live_);
    for (const LiveFlow& live : denied_live_) ASSERT_TRUE(live.WaitFor("cut").ok());
  }
  void ExpectNobodyNoticed() {
    for (const std::vector<LiveFlow>* flows : {&allowed_live_, &denied_live_}) {
      for (const LiveFlow& live : *flows) ASSERT_TRUE(live.WaitForMore(300).ok());
    }
    for (size_t i = 0; i < allowed_live_.size(); ++i) {
      const auto end = allowed_live_[i].Finish();
      ASSERT_TRUE(end.ok()) << end.status();
      EXPECT_EQ(end->value("lost", -1), 0) << allowed_[i].ToString() << ": " << *end;
    }
    for (size_t i = 0; i < denied_live_.size(); ++i) {
      const auto end = denied_live_[i].Finish();
      ASSERT_TRUE(end.ok()) << end.status();
      EXPECT_EQ(end->value("answered", -1), 0) << denied_[i].ToString() << ": " << *end;
    }
  }

  std::string ReasonsOf(const std::string& node) {
    const auto status = lab().AgentStatus(node);
    return status.ok() ? absl::StrJoin(status->not_ready_reasons(), "; ") : "";
  }
  void WaitForReason(const std::string& node, const std::string& text) {
    EXPECT_TRUE(Eventually([&] { return absl::StrContains(ReasonsOf(node), text); }))
        << ReasonsOf(node);
  }
  void WaitUntilReady() {
    for (const char* node : {"node1", "node2", "node3"}) {
      const absl::Status ready = lab().WaitReady(node);
      EXPECT_TRUE(ready.ok()) << ready;
    }
  }
  std::string Accept(const std::string& node) {
    const auto output = lab().Ctl({"node", "accept-store"}, "", node);
    EXPECT_TRUE(output.ok()) << output.status();
    if (!output.ok()) return "";
    EXPECT_EQ(output->exit_code, 0) << output->err;
    return output->out;
  }

  const Flow stays_denied_{"shop/frontend-2", "data/database-1", "TCP", 5432, 4};

 private:
  void Start(const Flow& flow, std::vector<LiveFlow>* into) {
    auto live = LiveFlow::Start(lab(), flow, {.cut_after = absl::Seconds(1)});
    ASSERT_TRUE(live.ok()) << live.status();
    into->push_back(*std::move(live));
  }

  const std::vector<Flow> allowed_ = {
      {"shop/checkout-1", "shop/cart-1", "UDP", 7071, 4},
      {"shop/checkout-2", "data/database-1", "UDP", 8125, 6},
      {"shop/cart-1", "data/database-1", "UDP", 8125, 4},
  };
  const std::vector<Flow> denied_ = {
      {"shop/frontend-2", "data/database-1", "UDP", 8125, 6},
      {"shop/frontend-3", "shop/cart-1", "UDP", 7071, 4},
  };
  std::vector<LiveFlow> allowed_live_, denied_live_;
};

// The agent was killed, a pod's namespace went meanwhile: its removal is the first thing that the
// next agent does, before it has read any policy.
TEST_F(StoreScenario, ARestartAfterAPodWentMeanwhileLosesNothingAndOpensNothing) {
  StartFlows();
  ASSERT_TRUE(lab().StopAgent("node1", SIGKILL).ok());
  const PodState pod = lab().state().pods.at("shop/frontend-1");
  ASSERT_TRUE(Stop(pod.server, SIGKILL, absl::Seconds(5)).ok());
  ASSERT_TRUE(DeleteNetns(pod.netns).ok());
  const absl::Status started = lab().StartAgent("node1");
  ASSERT_TRUE(started.ok()) << started;
  ExpectNobodyNoticed();
  for (const char* reason : {"no-generation", "no-policy-set", "no-verdict"})
    EXPECT_EQ(DropsOf("node1", reason), 0u) << reason;
}

TEST_F(StoreScenario, AnAgentThatStartsWithoutItsStoreEnforcesWhatWasLast) {
  StartFlows();
  ASSERT_TRUE(lab().StopAgent("node1", SIGKILL).ok());
  fs::rename(StoreFile(), StoreFile() + ".away");
  WaitForReason("node2", "No such file");
  absl::Status started;
  std::thread starting([&] { started = lab().StartAgent("node1"); });
  WaitForReason("node1", "in force is what was last");
  EXPECT_TRUE(Silent(stays_denied_));
  EXPECT_TRUE(Reaches({"shop/frontend-2", "shop/cart-1", "TCP", 7070, 6}));
  EXPECT_FALSE(fs::exists(StoreFile())) << "no agent makes a store";
  fs::rename(StoreFile() + ".away", StoreFile());
  starting.join();
  EXPECT_TRUE(started.ok()) << started;
  WaitUntilReady();
  ExpectNobodyNoticed();
}

TEST_F(StoreScenario, ABackupPutInItsPlaceIsFollowedByAllHandles) {
  ASSERT_NO_FATAL_FAILURE(api::Backup(StoreFile(), StoreFile() + ".backup"));
  const Flow flow{"shop/checkout-2", "data/database-1", "TCP", 5432, 4};
  const std::string freeze = ReadText(Folder() + "/edits/freeze-orders.yaml");
  ASSERT_TRUE(lab().Apply(freeze).ok());
  EXPECT_TRUE(Eventually([&] { return Silent(flow); }));
  fs::rename(StoreFile(), StoreFile() + ".away");
  fs::rename(StoreFile() + ".backup", StoreFile());
  EXPECT_TRUE(Reaches(flow)) << "the backup knows nothing of the freeze";
  WaitUntilReady();
  // And what is written lands in the file that has the name.
  ASSERT_TRUE(lab().Apply(freeze).ok());
  EXPECT_TRUE(Eventually([&] { return Silent(flow); }));
  ASSERT_TRUE(lab().Delete(freeze).ok());
  EXPECT_TRUE(Reaches(flow));
  ASSERT_TRUE(lab().RemovePod("shop/frontend-1").ok());
  const auto left = lab().Ctl({"get", "workloadendpoints", "-A"});
  ASSERT_TRUE(left.ok()) << left.status();
  EXPECT_FALSE(absl::StrContains(left->out, "frontend-1")) << left->out;
}

TEST_F(StoreScenario, AnotherStoreIsNotBelievedBeforeItIsAcceptedNodeByNode) {
  StartFlows();
  for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(StoreFile() + suffix);
  // As a mistaken operator makes one: whoever writes first makes the store.
  ASSERT_TRUE(
      lab().Apply("{apiVersion: v1, kind: Namespace, metadata: {name: somebody-elses}}").ok());
  for (const char* node : {"node1", "node2", "node3"}) WaitForReason(node, "is not believed");
  EXPECT_TRUE(absl::StrContains(ReasonsOf("node1"), "it is another store")) << ReasonsOf("node1");
  EXPECT_TRUE(Silent(stays_denied_));
  ExpectNobodyNoticed();
  const std::string accepted = Accept("node1");
  EXPECT_TRUE(absl::StrContains(accepted, "Accepted")) << accepted;
  EXPECT_TRUE(absl::StrContains(accepted, "another store")) << accepted;
  EXPECT_TRUE(Eventually([&] { return !absl::StrContains(ReasonsOf("node1"), "not believed"); }));
  EXPECT_TRUE(absl::StrContains(Accept("node1"), "Nothing to accept"));
  EXPECT_TRUE(absl::StrContains(ReasonsOf("node2"), "is not believed")) << "each for itself";
}

TEST_F(StoreScenario, ADeletionOfManyIsNotBelievedAndOfAFewIs) {
  std::string documents;
  for (int i = 0; i < 20; ++i) {
    absl::StrAppend(&documents,
                    "{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: n", i,
                    ", namespace: data}, spec: {selector: app == 'none'}}\n---\n");
  }
  ASSERT_TRUE(lab().Apply(documents).ok());
  StartFlows();
  // The few that the demo has are gone within a command, and act at once.
  const std::string edit = ReadText(Folder() + "/edits/freeze-orders.yaml");
  ASSERT_TRUE(lab().Apply(edit).ok());
  ASSERT_TRUE(lab().Delete(edit).ok());
  WaitUntilReady();
  ASSERT_TRUE(lab().Delete(documents).ok());
  for (const char* node : {"node1", "node2", "node3"}) WaitForReason(node, "NetworkPolicy");
  EXPECT_TRUE(Silent(stays_denied_));
  // Put back, they are as they were: no word is needed.
  ASSERT_TRUE(lab().Apply(documents).ok());
  WaitUntilReady();
  ExpectNobodyNoticed();
}

}  // namespace
}  // namespace ripstop::lab
