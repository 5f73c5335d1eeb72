// SPDX-License-Identifier: Apache-2.0
//
// An agent whose maps have another layout than those of the one before: older, or newer.
// e2e/attacks has two whole agents (D4).
#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/dataplane/testing_node.h"
#include "agent/dataplane/testing_tcp.h"
#include "bpf/abi/flows.h"
#include "bpf/loader/map_access.h"
#include "policy/base/unique_fd.h"

namespace ripstop::agent {
namespace {

using testing::kPodA;
using testing::kPodB;
using testing::TcpPair;

class HandoverTest : public testing::NodeTest {
 protected:
  void Connect() {
    Open();
    Attach();
    WriteGeneration(true);
    ASSERT_TRUE(connection_.Connect(a_->fd(), kPodA, b_->fd(), kPodB).ok());
    ASSERT_TRUE(connection_.Echo().ok());
  }
  std::string Pin(const std::string& name) const { return absl::StrCat(pin_dir_, "/maps/", name); }
  // The next agent does not find it, as if its own were called otherwise.
  void Rename(const std::string& name) { ASSERT_EQ(unlink(Pin(name).c_str()), 0) << name; }
  // The table of flows as an agent has it whose flows are of so many bytes.
  void PinFlowsOf(uint32_t bytes, const std::string& name) {
    const UniqueFd ours(bpf_obj_get(Pin("rs_flows_v3").c_str()));
    ASSERT_TRUE(ours.ok());
    const UniqueFd theirs(
        bpf_map_create(BPF_MAP_TYPE_HASH, "rs_flows", sizeof(flow_key), bytes, 1000, nullptr));
    ASSERT_TRUE(theirs.ok());
    flow_key key, next;
    const void* from = nullptr;
    while (bpf_map_get_next_key(ours.get(), from, &next) == 0) {
      std::vector<uint8_t> value(std::max<size_t>(bytes, sizeof(flow_value)), 0xff);
      ASSERT_EQ(bpf_map_lookup_elem(ours.get(), &next, value.data()), 0);
      ASSERT_EQ(bpf_map_update_elem(theirs.get(), &next, value.data(), BPF_ANY), 0);
      key = next;
      from = &key;
    }
    ASSERT_EQ(bpf_obj_pin(theirs.get(), Pin(name).c_str()), 0);
    Rename("rs_flows_v3");
    Rename("rs_accounts_v2");
  }

  TcpPair connection_;
};

TEST_P(HandoverTest, ProgramsOfTheAgentBeforeGoOnUntilOursHaveTables) {
  Connect();
  for (const char* name : {"rs_state_v4", "rs_addresses_v2", "rs_arena_v2"}) Rename(name);
  Open();
  ASSERT_FALSE(dataplane_->InForce());
  Attach();
  EXPECT_EQ(node_->Run([&] { return dataplane_->CheckWorkload(if_nametoindex("hosta")); }),
            absl::OkStatus());
  EXPECT_TRUE(connection_.Echo().ok());
  EXPECT_TRUE(PodsPass()) << "a new flow, by the policy of before";
  EXPECT_EQ(Dropped(DROP_NO_GENERATION), 0u);
  WriteGeneration(true);
  EXPECT_TRUE(connection_.Echo().ok());
  EXPECT_TRUE(PodsPass());
  EXPECT_EQ(Dropped(DROP_NO_FLOW), 0u);
  // They have gone: what counts is our tables.
  WriteGeneration(false);
  EXPECT_TRUE(PodsBlocked());
  EXPECT_GT(Dropped(DROP_POLICY_INGRESS), 0u);
}

// Tables alone are not all: the tunnel's owners and the host's NAT come behind them.
TEST_P(HandoverTest, TheFirstTablesAloneExchangeNothing) {
  Connect();
  for (const char* name : {"rs_state_v4", "rs_addresses_v2", "rs_arena_v2"}) Rename(name);
  Open();
  Attach();
  auto options = dataplane_->BeginGeneration();
  ASSERT_TRUE(options.ok()) << options.status();
  loader::testing::HandmadeTables tables(*options);
  const uint32_t closed = tables.DenyAll(1, 11);
  tables.AddPod(kPodA, 1, closed, closed, Ifindex("hosta"), {2, 0, 0, 0, 0, 0x0a});
  tables.AddPod(kPodB, 1, closed, closed, Ifindex("hostb"), {2, 0, 0, 0, 0, 0x0b});
  ASSERT_TRUE(dataplane_->Apply(tables.Take()).ok());
  ASSERT_EQ(node_->Run([&] { return dataplane_->CommitGeneration(tables.l4_table()); }),
            absl::OkStatus());
  EXPECT_TRUE(PodsPass()) << "those of before, by what they know";
  ASSERT_EQ(node_->Run([&] { return dataplane_->TakeOver(); }), absl::OkStatus());
  // The same flow, which they have judged anew meanwhile.
  EXPECT_TRUE(PodsBlocked());
  EXPECT_GT(Dropped(DROP_POLICY_EGRESS), 0u);
  EXPECT_EQ(node_->Run([&] { return dataplane_->TakeOver(); }), absl::OkStatus()) << "once more";
}

TEST_P(HandoverTest, APodThatIsNewMeanwhileIsJudgedByNobodyElse) {
  Connect();
  Rename("rs_state_v4");
  Open();
  ASSERT_TRUE(node_->Run([&] { return dataplane_->DetachWorkload(if_nametoindex("hosta")); }).ok());
  Attach();
  EXPECT_TRUE(PodsBlocked());
  EXPECT_GT(Dropped(DROP_NO_GENERATION), 0u);
  WriteGeneration(true);
  EXPECT_TRUE(PodsPass());
}

TEST_P(HandoverTest, FlowsOfAnOlderAndOfANewerLayoutAreTakenOver) {
  Connect();
  for (const auto& [bytes, name] :
       {std::pair(128u, "rs_flows_v1"), std::pair(256u, "rs_flows_v9"),
        std::pair(176u, "rs_flows_v2"), std::pair(200u, "rs_flows_v3_aside")}) {
    SCOPED_TRACE(name);
    PinFlowsOf(bytes, name);
    Rename("rs_state_v4");
    Open();
    Attach();
    WriteGeneration(true);
    ASSERT_TRUE(dataplane_->FinishAdoption().ok());
    EXPECT_GE(dataplane_->SweepFlows(false)->entries, 1u);
    EXPECT_TRUE(connection_.Echo().ok());
    EXPECT_EQ(Dropped(DROP_NO_FLOW), 0u);
    EXPECT_NE(access(Pin(name).c_str(), F_OK), 0) << "it is not needed any more";
  }
  // Control: without any of them nothing is known.
  Rename("rs_flows_v3");
  Rename("rs_accounts_v2");
  Open();
  Attach();
  WriteGeneration(true);
  EXPECT_EQ(dataplane_->SweepFlows(false)->entries, 0u);
}

TEST_P(HandoverTest, AMapOfOurNameAndAnotherLayoutIsNoObstacle) {
  Connect();
  for (const char* name : {"rs_asked_v3", "rs_flows_v3"}) {
    SCOPED_TRACE(name);
    if (name == std::string("rs_flows_v3")) {
      PinFlowsOf(176, "rs_flows_v3_176");
      ASSERT_EQ(rename(Pin("rs_flows_v3_176").c_str(), Pin(name).c_str()), 0);
    } else {
      const UniqueFd other(bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "other", 4, 8, 1, nullptr));
      Rename(name);
      ASSERT_EQ(bpf_obj_pin(other.get(), Pin(name).c_str()), 0);
    }
    Open();
    Attach();
    ASSERT_TRUE(dataplane_->FinishAdoption().ok());
    EXPECT_TRUE(connection_.Echo().ok());
    EXPECT_EQ(Dropped(DROP_NO_FLOW), 0u);
  }
}

TEST_P(HandoverTest, CountersFromBeforeThereWereSoManyAreMadeAnew) {
  Connect();
  const auto info = [this] {
    return loader::InfoOf(UniqueFd(bpf_obj_get(Pin("rs_drops_v1").c_str())).get());
  };
  const bpf_map_info ours = info();
  const UniqueFd fewer(bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "fewer", ours.key_size,
                                      ours.value_size, ours.max_entries - 1, nullptr));
  Rename("rs_drops_v1");
  ASSERT_EQ(bpf_obj_pin(fewer.get(), Pin("rs_drops_v1").c_str()), 0);
  Open();
  EXPECT_EQ(info().max_entries, ours.max_entries);
}

TEST_P(HandoverTest, FlowsWhoseKeyIsAnotherOneAreForgotten) {
  Connect();
  const UniqueFd other(bpf_map_create(BPF_MAP_TYPE_HASH, "rs_flows", 8, 8, 10, nullptr));
  ASSERT_EQ(bpf_obj_pin(other.get(), Pin("rs_flows_v7").c_str()), 0);
  Open();
  Attach();
  ASSERT_TRUE(dataplane_->FinishAdoption().ok());
  EXPECT_TRUE(connection_.Echo().ok());
  EXPECT_NE(access(Pin("rs_flows_v7").c_str(), F_OK), 0);
}

INSTANTIATE_TEST_SUITE_P(Attachment, HandoverTest, ::testing::Bool(), testing::AttachmentName);

}  // namespace
}  // namespace ripstop::agent
