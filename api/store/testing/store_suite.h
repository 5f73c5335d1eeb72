// SPDX-License-Identifier: Apache-2.0
//
// What every backend of Store owes, as tests. A backend's test includes this once and
// instantiates StoreSuite with a fixture that makes stores:
//
//   INSTANTIATE_TEST_SUITE_P(Sqlite, StoreSuite, testing::Values(&MakeSqliteBackend));
#ifndef RIPSTOP_API_STORE_TESTING_STORE_SUITE_H_
#define RIPSTOP_API_STORE_TESTING_STORE_SUITE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/store/store.h"
#include "api/store/testing/watching.h"

namespace ripstop::api {

// One empty store, opened as often as a test likes; each as another process would.
class StoreBackend {
 public:
  virtual ~StoreBackend() = default;
  virtual std::unique_ptr<Store> Open() = 0;
};
using MakeStoreBackend = std::unique_ptr<StoreBackend> (*)();

class StoreSuite : public testing::TestWithParam<MakeStoreBackend> {
 protected:
  void SetUp() override {
    backend_ = GetParam()();
    store_ = backend_->Open();
    ASSERT_NE(store_, nullptr);
  }
  std::unique_ptr<Watch> MakeWatch(const ResourceFilter& filter = {}, int64_t revision = 0) {
    absl::StatusOr<std::unique_ptr<Watch>> watch = store_->WatchFrom(filter, revision);
    EXPECT_TRUE(watch.ok()) << watch.status();
    return watch.ok() ? *std::move(watch) : nullptr;
  }
  const ResourceKey cart_{"NetworkPolicy", "shop", "cart"};
  const ResourceKey pool_{"IPPool", "", "default"};
  std::unique_ptr<StoreBackend> backend_;
  std::unique_ptr<Store> store_;
};

TEST_P(StoreSuite, CreatedResourceIsReadBackWithItsRevision) {
  const absl::StatusOr<int64_t> revision = store_->Create(cart_, std::string_view("a\0b", 3));
  ASSERT_TRUE(revision.ok()) << revision.status();
  const absl::StatusOr<StoredResource> got = backend_->Open()->Get(cart_);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->key, cart_);
  EXPECT_EQ(got->value, std::string("a\0b", 3));
  EXPECT_EQ(got->revision, *revision);
  EXPECT_EQ(got->create_revision, *revision);
}

TEST_P(StoreSuite, CreateRefusesWhatExistsAndNamesIt) {
  ASSERT_TRUE(store_->Create(cart_, "1").ok());
  const absl::Status status = store_->Create(cart_, "2").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("NetworkPolicy shop/cart"));
  EXPECT_EQ(store_->Get(cart_)->value, "1");
}

TEST_P(StoreSuite, AbsentResourcesAreNotFound) {
  EXPECT_TRUE(absl::IsNotFound(store_->Get(cart_).status()));
  EXPECT_TRUE(absl::IsNotFound(store_->Update(cart_, "1", 0).status()));
  EXPECT_TRUE(absl::IsNotFound(store_->Delete(cart_, 0).status()));
}

TEST_P(StoreSuite, UpdateKeepsCreateRevisionAndTakesTheNextRevision) {
  const int64_t created = *store_->Create(cart_, "1");
  const absl::StatusOr<int64_t> updated = store_->Update(cart_, "2", 0);
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_GT(*updated, created);
  const StoredResource got = *store_->Get(cart_);
  EXPECT_EQ(got.value, "2");
  EXPECT_EQ(got.revision, *updated);
  EXPECT_EQ(got.create_revision, created);
}

TEST_P(StoreSuite, StaleRevisionIsAConflictThatNamesBothRevisions) {
  const int64_t first = *store_->Create(cart_, "1");
  const int64_t second = *store_->Update(cart_, "2", first);
  for (const absl::Status& status :
       {store_->Update(cart_, "3", first).status(), store_->Delete(cart_, first).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(absl::StrCat(first)));
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(absl::StrCat(second)));
  }
  EXPECT_EQ(store_->Get(cart_)->value, "2");
  EXPECT_TRUE(store_->Delete(cart_, second).ok());
}

TEST_P(StoreSuite, ListIsByKeyAndFiltered) {
  for (const char* name : {"b", "a"})
    for (const char* ns : {"y", "x"})
      ASSERT_TRUE(store_->Create({"NetworkSet", ns, name}, name).ok());
  const int64_t last = *store_->Create(pool_, "p");
  const auto keys = [this](const ResourceFilter& filter) {
    const absl::StatusOr<Listing> listing = store_->List(filter);
    EXPECT_TRUE(listing.ok()) << listing.status();
    std::vector<std::string> lines;
    for (const StoredResource& item : listing->items) lines.push_back(item.key.ToString());
    return lines;
  };
  EXPECT_THAT(keys({}), testing::ElementsAre("IPPool default", "NetworkSet x/a", "NetworkSet x/b",
                                             "NetworkSet y/a", "NetworkSet y/b"));
  EXPECT_THAT(keys({"NetworkSet", ""}), testing::SizeIs(4));
  EXPECT_THAT(keys({"NetworkSet", "y"}), testing::ElementsAre("NetworkSet y/a", "NetworkSet y/b"));
  EXPECT_THAT(keys({"", "x"}), testing::ElementsAre("NetworkSet x/a", "NetworkSet x/b"));
  EXPECT_THAT(keys({"Tier", ""}), testing::IsEmpty());
  EXPECT_EQ(store_->List({})->revision, last);
}

TEST_P(StoreSuite, TransactionAppliesAllOrNothing) {
  using Type = Mutation::Type;
  const absl::StatusOr<std::vector<int64_t>> revisions = store_->Txn(
      {{Type::kCreate, cart_, "1"}, {Type::kPut, pool_, "2"}, {Type::kPut, pool_, "3"}});
  ASSERT_TRUE(revisions.ok()) << revisions.status();
  ASSERT_EQ(revisions->size(), 3u);
  EXPECT_LT(revisions->front(), revisions->back());
  EXPECT_EQ(store_->Get(pool_)->value, "3");

  const absl::Status refused =
      store_->Txn({{Type::kDelete, pool_}, {Type::kCreate, cart_, "4"}}).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(store_->Get(pool_)->value, "3");
  EXPECT_EQ(store_->List({})->revision, revisions->back());
}

TEST_P(StoreSuite, WatchFromZeroGivesSnapshotThenSyncedThenDeltas) {
  ASSERT_TRUE(store_->Create(pool_, "p").ok());
  ASSERT_TRUE(store_->Create(cart_, "1").ok());
  const std::unique_ptr<Watch> watch = MakeWatch();
  EXPECT_THAT(
      Describe(ReadCount(*watch, 3)),
      testing::ElementsAre("put IPPool default=p", "put NetworkPolicy shop/cart=1", "synced"));
  ASSERT_TRUE(store_->Update(cart_, "2", 0).ok());
  ASSERT_TRUE(store_->Delete(cart_, 0).ok());
  const int64_t last = *store_->Create(cart_, "3");
  const std::vector<WatchEvent> deltas = ReadCount(*watch, 3);
  EXPECT_THAT(Describe(deltas), testing::ElementsAre("put NetworkPolicy shop/cart=2",
                                                     "delete NetworkPolicy shop/cart=2",
                                                     "put NetworkPolicy shop/cart=3"));
  EXPECT_EQ(deltas.back().revision, last);
}

TEST_P(StoreSuite, WatchOfAnEmptyStoreIsSyncedAtOnce) {
  const std::unique_ptr<Watch> watch = MakeWatch();
  EXPECT_THAT(Describe(ReadCount(*watch, 1)), testing::ElementsAre("synced"));
  ASSERT_TRUE(store_->Create(pool_, "p").ok());
  EXPECT_THAT(Describe(ReadCount(*watch, 1)), testing::ElementsAre("put IPPool default=p"));
}

TEST_P(StoreSuite, WatchResumesAfterARevisionWithoutLossOrRepetition) {
  ASSERT_TRUE(store_->Create(pool_, "p").ok());
  const int64_t seen = *store_->Create(cart_, "1");
  ASSERT_TRUE(store_->Update(cart_, "2", 0).ok());
  const std::unique_ptr<Watch> watch = MakeWatch({}, seen);
  EXPECT_THAT(Describe(ReadCount(*watch, 2)),
              testing::ElementsAre("synced", "put NetworkPolicy shop/cart=2"));
}

TEST_P(StoreSuite, WatchShowsOnlyItsKindAndNamespace) {
  const std::unique_ptr<Watch> watch = MakeWatch({"NetworkPolicy", "shop"});
  EXPECT_THAT(Describe(ReadCount(*watch, 1)), testing::ElementsAre("synced"));
  ASSERT_TRUE(store_->Create({"NetworkPolicy", "other", "cart"}, "x").ok());
  ASSERT_TRUE(store_->Create(pool_, "p").ok());
  ASSERT_TRUE(store_->Create(cart_, "1").ok());
  EXPECT_THAT(Describe(ReadCount(*watch, 1)),
              testing::ElementsAre("put NetworkPolicy shop/cart=1"));
}

TEST_P(StoreSuite, QuietWatchIsNotReadable) {
  const std::unique_ptr<Watch> watch = MakeWatch();
  ReadCount(*watch, 1);
  ASSERT_TRUE(store_->Create(pool_, "p").ok());
  ReadCount(*watch, 1);
  // Wake-ups without news are allowed for a moment, then it must fall silent.
  pollfd ready{watch->fd(), POLLIN, 0};
  int wakeups = 0;
  while (poll(&ready, 1, 200) > 0 && wakeups < 10) {
    ++wakeups;
    EXPECT_TRUE(watch->Next()->empty());
  }
  EXPECT_LT(wakeups, 10);
}

TEST_P(StoreSuite, RevisionOfTheFutureIsOutOfRange) {
  const int64_t now = *store_->Create(pool_, "p");
  absl::StatusOr<std::unique_ptr<Watch>> watch = store_->WatchFrom({}, now + 5);
  const absl::Status status = watch.ok() ? (*watch)->Next().status() : watch.status();
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange) << status;
}

TEST_P(StoreSuite, CompareAndSwapOfManyThreadsLosesNoIncrement) {
  constexpr int kThreads = 4, kIncrements = 50;
  ASSERT_TRUE(store_->Create(pool_, "0").ok());
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([this] {
      for (int done = 0; done < kIncrements;) {
        const absl::StatusOr<StoredResource> now = store_->Get(pool_);
        ASSERT_TRUE(now.ok()) << now.status();
        const absl::Status status =
            store_->Update(pool_, absl::StrCat(std::stoi(now->value) + 1), now->revision).status();
        ASSERT_TRUE(status.ok() || absl::IsAborted(status)) << status;
        if (status.ok()) ++done;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store_->Get(pool_)->value, absl::StrCat(kThreads * kIncrements));
}

}  // namespace ripstop::api

#endif  // RIPSTOP_API_STORE_TESTING_STORE_SUITE_H_
