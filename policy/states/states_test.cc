// SPDX-License-Identifier: Apache-2.0
//
// Any state of states_test_library.h may follow any other, however its inputs arrive:
// in another order, in one batch or many, twice, or to an agent that has just started.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <set>

#include "absl/strings/str_cat.h"
#include "policy/engine/engine.h"
#include "policy/reference.h"
#include "policy/states/states_test_library.h"
#include "policy/tables/table_image.h"
#include "policy/testing/random_world.h"

namespace ripstop::policy {
namespace {

using testing::AllStates;
using testing::Describe;
using testing::Difference;
using testing::Expectation;
using testing::NamedState;
using testing::Outcome;
using Calls = std::vector<std::function<void(Engine&)>>;

// The kernel as an agent leaves it to the next one: two slots, of which one is in force.
class Node {
 public:
  explicit Node(uint32_t dense_cells_max) : dense_cells_max_(dense_cells_max) { Restart(World{}); }

  Engine& engine() { return *engine_; }
  const TableImage& image() const { return *slots_[slot_]; }

  TableWrites Flush() {
    TableWrites writes = engine_->Flush();
    slots_[slot_]->Apply(writes);
    slots_[slot_]->set_l4_table(engine_->l4_table());
    return writes;
  }
  // One write only, as when the writer is killed after it.
  void Apply(const TableWrite& write) { slots_[slot_]->Apply(write); }

  void Go(const World& to) {
    for (const auto& call : Difference(world_, to)) call(*engine_);
    world_ = to;
    Flush();
  }
  // A new agent: a generation begun empty in the slot and the chunks that are not in use.
  void Restart(const World& world) {
    const int next = 1 - slot_;
    EngineOptions options;
    options.first_chunk = static_cast<uint32_t>(next) * ARENA_CHUNKS_MAX / 2;
    options.capacity_min = 2;  // sets outgrow their place often
    options.grow_ahead_words = 1;
    options.dense_cells_max = dense_cells_max_;
    engine_ = std::make_unique<Engine>(options);
    slots_[next] = std::make_unique<TableImage>();
    for (const auto& call : Difference(World{}, world)) call(*engine_);
    const TableWrites writes = engine_->Flush();
    for (const TableWrite& write : writes) {
      if (const auto* words = std::get_if<WriteWords>(&write)) {
        ASSERT_EQ(ARENA_HANDLE_CHUNK(words->handle) / (ARENA_CHUNKS_MAX / 2),
                  static_cast<uint32_t>(next))
            << "writes into the tables that are in force";
      }
      slots_[next]->Apply(write);
    }
    slots_[next]->set_l4_table(engine_->l4_table());
    slot_ = next;  // one word is stored
    world_ = world;
  }
  const World& world() const { return world_; }
  // The test has made the calls itself.
  void FlushedTo(const World& world) {
    Flush();
    world_ = world;
  }

 private:
  const uint32_t dense_cells_max_;
  std::unique_ptr<Engine> engine_;
  std::array<std::unique_ptr<TableImage>, 2> slots_;
  int slot_ = 1;
  World world_;
};

// Of an interface without a host endpoint nothing is asked, which is not "denied".
constexpr uint32_t kNobodyThere = ~0u;

struct Seen {
  Outcome outcome = Outcome::kNoEndpoint;
  std::string by;
  bool log = false;
  bool next = false;
};

std::optional<TableImage::Result> Ask(const TableImage& image, const Expectation& e) {
  if (!e.group) return image.Verdict(e.direction, e.packet);
  return image.HostVerdict(e.interface, *e.group, e.direction, e.packet);
}

Seen Look(const Engine& engine, const TableImage& image, const Expectation& e) {
  const auto got = Ask(image, e);
  if (!got) return {};
  const auto rule = engine.Rule(got->rule_id());
  return {got->allow() ? Outcome::kAllow : Outcome::kDeny, rule ? rule->ToString() : "", got->log(),
          got->next()};
}

Seen Look(Reference& reference, const World& world, const Expectation& e) {
  std::optional<Verdict> v;
  if (e.group) {
    const HostEndpoint* host = world.HostEndpointAt(e.interface);
    if (host == nullptr) return {};
    v = reference.EvaluateHost(world, *host, *e.group, e.direction, e.packet);
  } else {
    const auto local = world.endpoints.find(e.local);
    if (local == world.endpoints.end() || !local->second.local) return {};
    v = reference.Evaluate(world, local->second, e.direction, e.packet);
  }
  if (!v) return {Outcome::kDeny};
  return {v->allow ? Outcome::kAllow : Outcome::kDeny, v->by.ToString(), v->log, v->next};
}

std::string Text(Outcome o) {
  return o == Outcome::kAllow ? "allow" : o == Outcome::kDeny ? "deny" : "no endpoint";
}

void ExpectSeen(const Seen& seen, const NamedState& state, const Expectation& e,
                const std::string& how) {
  const std::string what =
      absl::StrCat("in state \"", state.name, "\", ", how, ": ",
                   e.direction == Direction::kIngress ? "ingress of " : "egress of ", e.local, " ",
                   Describe(e.packet));
  EXPECT_EQ(Text(seen.outcome), Text(e.outcome)) << what << " by " << seen.by;
  if (e.outcome == Outcome::kNoEndpoint) return;
  EXPECT_EQ(seen.log, e.log) << what;
  EXPECT_EQ(seen.next, e.next) << what;
  if (!e.by.empty()) {
    EXPECT_EQ(seen.by, e.by) << what;
  }
}

void Expect(Node& node, const NamedState& state, const std::string& how) {
  for (const Expectation& e : state.expected)
    ExpectSeen(Look(node.engine(), node.image(), e), state, e, how);
  EXPECT_TRUE(node.engine().Alarms().empty()) << state.name;
  EXPECT_TRUE(node.engine().Flush().empty())
      << "a flush without a change writes, " << state.name << ", " << how;
}

// Calls `f(from, to)` for each ordered pair of states, until something has failed.
template <typename F>
void ForPairs(F f) {
  for (const NamedState& from : AllStates()) {
    for (const NamedState& to : AllStates()) {
      f(from, to);
      if (::testing::Test::HasFailure()) return;
    }
  }
}

// By the largest dense table: as the agent has it, none at all, and some.
class StatesTest : public ::testing::TestWithParam<uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Tables, StatesTest, ::testing::Values(1u << 19, 0u, 16u),
                         [](const auto& info) {
                           return info.param == 0    ? "BitVectors"
                                  : info.param == 16 ? "BothKinds"
                                                     : "Dense";
                         });

TEST(StatesLibraryTest, TheLibraryIsLargeEnoughAndItsNamesDiffer) {
  std::set<std::string> names;
  size_t expectations = 0;
  for (const NamedState& s : AllStates()) {
    names.insert(s.name);
    expectations += s.expected.size();
    EXPECT_FALSE(s.expected.empty()) << s.name;
  }
  EXPECT_EQ(names.size(), AllStates().size());
  EXPECT_GE(names.size(), 25u);
  EXPECT_GE(expectations, 3 * names.size());
}

TEST(StatesLibraryTest, TheReferenceSaysWhatIsExpected) {
  Reference reference;
  for (const NamedState& s : AllStates()) {
    for (const Expectation& e : s.expected) {
      ExpectSeen(Look(reference, s.world, e), s, e, "reference");
    }
  }
}

TEST_P(StatesTest, AnyStateAfterAnyOther) {
  Node node(GetParam());
  ForPairs([&](const NamedState& from, const NamedState& to) {
    node.Go(from.world);
    node.Go(to.world);
    Expect(node, to, absl::StrCat("after \"", from.name, "\""));
  });
}

TEST_P(StatesTest, InputsInReverseOrder) {
  Node node(GetParam());
  ForPairs([&](const NamedState& from, const NamedState& to) {
    node.Go(from.world);
    Calls calls = Difference(from.world, to.world);
    std::reverse(calls.begin(), calls.end());
    for (const auto& call : calls) call(node.engine());
    node.FlushedTo(to.world);
    Expect(node, to, absl::StrCat("reversed, after \"", from.name, "\""));
  });
}

TEST_P(StatesTest, InputsOfSeveralStatesInOneFlush) {
  Node node(GetParam());
  const auto& all = AllStates();
  ForPairs([&](const NamedState& from, const NamedState& to) {
    // By way of a third state that nobody ever sees, and half the time from far away.
    const NamedState& third = all[(static_cast<size_t>(&from - all.data()) * 7 + 3) % all.size()];
    const World* at = &node.world();
    for (const NamedState* s : {&from, &third, &to}) {
      for (const auto& call : Difference(*at, s->world)) call(node.engine());
      at = &s->world;
    }
    node.FlushedTo(*at);
    Expect(node, to, absl::StrCat("squashed, by \"", from.name, "\" and \"", third.name, "\""));
  });
}

TEST_P(StatesTest, AFlushAfterEveryInput) {
  Node node(GetParam());
  ForPairs([&](const NamedState& from, const NamedState& to) {
    for (const NamedState* s : {&from, &to}) {
      for (const auto& call : Difference(node.world(), s->world)) {
        call(node.engine());
        node.Flush();
      }
      node.FlushedTo(s->world);
    }
    Expect(node, to, absl::StrCat("split, after \"", from.name, "\""));
  });
}

TEST_P(StatesTest, EveryInputTwiceAndUndoneBetween) {
  Node node(GetParam());
  ForPairs([&](const NamedState& from, const NamedState& to) {
    node.Go(from.world);
    const Calls forth = Difference(from.world, to.world), back = Difference(to.world, from.world);
    for (const Calls* calls : {&forth, &back, &forth}) {
      for (const auto& call : *calls) call(node.engine()), call(node.engine());
    }
    // All of it once more, as a watch that begins again would.
    for (const auto& call : Difference(World{}, to.world)) call(node.engine());
    node.FlushedTo(to.world);
    Expect(node, to, absl::StrCat("duplicated, after \"", from.name, "\""));
  });
}

TEST_P(StatesTest, ARestartBeforeBetweenAndAfter) {
  for (const NamedState& from : AllStates()) {
    Node node(GetParam());
    node.Restart(from.world);
    Expect(node, from, "started");
    const NamedState& to =
        AllStates()[static_cast<size_t>(&from - AllStates().data() + 11) % AllStates().size()];
    node.Go(to.world);
    Expect(node, to, absl::StrCat("after a start in \"", from.name, "\""));
    node.Restart(to.world);
    Expect(node, to, "restarted");
    node.Go(from.world);
    Expect(node, from, absl::StrCat("after a restart in \"", to.name, "\""));
    if (HasFailure()) return;
  }
}

// What is in force after any write is each packet's old or its new verdict. The writer
// may be killed there too: the agent that starts next finds the state it should.
TEST_P(StatesTest, EveryPrefixOfTheWritesIsOldOrNewAndARestartRecovers) {
  Node node(GetParam());
  size_t writes_seen = 0, pairs = 0, killed = 0;
  ForPairs([&](const NamedState& from, const NamedState& to) {
    node.Go(from.world);
    std::vector<Expectation> probes = from.expected;
    probes.insert(probes.end(), to.expected.begin(), to.expected.end());
    const auto look = [&] {
      std::vector<uint32_t> words;  // rule ids are not used anew before the next Flush
      for (const Expectation& e : probes) {
        const auto got = Ask(node.image(), e);
        words.push_back(got ? got->word : e.group ? kNobodyThere : 0);
      }
      return words;
    };
    const std::vector<uint32_t> old = look();
    for (const auto& call : Difference(from.world, to.world)) call(node.engine());
    const TableWrites writes = node.engine().Flush();
    ++pairs;
    writes_seen += writes.size();
    if (pairs % 4 == 0) {
      for (size_t w = 0; w < pairs * 37 % (writes.size() + 1); ++w) node.Apply(writes[w]);
      node.Restart(to.world);
      ++killed;
      return Expect(node, to, absl::StrCat("killed on the way from \"", from.name, "\""));
    }
    std::vector<std::vector<uint32_t>> between;
    for (const TableWrite& write : writes) {
      node.Apply(write);
      between.push_back(look());
    }
    for (size_t w = 0; w < between.size(); ++w) {
      for (size_t i = 0; i < probes.size(); ++i) {
        EXPECT_TRUE(between[w][i] == old[i] || between[w][i] == between.back()[i])
            << "after write " << w << " of " << writes.size() << " from \"" << from.name
            << "\" to \"" << to.name << "\": " << std::hex << old[i] << " -> " << between[w][i]
            << " -> " << between.back()[i] << " " << Describe(probes[i].packet);
      }
    }
    node.FlushedTo(to.world);
    Expect(node, to, absl::StrCat("write by write, after \"", from.name, "\""));
  });
  EXPECT_GT(writes_seen, 5000u);
  EXPECT_GT(killed, 100u);
}

}  // namespace
}  // namespace ripstop::policy
