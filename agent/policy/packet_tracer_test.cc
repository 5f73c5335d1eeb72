// SPDX-License-Identifier: Apache-2.0
//
// What is asked of the kernel for what an operator asks, and how its records read.
#include "agent/policy/packet_tracer.h"

#include <arpa/inet.h>
#include <linux/pkt_cls.h>

#include <cstring>
#include <thread>

#include "agent/base/testing/from_yaml.h"
#include "agent/dataplane/fake_dataplane.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::agent {
namespace {

using ::testing::HasSubstr;

constexpr char kServerPod[] = "192.0.2.10";
constexpr char kClientPod[] = "192.0.2.11";

ip_address Key(const char* text) {
  ip_address key;
  std::memcpy(&key, policy::Address::Parse(text)->bytes.data(), sizeof(key));
  return key;
}

class PacketTracerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    loop_ = *EventLoop::Create();
    ASSERT_TRUE(plane_.Begin().ok());
    Attach("server", kServerPod, 1);
    Attach("client", kClientPod, 2);
    plane_.feed().Put(FromYaml(
        "{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: server, "
        "namespace: shop}, spec: {selector: app == 'server', ingress: [{action: Allow, protocol: "
        "TCP, destination: {ports: [80]}}]}}"));
    plane_.OnWhole();
    ASSERT_EQ(plane_.Flush(), absl::OkStatus());
    tracer_ = std::make_unique<PacketTracer>(&plane_, &dataplane_, loop_.get());
  }
  void Attach(const std::string& app, const std::string& address, uint32_t ifindex) {
    policy::Endpoint pod;
    pod.id = app + "/eth0";
    pod.name = "shop/" + app;
    pod.labels = {{"app", app},
                  {"projectcalico.org/namespace", "shop"},
                  {"projectcalico.org/orchestrator", "k8s"}};
    pod.addresses = {*policy::Address::Parse(address)};
    plane_.feed().Attach(pod, {ifindex, {2, 0, 0, 0, 0, 7}}, pod.name, "");
  }
  uint32_t Word() {
    for (uint32_t rule = 1; rule < 100; ++rule) {
      const auto identity = plane_.engine().Rule(rule);
      if (identity.has_value() && identity->policy.name == "server") return VERDICT_ALLOW | rule;
    }
    return 0;
  }
  static loader::TracedPacket Packet() {
    loader::TracedPacket packet;
    trace_record& r = packet.record;
    r.hook = TRACE_FROM_WORKLOAD;
    r.family = 4;
    r.protocol = policy::kProtocolTcp;
    r.source = Key(kClientPod);
    r.destination = Key(kServerPod);
    r.source_port = htons(40000);
    r.destination_port = htons(80);
    r.tcp_flags = 0x12;
    r.ifindex = 2;
    r.flags = TRACE_HAS_PORTS;
    r.action = TC_ACT_REDIRECT;
    return packet;
  }
  v1::TracedPacket Described(const loader::TracedPacket& packet) {
    v1::TracedPacket out;
    tracer_->Describe(packet, &out);
    return out;
  }

  FakeDataplane dataplane_;
  PolicyPlane plane_{"node1", &dataplane_};
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<PacketTracer> tracer_;
};

TEST_F(PacketTracerTest, TheFilterIsAddressesAndNumbers) {
  v1::TraceRequest request;
  request.mutable_filter()->set_from("shop/client");
  request.mutable_filter()->set_to("203.0.113.9");
  request.mutable_filter()->set_protocol("icmp");
  request.mutable_filter()->set_port(80);
  request.set_verdict("drop");
  request.set_reason("policy-ingress");
  request.set_snap_bytes(64);
  const auto filter = tracer_->FilterOf(request);
  ASSERT_TRUE(filter.ok()) << filter.status();
  EXPECT_EQ(filter->ends[TRACE_POD].count, 0u);
  ASSERT_EQ(filter->ends[TRACE_FROM].count, 1u);
  const ip_address client = Key(kClientPod), far = Key("203.0.113.9");
  EXPECT_EQ(std::memcmp(&filter->ends[TRACE_FROM].addresses[0], &client, sizeof(client)), 0);
  EXPECT_EQ(std::memcmp(&filter->ends[TRACE_TO].addresses[0], &far, sizeof(far)), 0);
  EXPECT_EQ(filter->protocol, policy::kProtocolIcmp);
  EXPECT_TRUE(filter->has_protocol);
  EXPECT_EQ(filter->port, htons(80));
  EXPECT_EQ(filter->verdict, TRACE_DROPPED);
  EXPECT_EQ(filter->reason, uint32_t{DROP_POLICY_INGRESS});
  EXPECT_EQ(filter->snap, 64u);
}

TEST_F(PacketTracerTest, WhatCannotBeReadIsNamed) {
  const auto refused = [&](auto change) {
    v1::TraceRequest request;
    change(request);
    return tracer_->FilterOf(request).status();
  };
  const auto message = [](const absl::Status& status) { return std::string(status.message()); };
  EXPECT_TRUE(absl::IsNotFound(refused([](auto& r) { r.mutable_filter()->set_pod("shop/none"); })));
  EXPECT_THAT(message(refused([](auto& r) { r.mutable_filter()->set_from("nowhere"); })),
              HasSubstr("from 'nowhere'"));
  EXPECT_THAT(message(refused([](auto& r) { r.mutable_filter()->set_port(70000); })),
              HasSubstr("port 70000"));
  EXPECT_THAT(message(refused([](auto& r) { r.mutable_filter()->set_state("reset"); })),
              HasSubstr("state"));
  EXPECT_THAT(message(refused([](auto& r) { r.set_verdict("maybe"); })), HasSubstr("'maybe'"));
  EXPECT_THAT(message(refused([](auto& r) { r.set_reason("bad-luck"); })), HasSubstr("'bad-luck'"));
  EXPECT_THAT(message(refused([](auto& r) { r.set_snap_bytes(2000); })), HasSubstr("2000"));
}

TEST_F(PacketTracerTest, APacketNamesItsEndsItsPlaceAndTheRule) {
  loader::TracedPacket packet = Packet();
  packet.record.ingress_verdict = Word();
  ASSERT_NE(Word(), 0u);
  v1::TracedPacket got = Described(packet);
  EXPECT_EQ(got.hook(), "from_workload");
  EXPECT_EQ(got.endpoint(), "shop/client");
  EXPECT_EQ(got.source(), kClientPod);
  EXPECT_EQ(got.source_name(), "shop/client");
  EXPECT_EQ(got.destination_name(), "shop/server");
  EXPECT_EQ(got.destination_port(), 80u);
  EXPECT_EQ(got.details(), "SYN,ACK");
  EXPECT_EQ(got.verdict(), "Allow");
  EXPECT_EQ(got.next(), "pod");
  EXPECT_EQ(got.reason(), "");
  EXPECT_EQ(got.egress_rule(), "");
  EXPECT_THAT(got.ingress_rule(), HasSubstr("shop/server ingress rule 0"));

  packet.record.action = TC_ACT_SHOT;
  packet.record.reason = DROP_SPOOFED;
  packet.record.ifindex = 9;  // not the sender's
  got = Described(packet);
  EXPECT_EQ(got.verdict(), "Drop");
  EXPECT_EQ(got.reason(), "spoofed");
  EXPECT_EQ(got.next(), "");
  EXPECT_EQ(got.endpoint(), "");
}

TEST_F(PacketTracerTest, WhereAPacketWent) {
  struct Row {
    trace_hook hook;
    int action;
    const char* to;
    const char* verdict;
    const char* next;
  };
  const Row rows[] = {
      {TRACE_FROM_WORKLOAD, TC_ACT_REDIRECT, kServerPod, "Allow", "pod"},
      {TRACE_FROM_WORKLOAD, TC_ACT_REDIRECT, "203.0.113.9", "Allow", "route"},
      {TRACE_FROM_WORKLOAD, TC_ACT_OK, "203.0.113.9", "Allow", "host stack"},
      {TRACE_FROM_HOST, TC_ACT_OK, "203.0.113.9", "Pass", "host stack"},
      {TRACE_FROM_ELSEWHERE, TC_ACT_UNSPEC, "203.0.113.9", "Pass", "host stack"},
      {TRACE_TO_HOST, TC_ACT_OK, "203.0.113.9", "Pass", "out"},
      {TRACE_TO_WORKLOAD, TC_ACT_OK, kServerPod, "Allow", "pod"},
      {TRACE_TO_WORKLOAD, TC_ACT_SHOT, kServerPod, "Drop", ""},
  };
  for (const Row& row : rows) {
    loader::TracedPacket packet = Packet();
    packet.record.hook = static_cast<uint8_t>(row.hook);
    packet.record.action = row.action;
    packet.record.destination = Key(row.to);
    const v1::TracedPacket got = Described(packet);
    EXPECT_EQ(got.verdict(), row.verdict) << row.hook << " " << row.action;
    EXPECT_EQ(got.next(), row.next) << row.hook << " " << row.action;
  }
}

TEST_F(PacketTracerTest, ADropThatIsAnsweredIsADrop) {
  loader::TracedPacket packet = Packet();
  packet.record.reason = DROP_NO_FLOW;
  const v1::TracedPacket got = Described(packet);
  EXPECT_EQ(got.verdict(), "Drop");
  EXPECT_EQ(got.reason(), "no-flow");
  EXPECT_EQ(got.next(), "answer");
}

TEST_F(PacketTracerTest, OtherFramesHaveNoAddresses) {
  loader::TracedPacket packet;
  packet.record.action = TC_ACT_SHOT;
  packet.record.reason = DROP_ARP;
  const v1::TracedPacket got = Described(packet);
  EXPECT_EQ(got.ip_version(), 0u);
  EXPECT_EQ(got.source(), "");
  EXPECT_EQ(got.reason(), "arp");
}

TEST_F(PacketTracerTest, WhatTheDataplaneCannotIsSaidToWhoAsks) {
  std::thread loop([this] { (void)loop_->RunUntilStopped(); });
  const absl::Status status = tracer_->Run({}, {.gone = [] { return false; },
                                                .tell =
                                                    [](const v1::TraceReply&) {
                                                      ADD_FAILURE() << "nothing has begun";
                                                      return false;
                                                    }});
  EXPECT_TRUE(absl::IsUnimplemented(status)) << status;
  loop_->Stop();
  loop.join();
}

}  // namespace
}  // namespace ripstop::agent
