// SPDX-License-Identifier: Apache-2.0
#include "agent/store/store_sync.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::agent {
namespace {

using api::ResourceKey;
using api::StoredResource;
using api::WatchEvent;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

class Recorder : public StoreSink {
 public:
  std::vector<std::string> log;
  void OnPut(const StoredResource& r) override {
    log.push_back(absl::StrCat("put ", r.key.name, "=", r.value));
  }
  void OnDelete(const ResourceKey& key) override { log.push_back("delete " + key.name); }
  std::vector<std::string> Take() { return std::exchange(log, {}); }
};

WatchEvent Put(const std::string& kind, const std::string& name, const std::string& value,
               int64_t revision) {
  return {WatchEvent::Type::kPut, {{kind, "", name}, value, revision, revision}, revision};
}
WatchEvent Put(const std::string& name, const std::string& value, int64_t revision) {
  return Put("Tier", name, value, revision);
}
WatchEvent Delete(const std::string& kind, const std::string& name, int64_t revision) {
  return {WatchEvent::Type::kDelete, {{kind, "", name}, "last", revision, 1}, revision};
}
WatchEvent Synced(int64_t revision) { return {WatchEvent::Type::kSynced, {}, revision}; }

class StoreSyncTest : public testing::Test {
 protected:
  void Snapshot(std::vector<WatchEvent> events, int64_t revision,
                const std::string& identity = "one") {
    events.push_back(Synced(revision));
    sync_.Opened(identity, 0);
    sync_.Take(events, now_);
  }
  // `count` policies named p0, p1, …, from revision 100 on.
  static std::vector<WatchEvent> Policies(int count) {
    std::vector<WatchEvent> events;
    for (int i = 0; i < count; ++i)
      events.push_back(Put("NetworkPolicy", absl::StrCat("p", i), "x", 100 + i));
    return events;
  }
  static std::vector<WatchEvent> WithNode(std::vector<WatchEvent> events) {
    events.push_back(Put("Node", "node1", "n", 1));
    return events;
  }
  std::vector<WatchEvent> Deletions(int from, int to, const std::string& kind = "NetworkPolicy") {
    std::vector<WatchEvent> events;
    for (int i = from; i < to; ++i) events.push_back(Delete(kind, absl::StrCat("p", i), ++last_));
    return events;
  }

  Recorder sink_;
  StoreSync sync_{"node1", &sink_};
  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
  int64_t last_ = 1000;
};

// ---- what it tells ----

TEST_F(StoreSyncTest, SnapshotThenDeltasAreToldInOrder) {
  EXPECT_EQ(sync_.resume_from(), 0);
  Snapshot({Put("a", "1", 1), Put("b", "2", 2)}, 2);
  sync_.Take({Put("a", "3", 3)}, now_);
  EXPECT_THAT(sink_.Take(), ElementsAre("put a=1", "put b=2", "put a=3"));
  EXPECT_EQ(sync_.revision(), 3);
  EXPECT_EQ(sync_.identity(), "one");
}

TEST_F(StoreSyncTest, ItIsAWholeOnlyOnceASnapshotWasWhole) {
  sync_.Opened("one", 0);
  sync_.Take({Put("a", "1", 1)}, now_);
  EXPECT_FALSE(sync_.whole());
  EXPECT_FALSE(sync_.synced());
  EXPECT_EQ(sync_.resume_from(), 0) << "half a snapshot is nothing to go on from";
  Snapshot({Put("b", "2", 2)}, 2);
  EXPECT_TRUE(sync_.whole());
  EXPECT_TRUE(sync_.synced());
  EXPECT_THAT(sink_.Take(), ElementsAre("put a=1", "put b=2", "delete a"));
}

TEST_F(StoreSyncTest, ALostWatchResumesAfterTheLastRevisionSeen) {
  Snapshot({Put("a", "1", 1)}, 1);
  sync_.Take({Put("b", "2", 4)}, now_);
  EXPECT_EQ(sync_.resume_from(), 4);
  sync_.Opened("one", 4);
  EXPECT_FALSE(sync_.synced());
  sync_.Take({Synced(4), Put("b", "3", 5)}, now_);
  EXPECT_TRUE(sync_.synced());
  EXPECT_FALSE(sync_.wants_snapshot());
  EXPECT_EQ(sync_.revision(), 5);
}

TEST_F(StoreSyncTest, ALaterSnapshotIsADifferenceToldWhenItIsWhole) {
  Snapshot({Put("a", "1", 1), Put("b", "2", 2), Put("c", "3", 3)}, 3);
  sink_.Take();
  sync_.StartOver();
  EXPECT_EQ(sync_.resume_from(), 0);
  sync_.Opened("one", 0);
  sync_.Take({Put("a", "1", 1), Put("c", "9", 9)}, now_);
  EXPECT_THAT(sink_.Take(), IsEmpty()) << "neither what is new nor what is gone";
  sync_.Take({Synced(9)}, now_);
  EXPECT_THAT(sink_.Take(), ElementsAre("put c=9", "delete b"));
  EXPECT_EQ(sync_.resume_from(), 9);
}

// A store that was put back counts on from an older revision, so revisions come twice.
TEST_F(StoreSyncTest, TheSameRevisionWithOtherContentIsNews) {
  Snapshot({Put("a", "1", 7)}, 7);
  sink_.Take();
  Snapshot({Put("a", "other", 7)}, 7);
  EXPECT_THAT(sink_.Take(), ElementsAre("put a=other"));
  Snapshot({Put("a", "other", 7)}, 7);
  EXPECT_THAT(sink_.Take(), IsEmpty());
}

TEST_F(StoreSyncTest, AnOlderStateOfTheSameStoreIsADifferenceLikeAnyOther) {
  Snapshot(WithNode({Put("a", "1", 1), Put("b", "2", 20)}), 20);
  sink_.Take();
  Snapshot(WithNode({Put("a", "1", 1), Put("c", "3", 5)}), 5);
  EXPECT_FALSE(sync_.doubt().has_value());
  EXPECT_THAT(sink_.Take(), ElementsAre("put c=3", "delete b"));
  EXPECT_EQ(sync_.revision(), 5);
}

TEST_F(StoreSyncTest, WhatIsRememberedIsAWholeAndTheFirstSnapshotADifference) {
  sync_.Remember({{"Tier", "", "a"}, "1", 1, 1});
  sync_.Remember({{"Tier", "", "b"}, "2", 2, 2});
  EXPECT_FALSE(sync_.whole());
  sync_.Remembered("one", 2);
  EXPECT_TRUE(sync_.whole());
  EXPECT_EQ(sync_.resume_from(), 0) << "the store is read whole at each start";
  EXPECT_THAT(sink_.Take(), ElementsAre("put a=1", "put b=2"));
  Snapshot({Put("a", "1", 1), Put("c", "3", 3)}, 3);
  EXPECT_THAT(sink_.Take(), ElementsAre("put c=3", "delete b"));
}

TEST_F(StoreSyncTest, ToldAgainIsEverything) {
  Snapshot({Put("a", "1", 1), Put("b", "2", 2)}, 2);
  sink_.Take();
  sync_.TellAgain();
  EXPECT_TRUE(sync_.wants_snapshot());
  EXPECT_EQ(sync_.resume_from(), 0);
  Snapshot({Put("a", "1", 1), Put("b", "2", 2)}, 2);
  EXPECT_FALSE(sync_.wants_snapshot());
  EXPECT_THAT(sink_.Take(), ElementsAre("put a=1", "put b=2"));
}

// ---- what it does not believe ----

TEST_F(StoreSyncTest, ASnapshotOfAnotherStoreIsNotBelieved) {
  Snapshot(WithNode(Policies(2)), 200);
  sink_.Take();
  Snapshot(WithNode(Policies(2)), 500, "two");
  ASSERT_TRUE(sync_.doubt().has_value());
  EXPECT_TRUE(sync_.doubt()->other_store);
  EXPECT_THAT(sync_.doubt()->why, HasSubstr("identity two, not one"));
  EXPECT_THAT(sink_.Take(), IsEmpty());
  EXPECT_EQ(sync_.identity(), "one");
  EXPECT_EQ(sync_.revision(), 200);
  EXPECT_EQ(sync_.resume_from(), 0);
  sync_.Take({Put("NetworkPolicy", "p9", "x", 501)}, now_);
  EXPECT_THAT(sink_.Take(), IsEmpty()) << "nor its deltas";
  Snapshot(WithNode(Policies(2)), 201);
  EXPECT_FALSE(sync_.doubt().has_value()) << "the right one is back";
}

TEST_F(StoreSyncTest, DeltasOfAnotherStoreAreNotTakenForAContinuation) {
  Snapshot(WithNode({}), 5);
  sink_.Take();
  sync_.Opened("two", 5);
  EXPECT_TRUE(sync_.wants_snapshot());
  sync_.Take({Synced(5), Put("a", "1", 6)}, now_);
  EXPECT_THAT(sink_.Take(), IsEmpty());
}

TEST_F(StoreSyncTest, ASnapshotWithoutThisNodesNodeIsNotBelievedWhereItWasKnown) {
  Snapshot(WithNode({Put("a", "1", 1)}), 2);
  Snapshot({Put("a", "1", 1)}, 3);
  ASSERT_TRUE(sync_.doubt().has_value());
  EXPECT_TRUE(sync_.doubt()->own_node_gone);
  EXPECT_THAT(sync_.doubt()->why, HasSubstr("own Node node1"));
  // It is put back: a delta says so, and a snapshot ends the doubt.
  sync_.Take({Put("Node", "node1", "n", 4)}, now_);
  EXPECT_TRUE(sync_.wants_snapshot());
  Snapshot(WithNode({Put("a", "1", 1)}), 4);
  EXPECT_FALSE(sync_.doubt().has_value());
}

TEST_F(StoreSyncTest, ANodeThatWasNeverKnownIsNotMissed) {
  Snapshot({Put("a", "1", 1)}, 2);
  Snapshot({Put("a", "1", 1)}, 3);
  EXPECT_FALSE(sync_.doubt().has_value());
}

// The store is empty, nothing is remembered, but tables of an earlier agent are in force.
TEST_F(StoreSyncTest, WhereAnAgentWasAtWorkAStoreWithoutItsNodeIsNoWhole) {
  sync_.ExpectOwnNode();
  Snapshot({Put("a", "1", 1)}, 2);
  ASSERT_TRUE(sync_.doubt().has_value());
  EXPECT_FALSE(sync_.whole());
  sync_.Take({Put("Node", "node1", "n", 3)}, now_);
  EXPECT_TRUE(sync_.wants_snapshot());
  Snapshot(WithNode({Put("a", "1", 1)}), 3);
  EXPECT_TRUE(sync_.whole());
  EXPECT_FALSE(sync_.doubt().has_value());
}

TEST_F(StoreSyncTest, WhereAnAgentWasAtWorkAStoreWithItsNodeIsBelievedAtOnce) {
  sync_.ExpectOwnNode();
  Snapshot(WithNode({}), 2);
  EXPECT_TRUE(sync_.whole());
  EXPECT_FALSE(sync_.doubt().has_value());
}

TEST_F(StoreSyncTest, AnEmptiedSmallStoreIsNotBelievedAlthoughNoKindLostMuch) {
  std::vector<WatchEvent> events;
  for (const char* kind : {"Tier", "IPPool", "Namespace", "NetworkSet"})
    for (int i = 0; i < 4; ++i) events.push_back(Put(kind, absl::StrCat("o", i), "x", i + 1));
  Snapshot(events, 10);
  Snapshot({events[0]}, 11);
  ASSERT_TRUE(sync_.doubt().has_value());
  EXPECT_THAT(sync_.doubt()->why, HasSubstr("15 of 16 objects"));
}

struct Case {
  const char* kind;
  int had, lost;
  bool doubted;
};
class StoreSyncLossTest : public StoreSyncTest, public testing::WithParamInterface<Case> {
 protected:
  std::vector<WatchEvent> Objects(int from, int to) const {
    std::vector<WatchEvent> events = WithNode({});
    for (int i = from; i < to; ++i)
      events.push_back(Put(GetParam().kind, absl::StrCat("p", i), "x", 100 + i));
    return events;
  }
};

TEST_P(StoreSyncLossTest, InASnapshot) {
  const Case& c = GetParam();
  Snapshot(Objects(0, c.had), 500);
  sink_.Take();
  Snapshot(Objects(c.lost, c.had), 501);
  EXPECT_EQ(sync_.doubt().has_value(), c.doubted);
  EXPECT_THAT(sink_.Take(), SizeIs(c.doubted ? 0 : c.lost));
}

TEST_P(StoreSyncLossTest, AsDeltasAtOnce) {
  const Case& c = GetParam();
  Snapshot(Objects(0, c.had), 500);
  sync_.Take(Deletions(0, c.lost, c.kind), now_);
  EXPECT_EQ(sync_.doubt().has_value(), c.doubted);
}

TEST_P(StoreSyncLossTest, AsDeltasOneByOneWithinAMinute) {
  const Case& c = GetParam();
  Snapshot(Objects(0, c.had), 500);
  for (int i = 0; i < c.lost; ++i) {
    now_ += absl::Seconds(59) / c.lost;
    sync_.Take(Deletions(i, i + 1, c.kind), now_);
  }
  EXPECT_EQ(sync_.doubt().has_value(), c.doubted);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, StoreSyncLossTest,
    testing::Values(Case{"NetworkPolicy", 1, 1, false}, Case{"NetworkPolicy", 9, 9, false},
                    Case{"NetworkPolicy", 10, 10, true}, Case{"NetworkPolicy", 40, 20, false},
                    Case{"NetworkPolicy", 40, 21, true}, Case{"IPPool", 2, 2, false},
                    Case{"WorkloadEndpoint", 99, 99, false},
                    Case{"WorkloadEndpoint", 150, 100, true},
                    Case{"WorkloadEndpoint", 400, 200, false}));

TEST_F(StoreSyncTest, WhatWentBeforeItWasTooMuchComesBack) {
  Snapshot(WithNode(Policies(40)), 500);
  sink_.Take();
  sync_.Take(Deletions(0, 15), now_);
  EXPECT_THAT(sink_.Take(), SizeIs(15));
  EXPECT_FALSE(sync_.doubt().has_value());
  sync_.Take(Deletions(15, 40), now_ + absl::Seconds(10));
  ASSERT_TRUE(sync_.doubt().has_value());
  EXPECT_THAT(sync_.doubt()->why, HasSubstr("40 of 40 NetworkPolicy"));
  std::vector<std::string> told = sink_.Take();
  ASSERT_THAT(told, SizeIs(25 + 40));
  for (size_t i = 25; i < told.size(); ++i) EXPECT_THAT(told[i], HasSubstr("put p")) << i;
}

TEST_F(StoreSyncTest, DeletionsOfMoreThanAMinuteAgoDoNotCount) {
  Snapshot(WithNode(Policies(40)), 500);
  for (int i = 0; i < 40; ++i) {
    now_ += absl::Seconds(7);
    sync_.Take(Deletions(i, i + 1), now_);
    EXPECT_FALSE(sync_.doubt().has_value()) << i;
  }
}

TEST_F(StoreSyncTest, AnEditOfAllByDeletingAndMakingThemIsNoLoss) {
  Snapshot(WithNode(Policies(40)), 500);
  std::vector<WatchEvent> events;
  for (int i = 0; i < 40; ++i) {
    events.push_back(Delete("NetworkPolicy", absl::StrCat("p", i), ++last_));
    events.push_back(Put("NetworkPolicy", absl::StrCat("p", i), "y", ++last_));
  }
  sync_.Take(events, now_);
  EXPECT_FALSE(sync_.doubt().has_value());
}

TEST_F(StoreSyncTest, ADeltaThatDeletesTheOwnNodeIsNotBelieved) {
  Snapshot(WithNode(Policies(2)), 500);
  sink_.Take();
  sync_.Take({Delete("Node", "node1", 501)}, now_);
  ASSERT_TRUE(sync_.doubt().has_value());
  EXPECT_TRUE(sync_.doubt()->own_node_gone);
  EXPECT_THAT(sink_.Take(), ElementsAre("delete node1", "put node1=last"));
}

TEST_F(StoreSyncTest, TheDoubtEndsWhenWhatWasDeletedIsThereAgain) {
  Snapshot(WithNode(Policies(40)), 500);
  sync_.Take(Deletions(0, 40), now_);
  ASSERT_TRUE(sync_.doubt().has_value());
  std::vector<WatchEvent> back;
  for (int i = 0; i < 30; ++i)
    back.push_back(Put("NetworkPolicy", absl::StrCat("p", i), "y", ++last_));
  sync_.Take(back, now_);
  ASSERT_TRUE(sync_.wants_snapshot());
  sink_.Take();
  Snapshot(WithNode(back), last_);
  EXPECT_FALSE(sync_.doubt().has_value());
  EXPECT_THAT(sink_.Take(), SizeIs(30 + 10)) << "30 new versions, 10 that stayed deleted";
}

// ---- accepting ----

TEST_F(StoreSyncTest, WhatIsAcceptedIsTakenByTheNextSnapshot) {
  Snapshot(WithNode(Policies(40)), 500);
  EXPECT_FALSE(sync_.Accept().has_value()) << "nothing is doubted";
  Snapshot(WithNode(Policies(3)), 600, "two");
  sink_.Take();
  const std::optional<Doubt> accepted = sync_.Accept();
  ASSERT_TRUE(accepted.has_value());
  EXPECT_THAT(accepted->why, HasSubstr("37 of 40 NetworkPolicy"));
  EXPECT_TRUE(sync_.wants_snapshot());
  EXPECT_THAT(sink_.Take(), IsEmpty());
  Snapshot(WithNode(Policies(3)), 601, "two");
  EXPECT_FALSE(sync_.doubt().has_value());
  EXPECT_THAT(sink_.Take(), SizeIs(37));
  EXPECT_EQ(sync_.identity(), "two");
  EXPECT_FALSE(sync_.Accept().has_value()) << "a second time does nothing";
}

TEST_F(StoreSyncTest, WhatDeltasDeletedIsAcceptedAtOnceToo) {
  Snapshot(WithNode(Policies(40)), 500);
  sync_.Take(Deletions(0, 40), now_);
  ASSERT_TRUE(sync_.Accept().has_value());
  ASSERT_TRUE(sync_.wants_snapshot());
  Snapshot(WithNode({}), last_);
  EXPECT_FALSE(sync_.doubt().has_value()) << sync_.doubt()->why;
}

TEST_F(StoreSyncTest, WhatIsWorseThanWhatWasAcceptedIsDoubtedAgain) {
  Snapshot(WithNode(Policies(40)), 500);
  Snapshot(WithNode(Policies(10)), 600);
  ASSERT_TRUE(sync_.Accept().has_value());
  Snapshot({}, 601);
  ASSERT_TRUE(sync_.doubt().has_value());
  EXPECT_TRUE(sync_.doubt()->own_node_gone);
}

TEST_F(StoreSyncTest, AcceptingALostOwnNodeIsForGood) {
  Snapshot(WithNode(Policies(2)), 500);
  Snapshot(Policies(2), 501);
  ASSERT_TRUE(sync_.Accept().has_value());
  Snapshot(Policies(2), 501);
  EXPECT_FALSE(sync_.doubt().has_value());
  Snapshot(Policies(2), 502);
  EXPECT_FALSE(sync_.doubt().has_value());
}

TEST_F(StoreSyncTest, TwoThousandOrdersOfEventsNeverTellAHalf) {
  // The sink's picture equals a snapshot that was whole, or one plus deltas; never less.
  std::map<std::string, std::string> world;
  class Mirror : public StoreSink {
   public:
    std::map<std::string, std::string> world;
    void OnPut(const StoredResource& r) override { world[r.key.name] = r.value; }
    void OnDelete(const ResourceKey& key) override { world.erase(key.name); }
  } mirror;
  StoreSync sync("node1", &mirror);
  uint64_t seed = 1;
  const auto random = [&](uint64_t n) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % n;
  };
  int64_t revision = 0;
  std::map<std::string, std::pair<std::string, int64_t>> store;
  std::map<std::string, std::string> whole;
  for (int round = 0; round < 2000; ++round) {
    sync.StartOver();
    sync.Opened("one", 0);
    size_t told = 0;
    const bool cut = random(3) == 0;
    for (const auto& [name, item] : store) {
      if (cut && told++ > store.size() / 2) break;
      sync.Take({Put(name, item.first, item.second)}, now_);
    }
    if (!cut) {
      sync.Take({Synced(revision)}, now_);
      whole.clear();
      for (const auto& [name, item] : store) whole[name] = item.first;
    }
    if (sync.whole()) {
      EXPECT_EQ(mirror.world, whole) << round;
    }
    for (int i = 0; i < 3; ++i) {
      const std::string name = absl::StrCat("t", random(12));
      if (random(3) == 0 && store.size() > 8) {
        if (store.erase(name) == 0) continue;
        ++revision;
        if (!cut) sync.Take({Delete("Tier", name, revision)}, now_);
        if (!cut) whole.erase(name);
      } else {
        store[name] = {absl::StrCat(round, i), ++revision};
        if (!cut) sync.Take({Put(name, store[name].first, revision)}, now_);
        if (!cut) whole[name] = store[name].first;
      }
    }
    if (sync.whole()) {
      EXPECT_EQ(mirror.world, whole) << round;
    }
    now_ += absl::Seconds(61);
  }
}

}  // namespace
}  // namespace ripstop::agent
