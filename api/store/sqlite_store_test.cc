// SPDX-License-Identifier: Apache-2.0
#include "api/store/sqlite_store.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "api/store/open.h"
#include "api/store/testing/folder.h"
#include "api/store/testing/store_suite.h"

namespace ripstop::api {
namespace {

class SqliteBackend : public StoreBackend {
 public:
  std::unique_ptr<Store> Open() override {
    absl::StatusOr<std::unique_ptr<Store>> store = OpenStore("sqlite://" + folder_.file());
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }

 private:
  Folder folder_;
};

INSTANTIATE_TEST_SUITE_P(Sqlite, StoreSuite, testing::Values([]() -> std::unique_ptr<StoreBackend> {
                           return std::make_unique<SqliteBackend>();
                         }));

int64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);  // the same clock in every process
  return now.tv_sec * 1'000'000'000ll + now.tv_nsec;
}

// Runs `body` in a child process; its result is the exit code.
pid_t Spawn(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  return child;
}

int Join(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

TEST(SqliteStoreTest, WritersOfTwoProcessesAreSeenOnceAndInOrder) {
  constexpr int kWriters = 2, kChanges = 3000;
  const Folder folder;
  {
    // The schema exists before the race; FirstOpenIsRacedByManyProcesses covers that one.
    ASSERT_TRUE(SqliteStore::Open(folder.file()).ok());
  }
  std::vector<pid_t> children;
  for (int writer = 0; writer < kWriters; ++writer) {
    children.push_back(Spawn([&folder, writer] {
      auto store = SqliteStore::Open(folder.file());
      if (!store.ok()) return 1;
      for (int i = 0; i < kChanges; ++i) {
        const ResourceKey key{"Block", "", absl::StrCat("w", writer, "-", i % 50)};
        const Mutation put{Mutation::Type::kPut, key, absl::StrCat(i, " ", NowNs())};
        if (!(*store)->Txn({put}).ok()) return 2;
      }
      return 0;
    }));
  }
  auto store = SqliteStore::Open(folder.file());
  ASSERT_TRUE(store.ok()) << store.status();
  auto watch = (*store)->WatchFrom({}, 0);
  ASSERT_TRUE(watch.ok()) << watch.status();

  bool synced = false;
  int64_t revision = 0;
  std::vector<int64_t> latencies_us;
  // The snapshot stands for all changes up to its revision; each later one comes once.
  ReadUntil(**watch, [&, next = size_t{0}](const std::vector<WatchEvent>& all) mutable {
    for (; next < all.size(); ++next) {
      const WatchEvent& event = all[next];
      if (event.type == WatchEvent::Type::kSynced) {
        synced = true;
        revision = event.revision;
      } else if (synced) {
        EXPECT_EQ(event.revision, revision + 1);
        revision = event.revision;
        const std::string& value = event.resource.value;
        latencies_us.push_back((NowNs() - std::stoll(value.substr(value.find(' ')))) / 1000);
      }
    }
    return revision >= kWriters * kChanges;
  });
  for (const pid_t child : children) EXPECT_EQ(Join(child), 0);
  EXPECT_EQ(revision, kWriters * kChanges);
  if (!latencies_us.empty()) {
    std::sort(latencies_us.begin(), latencies_us.end());
    printf("%zu changes, latency to the watch: median %ld us, p99 %ld us, max %ld us\n",
           latencies_us.size(), latencies_us[latencies_us.size() / 2],
           latencies_us[latencies_us.size() * 99 / 100], latencies_us.back());
  }
}

TEST(SqliteStoreTest, ChangeOfAnotherProcessWakesAQuietWatch) {
  const Folder folder;
  auto store = SqliteStore::Open(folder.file());
  ASSERT_TRUE(store.ok()) << store.status();
  auto watch = (*store)->WatchFrom({}, 0);
  ASSERT_TRUE(watch.ok()) << watch.status();
  ReadCount(**watch, 1);
  std::vector<int64_t> latencies_us;
  for (int i = 0; i < 20; ++i) {
    // A new process each time: opening, checkpointing and closing happen around the write.
    const pid_t child = Spawn([&folder, i] {
      auto store = SqliteStore::Open(folder.file());
      if (!store.ok()) return 1;
      return (*store)->Create({"Tier", "", absl::StrCat("t", i)}, absl::StrCat(NowNs())).ok() ? 0
                                                                                              : 2;
    });
    const std::vector<WatchEvent> events = ReadCount(**watch, 1);
    ASSERT_EQ(events.size(), 1u);
    latencies_us.push_back((NowNs() - std::stoll(events[0].resource.value)) / 1000);
    EXPECT_EQ(Join(child), 0);
  }
  std::sort(latencies_us.begin(), latencies_us.end());
  printf("quiet watch: median %ld us, max %ld us\n", latencies_us[10], latencies_us.back());
}

TEST(SqliteStoreTest, CommitOfAWriterThatDidNotSignalIsStillSeen) {
  const Folder folder;
  auto store = SqliteStore::Open(folder.file());
  ASSERT_TRUE(store.ok()) << store.status();
  auto watch = (*store)->WatchFrom({}, 0);
  ASSERT_TRUE(watch.ok()) << watch.status();
  ReadCount(**watch, 1);
  // As another SQLite tool would write, or one of ours killed right after its commit.
  auto other = SqliteDatabase::Open(folder.file(), SQLITE_OPEN_READWRITE, 1000);
  ASSERT_TRUE(other.ok()) << other.status();
  ASSERT_TRUE((*other)
                  ->Execute("BEGIN IMMEDIATE;"
                            "INSERT INTO changes VALUES (1, 0, 'Tier', '', 't', x'41', 1);"
                            "UPDATE meta SET revision = 1; COMMIT")
                  .ok());
  EXPECT_THAT(Describe(ReadCount(**watch, 1)), testing::ElementsAre("put Tier t=A"));
}

TEST(SqliteStoreTest, WatchSurvivesCheckpointsAndRestartsOfTheLog) {
  const Folder folder;
  auto store = SqliteStore::Open(folder.file());
  ASSERT_TRUE(store.ok()) << store.status();
  auto watch = (*store)->WatchFrom({}, 0);
  ASSERT_TRUE(watch.ok()) << watch.status();
  ReadCount(**watch, 1);
  auto other = SqliteDatabase::Open(folder.file(), SQLITE_OPEN_READWRITE, 1000);
  ASSERT_TRUE(other.ok()) << other.status();
  for (int round = 0; round < 5; ++round) {
    ASSERT_TRUE((*store)->Create({"Tier", "", absl::StrCat(round)}, "x").ok());
    EXPECT_EQ(Describe(ReadCount(**watch, 1)).back(), absl::StrCat("put Tier ", round, "=x"));
    ASSERT_TRUE((*other)->Execute("PRAGMA wal_checkpoint(TRUNCATE)").ok());
  }
}

TEST(SqliteStoreTest, FirstOpenIsRacedByManyProcesses) {
  const Folder folder;
  std::vector<pid_t> children;
  for (int i = 0; i < 8; ++i) {
    children.push_back(Spawn([&folder, i] {
      auto store = SqliteStore::Open(folder.file());
      if (!store.ok()) {
        fprintf(stderr, "%s\n", std::string(store.status().message()).c_str());
        return 1;
      }
      return (*store)->Create({"Tier", "", absl::StrCat(i)}, "x").ok() ? 0 : 2;
    }));
  }
  for (const pid_t child : children) EXPECT_EQ(Join(child), 0);
  EXPECT_EQ((*SqliteStore::Open(folder.file()))->List({})->items.size(), 8u);
}

TEST(SqliteStoreTest, ResumeBeforeTheKeptHistoryIsOutOfRange) {
  const Folder folder;
  auto store = SqliteStore::Open(folder.file(), {.history_max = 100, .history_grace = {}});
  ASSERT_TRUE(store.ok()) << store.status();
  for (int i = 0; i < 250; ++i)
    ASSERT_TRUE((*store)->Txn({{Mutation::Type::kPut, {"Tier", "", "t"}, "x"}}).ok());
  auto kept = (*store)->WatchFrom({}, 150);
  ASSERT_TRUE(kept.ok()) << kept.status();
  EXPECT_EQ(ReadCount(**kept, 101).size(), 101u);  // synced, and 151 to 250
  auto lost = (*store)->WatchFrom({}, 149);
  const absl::Status status = lost.ok() ? (*lost)->Next().status() : lost.status();
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange) << status;
}

// A watch that had read everything before a transaction larger than the whole history reads
// on from there, and still after the small writes that follow it.
TEST(SqliteStoreTest, OneLargeTransactionDoesNotEndTheWatchesThatWereUpToDate) {
  const Folder folder;
  const SqliteStoreOptions options{.history_max = 2000, .history_grace = absl::Hours(1)};
  auto store = SqliteStore::Open(folder.file(), options);
  ASSERT_TRUE(store.ok()) << store.status();
  for (int i = 0; i < 150; ++i)
    ASSERT_TRUE((*store)->Txn({{Mutation::Type::kPut, {"Tier", "", "t"}, "x"}}).ok());
  auto watch = (*store)->WatchFrom({}, 150);
  ASSERT_TRUE(watch.ok()) << watch.status();
  ReadCount(**watch, 1);
  std::vector<Mutation> mutations;
  for (int i = 0; i < 5000; ++i)
    mutations.push_back({Mutation::Type::kCreate, {"NetworkSet", "ns", absl::StrCat(i)}, "x"});
  ASSERT_TRUE((*store)->Txn(mutations).ok());
  for (int i = 0; i < 100; ++i)
    ASSERT_TRUE((*store)->Txn({{Mutation::Type::kPut, {"Tier", "", "t"}, "y"}}).ok());
  const std::vector<WatchEvent> events = ReadCount(**watch, 5100);
  ASSERT_EQ(events.size(), 5100u);
  EXPECT_EQ(Describe(events.back()), "put Tier t=y");

  // Without the grace, as after it, the bound is reached again, some at a time.
  auto database = SqliteDatabase::Open(folder.file(), SQLITE_OPEN_READWRITE, 1000);
  ASSERT_TRUE(database.ok()) << database.status();
  auto later = SqliteStore::Open(folder.file(), {.history_max = 2000, .history_grace = {}});
  int64_t kept = *(*database)->Integer("SELECT count(*) FROM changes");
  EXPECT_GT(kept, 5000);
  for (int writes = 0; kept > 2000; ++writes) {
    ASSERT_LT(writes, 10);
    ASSERT_TRUE((*later)->Txn({{Mutation::Type::kPut, {"Tier", "", "t"}, "z"}}).ok());
    const int64_t now = *(*database)->Integer("SELECT count(*) FROM changes");
    EXPECT_GE(now, kept - 1001) << "no write pays for another's past";
    kept = now;
  }
  EXPECT_EQ(kept, 2000);
}

TEST(SqliteStoreTest, ChangesThatAreYoungStayUpToFourTimesTheBound) {
  const Folder folder;
  auto store =
      SqliteStore::Open(folder.file(), {.history_max = 100, .history_grace = absl::Hours(1)});
  ASSERT_TRUE(store.ok()) << store.status();
  for (int i = 0; i < 1000; ++i)
    ASSERT_TRUE((*store)->Txn({{Mutation::Type::kPut, {"Tier", "", "t"}, "x"}}).ok());
  auto database = SqliteDatabase::Open(folder.file(), SQLITE_OPEN_READWRITE, 1000);
  EXPECT_EQ(*(*database)->Integer("SELECT count(*) FROM changes"), 400);
  // As if the grace had passed twice.
  ASSERT_TRUE((*database)->Execute("UPDATE meta SET aged_at = aged_at - 7200").ok());
  ASSERT_TRUE((*store)->Txn({{Mutation::Type::kPut, {"Tier", "", "t"}, "x"}}).ok());
  ASSERT_TRUE((*database)->Execute("UPDATE meta SET aged_at = aged_at - 7200").ok());
  ASSERT_TRUE((*store)->Txn({{Mutation::Type::kPut, {"Tier", "", "t"}, "x"}}).ok());
  EXPECT_EQ(*(*database)->Integer("SELECT count(*) FROM changes"), 100);
}

TEST(SqliteStoreTest, TheHistoryIsBoundedByBytesToo) {
  const Folder folder;
  constexpr int64_t kBound = 1'000'000;
  auto store = SqliteStore::Open(folder.file(), {.history_bytes_max = kBound, .history_grace = {}});
  ASSERT_TRUE(store.ok()) << store.status();
  const std::string large(100'000, 'n');
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(
        (*store)->Txn({{Mutation::Type::kPut, {"NetworkSet", "shop", "nets"}, large}}).ok());
    ASSERT_TRUE((*store)->Txn({{Mutation::Type::kPut, {"Tier", "", "t"}, "x"}}).ok());
  }
  ASSERT_TRUE((*store)->Delete({"NetworkSet", "shop", "nets"}, 0).ok());
  auto database = SqliteDatabase::Open(folder.file(), SQLITE_OPEN_READWRITE, 1000);
  ASSERT_TRUE(database.ok()) << database.status();
  const int64_t held = *(*database)->Integer("SELECT sum(length(value)) FROM changes");
  EXPECT_LE(held, kBound);
  EXPECT_GE(held, kBound / 2) << "what fits is kept";
  EXPECT_EQ(*(*database)->Integer("SELECT history_bytes FROM meta"),
            *(*database)->Integer("SELECT sum(length(kind) + length(ns) + length(name)"
                                  " + length(value) + 64) FROM changes"));
  EXPECT_EQ(*(*database)->Integer("SELECT compacted FROM meta"),
            *(*database)->Integer("SELECT min(revision) - 1 FROM changes"));
}

TEST(SqliteStoreTest, ABusyStoreIsSaidToBeBusyAndReadsGoOn) {
  const Folder folder;
  auto store = SqliteStore::Open(folder.file(), {.busy_timeout_ms = 1});
  ASSERT_TRUE(store.ok()) << store.status();
  ASSERT_TRUE((*store)->Create({"Tier", "", "t"}, "x").ok());
  auto other = SqliteDatabase::Open(folder.file(), SQLITE_OPEN_READWRITE, 1000);
  ASSERT_TRUE((*other)->Execute("BEGIN EXCLUSIVE").ok());
  const absl::Status status = (*store)->Create({"Tier", "", "u"}, "x").status();
  EXPECT_TRUE(absl::IsUnavailable(status) && IsStoreBusy(status)) << status;
  EXPECT_EQ((*store)->Get({"Tier", "", "t"})->value, "x");
  ASSERT_TRUE((*other)->Execute("ROLLBACK").ok());
  EXPECT_TRUE((*store)->Create({"Tier", "", "u"}, "x").ok());
  EXPECT_FALSE(IsStoreBusy((*store)->Create({"Tier", "", "u"}, "x").status()));
}

TEST(SqliteStoreTest, AStoreOfVersion1IsUpgradedWithAllItHolds) {
  const Folder folder;
  {
    auto old =
        SqliteDatabase::Open(folder.file(), SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, 1000);
    ASSERT_TRUE(old.ok()) << old.status();
    ASSERT_TRUE((*old)
                    ->Execute(R"sql(
        PRAGMA journal_mode = WAL;
        CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL,
          compacted INTEGER NOT NULL);
        INSERT INTO meta VALUES (1, 7, 2);
        CREATE TABLE resources (kind TEXT NOT NULL, ns TEXT NOT NULL, name TEXT NOT NULL,
          value BLOB NOT NULL, revision INTEGER NOT NULL, create_revision INTEGER NOT NULL,
          PRIMARY KEY (kind, ns, name));
        INSERT INTO resources VALUES ('Tier', '', 't', x'41', 7, 3);
        CREATE TABLE changes (revision INTEGER PRIMARY KEY, deleted INTEGER NOT NULL,
          kind TEXT NOT NULL, ns TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL,
          create_revision INTEGER NOT NULL);
        INSERT INTO changes VALUES (7, 0, 'Tier', '', 't', x'41', 3);
        PRAGMA application_id = 1383093108;
        PRAGMA user_version = 1;)sql")
                    .ok());
  }
  auto store = SqliteStore::Open(folder.file(), {.create = false});
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_THAT(*(*store)->Identity(), testing::SizeIs(36));
  EXPECT_EQ((*store)->Get({"Tier", "", "t"})->create_revision, 3);
  EXPECT_EQ(*(*store)->Create({"Tier", "", "u"}, "x"), 8);
  auto again = SqliteStore::Open(folder.file());
  EXPECT_EQ(*(*again)->Identity(), *(*store)->Identity());
}

TEST(SqliteStoreTest, LargeBacklogKeepsTheWatchReadableUntilItIsRead) {
  const Folder folder;
  auto store = SqliteStore::Open(folder.file());
  ASSERT_TRUE(store.ok()) << store.status();
  auto watch = (*store)->WatchFrom({}, 0);
  ReadCount(**watch, 1);
  std::vector<Mutation> mutations;
  for (int i = 0; i < 10'000; ++i)
    mutations.push_back({Mutation::Type::kCreate, {"NetworkSet", "ns", absl::StrCat(i)}, "x"});
  const int64_t start = NowNs();
  ASSERT_TRUE((*store)->Txn(mutations).ok());
  printf("10000 documents in one transaction: %ld ms\n", (NowNs() - start) / 1'000'000);
  const std::vector<WatchEvent> events = ReadCount(**watch, 10'000);
  ASSERT_EQ(events.size(), 10'000u);
  for (size_t i = 1; i < events.size(); ++i)
    ASSERT_EQ(events[i].revision, events[i - 1].revision + 1);
}

TEST(SqliteStoreTest, ASnapshotComesInPiecesOfOneMoment) {
  const Folder folder;
  auto store = SqliteStore::Open(folder.file());
  ASSERT_TRUE(store.ok()) << store.status();
  std::vector<Mutation> mutations;
  for (int i = 0; i < 10'000; ++i)
    mutations.push_back({Mutation::Type::kCreate, {"NetworkSet", "ns", absl::StrCat(i)}, "x"});
  for (int i = 0; i < 20; ++i)
    mutations.push_back(
        {Mutation::Type::kCreate, {"Tier", "", absl::StrCat(i)}, std::string(1 << 20, 'x')});
  ASSERT_TRUE((*store)->Txn(mutations).ok());
  auto watch = (*store)->WatchFrom({}, 0);
  ASSERT_TRUE(watch.ok()) << watch.status();
  const auto first = (*watch)->Next();
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->size(), 4096u);
  ASSERT_TRUE((*store)->Delete({"NetworkSet", "ns", "9999"}, 0).ok());
  ASSERT_TRUE((*store)->Delete({"NetworkSet", "ns", "0"}, 0).ok());
  size_t puts = first->size(), largest = 0;
  std::vector<std::string> others;
  while (others.size() < 3) {
    const std::vector<WatchEvent> piece = ReadCount(**watch, 1);
    size_t bytes = 0;
    for (const WatchEvent& event : piece) {
      bytes += event.resource.value.size();
      if (event.type == WatchEvent::Type::kPut && others.empty()) {
        ++puts;
      } else {
        others.push_back(Describe(event));
      }
    }
    largest = std::max(largest, bytes);
  }
  EXPECT_EQ(puts, 10'020u);
  EXPECT_THAT(others, testing::ElementsAre("synced", "delete NetworkSet ns/9999=x",
                                           "delete NetworkSet ns/0=x"));
  EXPECT_LE(largest, size_t{5} << 20);
}

TEST(SqliteStoreTest, FileThatIsNoStoreIsRefusedByName) {
  const Folder folder;
  std::ofstream(folder.file("text.db")) << std::string(4096, 'x');
  const absl::Status text = SqliteStore::Open(folder.file("text.db")).status();
  EXPECT_EQ(text.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(text.message()), testing::HasSubstr(folder.file("text.db")));

  auto foreign = SqliteDatabase::Open(folder.file("foreign.db"),
                                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, 1000);
  ASSERT_TRUE((*foreign)->Execute("CREATE TABLE t (x)").ok());
  const absl::Status other = SqliteStore::Open(folder.file("foreign.db")).status();
  EXPECT_EQ(other.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(other.message()), testing::HasSubstr("another program's"));
}

TEST(SqliteStoreTest, NewerSchemaIsRefusedWithBothVersions) {
  const Folder folder;
  ASSERT_TRUE(SqliteStore::Open(folder.file()).ok());
  {
    auto database = SqliteDatabase::Open(folder.file(), SQLITE_OPEN_READWRITE, 1000);
    ASSERT_TRUE((*database)->Execute("PRAGMA user_version = 7").ok());
  }
  const absl::Status status = SqliteStore::Open(folder.file()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("schema version 7"));
}

TEST(SqliteStoreTest, AbsentFileIsUnavailableUnlessItMayBeMade) {
  const Folder folder;
  const std::string path = folder.file("sub/folder/store.db");
  const absl::Status status = SqliteStore::Open(path, {.create = false}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr(path));
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_TRUE(SqliteStore::Open(path).ok());
}

TEST(SqliteStoreTest, FileThatCannotBeMadeIsUnavailable) {
  const Folder folder;
  std::ofstream(folder.file("file")) << "x";
  const absl::Status status = SqliteStore::Open(folder.file("file/store.db")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr(folder.file("file/store.db")));
}

TEST(SqliteStoreTest, DamagedFileIsDataLossAndNamed) {
  const Folder folder;
  {
    auto store = SqliteStore::Open(folder.file());
    for (int i = 0; i < 500; ++i)
      ASSERT_TRUE((*store)->Create({"Tier", "", absl::StrCat(i)}, std::string(200, 'x')).ok());
  }
  {
    std::fstream file(folder.file(), std::ios::in | std::ios::out | std::ios::binary);
    for (int page = 1; page < 20; ++page) {
      file.seekp(page * 4096);
      file << std::string(4096, '\xff');
    }
  }
  auto store = SqliteStore::Open(folder.file());
  const absl::Status status = store.ok() ? (*store)->List({}).status() : store.status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr(folder.file()));
}

TEST(OpenStoreTest, UnknownSchemeListsTheKnownOnes) {
  for (const char* url : {"etcd3://host", "/var/lib/store.db", ""}) {
    const absl::Status status = OpenStore(url).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr("sqlite:///PATH"));
  }
}

}  // namespace
}  // namespace ripstop::api
