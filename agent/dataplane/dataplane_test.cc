// SPDX-License-Identifier: Apache-2.0
//
// The datapath on real interfaces: two pods behind veths on one node.
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "agent/base/testing/test_netns.h"
#include "agent/dataplane/dataplane.h"
#include "agent/dataplane/testing_tables.h"

namespace ripstop::agent {
namespace {

using testing::Addr;
using testing::HandmadeTables;

constexpr char kPodA[] = "198.51.100.10";
constexpr char kPodB[] = "198.51.100.20";

class DataplaneTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SCHED_CLS, nullptr) != 1) {
      GTEST_SKIP() << "needs CAP_BPF and CAP_NET_ADMIN";
    }
    for (auto* netns : {&node_, &a_, &b_}) {
      auto made = TestNetns::Create();
      if (absl::IsPermissionDenied(made.status())) GTEST_SKIP() << made.status();
      ASSERT_TRUE(made.ok()) << made.status();
      *netns = std::make_unique<TestNetns>(*std::move(made));
    }
    pin_dir_ = absl::StrCat("/sys/fs/bpf/ripstop-test-", getpid());
    Dataplane::Remove(pin_dir_).IgnoreError();
    ASSERT_EQ(node_->Shell("sysctl -w net.ipv4.ip_forward=1 && ip link set lo up"), 0);
    MakePod(*a_, "hosta", kPodA, 0x0a);
    MakePod(*b_, "hostb", kPodB, 0x0b);
  }
  void TearDown() override {
    dataplane_.reset();
    if (pin_dir_.empty()) return;
    EXPECT_TRUE(Dataplane::Remove(pin_dir_).ok());
  }

  void MakePod(const TestNetns& pod, const std::string& host_side, const std::string& address,
               int mac) {
    ASSERT_EQ(node_->Shell(absl::StrCat("ip link add ", host_side,
                                        " address ee:ee:ee:ee:ee:ee type veth peer name eth0"
                                        " address 02:00:00:00:00:", absl::Hex(mac, absl::kZeroPad2),
                                        " && ip link set eth0 netns ", pod.path())),
              0);
    ASSERT_EQ(node_->Shell(absl::StrCat("ip link set ", host_side, " up && ip route add ", address,
                                        "/32 dev ", host_side)),
              0);
    ASSERT_EQ(pod.Shell(absl::StrCat(
                  "ip link set lo up && ip link set eth0 up && ip addr add ", address,
                  "/32 dev eth0 && ip route add 169.254.1.1 dev eth0 && ip route add default via "
                  "169.254.1.1 && ip neigh replace 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 "
                  "nud permanent")),
              0);
  }

  uint32_t Ifindex(const std::string& name) {
    uint32_t index = 0;
    EXPECT_TRUE(node_->Run([&] {
      index = if_nametoindex(name.c_str());
      return absl::OkStatus();
    }).ok());
    return index;
  }

  // Opens, or opens again, in the node's namespace.
  void Open() {
    dataplane_.reset();
    ASSERT_TRUE(node_->Run([&]() -> absl::Status {
      auto opened = Dataplane::Open({.pin_dir = pin_dir_, .force_clsact = GetParam()});
      if (!opened.ok()) return opened.status();
      dataplane_ = *std::move(opened);
      return dataplane_->Configure({});
    }).ok());
  }
  void Attach() {
    ASSERT_TRUE(node_->Run([&]() -> absl::Status {
      for (const char* name : {"hosta", "hostb"}) {
        absl::Status attached = dataplane_->AttachWorkload(if_nametoindex(name));
        if (!attached.ok()) return attached;
      }
      return absl::OkStatus();
    }).ok());
  }
  // A generation in which B's ingress is `admit`.
  void WriteGeneration(bool admit) {
    auto options = dataplane_->BeginGeneration();
    ASSERT_TRUE(options.ok()) << options.status();
    HandmadeTables tables(*options);
    const uint32_t open = tables.AllowAll(1, 11);
    const uint32_t closed = tables.DenyAll(2, 22);
    tables.AddPod(kPodA, 1, open, open, Ifindex("hosta"), {2, 0, 0, 0, 0, 0x0a});
    tables.AddPod(kPodB, 1, open, admit ? open : closed, Ifindex("hostb"), {2, 0, 0, 0, 0, 0x0b});
    ASSERT_TRUE(dataplane_->Apply(tables.Take()).ok());
    const absl::Status committed = dataplane_->CommitGeneration(tables.l4_table());
    ASSERT_TRUE(committed.ok()) << committed;
  }
  bool Ping() { return a_->Shell(absl::StrCat("ping -n -c 1 -W 1 ", kPodB)) == 0; }
  uint64_t Dropped(drop_reason reason) {
    const auto drops = dataplane_->Drops();
    EXPECT_TRUE(drops.ok());
    return drops->at(reason - 1).packets;
  }

  std::unique_ptr<TestNetns> node_, a_, b_;
  std::unique_ptr<Dataplane> dataplane_;
  std::string pin_dir_;
};

TEST_P(DataplaneTest, PodsReachEachOtherOnlyAsTheTablesInForceSay) {
  EXPECT_TRUE(Ping()) << "control: plain routing reaches the pod";
  Open();
  Attach();
  EXPECT_FALSE(Ping());
  EXPECT_GT(Dropped(DROP_NO_GENERATION), 0u);
  WriteGeneration(true);
  EXPECT_TRUE(Ping());
  WriteGeneration(false);
  EXPECT_FALSE(Ping());
  EXPECT_GT(Dropped(DROP_POLICY_INGRESS), 0u);
}

TEST_P(DataplaneTest, PolicyStaysInForceWhileTheAgentIsGoneAndAfterItsReturn) {
  Open();
  Attach();
  WriteGeneration(false);
  dataplane_.reset();
  EXPECT_FALSE(Ping());
  Open();
  EXPECT_TRUE(dataplane_->InForce());
  EXPECT_FALSE(Ping());
  Attach();
  WriteGeneration(true);
  EXPECT_TRUE(Ping());
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

INSTANTIATE_TEST_SUITE_P(Attachment, DataplaneTest, ::testing::Values(false, true),
                         [](const auto& info) { return info.param ? "Clsact" : "Tcx"; });

}  // namespace
}  // namespace ripstop::agent
