// SPDX-License-Identifier: Apache-2.0
//
// Policy sets of every shape in the real programs: both representations, rules by the
// thousand, near rows and source columns, against an evaluator that tries rule after rule.
#include <bpf/libbpf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "bpf/loader/kernel_evaluator.h"
#include "policy/testing/random_policy_set.h"

namespace ripstop::loader {
namespace {

using policy::Address;
using policy::PolicySet;
using policy::testing::RandomPolicySet;

struct Case {
  uint32_t rules;
  bool near, source, dense;
};

class PolicySetKernelTest : public ::testing::TestWithParam<Case> {};

Address Far(uint32_t address_class) {
  return Address::FromV4(0xc6336401 + address_class);
}  // 198.51.100.0/24
Address Near(uint32_t address_class) {
  return Address::FromV4(0xcb007101 + address_class);
}  // 203.0.113.0/24

TEST_P(PolicySetKernelTest, TheProgramsDecideByTheFirstRule) {
  if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SCHED_CLS, nullptr) != 1) {
    GTEST_SKIP() << "needs CAP_BPF and CAP_NET_ADMIN";
  }
  const Case& c = GetParam();
  RandomPolicySet random(c.rules, {c.rules, c.near, c.source});
  PolicySet set(random.rules(), random.l4_sets(), 64);
  const policy::PolicySetLimits limits = {.dense_cells_max = c.dense ? 1u << 19 : 0,
                                          .bit_vectors = !c.dense};
  ASSERT_TRUE(set.Compile(random.classes(), random.l4(), limits).ok());

  auto kernel = KernelEvaluator::OpenForVerdicts();
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  const uint32_t chunk = (*kernel)->engine_options().first_chunk;
  const uint32_t l4_table = ARENA_HANDLE(chunk, 1);
  std::vector<uint32_t> handles;
  for (size_t i = 0; i < set.runs().size(); ++i) handles.push_back(ARENA_HANDLE(chunk + 1 + i, 5));
  set.Place(handles, 1);
  policy::TableWrites writes = {policy::EnsureRules{c.rules + 1}};
  for (auto& w : random.l4().TakeChanges())
    writes.push_back(policy::WriteWords{l4_table, w.first, std::move(w.words)});
  set.Everything(writes);
  for (uint32_t i = 0; i < random.classes().bound(); ++i) {
    address_value value = {};
    value.address_class = i;
    writes.push_back(policy::SetAddress{Far(i), value});
    value.flags = ADDRESS_LOCAL_ENDPOINT;
    value.ifindex = 10 + i;
    value.ingress_set = handles[0];
    writes.push_back(policy::SetAddress{Near(i), value});
  }
  ASSERT_TRUE((*kernel)->Apply(writes, l4_table).ok());

  uint32_t latest = 0, logged = 0;
  for (int i = 0; i < 1500; ++i) {
    const uint32_t far = random.AnyClass(), near = random.AnyClass();
    policy::Packet packet;
    packet.source = Far(far);
    packet.destination = Near(near);
    packet.protocol = policy::kProtocolTcp;
    packet.source_port = static_cast<uint16_t>(random.Below(128));
    packet.destination_port = static_cast<uint16_t>(random.Below(128));
    const auto got = (*kernel)->Evaluate(packet);
    ASSERT_TRUE(got.ok()) << got.status();
    const uint32_t want = random.Verdict(far, near, L4_INDEX(L4_TCP, packet.destination_port),
                                         L4_INDEX(L4_TCP, packet.source_port));
    ASSERT_EQ(got->ingress_word, want) << "far class " << far << " near class " << near << " ports "
                                       << packet.source_port << " " << packet.destination_port;
    latest = std::max(latest, want & VERDICT_RULE_MASK);
    logged += (want & VERDICT_LOG) != 0;
  }
  // Rules far down the list must have decided, or the test proves little.
  EXPECT_GT(latest, c.rules / 2);
  EXPECT_EQ(logged > 0, c.rules > 60);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, PolicySetKernelTest,
    ::testing::Values(Case{1, false, false, false}, Case{65, true, false, true},
                      Case{65, true, true, true}, Case{64, false, false, false},
                      Case{65, false, true, false}, Case{65, true, false, false},
                      Case{1000, true, true, false}, Case{4096, false, false, false},
                      Case{4097, true, false, false}, Case{16385, false, false, false},
                      Case{40000, false, true, false}),
    [](const auto& info) {
      return std::to_string(info.param.rules) + "Rules" + (info.param.near ? "Near" : "") +
             (info.param.source ? "Source" : "") + (info.param.dense ? "Dense" : "BitVectors");
    });

}  // namespace
}  // namespace ripstop::loader
