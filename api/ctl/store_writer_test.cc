// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/store_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <functional>

#include "absl/strings/str_cat.h"
#include "api/codec/reader.h"
#include "api/ctl/store_deleter.h"
#include "api/store/open.h"

namespace ripstop::ctl {
namespace {

using api::Mutation;
using api::ResourceKey;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// The store in a file, with each transaction noted, and someone else's writes before one.
class WatchedStore : public api::Store {
 public:
  explicit WatchedStore(std::unique_ptr<api::Store> store) : store_(std::move(store)) {}
  absl::StatusOr<api::StoredResource> Get(const ResourceKey& key) override {
    return store_->Get(key);
  }
  absl::StatusOr<api::Listing> List(const api::ResourceFilter& filter) override {
    ++lists;
    return store_->List(filter);
  }
  absl::StatusOr<int64_t> Create(const ResourceKey& key, std::string_view value) override {
    return store_->Create(key, value);
  }
  absl::StatusOr<int64_t> Update(const ResourceKey& key, std::string_view value,
                                 int64_t expected) override {
    return store_->Update(key, value, expected);
  }
  absl::StatusOr<int64_t> Delete(const ResourceKey& key, int64_t expected) override {
    return store_->Delete(key, expected);
  }
  absl::StatusOr<std::vector<int64_t>> Txn(const std::vector<Mutation>& mutations) override {
    if (before_txn) before_txn();
    if (txns.size() == fail_from) return absl::UnavailableError("the disk is full");
    std::vector<std::string> names;
    for (const Mutation& mutation : mutations) names.push_back(mutation.key.name);
    auto result = store_->Txn(mutations);
    if (result.ok()) txns.push_back(std::move(names));
    return result;
  }
  absl::StatusOr<std::unique_ptr<api::Watch>> WatchFrom(const api::ResourceFilter& filter,
                                                        int64_t revision) override {
    return store_->WatchFrom(filter, revision);
  }

  std::vector<std::vector<std::string>> txns;
  int lists = 0;
  size_t fail_from = SIZE_MAX;
  std::function<void()> before_txn;

 private:
  std::unique_ptr<api::Store> store_;
};

class StoreWriterTest : public testing::Test {
 protected:
  StoreWriterTest() {
    char name[] = "/tmp/ripstop-writer-XXXXXX";
    folder_ = mkdtemp(name);
    store_ = std::make_unique<WatchedStore>(*api::OpenStore("sqlite://" + folder_ + "/s.db"));
  }
  ~StoreWriterTest() override {
    store_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  static void Spool(const std::string& text, ResourceSpool& spool) {
    const api::Decoded decoded = api::DecodeText(text, "f.yaml");
    ASSERT_THAT(decoded.problems, IsEmpty()) << ToString(decoded.problems);
    for (const api::Resource& resource : decoded.resources) ASSERT_TRUE(spool.Add(resource).ok());
  }
  // Errors joined; outcomes in outcomes_ as "name what".
  std::string Write(const std::string& text, const WriteOptions& options) {
    ResourceSpool spool;
    Spool(text, spool);
    outcomes_.clear();
    std::string errors;
    for (const absl::Status& error :
         WriteResources(*store_, spool, options, [&](const WriteOutcome& outcome) {
           outcomes_.push_back(absl::StrCat(outcome.key.name, " ", outcome.what));
         }))
      absl::StrAppend(&errors, error.message(), "\n");
    return errors;
  }

  std::string folder_;
  std::unique_ptr<WatchedStore> store_;
  std::vector<std::string> outcomes_;
};

std::string Set(const std::string& name, const std::string& more = "",
                const std::string& net = "192.0.2.0/24") {
  return absl::StrCat(
      "---\napiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: ", name,
      more, "}\nspec: {nets: [", net, "]}\n");
}
std::string Policy(const std::string& name, const std::string& tier = "default") {
  return absl::StrCat(
      "---\napiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: ", name,
      "}\nspec: {tier: ", tier, ", selector: all()}\n");
}

const WriteOptions kTwoAtOnce{.batch = {.documents = 2}};

TEST_F(StoreWriterTest, UpToABatchIsOneTransactionInTheOrderOfReference) {
  EXPECT_EQ(Write(Policy("p") + Set("s"), kTwoAtOnce), "");
  EXPECT_THAT(store_->txns, ElementsAre(ElementsAre("s", "p")));
  EXPECT_THAT(outcomes_, ElementsAre("p created", "s created")) << "in the order of the input";
}

TEST_F(StoreWriterTest, MoreIsWrittenInBatchesAndSetsGoFirst) {
  EXPECT_EQ(
      Write(Policy("p") + Policy("q") + Set("s") + Policy("r") + Set("t") + Set("u"), kTwoAtOnce),
      "");
  EXPECT_THAT(store_->txns, ElementsAre(ElementsAre("s", "t"), ElementsAre("u"),
                                        ElementsAre("p", "q"), ElementsAre("r")));
  EXPECT_THAT(outcomes_, SizeIs(6));
  EXPECT_EQ(store_->lists, 0) << "only what is named is read";
  store_->txns.clear();
  EXPECT_EQ(Write(Policy("p") + Policy("q") + Set("s"), kTwoAtOnce), "");
  EXPECT_THAT(store_->txns, IsEmpty());
  EXPECT_THAT(outcomes_, ElementsAre("s unchanged", "p unchanged", "q unchanged"));
}

TEST_F(StoreWriterTest, ABatchIsBoundedInBytesToo) {
  EXPECT_EQ(Write(Set("s") + Set("t") + Set("u"), {.batch = {.bytes = 1}}), "");
  EXPECT_THAT(store_->txns, SizeIs(3));
}

TEST_F(StoreWriterTest, NothingIsWrittenWhenALaterBatchWouldBeRefused) {
  EXPECT_EQ(Write(Set("u"), {}), "");
  store_->txns.clear();
  const std::string all = Set("s") + Set("t") + Set("u");
  EXPECT_THAT(Write(all, {.verb = WriteOptions::Verb::kCreate, .batch = {.documents = 1}}),
              HasSubstr("f.yaml:12: globalnetworkset u already exists"));
  EXPECT_THAT(Write(all, {.verb = WriteOptions::Verb::kReplace, .batch = {.documents = 1}}),
              HasSubstr("globalnetworkset s not found"));
  EXPECT_THAT(Write(Set("s") + Set("t") + Set("u", ", resourceVersion: \"7\"", "198.51.100.0/24"),
                    kTwoAtOnce),
              HasSubstr("metadata.resourceVersion is 7, the store has 1"));
  EXPECT_THAT(Write(Set("s") + Set("t") + Policy("p", "gone"), kTwoAtOnce),
              HasSubstr("f.yaml:12: GlobalNetworkPolicy p: spec.tier: \"gone\" does not exist"));
  EXPECT_THAT(store_->txns, IsEmpty());
  EXPECT_THAT(outcomes_, IsEmpty());
}

TEST_F(StoreWriterTest, AnEndInTheMiddleSaysHowFarItCame) {
  store_->fail_from = 1;
  EXPECT_EQ(Write(Set("s") + Set("t") + Set("u"), kTwoAtOnce),
            "the disk is full\n2 of 3 documents are written, as said above; the same command again "
            "does the rest\n");
  EXPECT_THAT(outcomes_, ElementsAre("s created", "t created"));
  store_->fail_from = SIZE_MAX;
  EXPECT_EQ(Write(Set("s") + Set("t") + Set("u"), kTwoAtOnce), "");
  EXPECT_THAT(outcomes_, ElementsAre("s unchanged", "t unchanged", "u created"));
}

TEST_F(StoreWriterTest, WhoWritesInBetweenIsPlannedAround) {
  bool once = true;
  store_->before_txn = [&] {
    if (!std::exchange(once, false)) return;
    ASSERT_TRUE(store_->Create({api::kKindGlobalNetworkSet, "", "s"}, "").ok());
  };
  EXPECT_EQ(Write(Set("s"), {}), "");
  EXPECT_THAT(outcomes_, ElementsAre("s configured"));
}

TEST_F(StoreWriterTest, DeletingIsInBatchesWhatRefersFirst) {
  EXPECT_EQ(Write(Set("s") + Set("t") + Policy("p") + Policy("q"), {}), "");
  store_->txns.clear();
  const auto key = [](const char* kind, const char* name) { return ResourceKey{kind, "", name}; };
  const DeleteResult result = DeleteResources(
      *store_,
      {key(api::kKindGlobalNetworkSet, "s"), key(api::kKindGlobalNetworkPolicy, "p"),
       key(api::kKindGlobalNetworkSet, "none"), key(api::kKindGlobalNetworkPolicy, "q"),
       key(api::kKindGlobalNetworkSet, "t")},
      {.documents = 2});
  EXPECT_THAT(store_->txns, ElementsAre(ElementsAre("p", "q"), ElementsAre("s"), ElementsAre("t")));
  ASSERT_THAT(result.errors, SizeIs(1));
  EXPECT_EQ(result.errors[0].message(), "globalnetworkset none not found");
  EXPECT_THAT(result.outcomes, SizeIs(4));
}

TEST_F(StoreWriterTest, ASpoolBeyondMemoryGivesBackTheSame) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += Set(absl::StrCat("s", i), ", resourceVersion: \"3\"");
  ResourceSpool small(1000), large;
  Spool(text, small);
  Spool(text, large);
  for (int pass = 0; pass < 2; ++pass) {
    ASSERT_TRUE(small.Rewind().ok());
    ASSERT_TRUE(large.Rewind().ok());
    SpooledResource a, b;
    int count = 0;
    while (*small.Next(&a) && *large.Next(&b)) {
      EXPECT_EQ(a.key, b.key);
      EXPECT_EQ(a.key.name, absl::StrCat("s", count++));
      EXPECT_EQ(a.value, b.value);
      EXPECT_EQ(a.revision, 3);
      EXPECT_EQ(a.line, b.line);
      EXPECT_EQ(a.Parse()->revision(), 3);
    }
    EXPECT_EQ(count, 100);
    EXPECT_FALSE(*small.Next(&a));
  }
}

TEST_F(StoreWriterTest, ASpoolThatCannotBeKeptSaysWhere) {
  setenv("TMPDIR", (folder_ + "/none").c_str(), 1);
  ResourceSpool spool(10);
  const api::Decoded decoded = api::DecodeText(Set("s"), "f.yaml");
  const absl::Status status = spool.Add(decoded.resources[0]);
  unsetenv("TMPDIR");
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr(folder_ + "/none"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("TMPDIR names another folder"));
}

}  // namespace
}  // namespace ripstop::ctl
