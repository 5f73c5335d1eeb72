// SPDX-License-Identifier: Apache-2.0
//
// Policy sets by themselves, read back by the algorithm of the programs and compared with
// an evaluator that tries rule after rule.
#include "policy/sets/policy_set.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <vector>

#include "policy/tables/verdict_lookup.h"
#include "policy/testing/random_policy_set.h"

namespace ripstop::policy {
namespace {

using testing::RandomPolicySet;

// An arena whose chunks are made as they are written. Handles are given out one run to a
// chunk, so that bitmaps lie in other chunks than their set.
class ToyArena {
 public:
  void Place(PolicySet& set) {
    std::vector<uint32_t> handles;
    for (size_t i = 0; i < set.runs().size(); ++i)
      handles.push_back(ARENA_HANDLE(++last_chunk_, 7));
    set.Place(std::move(handles), 1);
  }
  void Apply(const TableWrites& writes) {
    for (const TableWrite& write : writes) {
      const auto& w = std::get<WriteWords>(write);
      for (size_t i = 0; i < w.words.size(); ++i) {
        const size_t word = w.first_word + i;
        lines_[w.handle + static_cast<uint32_t>(word / ARENA_LINE_WORDS)]
            .words[word % ARENA_LINE_WORDS] = w.words[i];
      }
    }
  }
  VerdictLookup Look(const PolicySet& set, const PacketClasses& packet) const {
    return LookUpVerdict(
        [this](uint32_t handle) -> std::optional<arena_line> {
          const auto it = lines_.find(handle);
          return it == lines_.end() ? std::nullopt : std::optional(it->second);
        },
        set.handle(), packet);
  }

 private:
  std::map<uint32_t, arena_line> lines_;
  uint32_t last_chunk_ = 0;
};

struct Case {
  uint32_t rules;
  bool near, source, dense;
};

class PolicySetTest : public ::testing::TestWithParam<Case> {
 protected:
  void ExpectVerdicts(RandomPolicySet& random, const PolicySet& set, const ToyArena& arena,
                      int packets) {
    for (int i = 0; i < packets && !HasFailure(); ++i) {
      const uint32_t far = random.AnyClass(), near = random.AnyClass();
      const uint32_t index = random.AnyL4Index(), source = random.AnyL4Index();
      const VerdictLookup got =
          arena.Look(set, {far, near, random.l4().ClassOf(index), random.l4().ClassOf(source)});
      EXPECT_TRUE(got.read);
      EXPECT_EQ(got.word, random.Verdict(far, near, index, source))
          << "far class " << far << " near class " << near << " port " << index << " source port "
          << source;
      latest_ = std::max(latest_, got.word & VERDICT_RULE_MASK);
    }
  }
  uint32_t latest_ = 0;  // rule that decided
};

TEST_P(PolicySetTest, VerdictsAreThoseOfTheRulesWhateverIsAddedLater) {
  const Case& c = GetParam();
  const PolicySetLimits limits = {.dense_cells_max = c.dense ? 1u << 19 : 0,
                                  .bit_vectors = !c.dense};
  size_t grown = 0;
  for (uint64_t seed = 1; seed <= (c.rules > 1000 ? 2u : 8u); ++seed) {
    SCOPED_TRACE(seed);
    RandomPolicySet random(seed, {c.rules, c.near, c.source});
    auto set = std::make_unique<PolicySet>(random.rules(), random.l4_sets(), 2);
    ASSERT_TRUE(set->Compile(random.classes(), random.l4(), limits).ok());
    EXPECT_EQ(set->is_dense(), c.dense);
    ToyArena arena;
    arena.Place(*set);
    TableWrites writes;
    set->Everything(writes);
    arena.Apply(writes);
    ExpectVerdicts(random, *set, arena, 300);

    const auto grow = [&] {
      auto larger = set->Grown({random.classes().bound(), random.l4().count()}, limits);
      ASSERT_TRUE(larger.ok()) << larger.status();
      set = *std::move(larger);
      arena.Place(*set);
      writes.clear();
      set->Everything(writes);
      arena.Apply(writes);
      ++grown;
    };
    for (int change = 0; change < 40 && !HasFatalFailure(); ++change) {
      const uint32_t address_class = random.MoreClasses();
      const std::vector<uint32_t>& signature = random.classes().Signature(address_class);
      writes.clear();
      if (!set->SetRowOf(address_class, signature, writes).ok()) {
        grow();
        writes.clear();
        ASSERT_TRUE(set->SetRowOf(address_class, signature, writes).ok()) << "Grown made no room";
      }
      for (const auto& split : random.MoreL4Classes()) {
        if (set->CopyColumn(split, writes).ok()) continue;
        arena.Apply(writes);
        grow();
        writes.clear();
        ASSERT_TRUE(set->CopyColumn(split, writes).ok()) << "Grown made no room";
      }
      arena.Apply(writes);
      ExpectVerdicts(random, *set, arena, 20);
    }
  }
  EXPECT_GT(grown, 0u);
  // Rules far down the list must have decided, or the test proves little.
  EXPECT_GT(latest_, c.rules / 2);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, PolicySetTest,
    ::testing::Values(Case{1, false, false, false}, Case{3, true, false, true},
                      Case{3, true, false, false}, Case{64, false, true, false},
                      Case{65, true, false, true}, Case{65, true, true, false},
                      Case{300, true, false, true}, Case{300, false, true, true},
                      Case{300, true, true, false}, Case{4096, false, false, false},
                      Case{4097, true, true, false}, Case{16384, false, false, false},
                      Case{16385, false, true, false}, Case{40000, true, false, false}),
    [](const auto& info) {
      return std::to_string(info.param.rules) + "Rules" + (info.param.near ? "Near" : "") +
             (info.param.source ? "Source" : "") + (info.param.dense ? "Dense" : "BitVectors");
    });

// Exact for dense sets; bit vectors may only err towards yes.
TEST(PolicySetRevocationTest, NoRevocationIsOverlooked) {
  int revoking = 0, exact = 0, pairs = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    RandomPolicySet random(seed, {40, seed % 2 == 0, seed % 3 == 0});
    PolicySet dense(random.rules(), random.l4_sets(), 2),
        vectors(random.rules(), random.l4_sets(), 2);
    ASSERT_TRUE(dense.Compile(random.classes(), random.l4(), {1u << 19, false}).ok());
    ASSERT_TRUE(vectors.Compile(random.classes(), random.l4(), {0, true}).ok());
    for (uint32_t from = 0; from < random.classes().bound(); ++from) {
      for (uint32_t to = 0; to < random.classes().bound(); ++to) {
        bool revokes = false;
        for (uint32_t other = 0; other < random.classes().bound() && !revokes; ++other) {
          for (uint32_t port = 0; port < 128 && !revokes; port += 3) {
            const uint32_t source = L4_INDEX(L4_TCP, random.Below(128)),
                           index = L4_INDEX(L4_TCP, port);
            for (const bool near : {false, true}) {
              const auto verdict = [&](uint32_t c) {
                return near ? random.Verdict(other, c, index, source)
                            : random.Verdict(c, other, index, source);
              };
              const uint32_t word = verdict(from);
              revokes |= (word & (VERDICT_ALLOW | VERDICT_NEXT_GROUP)) != 0 && verdict(to) != word;
            }
          }
        }
        const bool by_dense = dense.RevokesBetween(dense.RowOf(from), dense.RowOf(to));
        const bool by_vectors = vectors.RevokesBetween(vectors.RowOf(from), vectors.RowOf(to));
        if (revokes) {
          EXPECT_TRUE(by_dense && by_vectors)
              << "seed " << seed << " class " << from << " to " << to;
        }
        revoking += revokes;
        exact += by_dense == by_vectors;
        ++pairs;
      }
    }
  }
  EXPECT_GT(revoking, pairs / 10);
  EXPECT_LT(revoking, pairs);
  EXPECT_EQ(exact, pairs) << "small bit vectors are compared exactly";
}

TEST(PolicySetLimitsTest, MoreRulesThanBitVectorsHoldAreRefusedByNumber) {
  RandomPolicySet random(1, {2, false, false});
  FlatRules rules(BITMAP_RULES_MAX + 1, random.rules()[0]);
  rules.push_back(FlatRule{});
  PolicySet set(std::move(rules), random.l4_sets(), 2);
  const absl::Status status = set.Compile(random.classes(), random.l4(), {0, true});
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(std::string(status.message()).find("262144"), std::string::npos) << status;
}

TEST(PolicySetLimitsTest, ASetThatNeedsMoreL4ClassesThanThereAreIsRefusedAndOthersStay) {
  Facts facts;
  AddressClasses classes(&facts);
  Interned<L4Set> sets;
  L4Classes l4;
  for (uint32_t port = 0; port < 65600; ++port) l4.Refine(L4Set::Of(port, port));  // TCP, then UDP
  EXPECT_EQ(l4.count(), 65536u);
  const auto compile = [&](uint32_t first, uint32_t last) {
    FlatRules rules(2);
    rules[0].l4 = sets.Intern(L4Set::Of(first, last));
    rules[0].action = Action::kAllow;
    rules[0].rule_id = 1;
    rules[1].rule_id = 2;
    l4.Refine(sets[rules[0].l4]);
    PolicySet set(rules, sets, 2);
    return set.Compile(classes, l4, {}).code();
  };
  EXPECT_EQ(compile(80, 80), absl::StatusCode::kOk);
  EXPECT_EQ(compile(100, 2000), absl::StatusCode::kOk);
  EXPECT_EQ(compile(L4_INDEX(L4_UDP, 5000), L4_INDEX(L4_UDP, 5000)),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(compile(100, L4_INDEX(L4_UDP, 5000)), absl::StatusCode::kResourceExhausted);
}

TEST(PolicySetLimitsTest, ADenseSetThatOutgrowsItsTableBecomesBitVectors) {
  RandomPolicySet random(3, {200, false, true});
  PolicySet set(random.rules(), random.l4_sets(), 2);
  ASSERT_TRUE(set.Compile(random.classes(), random.l4(), {1u << 19, true}).ok());
  ASSERT_TRUE(set.is_dense());
  auto grown = set.Grown({random.classes().bound(), random.l4().count()}, {1, true});
  ASSERT_TRUE(grown.ok()) << grown.status();
  EXPECT_FALSE((*grown)->is_dense());
  ToyArena arena;
  arena.Place(**grown);
  TableWrites writes;
  (*grown)->Everything(writes);
  arena.Apply(writes);
  for (int i = 0; i < 500; ++i) {
    const uint32_t far = random.AnyClass(), index = random.AnyL4Index(),
                   source = random.AnyL4Index();
    const VerdictLookup got =
        arena.Look(**grown, {far, 0, random.l4().ClassOf(index), random.l4().ClassOf(source)});
    ASSERT_EQ(got.word, random.Verdict(far, 0, index, source));
  }
  EXPECT_FALSE(set.Grown({1000, random.l4().count()}, {1, false}).ok());
}

}  // namespace
}  // namespace ripstop::policy
