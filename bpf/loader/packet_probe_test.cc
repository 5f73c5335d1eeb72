// SPDX-License-Identifier: Apache-2.0
//
// A probe says what the programs do, and nobody sees that it was there.
#include "bpf/loader/packet_probe.h"

#include <gmock/gmock.h>

#include <map>

#include "bpf/datapath.skel.h"
#include "bpf/loader/owner_store.h"
#include "bpf/loader/packet_testing.h"

namespace ripstop::loader {
namespace {

class PacketProbeTest : public PacketTest {
 protected:
  std::vector<ProbeStage> Probe(const FrameSpec& spec) {
    auto stages = ProbePacket(kernel_->object(), spec.packet);
    EXPECT_TRUE(stages.ok()) << stages.status();
    return stages.ok() ? *std::move(stages) : std::vector<ProbeStage>();
  }
  // All that the datapath has in maps that can be listed, but for room to work in.
  std::map<std::string, std::vector<std::string>> Everything() {
    std::map<std::string, std::vector<std::string>> contents;
    for (const char* name :
         {"rs_flows_v3", "rs_drops_v1", "rs_accounts_v2", "rs_half_open_v1", "rs_frags_v1",
          "rs_sockets_v1", "rs_lost_v2", "rs_budget_v2", "rs_epochs_v1", "rs_interfaces_v1"}) {
      const int map = kernel_->object().Map(name);
      bpf_map_info info = {};
      uint32_t bytes = sizeof(info);
      EXPECT_EQ(bpf_obj_get_info_by_fd(map, &info, &bytes), 0) << name;
      const bool per_cpu = info.type == BPF_MAP_TYPE_PERCPU_ARRAY;
      std::string key(info.key_size, 0), next(info.key_size, 0),
          value((info.value_size + 7) / 8 * 8 * (per_cpu ? libbpf_num_possible_cpus() : 1), 0);
      std::vector<std::string>& rows = contents[name];
      const void* before = nullptr;
      while (bpf_map_get_next_key(map, before, next.data()) == 0) {
        key = next;
        before = key.data();
        if (bpf_map_lookup_elem(map, key.data(), value.data()) == 0) rows.push_back(key + value);
      }
    }
    return contents;
  }

  // Takes them out.
  uint64_t EventsInRing() {
    uint64_t events = 0;
    ring_buffer* ring = ring_buffer__new(
        kernel_->object().events(),
        [](void* count, void*, size_t) { return ++*static_cast<uint64_t*>(count), 0; }, &events,
        nullptr);
    if (ring == nullptr) return ~0ull;
    ring_buffer__consume(ring);
    ring_buffer__free(ring);
    return events;
  }
};

TEST_F(PacketProbeTest, TheVerdictOfAPacketBetweenPodsAndWhatWasRead) {
  const auto stages = Probe(Tcp(kClient, kServer));
  ASSERT_EQ(stages.size(), 1u);
  const ProbeStage& stage = stages[0];
  EXPECT_EQ(stage.program, "from_workload");
  EXPECT_EQ(stage.ifindex, 1u);
  EXPECT_TRUE(stage.parsed);
  EXPECT_EQ(stage.packet.source, Addr(kClient));
  EXPECT_EQ(stage.packet.destination, Addr(kServer));
  EXPECT_EQ(stage.packet.source_port, 40000);
  EXPECT_EQ(stage.packet.destination_port, 80);
  EXPECT_EQ(stage.tcp_flags, 0x02);
  EXPECT_FALSE(stage.flow.has_value());
  EXPECT_TRUE(stage.begins_flow);
  ASSERT_TRUE(stage.source.has_value());
  EXPECT_EQ(stage.source->flags & ADDRESS_LOCAL_ENDPOINT, ADDRESS_LOCAL_ENDPOINT);
  EXPECT_EQ(stage.egress_word, VERDICT_ALLOW | 11);
  EXPECT_EQ(stage.ingress_word, VERDICT_ALLOW | 21);
  EXPECT_EQ(stage.action, TC_ACT_REDIRECT);
  EXPECT_EQ(stage.reason, DROP_NONE);
}

TEST_F(PacketProbeTest, TheHookIsThatOfTheirPlaceAndTheReasonItsOwn) {
  struct Row {
    FrameSpec spec;
    const char* program;
    drop_reason reason;
  };
  const Row rows[] = {
      {Tcp(kClient, kClosed), "from_workload", DROP_POLICY_INGRESS},
      {Tcp(kClient, "224.0.0.1"), "from_workload", DROP_MARTIAN},
      {Tcp(kBare, kServer), "from_workload", DROP_NO_POLICY_SET},
      {Tcp(kStranger, kServer, 22), "from_host", DROP_POLICY_INGRESS},
      {Tcp(kStranger, kServer, 80), "from_host", DROP_NONE},
      {Tcp(kHost, kServer, 80), "to_workload", DROP_NONE},
      {Udp(kClient6, kServer6, 53), "from_workload", DROP_POLICY_INGRESS},
      {Icmp(kClient6, kServer6, 128), "from_workload", DROP_NONE},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.program);
    const auto stages = Probe(row.spec);
    ASSERT_EQ(stages.size(), 1u);
    EXPECT_EQ(stages[0].program, row.program);
    EXPECT_EQ(stages[0].reason, row.reason);
  }
  EXPECT_TRUE(Probe(Tcp(kStranger, kNode)).empty());
}

TEST_F(PacketProbeTest, AKnownFlowIsKnownToIt) {
  Run(Hook::kFromWorkload, Tcp(kClient, kServer));
  FrameSpec answer = Tcp(kServer, kClient, 40000, 80);
  answer.tcp_flags = 0x12;
  Run(Hook::kFromWorkload, answer);
  const auto stages = Probe(answer);
  ASSERT_EQ(stages.size(), 1u);
  ASSERT_TRUE(stages[0].flow.has_value());
  EXPECT_TRUE(stages[0].flow_current);
  EXPECT_FALSE(stages[0].source.has_value());  // nobody was looked up
  EXPECT_FALSE(stages[0].begins_flow);
  EXPECT_EQ(stages[0].tcp_flags, 0x10);
  EXPECT_EQ(stages[0].reason, DROP_NONE);
}

TEST_F(PacketProbeTest, NothingIsLeftBehind) {
  Run(Hook::kFromWorkload, Tcp(kClient, kServer, 80, 50000));
  Run(Hook::kFromWorkload, Tcp(kClient, kClosed));
  kernel_->object().state()->flags |= STATE_WATCH_FLOWS | STATE_WATCH_CLOSED;
  EventsInRing();  // those of the packets above
  const auto before = Everything();
  Probe(Tcp(kClient, kServer));             // would begin a flow, and count two hits
  Probe(Tcp(kClient, kServer, 80, 50000));  // one that there is
  Probe(Tcp(kClient, kClosed));             // a drop, and an event
  Probe(Tcp(kStranger, kServer));
  EXPECT_EQ(Everything(), before);
  EXPECT_EQ(EventsInRing(), 0u);
  Run(Hook::kFromWorkload, Tcp(kClient, kServer, 80, 50001));
  EXPECT_EQ(EventsInRing(), 1u) << "control: no event would have been seen";
}

// Whoever adds a map says here whether programs write to it: a probe has its own of those.
TEST_F(PacketProbeTest, EveryMapIsEitherReadOrWritten) {
  datapath* skeleton = datapath__open();
  ASSERT_NE(skeleton, nullptr);
  std::vector<std::string> own;
  bpf_map* map;
  bpf_object__for_each_map(map, skeleton->obj) {
    if (!IsSharedWithProbe(bpf_map__name(map))) own.emplace_back(bpf_map__name(map));
  }
  datapath__destroy(skeleton);
  for (std::string& name : own) name = name.substr(0, name.find("_v"));
  EXPECT_THAT(own, ::testing::UnorderedElementsAre(
                       "rs_hits", "rs_flows", "rs_accounts", "rs_half_open", "rs_frags",
                       "rs_timeouts", "rs_sockets", "rs_drops", "rs_events", "rs_budget",
                       "rs_answers", "rs_lost", "rs_interface_drops", "rs_walk", "rs_asked",
                       "rs_masquerade", "masquerade_works", "forgotten", "datapath.rodata"))
      << "a map came or went: if programs never write to it, add it to kShared in "
         "probe_programs.cc, else to this list";
}

TEST_F(PacketProbeTest, AFullAccountIsFullForItTooUnlessOneOfTheLatestMakesRoom) {
  kernel_->object().state()->account_half_open = 1;
  Run(Hook::kFromWorkload, Tcp(kClient, kServer, 80, 50000));
  const auto before = Everything();
  const auto stages = Probe(Tcp(kClient, kServer));
  EXPECT_EQ(stages[0].reason, DROP_NONE);
  EXPECT_TRUE(stages[0].begins_flow);
  EXPECT_EQ(Everything(), before) << "the one that would make room stands";
  Run(Hook::kFromWorkload, Tcp(kClient, kServer));
  EXPECT_FALSE(Probe(Tcp(kClient, kServer, 80, 50000))[0].flow.has_value()) << "as it was said";
  // An open one makes no room.
  FrameSpec answer = Tcp(kServer, kClient, 40000, 80), acknowledged = Tcp(kClient, kServer);
  answer.tcp_flags = 0x12;
  answer.tcp_sequence = 5000;
  answer.tcp_acknowledged = 1;
  acknowledged.tcp_flags = 0x10;
  acknowledged.tcp_sequence = 1;
  acknowledged.tcp_acknowledged = 5001;
  Run(Hook::kFromWorkload, answer);
  Run(Hook::kFromWorkload, acknowledged);
  kernel_->object().state()->account_half_open = 100;
  kernel_->object().state()->account_flows = 1;
  EXPECT_EQ(Probe(Tcp(kClient, kServer, 80, 50000))[0].reason, DROP_POD_FLOWS);
}

}  // namespace
}  // namespace ripstop::loader
