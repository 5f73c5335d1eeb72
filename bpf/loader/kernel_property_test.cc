// SPDX-License-Identifier: Apache-2.0
//
// Random policy × random packet, three ways: the reference evaluator, the tables in user
// space and the real programs under BPF_PROG_TEST_RUN must name the same rule.
// RIPSTOP_FUZZ_CASES sets how many packets are tried, RIPSTOP_FUZZ_SEED where to begin.
#include <bpf/libbpf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "bpf/loader/kernel_evaluator.h"
#include "policy/engine/engine.h"
#include "policy/reference.h"
#include "policy/status_macros.h"
#include "policy/tables/table_image.h"
#include "policy/testing/random_world.h"

namespace ripstop::loader {
namespace {

using policy::Direction;
using policy::testing::Describe;
using policy::testing::RandomWorld;

uint64_t Number(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

// Packets that no policy is asked about, or that cannot be written on a wire as their
// numbers say: an IPv6 extension header is not a transport.
bool IsOnlyHypothetical(const policy::Packet& packet) {
  if (packet.source.is_v4() != packet.destination.is_v4()) return true;
  if (packet.source.is_v4()) return false;
  return packet.protocol == 0 || packet.protocol == 43 || packet.protocol == 44 ||
         packet.protocol == 60;
}

bool IsDroppedBeforePolicy(drop_reason reason) {
  return reason == DROP_MARTIAN || reason == DROP_NEIGHBOR_DISCOVERY ||
         reason == DROP_TUNNEL_FROM_WORKLOAD || reason == DROP_DHCP_FROM_WORKLOAD;
}

// What a host endpoint's policy set says of a packet. No program asks for the sets of
// interfaces; the set hangs on the near address for one packet, with its class, and the
// program that judges workloads reads it.
absl::StatusOr<uint32_t> HostSetWord(KernelEvaluator& kernel, const policy::TableImage& image,
                                     uint32_t handle, Direction direction,
                                     const policy::Packet& packet) {
  const bool ingress = direction == Direction::kIngress;
  const policy::Address& near = ingress ? packet.destination : packet.source;
  const auto known = image.Find(near);
  address_value lent = {};
  lent.address_class = image.ClassOf(near);
  lent.flags = ADDRESS_LOCAL_ENDPOINT;
  lent.ifindex = 1;
  (ingress ? lent.ingress_set : lent.egress_set) = handle;
  RETURN_IF_ERROR(kernel.Apply({policy::SetAddress{near, lent}}, 0));
  ASSIGN_OR_RETURN(const KernelVerdict got, kernel.Evaluate(packet));
  const policy::TableWrite back = known ? policy::TableWrite(policy::SetAddress{near, *known})
                                        : policy::TableWrite(policy::RemoveAddress{near});
  RETURN_IF_ERROR(kernel.Apply({back}, 0));
  if (IsDroppedBeforePolicy(got.reason)) return absl::NotFoundError("dropped before policy");
  return ingress ? got.ingress_word : got.egress_word;
}

TEST(KernelPropertyTest, ReferenceTablesAndProgramsAgree) {
  if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SCHED_CLS, nullptr) != 1) {
    GTEST_SKIP() << "needs CAP_BPF and CAP_NET_ADMIN";
  }
  const uint64_t cases = Number("RIPSTOP_FUZZ_CASES", 100000);
  const uint64_t seed = Number("RIPSTOP_FUZZ_SEED", 1);
  uint64_t judged = 0, skipped = 0, allowed = 0, hosts = 0, worlds = 0;
  while (judged < cases) {
    // However few the packets, several worlds, endpoints and changes get some.
    const uint64_t enough = std::min(cases, judged + cases / 8 + 1);
    const uint64_t per_endpoint = std::min<uint64_t>(100, cases / 80 + 1);
    RandomWorld random(seed * 1000003 + worlds++);
    policy::World world = random.Generate();
    auto kernel = KernelEvaluator::OpenForVerdicts();
    ASSERT_TRUE(kernel.ok()) << kernel.status();
    // Dense tables, bit vectors, and both.
    constexpr uint32_t kCellsMax[] = {1u << 19, 0, 12, 60};
    policy::EngineOptions options = (*kernel)->engine_options();
    options.dense_cells_max = kCellsMax[worlds % 4];
    policy::Engine engine(options);
    policy::TableImage image;
    policy::Reference reference;
    policy::World before;
    // The same programs and maps see several changes of one world.
    for (int change = 0; change < 10 && judged < enough; ++change) {
      for (const auto& call : policy::testing::Difference(before, world)) call(engine);
      const policy::TableWrites writes = engine.Flush();
      image.Apply(writes);
      image.set_l4_table(engine.l4_table());
      ASSERT_TRUE((*kernel)->Apply(writes, engine.l4_table()).ok());
      for (const auto& [id, local] : world.endpoints) {
        if (!local.local || local.addresses.empty()) continue;
        for (uint64_t i = 0; i < per_endpoint && judged < enough; ++i) {
          const Direction direction = random.Chance(50) ? Direction::kIngress : Direction::kEgress;
          const policy::Packet packet = random.RandomPacket(world, local, direction);
          const auto want = reference.Evaluate(world, local, direction, packet);
          const auto table = image.Verdict(direction, packet);
          if (!want || !table || IsOnlyHypothetical(packet)) {
            ++skipped;
            continue;
          }
          const auto got = (*kernel)->Evaluate(packet);
          ASSERT_TRUE(got.ok()) << got.status();
          if (IsDroppedBeforePolicy(got->reason)) {
            ++skipped;
            continue;
          }
          ++judged;
          const uint32_t word =
              direction == Direction::kEgress ? got->egress_word : got->ingress_word;
          const auto rule = engine.Rule(word & VERDICT_RULE_MASK);
          allowed += want->allow;
          ASSERT_TRUE(word == table->word && rule && *rule == want->by &&
                      ((word & VERDICT_ALLOW) != 0) == want->allow &&
                      ((word & VERDICT_LOG) != 0) == want->log)
              << "seed " << seed << " world " << worlds - 1 << " change " << change << ", "
              << (direction == Direction::kIngress ? "ingress of " : "egress of ") << id << " "
              << Describe(packet) << "\nreference: " << want->by.ToString() << "\ntables:    word "
              << table->word << "\nprogram:   word " << word << " by "
              << (rule ? rule->ToString() : "nobody") << ", reason " << got->reason << "\n"
              << Describe(world);
        }
      }
      for (uint64_t i = 0; i < per_endpoint && !world.host_endpoints.empty(); ++i) {
        const auto group = static_cast<policy::HostGroup>(random.Below(policy::kHostGroups));
        const bool ingress = group == policy::HostGroup::kPreDnat || random.Chance(50);
        const Direction direction = ingress ? Direction::kIngress : Direction::kEgress;
        const uint32_t interface = random.Below(RandomWorld::kInterfaces);
        const policy::HostEndpoint* host = world.HostEndpointAt(interface);
        const policy::Packet packet = random.RandomForwarded(world);
        if (host == nullptr || packet.source == packet.destination || IsOnlyHypothetical(packet))
          continue;
        const policy::Verdict want = reference.EvaluateHost(world, *host, group, direction, packet);
        const auto table = image.HostVerdict(interface, group, direction, packet);
        ASSERT_TRUE(table);
        const auto word = HostSetWord(**kernel, image, table->handle, direction, packet);
        if (absl::IsNotFound(word.status())) continue;
        ASSERT_TRUE(word.ok()) << word.status();
        ++hosts;
        const auto rule = engine.Rule(*word & VERDICT_RULE_MASK);
        ASSERT_TRUE(*word == table->word && rule && *rule == want.by &&
                    ((*word & VERDICT_ALLOW) != 0) == want.allow &&
                    ((*word & VERDICT_NEXT_GROUP) != 0) == want.next)
            << "seed " << seed << " world " << worlds - 1 << " change " << change << ", "
            << ToString(group) << (ingress ? " ingress of " : " egress of ") << host->id << " "
            << Describe(packet) << "\nreference: " << want.by.ToString() << "\ntables:    word "
            << table->word << "\nprogram:   word " << *word << " by "
            << (rule ? rule->ToString() : "nobody") << "\n"
            << Describe(world);
      }
      before = world;
      random.Change(world);
    }
  }
  std::printf(
      "%lu packets in %lu worlds judged alike three ways, %lu allowed; %lu set aside; and %lu "
      "by host endpoints\n",
      judged, worlds, allowed, skipped, hosts);
  EXPECT_GT(hosts, judged / 100);
  EXPECT_LT(skipped, judged) << "too few packets reach policy to prove anything";
  EXPECT_GT(allowed, judged / 20);
  EXPECT_LT(allowed, judged - judged / 20);
}

policy::World Opposite(policy::World world) {
  for (auto& [_, policy] : world.policies) {
    for (auto* rules : {&policy.ingress_rules, &policy.egress_rules}) {
      for (policy::Rule& rule : *rules) {
        if (rule.action == policy::Action::kAllow) {
          rule.action = policy::Action::kDeny;
        } else if (rule.action == policy::Action::kDeny) {
          rule.action = policy::Action::kAllow;
        }
      }
    }
  }
  return world;
}

// The control of the comparison above (attack matrix C1): tables of a policy that says the opposite
// are told from those of the policy.
TEST(KernelPropertyTest, ControlTablesOfTheOppositePolicyAreNoticed) {
  if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SCHED_CLS, nullptr) != 1) {
    GTEST_SKIP() << "needs CAP_BPF and CAP_NET_ADMIN";
  }
  int noticed = 0;
  for (uint64_t seed = 1; seed <= 10 && noticed == 0; ++seed) {
    RandomWorld random(seed);
    const policy::World world = random.Generate();
    auto kernel = KernelEvaluator::OpenForVerdicts();
    ASSERT_TRUE(kernel.ok()) << kernel.status();
    policy::Engine engine((*kernel)->engine_options());
    const policy::World opposite = Opposite(world);
    for (const auto& call : policy::testing::Difference({}, opposite)) call(engine);
    const policy::TableWrites writes = engine.Flush();
    ASSERT_TRUE((*kernel)->Apply(writes, engine.l4_table()).ok());
    policy::Reference reference;
    for (const auto& [id, local] : world.endpoints) {
      if (!local.local || local.addresses.empty()) continue;
      for (int i = 0; i < 200; ++i) {
        const Direction direction = random.Chance(50) ? Direction::kIngress : Direction::kEgress;
        const policy::Packet packet = random.RandomPacket(world, local, direction);
        const auto want = reference.Evaluate(world, local, direction, packet);
        if (!want || IsOnlyHypothetical(packet)) continue;
        const auto got = (*kernel)->Evaluate(packet);
        ASSERT_TRUE(got.ok()) << got.status();
        if (IsDroppedBeforePolicy(got->reason)) continue;
        const uint32_t word =
            direction == Direction::kEgress ? got->egress_word : got->ingress_word;
        noticed += ((word & VERDICT_ALLOW) != 0) != want->allow;
      }
    }
  }
  EXPECT_GT(noticed, 0);
}

}  // namespace
}  // namespace ripstop::loader
