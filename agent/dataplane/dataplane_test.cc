// SPDX-License-Identifier: Apache-2.0
//
// The datapath on real interfaces: attachment, pins, delivery, events.
#include "agent/dataplane/dataplane.h"

#include <bpf/bpf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "absl/strings/str_cat.h"
#include "agent/dataplane/testing_node.h"
#include "agent/dataplane/testing_tcp.h"

namespace ripstop::agent {
namespace {

using loader::testing::Addr;
using testing::kFar;
using testing::kFarUnknown;
using testing::kPodA;
using testing::kPodB;
using testing::TcpPair;

using DataplaneTest = testing::NodeTest;

// By the number of the release, where the dataplane asks the kernel.
bool KernelHasTcx() {
  utsname name;
  int major = 0, minor = 0;
  EXPECT_EQ(uname(&name), 0);
  EXPECT_EQ(std::sscanf(name.release, "%d.%d", &major, &minor), 2) << name.release;
  return major > 6 || (major == 6 && minor >= 6);
}

TEST_P(DataplaneTest, PodsReachEachOtherOnlyAsTheTablesInForceSay) {
  EXPECT_TRUE(PodsPass()) << "control: plain routing reaches the pod";
  Open();
  EXPECT_EQ(dataplane_->uses_tcx(), !GetParam() && KernelHasTcx());
  Attach();
  EXPECT_TRUE(PodsBlocked());
  EXPECT_GT(Dropped(DROP_NO_GENERATION), 0u);
  WriteGeneration(true);
  EXPECT_TRUE(PodsPass());
  WriteGeneration(false);
  EXPECT_TRUE(PodsBlocked()) << "the live flow must be judged by the new tables";
  EXPECT_GT(Dropped(DROP_POLICY_INGRESS), 0u);
}

TEST_P(DataplaneTest, PolicyStaysInForceWhileTheAgentIsGoneAndAfterItsReturn) {
  Open();
  Attach();
  WriteGeneration(false);
  dataplane_.reset();
  EXPECT_TRUE(PodsBlocked());
  Open();
  EXPECT_TRUE(dataplane_->InForce());
  EXPECT_TRUE(PodsBlocked());
  Attach();
  WriteGeneration(true);
  EXPECT_TRUE(PodsPass());
}

TEST_P(DataplaneTest, MapsOfAnotherLayoutAreUnpinned) {
  Open();
  const std::string maps = pin_dir_ + "/maps/";
  const int old = bpf_map_create(BPF_MAP_TYPE_ARRAY, "rs_cidrs_v1", 4, 4, 1, nullptr);
  ASSERT_GE(old, 0);
  ASSERT_EQ(bpf_obj_pin(old, (maps + "rs_cidrs_v1").c_str()), 0);
  close(old);
  Open();
  EXPECT_NE(access((maps + "rs_cidrs_v1").c_str(), F_OK), 0);
  EXPECT_EQ(access((maps + "rs_arena_v2").c_str(), F_OK), 0) << "control: those in use stay";
}

// Another --flow-table-entries: a policy that denies them as new flows shows that the live
// ones are still known.
TEST_P(DataplaneTest, LiveFlowsAreKeptWhenTheTableOfFlowsHasAnotherSize) {
  Open({.flows = 1000});
  Attach();
  WriteGeneration(true);
  const FlowTableUse before = dataplane_->SweepFlows(false).value();
  EXPECT_EQ(before.capacity, 1000u);
  TcpPair connection;
  ASSERT_TRUE(connection.Connect(a_->fd(), kPodA, b_->fd(), kPodB).ok());
  ASSERT_TRUE(connection.Echo().ok());
  for (const uint32_t size : {5000u, 500u}) {
    Open({.flows = size});
    Attach();
    ASSERT_TRUE(dataplane_->FinishAdoption().ok());
    const FlowTableUse after = dataplane_->SweepFlows(false).value();
    EXPECT_EQ(after.capacity, size);
    EXPECT_GE(after.entries, 1u);
    // A segment of a connection that is not known is dropped (no-flow).
    EXPECT_TRUE(connection.Echo().ok()) << size;
    EXPECT_EQ(*dataplane_->FinishAdoption(), 0u);
    EXPECT_NE(access((pin_dir_ + "/maps/rs_flows_v3_aside").c_str(), F_OK), 0);
  }
}

// The agent died after it had put the old table aside and made the new one.
TEST_P(DataplaneTest, FlowsThatWereNotTakenOverYetAreTakenOverByTheNextAgent) {
  Open({.flows = 1000});
  Attach();
  WriteGeneration(true);
  TcpPair connection;
  ASSERT_TRUE(connection.Connect(a_->fd(), kPodA, b_->fd(), kPodB).ok());
  ASSERT_TRUE(connection.Echo().ok());
  const std::string flows = pin_dir_ + "/maps/rs_flows_v3";
  ASSERT_EQ(rename(flows.c_str(), (flows + "_aside").c_str()), 0);
  Open({.flows = 2000});
  Attach();
  ASSERT_TRUE(dataplane_->FinishAdoption().ok());
  EXPECT_TRUE(connection.Echo().ok());
  EXPECT_EQ(dataplane_->SweepFlows(false)->capacity, 2000u);
}

TEST_P(DataplaneTest, ADetachedInterfaceIsRoutedPlainlyAgain) {
  Open();
  Attach();
  WriteGeneration(false);
  EXPECT_TRUE(PodsBlocked());
  const absl::Status detached = node_->Run([&]() -> absl::Status {
    for (const char* name : {"hosta", "hostb"}) {
      absl::Status done = dataplane_->DetachWorkload(if_nametoindex(name));
      if (!done.ok()) return done;
    }
    return dataplane_->DetachHost(if_nametoindex("up0"));
  });
  EXPECT_TRUE(detached.ok()) << detached;
  EXPECT_TRUE(PodsPass());
}

TEST_P(DataplaneTest, ADetachedProgramIsNoticedInEitherDirection) {
  Open();
  Attach();
  const uint32_t ifindex = Ifindex("hosta");
  const auto check = [&] { return node_->Run([&] { return dataplane_->CheckWorkload(ifindex); }); };
  EXPECT_EQ(check(), absl::OkStatus());
  for (const char* name : {"from_workload", "to_workload"}) {
    if (dataplane_->uses_tcx()) {
      // As `bpftool link detach` does: the link is there and pinned, and attached to nothing.
      const std::string path = absl::StrCat(pin_dir_, "/links/", name, "-", ifindex);
      const int link = bpf_obj_get(path.c_str());
      ASSERT_GE(link, 0) << path;
      ASSERT_EQ(bpf_link_detach(link), 0);
      close(link);
    } else {
      ASSERT_EQ(node_->Shell(absl::StrCat("tc filter del dev hosta ",
                                          name[0] == 'f' ? "ingress" : "egress")),
                0);
    }
    EXPECT_TRUE(absl::IsFailedPrecondition(check())) << name;
    EXPECT_NE(check().message().find(name), std::string::npos) << check();
    Attach();
    EXPECT_EQ(check(), absl::OkStatus());
  }
  EXPECT_FALSE(node_->Run([&] { return dataplane_->CheckWorkload(999'999); }).ok());
}

// Netfilter's forward hook sees every packet that the host's stack routes, and none that
// a program hands over by itself.
TEST_P(DataplaneTest, AdmittedPacketsPassBesideTheHostsStackBothWays) {
  ASSERT_EQ(node_->Shell("nft add table inet t && nft add chain inet t f "
                         "{ type filter hook forward priority 0\\; policy drop\\; }"),
            0);
  EXPECT_TRUE(PodsBlocked()) << "control: the stack forwards nothing";
  EXPECT_TRUE(Blocked(*a_, kPodA, *far_, kFar));
  ASSERT_EQ(far_->Shell("ip link set eth0 address 02:00:00:00:00:0f"), 0);
  ASSERT_EQ(node_->Shell("ip neigh replace 10.255.0.2 dev up0 nud permanent lladdr "
                         "02:00:00:00:00:0f"),
            0);
  Open();
  Attach();
  WriteGeneration(true);
  EXPECT_TRUE(PodsPass()) << "bpf_redirect_peer into the pod";
  EXPECT_TRUE(Passes(*a_, kPodA, *far_, kFar)) << "bpf_fib_lookup to the uplink and back";
}

TEST_P(DataplaneTest, PacketsFromTheUplinkAreJudgedByTheirCidr) {
  Open();
  Attach();
  WriteGeneration(true);
  EXPECT_TRUE(Passes(*far_, kFar, *b_, kPodB));
  EXPECT_TRUE(Blocked(*far_, kFarUnknown, *b_, kPodB));
  EXPECT_TRUE(Passes(*far_, kFarUnknown, *a_, kPodA)) << "control: A admits everybody";
}

TEST_P(DataplaneTest, LookupReadsTheTablesInForce) {
  Open();
  WriteGeneration(false);
  policy::Packet packet{Addr(kPodA), Addr(kPodB), policy::kProtocolTcp, 40000, 80};
  const auto lookup = dataplane_->Lookup(packet);
  ASSERT_TRUE(lookup.ok()) << lookup.status();
  ASSERT_TRUE(lookup->egress && lookup->ingress);
  EXPECT_EQ(lookup->egress->verdict, VERDICT_ALLOW | 11);
  EXPECT_EQ(lookup->ingress->verdict, 22u);
  EXPECT_EQ(lookup->ingress->reason, DROP_POLICY_INGRESS);
  EXPECT_EQ(lookup->ingress->l4_class, 1u);
}

TEST_P(DataplaneTest, EventsTellOfFlowsBegunDeniedAndClosed) {
  Open();
  Attach();
  WriteGeneration(true);
  dataplane_->TakeEvents();
  pollfd readable{.fd = dataplane_->events_fd(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(poll(&readable, 1, 0), 0) << "nothing has happened yet";
  ASSERT_TRUE(PodsPass());
  ASSERT_TRUE(Blocked(*far_, kFarUnknown, *b_, kPodB));
  EXPECT_EQ(poll(&readable, 1, 1000), 1);
  ASSERT_TRUE(dataplane_->ForgetFlows({Addr(kPodA)}).ok());

  const auto events = dataplane_->TakeEvents();
  const auto find = [&](uint8_t type, const char* source) {
    const ip_address key = loader::ToKey(Addr(source));
    return std::find_if(events.begin(), events.end(), [&](const flow_event& event) {
      return event.type == type && std::memcmp(&event.source, &key, sizeof(key)) == 0;
    });
  };
  const auto begun = find(FLOW_EVENT_NEW, kPodA);
  ASSERT_NE(begun, events.end());
  EXPECT_EQ(begun->protocol, policy::kProtocolUdp);
  EXPECT_EQ(ntohs(begun->destination_port), 9);
  EXPECT_EQ(begun->egress_verdict, VERDICT_ALLOW | 11);
  EXPECT_EQ(begun->ingress_verdict, VERDICT_ALLOW | 33);
  const auto denied = find(FLOW_EVENT_DENIED, kFarUnknown);
  ASSERT_NE(denied, events.end());
  EXPECT_EQ(denied->reason, DROP_POLICY_INGRESS);
  EXPECT_EQ(denied->ingress_verdict, 34u);
  EXPECT_EQ(denied->egress_verdict, 0u);
  EXPECT_NE(find(FLOW_EVENT_CLOSED, kPodA), events.end());
  EXPECT_TRUE(dataplane_->TakeEvents().empty()) << "each event is told once";
}

TEST_P(DataplaneTest, UnwatchedFlowsAreNotToldAndEventsOverTheBudgetAreCounted) {
  Open();
  Attach();
  WriteGeneration(true);
  dataplane_->TakeEvents();
  ASSERT_TRUE(dataplane_->Configure({}).ok());
  ASSERT_TRUE(PodsPass());
  ASSERT_TRUE(dataplane_->ForgetFlows({Addr(kPodA)}).ok());
  EXPECT_TRUE(dataplane_->TakeEvents().empty()) << "nobody asked";
  EXPECT_EQ(dataplane_->EventsLost().value_or(99), 0u);

  ASSERT_TRUE(dataplane_->Configure({.events_per_second = 0, .watch_flows = true}).ok());
  ASSERT_TRUE(PodsPass());
  EXPECT_TRUE(dataplane_->TakeEvents().empty());
  EXPECT_GT(dataplane_->EventsLost().value_or(0), 0u);
}

// Whose loss a drop is outlives the agent and goes with the interface.
TEST_P(DataplaneTest, DropsByInterfaceGoWithTheInterface) {
  Open();
  Attach();
  WriteGeneration(false);
  ASSERT_TRUE(PodsBlocked());
  ASSERT_TRUE(Blocked(*far_, kFar, *b_, kPodB));
  const auto lost = [&] {
    std::map<uint32_t, uint64_t> packets;
    const auto drops = dataplane_->InterfaceDrops();
    EXPECT_TRUE(drops.ok()) << drops.status();
    for (const loader::InterfaceDropCount& drop : *drops) {
      if (drop.reason == DROP_POLICY_INGRESS) packets[drop.ifindex] += drop.packets;
    }
    return packets;
  };
  const uint32_t b = Ifindex("hostb");
  const uint64_t total = Dropped(DROP_POLICY_INGRESS);
  ASSERT_GT(total, 0u);
  EXPECT_THAT(lost(), ::testing::ElementsAre(std::pair(b, total))) << "the one whose policy denies";
  Open();
  EXPECT_THAT(lost(), ::testing::ElementsAre(std::pair(b, total)));
  ASSERT_TRUE(dataplane_->DetachWorkload(b).ok());
  EXPECT_TRUE(lost().empty());
  EXPECT_EQ(Dropped(DROP_POLICY_INGRESS), total);

  // One that goes while no agent is here.
  Attach();
  ASSERT_TRUE(PodsBlocked());
  ASSERT_FALSE(lost().empty());
  dataplane_.reset();
  ASSERT_EQ(node_->Shell("ip link del hostb"), 0);
  Open();
  EXPECT_TRUE(lost().empty());
}

INSTANTIATE_TEST_SUITE_P(Attachment, DataplaneTest, ::testing::Values(false, true),
                         testing::AttachmentName);

}  // namespace
}  // namespace ripstop::agent
