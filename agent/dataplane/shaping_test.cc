// SPDX-License-Identifier: Apache-2.0
//
// Pods whose traffic a token bucket on the host's side of their veth limits, set up as the CNI
// plugin `bandwidth` does it: tbf at the root for what a pod receives, and for what it sends an
// ingress filter that leads through the tbf of an ifb device.
#include <gtest/gtest.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agent/dataplane/testing_nat.h"

namespace ripstop::agent {
namespace {

using testing::kV4;
using testing::kV6;
using testing::NatNode;
using testing::Plan;

class ShapingTest : public NatNode {
 protected:
  // A kilobyte a second, and three at once: whoever sends more loses it here.
  static constexpr char kTight[] = "tbf rate 8kbit burst 1600 limit 3000";
  static constexpr char kWide[] = "tbf rate 1gbit burst 100000 limit 1000000";
  static constexpr int kDatagrams = 30;
  static constexpr size_t kBytes = 1000;
  // At most so many of them does the tight one keep at a time, neither passed nor lost.
  static constexpr uint64_t kHeld = 3;

  void LimitReceiving(const char* host_side, const char* limit) {
    ASSERT_EQ(node_->Shell(absl::StrCat("tc qdisc replace dev ", host_side, " root ", limit)), 0);
  }
  void LimitSending(const char* host_side, const char* limit) {
    ASSERT_EQ(
        node_->Shell(absl::StrCat(
            "ip link add bwp0 type ifb && ip link set bwp0 up && tc qdisc add dev bwp0 root ",
            limit, " && tc qdisc add dev ", host_side, " ingress && tc filter add dev ", host_side,
            " parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev "
            "bwp0")),
        0);
  }
  void Shape(const char* host_side, bool shaped = true) {
    const absl::Status set = dataplane_->SetShaped(Ifindex(host_side), shaped);
    ASSERT_TRUE(set.ok()) << set;
  }
  // Packets that the root discipline of a device has let pass and has dropped, of one reading. Some
  // are the node's own (its neighbour discovery), at any time: what is compared is bursts.
  struct Counts {
    uint64_t passed = 0, lost = 0;
  };
  Counts Count(const std::string& device) {
    const std::string command =
        absl::StrCat("nsenter --net=", node_->path(), " tc -s qdisc show dev ", device, " root");
    FILE* const pipe = popen(command.c_str(), "re");
    std::string text;
    for (int c = 0; (c = std::fgetc(pipe)) != EOF;) text.push_back(static_cast<char>(c));
    pclose(pipe);
    Counts counts;
    const size_t at = text.find("Sent ");
    if (at == std::string::npos ||
        std::sscanf(text.c_str() + at, "Sent %*u bytes %lu pkt (dropped %lu", &counts.passed,
                    &counts.lost) != 2) {
      ADD_FAILURE() << text;
    }
    return counts;
  }
  static uint64_t Seen(const Counts& counts) { return counts.passed + counts.lost; }
  // A busy machine hands on later what was sent; ten minutes are for a hang.
  bool Reached(const std::string& device, uint64_t seen) {
    const absl::Time deadline = absl::Now() + absl::Minutes(10);
    while (Seen(Count(device)) < seen) {
      if (absl::Now() > deadline) return false;
      absl::SleepFor(absl::Milliseconds(10));
    }
    return true;
  }

  // A burst in one direction of a conversation that stands.
  static void Burst(Conversation& talk) {
    for (int i = 0; i < kDatagrams; ++i) talk.ClientSays(kBytes);
  }
  // Each on a port of its own: a bucket may still let out what an earlier one has said.
  Conversation To(const TestNetns& from, const char* source, const TestNetns& to,
                  const char* destination) {
    const uint16_t port = next_port_++;
    return Conversation(Transport::kUdp, {.client_ns = from.fd(),
                                          .client = source,
                                          .to = destination,
                                          .to_port = port,
                                          .server_ns = to.fd(),
                                          .server = destination,
                                          .server_port = port});
  }
  uint16_t next_port_ = 8080;
  void ExpectOpen(Conversation& talk) {
    const absl::Status open = talk.Open();
    ASSERT_TRUE(open.ok()) << open;
  }
};

TEST_P(ShapingTest, ALimitOnWhatAPodReceivesActsFromPodsAndFromOutside) {
  for (const bool nat : {false, true}) {
    Start(Policy::kOpen, Policy::kOpen, nat);
    for (const Plan& plan : {kV4, kV6}) {
      for (const bool outside : {false, true}) {
        LimitReceiving("hostb", kTight);
        Conversation talk =
            outside ? To(*far_, plan.far, *b_, plan.b) : To(*a_, plan.a, *b_, plan.b);
        ExpectOpen(talk);
        const Counts before = Count("hostb");
        Burst(talk);
        const Counts control = Count("hostb");
        ASSERT_LT(Seen(control), Seen(before) + kDatagrams) << "nobody has told the programs";
        // A live flow.
        Shape("hostb");
        Burst(talk);
        EXPECT_TRUE(Reached("hostb", Seen(control) + kDatagrams - kHeld)) << outside << nat;
        EXPECT_GT(Count("hostb").lost, control.lost) << outside << nat;
        // And a new one, with room.
        LimitReceiving("hostb", kWide);
        Conversation another = To(*far_, plan.far, *b_, plan.b);
        ExpectOpen(another);
        const Counts wide = Count("hostb");
        Burst(another);
        EXPECT_TRUE(Reached("hostb", Seen(wide) + kDatagrams)) << outside << nat;
        const Counts limited = Count("hostb");
        EXPECT_EQ(limited.lost, wide.lost);
        Shape("hostb", false);
        Burst(another);
        EXPECT_LT(Seen(Count("hostb")), Seen(limited) + kDatagrams) << "direct again";
      }
    }
  }
}

// Not by clsact, which has the place of the ingress filter.
class ShapingOnTcxTest : public ShapingTest {};

TEST_P(ShapingOnTcxTest, ALimitOnWhatAPodSendsActsTowardPodsAndOutside) {
  for (const bool nat : {false, true}) {
    ASSERT_EQ(node_->Shell("ip link del bwp0; tc qdisc del dev hosta ingress; true"), 0);
    Start(Policy::kOpen, Policy::kOpen, nat);
    LimitSending("hosta", kWide);
    for (const Plan& plan : {kV4, kV6}) {
      for (const bool outside : {false, true}) {
        Shape("hosta", false);
        ASSERT_EQ(node_->Shell(absl::StrCat("tc qdisc replace dev bwp0 root ", kWide)), 0);
        Conversation talk =
            outside ? To(*a_, plan.a, *far_, plan.far) : To(*a_, plan.a, *b_, plan.b);
        ExpectOpen(talk);
        Shape("hosta");
        const uint64_t before = Count("bwp0").passed;
        const absl::Status exchanged = talk.Exchange();
        EXPECT_TRUE(exchanged.ok()) << exchanged << outside << nat;
        EXPECT_GT(Count("bwp0").passed, before);
        ASSERT_EQ(node_->Shell(absl::StrCat("tc qdisc replace dev bwp0 root ", kTight)), 0);
        const Counts tight = Count("bwp0");
        Burst(talk);
        EXPECT_TRUE(Reached("bwp0", Seen(tight) + kDatagrams - kHeld)) << outside << nat;
        EXPECT_GT(Count("bwp0").lost, tight.lost) << outside << nat;
      }
    }
  }
}

TEST_P(ShapingTest, PolicyIsAsForAnyOtherPod) {
  if (!GetParam()) LimitSending("hosta", kWide);
  Start(Policy::kOnlyClass1);
  for (const char* pod : {"hosta", "hostb"}) Shape(pod);
  LimitReceiving("hostb", kWide);
  for (const Plan& plan : {kV4, kV6}) {
    Conversation beside = To(*a_, plan.a, *b_, plan.b);
    Conversation outside = To(*a_, plan.a, *far_, plan.far);
    for (Conversation* talk : {&beside, &outside}) ExpectOpen(*talk);
    ExpectDenied(To(*a_, plan.a, *far_, plan.far_other), DROP_POLICY_EGRESS);
    Write(Policy::kClosed);
    for (Conversation* talk : {&beside, &outside}) {
      ExpectDropped(DROP_POLICY_EGRESS, [&] { talk->ClientSays(); });
    }
    Write(Policy::kOnlyClass1, Policy::kClosed);
    ExpectDropped(DROP_POLICY_INGRESS, [&] { beside.ClientSays(); });
    Write(Policy::kOnlyClass1);
  }
}

INSTANTIATE_TEST_SUITE_P(Attachment, ShapingOnTcxTest, ::testing::Values(false),
                         testing::AttachmentName);
INSTANTIATE_TEST_SUITE_P(Attachment, ShapingTest, ::testing::Values(false, true),
                         testing::AttachmentName);

}  // namespace
}  // namespace ripstop::agent
