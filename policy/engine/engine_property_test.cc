// SPDX-License-Identifier: Apache-2.0
//
// Random policy × random packet: the reference evaluator, and the tables that the engine
// writes, must agree; at every write between two policies each packet must meet the old or
// the new verdict. RIPSTOP_FUZZ_CASES sets how many packets each half tries (default 100,000).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "policy/engine/engine.h"
#include "policy/reference.h"
#include "policy/tables/table_image.h"
#include "policy/testing/random_world.h"

namespace ripstop::policy {
namespace {

using testing::Describe;
using testing::Difference;
using testing::RandomWorld;

int Cases() {
  const char* text = std::getenv("RIPSTOP_FUZZ_CASES");
  return text != nullptr ? std::max(1, std::atoi(text)) : 100'000;
}

uint64_t Seed() {
  const char* text = std::getenv("RIPSTOP_FUZZ_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 1;
}

// Half of the engines with tables so small that sets must be moved to grow. Engines with
// dense tables only, with bit vectors only, and with both, among them sets that outgrow
// the one and become the other.
EngineOptions Options(RandomWorld& random, uint64_t seed) {
  constexpr uint32_t kCellsMax[] = {1u << 19, 0, 12, 60};
  EngineOptions options;
  if (random.Chance(50)) options.capacity_min = 2;
  if (random.Chance(50)) options.grow_ahead_words = 1;
  options.dense_cells_max = kCellsMax[seed % 4];
  return options;
}

// A packet of a local endpoint, or one that an interface of the host sees.
struct Probe {
  Direction direction;
  Packet packet;
  std::optional<std::pair<uint32_t, HostGroup>> at = {};

  const Address& near() const {
    return direction == Direction::kIngress ? packet.destination : packet.source;
  }
};

std::optional<Verdict> Want(Reference& reference, const World& world, const Probe& probe) {
  if (!probe.at) {
    const Endpoint* owner = world.OwnershipOf(probe.near()).workload;
    if (owner == nullptr || !owner->local) return std::nullopt;
    return reference.Evaluate(world, *owner, probe.direction, probe.packet);
  }
  const HostEndpoint* host = world.HostEndpointAt(probe.at->first);
  if (host == nullptr) return std::nullopt;
  return reference.EvaluateHost(world, *host, probe.at->second, probe.direction, probe.packet);
}

std::optional<TableImage::Result> Got(const TableImage& image, const Probe& probe) {
  if (!probe.at) return image.Verdict(probe.direction, probe.packet);
  return image.HostVerdict(probe.at->first, probe.at->second, probe.direction, probe.packet);
}

std::optional<TableImage::Question> Classify(const TableImage& image, const Probe& probe) {
  if (!probe.at) return image.Classify(probe.direction, probe.packet);
  return image.ClassifyHost(probe.at->first, probe.at->second, probe.direction, probe.packet);
}

// A program does not read the tables at one moment: what it knows of either address and of
// the ports may be older than the set it then asks, by as much as a grace period allows.
// Holds, for one probe, what each of these reads gave since the last grace period.
class RacingReads {
 public:
  void Grace() { sets_.clear(), near_.clear(), far_.clear(), l4_.clear(); }
  // Notes what is read now; nullopt: nobody would be asked.
  // A packet from an address to itself is a martian, of which no set is asked.
  void Note(const Packet& packet, const std::optional<TableImage::Question>& now) {
    if (!now || !now->readable || packet.source == packet.destination) return;
    Keep(sets_, now->set);
    Keep(near_, now->classes.near);
    Keep(far_, now->classes.far);
    Keep(l4_, now->classes.l4);
    source_l4_ = now->classes.source_l4;  // read last of all
  }
  // The words that a program may come to now: every combination of older and newer reads.
  std::vector<uint32_t> Words(const TableImage& image) const {
    std::vector<uint32_t> words;
    if (sets_.size() * near_.size() * far_.size() * l4_.size() <= 1) return words;
    for (const uint32_t set : sets_) {
      for (const uint32_t near : near_) {
        for (const uint32_t far : far_) {
          for (const uint32_t l4 : l4_)
            words.push_back(image.Answer({set, {far, near, l4, source_l4_}, true}).word);
        }
      }
    }
    return words;
  }

 private:
  template <typename T>
  static void Keep(std::vector<T>& seen, const T& value) {
    if (std::find(seen.begin(), seen.end(), value) == seen.end()) seen.push_back(value);
  }
  std::vector<uint32_t> sets_, near_, far_, l4_;
  uint32_t source_l4_ = 0;
};

// The word, where nothing is asked (no host endpoint) another than where all is denied.
uint32_t WordOf(const Probe& probe, const std::optional<TableImage::Result>& got) {
  return got ? got->word : probe.at ? ~0u : 0u;
}

std::vector<Probe> Probes(RandomWorld& random, const World& world, int count) {
  std::vector<const Endpoint*> locals;
  for (const auto& [id, e] : world.endpoints) {
    if (e.local && !e.addresses.empty()) locals.push_back(&e);
  }
  std::vector<Probe> probes;
  for (int i = 0; i < count; ++i) {
    if (!world.host_endpoints.empty() && random.Chance(30)) {
      const HostGroup group = static_cast<HostGroup>(random.Below(kHostGroups));
      const bool ingress = group == HostGroup::kPreDnat || random.Chance(50);
      probes.push_back({ingress ? Direction::kIngress : Direction::kEgress,
                        random.RandomForwarded(world),
                        std::pair(random.Below(RandomWorld::kInterfaces), group)});
      continue;
    }
    if (locals.empty()) continue;
    const Endpoint& e = *locals[random.Below(static_cast<uint32_t>(locals.size()))];
    const Direction d = random.Chance(50) ? Direction::kIngress : Direction::kEgress;
    probes.push_back({d, random.RandomPacket(world, e, d)});
  }
  return probes;
}

// Empty: the tables say what the reference says.
std::string Disagreement(const World& world, const Engine& engine, const TableImage& image,
                         Reference& reference, const Probe& probe) {
  const auto want = Want(reference, world, probe);
  const auto got = Got(image, probe);
  if (!want && probe.at) return got ? "tables know a host endpoint that is not there" : "";
  if (!want) return got && got->allow() ? "an address that is no local endpoint's is allowed" : "";
  if (!got) return "tables know no such endpoint";
  const auto rule = engine.Rule(got->rule_id());
  if (got->allow() == want->allow && got->log() == want->log && got->next() == want->next && rule &&
      *rule == want->by) {
    return "";
  }
  return absl::StrCat("reference: ", want->allow ? "allow" : "deny", want->log ? " log" : "",
                      " by ", want->by.ToString(), "\ntables:    ", got->allow() ? "allow" : "deny",
                      got->log() ? " log" : "", " by ", rule ? rule->ToString() : "nobody",
                      " (set ", got->set_index, " class ", got->address_class, " row ", got->row,
                      " L4 class ", got->l4_class, " column ", got->column, ")");
}

std::string DisagreementWhenFresh(const World& world, const Probe& probe) {
  Engine engine;
  TableImage image;
  Reference reference;
  for (const auto& call : Difference(World{}, world)) call(engine);
  image.Apply(engine.Flush());
  image.set_l4_table(engine.l4_table());
  return Disagreement(world, engine, image, reference, probe);
}

// A failure as small as it gets: where a fresh engine fails too, history does not matter.
std::string Report(const World& world, const Probe& probe, const std::string& what) {
  const auto fails = [&](const World& w) { return !DisagreementWhenFresh(w, probe).empty(); };
  const bool fresh = fails(world);
  const World small = fresh ? testing::Shrink(world, fails) : world;
  return absl::StrCat(
      fresh ? DisagreementWhenFresh(small, probe) : what + " (only after these changes)", "\n",
      probe.direction == Direction::kIngress ? "ingress of " : "egress of ",
      probe.at ? absl::StrCat("interface ", probe.at->first, " ", ToString(probe.at->second))
               : probe.near().ToString(),
      " ", Describe(probe.packet), "\n", Describe(small));
}

TEST(EngineProperty, TablesAgreeWithTheReferenceWhateverTheOrderOfInputs) {
  const int packets = 250;
  for (int done = 0, n = 0; done < Cases(); done += packets, ++n) {
    const uint64_t seed = Seed() * 1'000'003 + n;
    RandomWorld random(seed);
    const World world = random.Generate();
    Engine engine(Options(random, seed));
    TableImage image;
    Reference reference;
    // Shuffled, some twice, some undone and done again, flushed now and then.
    auto calls = Difference(World{}, world);
    const World other = random.Generate();
    if (random.Chance(30)) {
      for (const auto& call : Difference(World{}, other)) call(engine);
      image.Apply(engine.Flush());
      calls = Difference(other, world);
    }
    std::shuffle(calls.begin(), calls.end(), random.random());
    for (const auto& call : calls) {
      call(engine);
      if (random.Chance(10)) call(engine);
      if (random.Chance(5)) image.Apply(engine.Flush());
    }
    image.Apply(engine.Flush());
    image.set_l4_table(engine.l4_table());
    const TableWrites nothing = engine.Flush();
    ASSERT_TRUE(nothing.empty()) << "a flush without a change writes, first a write of kind "
                                 << nothing[0].index() << " of " << nothing.size() << ", seed "
                                 << seed;
    ASSERT_TRUE(engine.Alarms().empty()) << engine.Alarms()[0];
    for (const Probe& probe : Probes(random, world, packets)) {
      const std::string what = Disagreement(world, engine, image, reference, probe);
      ASSERT_EQ(what, "") << "seed " << seed << "\n" << Report(world, probe, what);
    }
  }
}

TEST(EngineProperty, EveryPrefixOfEveryChangeGivesTheOldOrTheNewVerdict) {
  const int probes_each = 40, steps = 25;
  for (int done = 0, n = 0; done < Cases(); ++n) {
    const uint64_t seed = Seed() * 7'000'003 + n;
    RandomWorld random(seed);
    World world = random.Generate();
    Engine engine(Options(random, seed));
    TableImage image;
    Reference reference;
    for (const auto& call : Difference(World{}, world)) call(engine);
    image.Apply(engine.Flush());
    image.set_l4_table(engine.l4_table());
    for (int step = 0; step < steps; ++step, done += probes_each) {
      const World before = world;
      for (uint32_t changes = 1 + random.Below(random.Chance(50) ? 1 : 6); changes > 0; --changes) {
        random.Change(world);
      }
      std::vector<Probe> probes = Probes(random, world, probes_each / 2);
      for (Probe& p : Probes(random, before, probes_each / 2)) probes.push_back(std::move(p));
      std::vector<TableImage::Result> old;
      for (const Probe& p : probes) {
        old.push_back(Got(image, p).value_or(TableImage::Result{}));
        old.back().word = WordOf(p, Got(image, p));
      }
      for (const auto& call : Difference(before, world)) call(engine);
      const TableWrites writes = engine.Flush();
      std::vector<std::vector<uint32_t>> seen(probes.size()), raced(probes.size());
      std::vector<RacingReads> reads(probes.size());
      for (size_t i = 0; i < probes.size(); ++i)
        reads[i].Note(probes[i].packet, Classify(image, probes[i]));
      for (const TableWrite& write : writes) {
        image.Apply(write);
        const bool grace = std::holds_alternative<Grace>(write);
        for (size_t i = 0; i < probes.size(); ++i) {
          const uint32_t word = WordOf(probes[i], Got(image, probes[i]));
          if (seen[i].empty() || seen[i].back() != word) seen[i].push_back(word);
          if (grace) reads[i].Grace();
          reads[i].Note(probes[i].packet, Classify(image, probes[i]));
          for (const uint32_t w : reads[i].Words(image)) {
            if (raced[i].empty() || raced[i].back() != w) raced[i].push_back(w);
          }
        }
      }
      for (size_t i = 0; i < probes.size(); ++i) {
        const uint32_t now = WordOf(probes[i], Got(image, probes[i]));
        for (const uint32_t word : seen[i]) {
          ASSERT_TRUE(word == old[i].word || word == now)
              << "seed " << seed << " step " << step << ": between the writes " << std::hex
              << old[i].word << " -> " << word << " -> " << now << "\n"
              << Describe(probes[i].packet) << "\nbefore:\n"
              << Describe(before) << "\nafter:\n"
              << Describe(world);
        }
        for (const uint32_t word : raced[i]) {
          ASSERT_TRUE(word == old[i].word || word == now)
              << "seed " << seed << " step " << step
              << ": a program that reads while the tables change " << std::hex << old[i].word
              << " -> " << word << " -> " << now << "\n"
              << Describe(probes[i].packet) << "\nbefore:\n"
              << Describe(before) << "\nafter:\n"
              << Describe(world);
        }
        // A flow that was allowed under a set must be judged again when that has changed.
        if (old[i].set_index != 0 && old[i].allow() && old[i].word != now) {
          ASSERT_NE(image.epoch(old[i].set_index), old[i].epoch)
              << "seed " << seed << " step " << step;
        }
        const std::string what = Disagreement(world, engine, image, reference, probes[i]);
        ASSERT_EQ(what, "") << "seed " << seed << " step " << step << "\n"
                            << Report(world, probes[i], what);
      }
    }
  }
}

}  // namespace
}  // namespace ripstop::policy
