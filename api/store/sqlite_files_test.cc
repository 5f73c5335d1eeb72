// SPDX-License-Identifier: Apache-2.0
//
// What people do to a store's files while it is open, with the real file operations and the
// handles of two processes, as two agents have them.
#include "api/store/sqlite_files.h"

#include <poll.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "api/store/open.h"
#include "api/store/sqlite_store.h"
#include "api/store/testing/backup.h"
#include "api/store/testing/folder.h"
#include "api/store/testing/watching.h"
#include "gmock/gmock.h"

namespace ripstop::api {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

const ResourceKey kOld{"Tier", "", "in-the-backup"};
const ResourceKey kNew{"Tier", "", "after-the-backup"};

class SqliteFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    store_ = Open();
    ASSERT_TRUE(store_->Create(kOld, "old").ok());
    Backup(file_, backup_);
    for (int i = 0; i < 50; ++i)  // pages of their own, in the log alone
      ASSERT_TRUE(store_->Create({"NetworkSet", "n", absl::StrCat(i)}, std::string(500, 'x')).ok());
    ASSERT_TRUE(store_->Create(kNew, "new").ok());
    other_ = Open();
    watch_ = Follow(*store_);
    other_watch_ = Follow(*other_);
    identity_ = *store_->Identity();
  }

  std::unique_ptr<SqliteStore> Open() {
    auto opened = SqliteStore::Open(file_);
    EXPECT_TRUE(opened.ok()) << opened.status();
    return *std::move(opened);
  }
  static std::unique_ptr<Watch> Follow(Store& store) {
    auto watch = store.WatchFrom({}, 0);
    EXPECT_TRUE(watch.ok()) << watch.status();
    ReadUntil(**watch, [](const std::vector<WatchEvent>& all) {
      return !all.empty() && all.back().type == WatchEvent::Type::kSynced;
    });
    return *std::move(watch);
  }
  // Another store, with one object, as a file without a log.
  std::string AnotherStore() {
    const std::string path = folder_.file("another.db");
    {
      auto store = SqliteStore::Open(path);
      EXPECT_TRUE((*store)->Create({"Tier", "", "another"}, "x").ok());
    }
    EXPECT_FALSE(fs::exists(path + "-wal"));
    return path;
  }

  static absl::Status NextEnd(Watch& watch) {
    for (int i = 0; i < 1000; ++i) {
      pollfd ready{watch.fd(), POLLIN, 0};
      if (poll(&ready, 1, 60'000) <= 0) return absl::DeadlineExceededError("silence");
      const auto events = watch.Next();
      if (!events.ok()) return events.status();
      EXPECT_THAT(*events, testing::IsEmpty());
    }
    return absl::DeadlineExceededError("wakes for ever");
  }
  // Both watches end, asking to be opened from the beginning.
  void ExpectWatchesEnd(const std::string& why) {
    for (auto* watch : {&watch_, &other_watch_}) {
      const absl::Status end = NextEnd(**watch);
      EXPECT_EQ(end.code(), absl::StatusCode::kOutOfRange) << end;
      EXPECT_THAT(std::string(end.message()), HasSubstr(why));
      watch->reset();
    }
  }
  static std::vector<std::string> Tiers(Store& store) {
    std::vector<std::string> names;
    const auto listing = store.List({"Tier", ""});
    EXPECT_TRUE(listing.ok()) << listing.status();
    if (!listing.ok()) return names;
    for (const StoredResource& item : listing->items) names.push_back(item.key.name);
    return names;
  }
  static std::string Integrity(const std::string& path) {
    auto database = SqliteDatabase::Open(path, SQLITE_OPEN_READWRITE, 5000);
    if (!database.ok()) return database.status().ToString();
    SqliteQuery query(**database, "PRAGMA integrity_check");
    const auto row = query.Step();
    return row.ok() ? query.Bytes(0) : row.status().ToString();
  }
  // All handles are in the file that has the name now, and it is whole.
  void ExpectFollowed(const std::vector<std::string>& tiers) {
    EXPECT_EQ(Tiers(*store_), tiers);
    EXPECT_EQ(Tiers(*other_), tiers);
    watch_ = Follow(*store_);
    other_watch_ = Follow(*other_);
    ASSERT_TRUE(other_->Create({"Tier", "", "zz"}, "zz").ok());
    EXPECT_THAT(Describe(ReadCount(*watch_, 1)), ElementsAre("put Tier zz=zz"));
    EXPECT_THAT(Describe(ReadCount(*other_watch_, 1)), ElementsAre("put Tier zz=zz"));
    EXPECT_EQ(Open()->Get({"Tier", "", "zz"})->value, "zz");
    EXPECT_EQ(Integrity(file_), "ok");
  }

  const Folder folder_;
  const std::string file_ = folder_.file();
  const std::string backup_ = folder_.file("backup.db");
  std::unique_ptr<SqliteStore> store_, other_;
  std::unique_ptr<Watch> watch_, other_watch_;
  std::string identity_;
};

TEST_F(SqliteFilesTest, RenamedAwayAndABackupPutInItsPlace) {
  fs::rename(file_, folder_.file("away.db"));
  ExpectWatchesEnd("removed while in use");
  EXPECT_TRUE(absl::IsUnavailable(store_->Get(kOld).status()));
  EXPECT_TRUE(absl::IsUnavailable(store_->Create({"Tier", "", "lost"}, "x").status()));
  EXPECT_TRUE(absl::IsUnavailable(store_->WatchFrom({}, 0).status()));
  EXPECT_FALSE(fs::exists(file_)) << "nobody makes a store but who is asked to";
  fs::copy_file(backup_, file_);
  ExpectFollowed({"in-the-backup"});
  EXPECT_EQ(*store_->Identity(), identity_);
  // What was committed before is in the file that was moved, and nothing since.
  EXPECT_EQ(Integrity(folder_.file("away.db")), "ok");
  auto away = SqliteStore::Open(folder_.file("away.db"));
  EXPECT_THAT(Tiers(**away), ElementsAre("after-the-backup", "in-the-backup"));
}

TEST_F(SqliteFilesTest, ABackupRenamedOverIt) {
  fs::rename(backup_, file_);
  ExpectWatchesEnd("replaced while in use");
  ExpectFollowed({"in-the-backup"});
}

TEST_F(SqliteFilesTest, RemovedAndRestored) {
  fs::remove(file_);
  ExpectWatchesEnd("removed while in use");
  EXPECT_TRUE(absl::IsUnavailable(store_->Create({"Tier", "", "lost"}, "x").status()));
  fs::copy_file(backup_, file_);
  ExpectFollowed({"in-the-backup"});
}

TEST_F(SqliteFilesTest, RemovedWithItsLogAndRestored) {
  for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(file_ + suffix);
  ExpectWatchesEnd("removed while in use");
  fs::copy_file(backup_, file_);
  ExpectFollowed({"in-the-backup"});
}

TEST_F(SqliteFilesTest, MovedAwayWithItsLogAndBack) {
  for (const char* suffix : {"", "-wal", "-shm"})
    fs::rename(file_ + suffix, folder_.file("away.db") + suffix);
  ExpectWatchesEnd("removed while in use");
  EXPECT_TRUE(absl::IsUnavailable(other_->Get(kOld).status()));
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::error_code gone;  // the last handle may have taken the log with it
    fs::rename(folder_.file("away.db") + suffix, file_ + suffix, gone);
  }
  ExpectFollowed({"after-the-backup", "in-the-backup"});
}

TEST_F(SqliteFilesTest, ReplacedBeforeAWatchWasRead) {
  // No wake-up was handled in between: the next call asks by itself.
  fs::rename(backup_, file_);
  EXPECT_THAT(Tiers(*store_), ElementsAre("in-the-backup"));
  ASSERT_TRUE(other_->Create({"Tier", "", "lands"}, "x").ok());
  EXPECT_THAT(Tiers(*Open()), ElementsAre("in-the-backup", "lands"));
  EXPECT_EQ(Integrity(file_), "ok");
}

TEST_F(SqliteFilesTest, WrittenOverInPlace) {
  // So that the file itself holds what the log held, as after a while of use.
  {
    auto database = SqliteDatabase::Open(file_, SQLITE_OPEN_READWRITE, 5000);
    ASSERT_TRUE((*database)->Execute("PRAGMA wal_checkpoint(FULL)").ok());
  }
  ASSERT_TRUE(store_->Create({"Tier", "", "newest"}, "x").ok());  // in the log again
  ReadCount(*watch_, 1);
  ReadCount(*other_watch_, 1);
  // SQLite shares its index of the log within a process: here both are one.
  other_.reset();
  other_watch_.reset();
  fs::copy_file(backup_, file_, fs::copy_options::overwrite_existing);
  EXPECT_EQ(NextEnd(*watch_).code(), absl::StatusCode::kOutOfRange);
  watch_.reset();
  EXPECT_THAT(Tiers(*store_), ElementsAre("in-the-backup"));
  other_ = Open();
  ExpectFollowed({"in-the-backup"});
}

TEST_F(SqliteFilesTest, RestoredThroughSqlite) {
  Backup(backup_, file_);
  ExpectWatchesEnd("before");
  ExpectFollowed({"in-the-backup"});
}

TEST_F(SqliteFilesTest, AnotherStoreRenamedOverItHasAnotherIdentity) {
  fs::rename(AnotherStore(), file_);
  ExpectWatchesEnd("replaced while in use");
  EXPECT_NE(*store_->Identity(), identity_);
  ExpectFollowed({"another"});
}

TEST_F(SqliteFilesTest, AnotherStoreCopiedInThroughSqliteHasAnotherIdentity) {
  Backup(AnotherStore(), file_);
  ExpectWatchesEnd("is another one");
  EXPECT_NE(*store_->Identity(), identity_);
  EXPECT_NE(Follow(*store_)->identity(), identity_);
}

TEST_F(SqliteFilesTest, WhoWritesOnlyToOneStoreDoesNotWriteToAnother) {
  store_->WriteOnlyTo(identity_);
  ASSERT_TRUE(store_->Create({"Tier", "", "a"}, "x").ok());
  fs::rename(AnotherStore(), file_);
  for (const absl::Status& status : {store_->Create({"Tier", "", "b"}, "x").status(),
                                     store_->Delete({"Tier", "", "another"}, 0).status(),
                                     store_->Txn({{Mutation::Type::kPut, kOld, "y"}}).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(identity_));
  }
  EXPECT_THAT(Tiers(*store_), ElementsAre("another"));
  store_->WriteOnlyTo(*store_->Identity());
  EXPECT_TRUE(store_->Create({"Tier", "", "b"}, "x").ok());
}

TEST_F(SqliteFilesTest, ALogOfAnotherStoreIsRefusedByName) {
  watch_.reset();
  other_watch_.reset();
  other_.reset();
  // What a machine that lost its power leaves, and somebody replaces the file alone.
  const std::string place = folder_.file("place.db");
  fs::copy_file(AnotherStore(), place);
  fs::copy_file(file_ + "-wal", place + "-wal");
  const absl::Status status = SqliteStore::Open(place).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(place + "-wal"));
}

TEST_F(SqliteFilesTest, ABackupThatIsNotInLogModeIsBroughtToIt) {
  const std::string plain = folder_.file("plain.db");
  {
    auto database = SqliteDatabase::Open(backup_, SQLITE_OPEN_READWRITE, 5000);
    ASSERT_TRUE((*database)->Execute(("VACUUM INTO '" + plain + "'").c_str()).ok());
  }
  fs::rename(plain, file_);
  ExpectWatchesEnd("replaced while in use");
  ExpectFollowed({"in-the-backup"});
}

TEST_F(SqliteFilesTest, AnIdentityIsMadeOnceAndGoesWithTheBackup) {
  EXPECT_EQ(*other_->Identity(), identity_);
  EXPECT_EQ(*(*SqliteStore::Open(backup_))->Identity(), identity_);
  EXPECT_NE(*(*SqliteStore::Open(AnotherStore()))->Identity(), identity_);
  EXPECT_EQ(watch_->identity(), identity_);
}

TEST(SqliteStoreModeTest, FilesAreTheirOwnersAlsoWhenTheyWereOpenToAll) {
  const Folder folder;
  const std::string path = folder.file("made/by/us/store.db");
  const auto mode = [](const std::string& file) {
    struct stat status;
    return stat(file.c_str(), &status) == 0 ? status.st_mode & 07777 : 0u;
  };
  auto store = SqliteStore::Open(path);
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ(mode(folder.file("made")), 0700u);
  EXPECT_EQ(mode(folder.file("made/by/us")), 0700u);
  for (const char* suffix : {"", "-wal", "-shm"}) {
    EXPECT_EQ(mode(path + suffix), 0600u) << suffix;
    ASSERT_EQ(chmod((path + suffix).c_str(), 0644), 0);
  }
  auto again = SqliteStore::Open(path);
  for (const char* suffix : {"", "-wal", "-shm"}) EXPECT_EQ(mode(path + suffix), 0600u) << suffix;
}

TEST(LazyStoreTest, AStoreThatIsNotThereYetIsOpenedOnceItIsAndNeverMade) {
  const Folder folder;
  auto lazy = OpenStore("sqlite://" + folder.file(), {.lazily = true});
  ASSERT_TRUE(lazy.ok()) << lazy.status();
  EXPECT_TRUE(absl::IsUnavailable((*lazy)->Get(kOld).status()));
  EXPECT_TRUE(absl::IsUnavailable((*lazy)->Create(kOld, "x").status()));
  EXPECT_TRUE(absl::IsUnavailable((*lazy)->WatchFrom({}, 0).status()));
  EXPECT_FALSE(fs::exists(folder.file()));
  std::ofstream(folder.file()).close();
  const absl::Status empty = (*lazy)->Create(kOld, "x").status();
  EXPECT_TRUE(absl::IsUnavailable(empty)) << empty;
  EXPECT_EQ(fs::file_size(folder.file()), 0u);
  ASSERT_TRUE((*SqliteStore::Open(folder.file()))->Create(kOld, "x").ok());
  EXPECT_EQ((*lazy)->Get(kOld)->value, "x");
}

}  // namespace
}  // namespace ripstop::api
