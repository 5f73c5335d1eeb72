// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/store_sync.h"

#include <deque>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::agent {
namespace {

using api::ResourceKey;
using api::StoredResource;
using api::WatchEvent;
using testing::ElementsAre;
using testing::IsEmpty;

// A store whose watches play back what the test scripts.
class ScriptedStore : public api::Store {
 public:
  struct Script {
    std::vector<WatchEvent> events;
    absl::Status end;
  };
  std::deque<Script> scripts;
  std::vector<int64_t> opened_from;
  bool compacted = false;

  absl::StatusOr<std::unique_ptr<api::Watch>> WatchFrom(const api::ResourceFilter&,
                                                        int64_t revision) override {
    opened_from.push_back(revision);
    if (compacted && revision != 0) return absl::OutOfRangeError("compacted");
    auto watch = std::make_unique<ScriptedWatch>(scripts.front());
    scripts.pop_front();
    return watch;
  }

  absl::StatusOr<StoredResource> Get(const ResourceKey&) override { return Unused(); }
  absl::StatusOr<api::Listing> List(const api::ResourceFilter&) override { return Unused(); }
  absl::StatusOr<int64_t> Create(const ResourceKey&, std::string_view) override { return Unused(); }
  absl::StatusOr<int64_t> Update(const ResourceKey&, std::string_view, int64_t) override {
    return Unused();
  }
  absl::StatusOr<int64_t> Delete(const ResourceKey&, int64_t) override { return Unused(); }
  absl::StatusOr<std::vector<int64_t>> Txn(const std::vector<api::Mutation>&) override {
    return Unused();
  }

 private:
  class ScriptedWatch : public api::Watch {
   public:
    explicit ScriptedWatch(Script script) : script_(std::move(script)) {}
    int fd() const override { return 0; }
    absl::StatusOr<std::vector<WatchEvent>> Next() override {
      if (!script_.events.empty()) return std::exchange(script_.events, {});
      if (!script_.end.ok()) return script_.end;
      return std::vector<WatchEvent>{};
    }

   private:
    Script script_;
  };
  static absl::Status Unused() { return absl::InternalError("not part of this test"); }
};

class Recorder : public StoreSink {
 public:
  std::vector<std::string> log;
  void OnPut(const StoredResource& r) override {
    log.push_back("put " + r.key.name + "=" + r.value);
  }
  void OnDelete(const ResourceKey& key) override { log.push_back("delete " + key.name); }
  void OnSynced(int64_t revision) override { log.push_back("synced " + std::to_string(revision)); }
  std::vector<std::string> Take() { return std::exchange(log, {}); }
};

WatchEvent Put(const std::string& name, const std::string& value, int64_t revision) {
  return {WatchEvent::Type::kPut, {{"Tier", "", name}, value, revision, revision}, revision};
}
WatchEvent Synced(int64_t revision) { return {WatchEvent::Type::kSynced, {}, revision}; }

TEST(StoreSyncTest, SnapshotThenDeltasArePassedOnInOrder) {
  ScriptedStore store;
  store.scripts.push_back({{Put("a", "1", 1), Put("b", "2", 2), Synced(2), Put("a", "3", 3)}, {}});
  Recorder sink;
  StoreSync sync(&store, &sink);
  ASSERT_TRUE(sync.Open().ok());
  ASSERT_TRUE(sync.Read().ok());
  EXPECT_THAT(sink.Take(), ElementsAre("put a=1", "put b=2", "synced 2", "put a=3"));
  EXPECT_EQ(sync.revision(), 3);
}

TEST(StoreSyncTest, ALostWatchResumesAfterTheLastRevisionSeen) {
  ScriptedStore store;
  store.scripts.push_back(
      {{Put("a", "1", 1), Synced(1), Put("b", "2", 4)}, absl::UnavailableError("gone")});
  store.scripts.push_back({{Synced(4)}, {}});
  Recorder sink;
  StoreSync sync(&store, &sink);
  ASSERT_TRUE(sync.Open().ok());
  ASSERT_TRUE(sync.Read().ok());
  EXPECT_TRUE(absl::IsUnavailable(sync.Read()));
  EXPECT_EQ(sync.fd(), -1);
  ASSERT_TRUE(sync.Open().ok());
  EXPECT_THAT(store.opened_from, ElementsAre(0, 4));
}

TEST(StoreSyncTest, ACompactedWatchListsAgainAndTellsOnlyTheDifference) {
  ScriptedStore store;
  store.scripts.push_back({{Put("a", "1", 1), Put("b", "2", 2), Put("c", "3", 3), Synced(3)},
                           absl::UnavailableError("gone")});
  store.scripts.push_back({{Put("a", "1", 1), Put("c", "9", 9)}, {}});
  Recorder sink;
  StoreSync sync(&store, &sink);
  ASSERT_TRUE(sync.Open().ok());
  ASSERT_TRUE(sync.Read().ok());
  ASSERT_FALSE(sync.Read().ok());
  sink.Take();

  store.compacted = true;
  ASSERT_TRUE(sync.Open().ok());
  ASSERT_TRUE(sync.Read().ok());
  EXPECT_THAT(sink.Take(), ElementsAre("put c=9"))
      << "nothing vanishes before the snapshot is whole";

  store.scripts.push_back({{Put("a", "1", 1), Put("c", "9", 9), Synced(9)}, {}});
  StoreSync fresh(&store, &sink);
  ASSERT_TRUE(fresh.Open().ok());
}

TEST(StoreSyncTest, WhatTheNewSnapshotLacksIsDeletedOnceItIsWhole) {
  ScriptedStore store;
  store.scripts.push_back(
      {{Put("a", "1", 1), Put("b", "2", 2), Synced(2)}, absl::OutOfRangeError("compacted")});
  store.scripts.push_back({{Put("a", "1", 1), Synced(7)}, {}});
  Recorder sink;
  StoreSync sync(&store, &sink);
  ASSERT_TRUE(sync.Open().ok());
  ASSERT_TRUE(sync.Read().ok());
  ASSERT_FALSE(sync.Read().ok());
  sink.Take();
  ASSERT_TRUE(sync.Open().ok());
  ASSERT_TRUE(sync.Read().ok());
  EXPECT_THAT(sink.Take(), ElementsAre("delete b", "synced 7"));
}

}  // namespace
}  // namespace ripstop::agent
