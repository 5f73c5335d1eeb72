// SPDX-License-Identifier: Apache-2.0
#include "agent/store/last_good.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "api/store/testing/folder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::agent {
namespace {

using api::StoredResource;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

StoredResource Tier(const std::string& name, const std::string& value, int64_t revision) {
  return {{"Tier", "", name}, value, revision, revision};
}

// What the writer's thread does; minutes, since only a hang takes so long.
bool ComesTrue(const std::function<bool()>& condition) {
  const absl::Time end = absl::Now() + absl::Minutes(10);
  while (absl::Now() < end) {
    if (condition()) return true;
    absl::SleepFor(absl::Milliseconds(1));
  }
  return false;
}

class LastGoodTest : public testing::Test {
 protected:
  struct Loaded {
    absl::Status status;
    LastGood::Origin origin;
    std::vector<std::string> lines;
  };
  Loaded Load() {
    Loaded loaded;
    const auto origin = LastGood(path_).Load([&](std::vector<StoredResource> piece) {
      for (const StoredResource& r : piece)
        loaded.lines.push_back(absl::StrCat(r.key.name, "=", r.value, "@", r.revision));
    });
    loaded.status = origin.status();
    if (origin.ok()) loaded.origin = *origin;
    return loaded;
  }
  void Write(const std::vector<StoredResource>& resources, int64_t revision) {
    LastGood last(path_);
    for (const StoredResource& resource : resources) last.Put(resource);
    last.Commit("one", revision);
  }
  void Sql(const std::string& sql) {
    auto database = api::SqliteDatabase::Open(path_, SQLITE_OPEN_READWRITE, 1000);
    ASSERT_TRUE(database.ok()) << database.status();
    ASSERT_TRUE((*database)->Execute(sql.c_str()).ok());
  }
  void ExpectDamaged(const std::string& why) {
    const Loaded loaded = Load();
    EXPECT_EQ(loaded.status.code(), absl::StatusCode::kDataLoss) << loaded.status;
    EXPECT_THAT(std::string(loaded.status.message()), HasSubstr(why));
    EXPECT_THAT(std::string(loaded.status.message()), HasSubstr(path_ + ".damaged"));
    EXPECT_THAT(loaded.lines, IsEmpty()) << "of what is damaged nothing is passed on";
    EXPECT_TRUE(std::filesystem::exists(path_ + ".damaged"));
    EXPECT_TRUE(absl::IsNotFound(Load().status)) << "a second start has none";
    Write({Tier("a", "1", 1)}, 1);
    EXPECT_THAT(Load().lines, ElementsAre("a=1@1"));
  }

  const api::Folder folder_;
  const std::string path_ = folder_.file("last-good.db");
};

TEST_F(LastGoodTest, WhatWasCommittedIsLoadedWithItsOrigin) {
  EXPECT_TRUE(absl::IsNotFound(Load().status));
  Write({Tier("b", std::string("x\0y", 3), 2), Tier("a", "1", 1)}, 7);
  const Loaded loaded = Load();
  ASSERT_TRUE(loaded.status.ok()) << loaded.status;
  EXPECT_THAT(loaded.lines, ElementsAre("a=1@1", std::string("b=x\0y@2", 7)));
  EXPECT_EQ(loaded.origin.identity, "one");
  EXPECT_EQ(loaded.origin.revision, 7);
}

TEST_F(LastGoodTest, ChangesAreAddedToWhatIsThere) {
  Write({Tier("a", "1", 1), Tier("b", "2", 2), Tier("c", "3", 3)}, 3);
  {
    LastGood last(path_);
    last.Put(Tier("a", "9", 9));
    last.Delete({"Tier", "", "b"});
    last.Delete({"Tier", "", "never-there"});
    last.Put(Tier("d", "8", 8));
    last.Delete({"Tier", "", "d"});
    last.Commit("one", 10);
    last.Put(Tier("e", "not committed", 11));
  }
  const Loaded loaded = Load();
  ASSERT_TRUE(loaded.status.ok()) << loaded.status;
  EXPECT_THAT(loaded.lines, ElementsAre("a=9@9", "c=3@3"));
  EXPECT_EQ(loaded.origin.revision, 10);
}

TEST_F(LastGoodTest, OfAnObjectThatCannotBeReadTheFormerStays) {
  Write({Tier("a", "good", 1)}, 1);
  {
    LastGood last(path_);
    last.PutIfAbsent(Tier("a", "bad", 2));
    last.PutIfAbsent(Tier("b", "bad", 3));
    last.Put(Tier("c", "good", 4));
    last.PutIfAbsent(Tier("c", "bad", 5));
    last.Put(Tier("d", "good", 6));
    last.Delete({"Tier", "", "d"});
    last.PutIfAbsent(Tier("d", "bad", 7));
    last.Commit("one", 7);
  }
  EXPECT_THAT(Load().lines, ElementsAre("a=good@1", "b=bad@3", "c=good@4", "d=bad@7"));
}

TEST_F(LastGoodTest, ManyPiecesAreOneState) {
  {
    LastGood last(path_);
    for (int i = 0; i < 5000; ++i) last.Put(Tier(absl::StrCat(i), "x", i));
    last.Commit("one", 5000);
    for (int i = 0; i < 5000; i += 2) last.Delete({"Tier", "", absl::StrCat(i)});
    for (int i = 1; i < 5000; i += 2) last.Put(Tier(absl::StrCat(i), "y", 5000 + i));
    last.Commit("one", 10'000);
    for (int i = 0; i < 3000; ++i) last.Put(Tier(absl::StrCat("u", i), "uncommitted", 1));
  }
  const Loaded loaded = Load();
  ASSERT_TRUE(loaded.status.ok()) << loaded.status;
  EXPECT_EQ(loaded.lines.size(), 2500u);
  EXPECT_EQ(loaded.lines.front(), "1=y@5001");
}

// SIGKILL at any moment leaves a state that was committed, and a file that is whole.
TEST_F(LastGoodTest, AKilledWriterLeavesACommittedState) {
  for (int round = 0; round < 10; ++round) {
    int pipes[2];
    ASSERT_EQ(pipe(pipes), 0);
    const pid_t child = fork();
    if (child == 0) {
      LastGood last(path_);
      // Each state is: all objects have the value of its number.
      for (int state = 1;; ++state) {
        for (int i = 0; i < 200; ++i)
          last.Put(Tier(absl::StrCat(i), absl::StrCat(round, ".", state), state));
        last.Commit("one", state);
        // Killed at its twentieth state, at the latest while it writes that.
        if (state == 20) (void)!write(pipes[1], "x", 1);
        if (state == 60) pause();
      }
    }
    char byte;
    ASSERT_EQ(read(pipes[0], &byte, 1), 1);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    close(pipes[0]);
    close(pipes[1]);
    const Loaded loaded = Load();
    if (absl::IsNotFound(loaded.status)) continue;  // killed before the first was written
    ASSERT_TRUE(loaded.status.ok()) << loaded.status;
    ASSERT_EQ(loaded.lines.size(), 200u);
    for (const std::string& line : loaded.lines)
      EXPECT_EQ(line.substr(line.find('=')), loaded.lines[0].substr(loaded.lines[0].find('=')));
  }
}

// In a mount namespace of its own: what is there, as Load sees it on a disk without room.
int LoadOnAFullDisk(const std::string& file, const std::string& folder) {
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=1m") != 0)
    return 77;
  const std::string path = folder + "/last-good.db";
  std::filesystem::copy_file(file, path);
  std::ofstream fill(folder + "/fill");
  while (fill.write(std::string(4096, 'x').data(), 4096).flush()) {
  }
  size_t rows = 0;
  const auto origin = LastGood(path).Load([&](std::vector<StoredResource> p) { rows += p.size(); });
  if (!origin.ok() || origin->revision != 2 || rows != 2) return 1;
  return std::filesystem::exists(path) && !std::filesystem::exists(path + ".damaged") ? 0 : 2;
}

TEST_F(LastGoodTest, AFullDiskHasDamagedNothing) {
  Write({Tier("a", "aaaa", 1), Tier("b", "bbbb", 2)}, 2);
  const std::string folder = folder_.file("full");
  std::filesystem::create_directories(folder);
  const pid_t child = fork();
  if (child == 0) _exit(LoadOnAFullDisk(path_, folder));
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "needs root, for a mount namespace";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(LastGoodTest, AFlippedByteIsDamage) {
  Write({Tier("a", "aaaa", 1), Tier("b", "bbbb", 2)}, 2);
  Sql("UPDATE resources SET value = x'62626263' WHERE name = 'b'");
  ExpectDamaged("the checksum of Tier b is wrong");
}

TEST_F(LastGoodTest, AMissingRowIsDamage) {
  Write({Tier("a", "aaaa", 1), Tier("b", "bbbb", 2)}, 2);
  Sql("DELETE FROM resources WHERE name = 'b'");
  ExpectDamaged("1 resources of 2");
}

TEST_F(LastGoodTest, ATruncatedFileIsDamage) {
  std::vector<StoredResource> resources;
  for (int i = 0; i < 200; ++i)
    resources.push_back(Tier(absl::StrCat(i), std::string(500, 'x'), 1));
  Write(resources, 2);
  std::filesystem::resize_file(path_, 20 * 4096);
  ExpectDamaged("malformed");
}

TEST_F(LastGoodTest, WhatIsNoDatabaseIsDamage) {
  std::ofstream(path_) << std::string(5000, 'x');
  ExpectDamaged("not a database");
}

TEST_F(LastGoodTest, AFileOfALaterVersionCountsAsNone) {
  Write({Tier("a", "1", 1)}, 1);
  Sql("PRAGMA user_version = 9");
  ExpectDamaged("version 9");
}

TEST_F(LastGoodTest, TheFileIsTheOwnersAlone) {
  Write({Tier("a", "1", 1)}, 1);
  struct stat status;
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
}

TEST_F(LastGoodTest, AFileThatCannotBeWrittenIsNamedAndEverythingAskedForAgain) {
  const std::string path = folder_.file("no/such.db");
  std::ofstream(folder_.file("no")) << "a file, where a folder is wanted";
  LastGood last(path);
  last.Put(Tier("a", "1", 1));
  last.Commit("one", 1);
  EXPECT_TRUE(ComesTrue([&] { return last.TakeLost(); }));
  EXPECT_THAT(last.problem(), HasSubstr(path));
  std::filesystem::remove(folder_.file("no"));
  last.Put(Tier("a", "1", 1));
  last.Commit("one", 1);
  EXPECT_TRUE(ComesTrue([&] { return last.problem().empty(); }));
  EXPECT_FALSE(last.TakeLost());
  EXPECT_TRUE(LastGood(path).Load([](auto) {}).ok());
}

}  // namespace
}  // namespace ripstop::agent
