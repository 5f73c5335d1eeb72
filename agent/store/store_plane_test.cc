// SPDX-License-Identifier: Apache-2.0
//
// A node's start and the store's misfortunes, with real files, a real engine and a datapath that
// only remembers:
//
//   store.db ─▶ StorePlane ─▶ PolicyPlane ─▶ FakeDataplane
//   last-good.db ─▶ ┘
#include "agent/store/store_plane.h"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/base/testing/from_yaml.h"
#include "agent/dataplane/fake_dataplane.h"
#include "agent/policy/policy_plane.h"
#include "api/store/open.h"
#include "api/store/sqlite_store.h"
#include "api/store/testing/folder.h"
#include "gmock/gmock.h"
#include "policy/tables/table_image.h"

namespace ripstop::agent {
namespace {

namespace fs = std::filesystem;
using api::Mutation;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr char kServer[] = "192.0.2.10";

// What an agent is between its store and its datapath, with one pod, shop/server.
class TestNode : private StorePlaneClient {
 public:
  explicit TestNode(const api::Folder& folder, bool agent_was_here = false,
                    absl::Duration patience = absl::Hours(1))
      : loop_(*EventLoop::Create()) {
    EXPECT_TRUE(policy_.Begin().ok());
    policy::Endpoint server;
    server.id = "c1/eth0";
    server.name = "shop/server";
    server.labels = {{"projectcalico.org/namespace", "shop"},
                     {"projectcalico.org/orchestrator", "k8s"}};
    server.profiles = {"kns.shop"};
    server.addresses = {*policy::Address::Parse(kServer)};
    policy_.feed().Attach(server, {7, {2, 0, 0, 0, 0, 7}}, "shop/server", "");
    store_ = *api::OpenStore("sqlite://" + folder.file(), {.create = false, .lazily = true});
    StorePlaneOptions options;
    options.node = "node1";
    options.url = "sqlite://" + folder.file();
    options.last_good = folder.file("state/last-good.db");
    options.agent_was_here = agent_was_here;
    options.patience = patience;
    options.back_off_min = absl::Milliseconds(1);
    options.back_off_max = absl::Milliseconds(10);
    StorePlaneClient* const client = this;
    plane_ = std::make_unique<StorePlane>(options, store_.get(), loop_.get(), client);
    plane_->Start();
  }

  // Turns the loop until `done`; minutes, only against hanging.
  ::testing::AssertionResult Until(const std::function<bool()>& done) {
    const absl::Time end = absl::Now() + absl::Minutes(5);
    while (!done()) {
      if (absl::Now() > end)
        return ::testing::AssertionFailure()
               << "never; problems: " << absl::StrJoin(plane_->problems(), "; ");
      if (!loop_->RunOnce(absl::Milliseconds(20)).ok())
        return ::testing::AssertionFailure() << "the loop failed";
    }
    return ::testing::AssertionSuccess();
  }
  ::testing::AssertionResult UntilInSync() {
    return Until([this] { return plane_->in_sync(); });
  }
  ::testing::AssertionResult UntilProblem(const std::string& text) {
    return Until(
        [this, &text] { return absl::StrContains(absl::StrJoin(plane_->problems(), "; "), text); });
  }
  bool Allows() const {
    policy::TableImage image;
    image.Apply(dataplane_.written);
    image.set_l4_table(policy_.engine().l4_table());
    const policy::Packet packet{*policy::Address::Parse("203.0.113.1"),
                                *policy::Address::Parse(kServer),
                                policy::kProtocolTcp,
                                40000,
                                80,
                                0,
                                0};
    const auto verdict = image.Verdict(policy::Direction::kIngress, packet);
    return verdict.has_value() && verdict->allow();
  }
  int Commits() const {
    return static_cast<int>(std::count(dataplane_.calls.begin(), dataplane_.calls.end(), "commit"));
  }
  // A pod of this node goes: what CNI DEL does to policy.
  void DetachAPod() {
    policy_.feed().Detach("c1/eth0");
    EXPECT_TRUE(policy_.Flush().ok());
  }

  StorePlane& plane() { return *plane_; }
  PolicyPlane& policy() { return policy_; }
  int synced() const { return synced_; }
  size_t read_ahead() const { return read_ahead_; }  // beside the loop
  size_t of_those_told() const { return of_those_told_; }
  FakeDataplane& dataplane() { return dataplane_; }

 private:
  std::function<void()> Prepare(const StoreReaderEvents::Piece& piece) override {
    EXPECT_NE(std::this_thread::get_id(), loop_thread_);
    read_ahead_ += piece.size();
    return [this, readings = std::make_shared<ReadAhead>(piece, "node1")] { ahead_ = readings; };
  }
  void OnPiece() override { ahead_.reset(); }
  Keep OnPut(const api::StoredResource& resource) override {
    Reading* read = ahead_ == nullptr ? nullptr : ahead_->Take(resource);
    of_those_told_ += read != nullptr;
    if (read != nullptr) {
      policy_.feed().PutRead(resource.key, *read);
    } else {
      Reading late = ReadStored(resource, "node1");
      policy_.feed().PutRead(resource.key, late);
    }
    return policy_.feed().IsSetAside(resource.key) ? Keep::kFormerElseThis : Keep::kThis;
  }
  void OnDelete(const api::ResourceKey& key) override { policy_.feed().Delete(key); }
  bool OnWhole() override {
    policy_.OnWhole();
    return policy_.Flush().ok();
  }
  void OnSynced() override { ++synced_; }

  const std::thread::id loop_thread_ = std::this_thread::get_id();
  std::atomic<size_t> read_ahead_ = 0;
  size_t of_those_told_ = 0;
  std::shared_ptr<ReadAhead> ahead_;
  FakeDataplane dataplane_;
  PolicyPlane policy_{"node1", &dataplane_};
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<api::Store> store_;
  std::unique_ptr<StorePlane> plane_;
  int synced_ = 0;
};

class StorePlaneTest : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_.file("state")); }

  // The store as an operator makes it: this node, and a policy that closes shop.
  void MakeStore() {
    Put("{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: node1}, spec: {bgp: "
        "{ipv4Address: 192.0.2.1/24}}}");
    Put(kClosed);
  }
  void Put(const std::string& yaml) { PutAt(folder_.file(), FromYaml(yaml)); }
  static void PutAt(const std::string& file, const api::Resource& resource) {
    auto store = api::SqliteStore::Open(file);
    ASSERT_TRUE(store.ok()) << store.status();
    ASSERT_TRUE(
        (*store)->Txn({{Mutation::Type::kPut, resource.key(), api::Serialize(resource)}}).ok());
  }
  void PutBytes(const api::ResourceKey& key, const std::string& bytes) {
    ASSERT_TRUE(
        (*api::SqliteStore::Open(folder_.file()))->Txn({{Mutation::Type::kPut, key, bytes}}).ok());
  }
  void Delete(const api::ResourceKey& key) {
    ASSERT_TRUE((*api::SqliteStore::Open(folder_.file()))->Delete(key, 0).ok());
  }
  void RemoveStore() {
    for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(folder_.file() + suffix);
  }
  // A node that was in sync once and went.
  void RunOnce() {
    TestNode node(folder_);
    ASSERT_TRUE(node.UntilInSync());
    ASSERT_FALSE(node.Allows());
  }

  static constexpr char kClosed[] =
      "{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: closed, namespace: "
      "shop}, spec: {types: [Ingress]}}";
  const api::ResourceKey closed_{"NetworkPolicy", "shop", "closed"};
  const api::Folder folder_;
};

// ---- nothing read, whole, in force ----

TEST_F(StorePlaneTest, TheStoreIsReadAndOneGenerationPutInForce) {
  MakeStore();
  TestNode node(folder_);
  EXPECT_FALSE(node.plane().in_sync());
  EXPECT_THAT(node.plane().problems(), ElementsAre(HasSubstr("has not been read yet")));
  ASSERT_TRUE(node.UntilInSync());
  EXPECT_EQ(node.Commits(), 1);
  EXPECT_EQ(node.synced(), 1);
  EXPECT_FALSE(node.Allows());
  EXPECT_THAT(node.plane().problems(), IsEmpty());
  Put("{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: closed, namespace: "
      "shop}, spec: {types: [Ingress], ingress: [{action: Allow}]}}");
  EXPECT_TRUE(node.Until([&] { return node.Allows(); }));
  EXPECT_EQ(node.Commits(), 1);
}

TEST_F(StorePlaneTest, WithoutStoreAndMemoryNothingIsPutInForceWhateverGoes) {
  TestNode node(folder_, true);
  ASSERT_TRUE(node.UntilProblem("No such file"));
  node.DetachAPod();
  EXPECT_EQ(node.Commits(), 0) << "what an earlier agent left stays";
  EXPECT_FALSE(fs::exists(folder_.file())) << "and no store is made";
  MakeStore();
  ASSERT_TRUE(node.UntilInSync());
  EXPECT_EQ(node.Commits(), 1);
}

// inotify at its limit, as a machine with many watchers has it: the store can be opened, its
// watch cannot.
class UnwatchableStore : public api::Store {
 public:
  absl::StatusOr<std::unique_ptr<api::Watch>> WatchFrom(const api::ResourceFilter&,
                                                        int64_t) override {
    ++tries;
    return absl::ResourceExhaustedError("inotify: too many open files");
  }
  absl::StatusOr<api::StoredResource> Get(const api::ResourceKey&) override { return No(); }
  absl::StatusOr<api::Listing> List(const api::ResourceFilter&) override { return No(); }
  absl::StatusOr<int64_t> Create(const api::ResourceKey&, std::string_view) override {
    return No();
  }
  absl::StatusOr<int64_t> Update(const api::ResourceKey&, std::string_view, int64_t) override {
    return No();
  }
  absl::StatusOr<int64_t> Delete(const api::ResourceKey&, int64_t) override { return No(); }
  absl::StatusOr<std::vector<int64_t>> Txn(const std::vector<Mutation>&) override { return No(); }
  std::atomic<int> tries = 0;

 private:
  static absl::Status No() { return absl::UnavailableError("not now"); }
};

TEST_F(StorePlaneTest, AStoreThatCannotBeWatchedLeavesWhatIsInForce) {
  class Client : public StorePlaneClient {
   public:
    int wholes = 0;
    Keep OnPut(const api::StoredResource&) override { return Keep::kThis; }
    void OnDelete(const api::ResourceKey&) override {}
    bool OnWhole() override { return ++wholes > 0; }
    void OnSynced() override {}
  } client;
  UnwatchableStore store;
  auto loop = *EventLoop::Create();
  StorePlaneOptions options;
  options.node = "node1";
  options.last_good = folder_.file("state/last-good.db");
  options.back_off_min = absl::Milliseconds(1);
  StorePlane plane(options, &store, loop.get(), &client);
  plane.Start();
  while (store.tries < 4) ASSERT_TRUE(loop->RunOnce(absl::Milliseconds(20)).ok());
  EXPECT_EQ(client.wholes, 0);
  EXPECT_THAT(plane.problems(), ElementsAre(HasSubstr("inotify")));
}

// ---- what is remembered ----

TEST_F(StorePlaneTest, AStartWithTheStoreAwayEnforcesWhatWasInForceLast) {
  MakeStore();
  RunOnce();
  RemoveStore();
  TestNode node(folder_);
  ASSERT_TRUE(node.Until([&] { return node.Commits() > 0; }));
  EXPECT_FALSE(node.Allows());
  EXPECT_FALSE(node.plane().in_sync());
  EXPECT_THAT(node.plane().problems(),
              ElementsAre(HasSubstr("No such file"), HasSubstr("in force is what was last")));
  EXPECT_TRUE(absl::IsUnavailable(node.plane().gate()->Create(closed_, "x").status()));
  EXPECT_FALSE(fs::exists(folder_.file()));
}

TEST_F(StorePlaneTest, AStartWithAnUnreadableStoreEnforcesWhatWasInForceLast) {
  MakeStore();
  RunOnce();
  RemoveStore();
  std::ofstream(folder_.file()) << std::string(8192, 'x');
  TestNode node(folder_);
  ASSERT_TRUE(node.Until([&] { return node.Commits() > 0; }));
  EXPECT_FALSE(node.Allows());
}

TEST_F(StorePlaneTest, AStartWithASilentStoreEnforcesWhatWasInForceLastAfterAWhile) {
  MakeStore();
  RunOnce();
  // Held so that not even a reader comes in.
  auto holder = api::SqliteDatabase::Open(folder_.file(), SQLITE_OPEN_READWRITE, 1000);
  ASSERT_TRUE((*holder)->Execute("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").ok());
  TestNode node(folder_, false, absl::Milliseconds(1));
  ASSERT_TRUE(node.Until([&] { return node.Commits() > 0; }));
  EXPECT_FALSE(node.Allows());
  holder->reset();
  ASSERT_TRUE(node.UntilInSync());
}

TEST_F(StorePlaneTest, AStartWithAnEmptyStoreEnforcesWhatWasInForceLast) {
  MakeStore();
  RunOnce();
  RemoveStore();
  ASSERT_TRUE(api::SqliteStore::Open(folder_.file()).ok());
  TestNode node(folder_);
  ASSERT_TRUE(node.UntilProblem("is not believed"));
  ASSERT_TRUE(node.Until([&] { return node.Commits() == 1; }));
  EXPECT_FALSE(node.Allows());
  EXPECT_THAT(absl::StrJoin(node.plane().problems(), "; "), HasSubstr("node accept-store"));
  const absl::Status refused = node.plane().gate()->Create(closed_, "x").status();
  EXPECT_TRUE(absl::IsUnavailable(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("nothing is written"));
}

TEST_F(StorePlaneTest, AStoreThatChangedMeanwhileIsADifferenceAndOneGeneration) {
  MakeStore();
  RunOnce();
  Put("{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: closed, namespace: "
      "shop}, spec: {types: [Ingress], ingress: [{action: Allow}]}}");
  TestNode node(folder_);
  ASSERT_TRUE(node.UntilInSync());
  EXPECT_TRUE(node.Allows());
  EXPECT_EQ(node.Commits(), 1) << "what was remembered was not put in force in between";
}

TEST_F(StorePlaneTest, WhatCannotBeReadAnyMoreKeepsItsMeaningAcrossARestart) {
  MakeStore();
  {
    TestNode node(folder_);
    ASSERT_TRUE(node.UntilInSync());
    PutBytes(closed_, "\xff");
    ASSERT_TRUE(node.Until([&] { return !node.policy().feed().set_aside().empty(); }));
    EXPECT_FALSE(node.Allows());
  }
  for (int restart = 0; restart < 2; ++restart) {
    TestNode node(folder_);
    ASSERT_TRUE(node.UntilInSync());
    EXPECT_FALSE(node.Allows());
    EXPECT_THAT(node.policy().feed().set_aside(),
                ElementsAre("NetworkPolicy shop/closed: the stored bytes are not a NetworkPolicy"))
        << "what it denies is what it denied, not all that it may select";
  }
  RemoveStore();
  TestNode node(folder_);
  ASSERT_TRUE(node.Until([&] { return node.Commits() > 0; }));
  EXPECT_FALSE(node.Allows());
}

TEST_F(StorePlaneTest, WhatNeverCouldBeReadStaysClosedAcrossARestartWithoutTheStore) {
  MakeStore();
  Delete(closed_);
  PutBytes({"NetworkPolicy", "shop", "bad"}, "\xff");
  {
    TestNode node(folder_);
    ASSERT_TRUE(node.UntilInSync());
    EXPECT_FALSE(node.Allows());
  }
  RemoveStore();
  TestNode node(folder_);
  ASSERT_TRUE(node.Until([&] { return node.Commits() > 0; }));
  EXPECT_FALSE(node.Allows());
  EXPECT_THAT(node.policy().feed().set_aside(), ElementsAre(HasSubstr("shop/bad")));
}

TEST_F(StorePlaneTest, ADamagedMemoryIsNamedAndCountsAsNone) {
  MakeStore();
  RunOnce();
  std::ofstream(folder_.file("state/last-good.db")) << "damage";
  fs::remove(folder_.file("state/last-good.db-wal"));
  const std::string away = folder_.file("away.db");
  fs::rename(folder_.file(), away);
  TestNode node(folder_, true);
  ASSERT_TRUE(node.UntilProblem("No such file"));
  EXPECT_THAT(node.plane().problems(), Contains(HasSubstr("last-good.db.damaged")));
  EXPECT_EQ(node.Commits(), 0);
  fs::rename(away, folder_.file());
  ASSERT_TRUE(node.UntilInSync());
  EXPECT_THAT(node.plane().problems(), IsEmpty());
  EXPECT_FALSE(node.Allows());
}

TEST_F(StorePlaneTest, WithoutMemoryTheTablesOfAnEarlierAgentSayThatItsNodeWasKnown) {
  ASSERT_TRUE(api::SqliteStore::Open(folder_.file()).ok());
  {
    TestNode node(folder_, true);
    ASSERT_TRUE(node.UntilProblem("own Node node1"));
    EXPECT_EQ(node.Commits(), 0);
    MakeStore();
    ASSERT_TRUE(node.UntilInSync());
    EXPECT_FALSE(node.Allows());
  }
}

TEST_F(StorePlaneTest, AFirstStartWithAnEmptyStoreIsInSync) {
  ASSERT_TRUE(api::SqliteStore::Open(folder_.file()).ok());
  TestNode node(folder_);
  ASSERT_TRUE(node.UntilInSync());
  EXPECT_EQ(node.Commits(), 1);
}

TEST_F(StorePlaneTest, AMemoryThatCannotBeKeptIsNamedAndKeptOnceItCan) {
  MakeStore();
  fs::remove_all(folder_.file("state"));
  std::ofstream(folder_.file("state")) << "a file where the folder should be";
  {
    TestNode node(folder_);
    ASSERT_TRUE(node.UntilInSync());
    ASSERT_TRUE(node.UntilProblem("cannot be kept"));
    fs::remove(folder_.file("state"));
    ASSERT_TRUE(node.Until([&] {
      node.plane().Housekeeping();
      return node.plane().problems().empty();
    }));
  }
  RemoveStore();
  TestNode node(folder_);
  ASSERT_TRUE(node.Until([&] { return node.Commits() > 0; }));
  EXPECT_FALSE(node.Allows());
}

// ---- the store is replaced, removed, put back ----

TEST_F(StorePlaneTest, ABackupPutInItsPlaceIsFollowed) {
  MakeStore();
  fs::copy_file(folder_.file(), folder_.file("backup.db"));
  Put("{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: closed, namespace: "
      "shop}, spec: {types: [Ingress], ingress: [{action: Allow}]}}");
  TestNode node(folder_);
  ASSERT_TRUE(node.UntilInSync());
  ASSERT_TRUE(node.Allows());
  fs::rename(folder_.file(), folder_.file("away.db"));
  ASSERT_TRUE(node.UntilProblem("No such file"));
  EXPECT_TRUE(node.Allows()) << "what was read last stays";
  EXPECT_FALSE(fs::exists(folder_.file()));
  fs::copy_file(folder_.file("backup.db"), folder_.file());
  ASSERT_TRUE(node.UntilInSync());
  EXPECT_FALSE(node.Allows()) << "an older state of the same store is believed";
  EXPECT_EQ(node.synced(), 2);
  // And its handles are in the new file.
  ASSERT_TRUE(node.plane().gate()->Create({"Tier", "", "ours"}, "x").ok());
  EXPECT_TRUE((*api::SqliteStore::Open(folder_.file()))->Get({"Tier", "", "ours"}).ok());
}

TEST_F(StorePlaneTest, AnotherStoreInItsPlaceIsNotBelievedUntilItIsAccepted) {
  MakeStore();
  TestNode node(folder_);
  ASSERT_TRUE(node.UntilInSync());
  const std::string other = folder_.file("other.db");
  for (const char* text :
       {"{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: node1}}",
        "{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: others}}"})
    PutAt(other, FromYaml(text));
  fs::rename(other, folder_.file());
  ASSERT_TRUE(node.UntilProblem("it is another store"));
  EXPECT_FALSE(node.Allows());
  EXPECT_FALSE(node.plane().gate()->Create({"Tier", "", "ours"}, "x").ok());
  const std::optional<Doubt> accepted = node.plane().Accept();
  ASSERT_TRUE(accepted.has_value());
  EXPECT_THAT(accepted->why, HasSubstr("another store"));
  ASSERT_TRUE(node.UntilInSync());
  EXPECT_TRUE(node.Allows());
  EXPECT_FALSE(node.plane().Accept().has_value());
  EXPECT_TRUE(node.plane().gate()->Create({"Tier", "", "ours"}, "x").ok());
  EXPECT_EQ(node.plane().identity(), *(*api::SqliteStore::Open(folder_.file()))->Identity());
}

TEST_F(StorePlaneTest, WhatWasAcceptedIsWhatTheNextStartRemembers) {
  MakeStore();
  RunOnce();
  RemoveStore();
  Put("{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: node1}}");
  {
    TestNode node(folder_);
    ASSERT_TRUE(node.UntilProblem("another store"));
    ASSERT_TRUE(node.plane().Accept().has_value());
    ASSERT_TRUE(node.UntilInSync());
    EXPECT_TRUE(node.Allows());
  }
  TestNode node(folder_);
  ASSERT_TRUE(node.UntilInSync());
  EXPECT_TRUE(node.Allows());
}

// ---- much is deleted ----

TEST_F(StorePlaneTest, ADeletionOfManyIsNeverPutInForceAndEndsByItself) {
  MakeStore();
  std::vector<Mutation> create, remove;
  for (int i = 0; i < 3000; ++i) {
    api::Resource policy = FromYaml(kClosed).Clone();
    policy.mutable_metadata().set_name(absl::StrCat("p", i));
    create.push_back({Mutation::Type::kCreate, policy.key(), api::Serialize(policy)});
    remove.push_back({Mutation::Type::kDelete, policy.key()});
  }
  remove.push_back({Mutation::Type::kDelete, closed_});
  auto store = *api::SqliteStore::Open(folder_.file());
  ASSERT_TRUE(store->Txn(create).ok());
  TestNode node(folder_);
  ASSERT_TRUE(node.UntilInSync());
  ASSERT_EQ(node.policy().feed().policies(), 3001u);
  ASSERT_TRUE(store->Txn(remove).ok());
  ASSERT_TRUE(node.Until([&] {
    EXPECT_FALSE(node.Allows());
    return absl::StrContains(absl::StrJoin(node.plane().problems(), "; "),
                             "3001 of 3001 NetworkPolicy");
  }));
  EXPECT_FALSE(node.plane().in_sync());
  EXPECT_EQ(node.policy().feed().policies(), 3001u);
  ASSERT_TRUE(store->Txn(create).ok());
  ASSERT_TRUE(node.UntilInSync());
  EXPECT_FALSE(node.Allows());
}

TEST_F(StorePlaneTest, TheOnlyPolicyCanBeDeleted) {
  MakeStore();
  TestNode node(folder_);
  ASSERT_TRUE(node.UntilInSync());
  Delete(closed_);
  EXPECT_TRUE(node.Until([&] { return node.Allows(); }));
  EXPECT_TRUE(node.plane().in_sync());
}

TEST_F(StorePlaneTest, AFailedWriteIsTriedAgain) {
  MakeStore();
  TestNode node(folder_);
  node.dataplane().next_error = absl::ResourceExhaustedError("no memory");
  ASSERT_TRUE(node.Until([&] { return node.dataplane().next_error.ok(); }));
  EXPECT_EQ(node.Commits(), 0);
  EXPECT_FALSE(node.plane().in_sync());
  EXPECT_EQ(node.synced(), 0) << "nothing is in force that it could stand on";
  node.plane().Housekeeping();
  EXPECT_TRUE(node.plane().in_sync());
  EXPECT_EQ(node.synced(), 1);
  EXPECT_EQ(node.Commits(), 1);
  EXPECT_FALSE(node.Allows());
}

TEST_F(StorePlaneTest, ALargeStoreIsReadInPiecesBetweenWhichTheLoopAnswers) {
  MakeStore();
  auto store = *api::SqliteStore::Open(folder_.file());
  std::vector<Mutation> create;
  for (int i = 0; i < 20'000; ++i)
    create.push_back({Mutation::Type::kCreate, {"Unknown", "", absl::StrCat(i)}, "x"});
  ASSERT_TRUE(store->Txn(create).ok());
  TestNode node(folder_);
  int turns = 0;
  ASSERT_TRUE(node.Until([&] {
    ++turns;
    return node.plane().in_sync();
  }));
  EXPECT_GE(turns, static_cast<int>(20'000 / StoreReader::kPiece));
}

TEST_F(StorePlaneTest, WhatIsNewsIsReadBesideTheLoopAndOnce) {
  MakeStore();
  constexpr size_t kSets = 500;
  for (size_t i = 0; i < kSets; ++i)
    Put(absl::StrCat(
        "{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: s", i,
        "}, spec: {nets: [192.0.2.", i % 256, "/32]}}"));
  {
    TestNode first(folder_);
    ASSERT_TRUE(first.UntilInSync());
    EXPECT_EQ(first.read_ahead(), kSets + 2);
    EXPECT_EQ(first.of_those_told(), kSets + 2);
    EXPECT_FALSE(first.Allows());
  }
  // What is remembered is news; the store that says the same is not.
  TestNode second(folder_);
  ASSERT_TRUE(second.UntilInSync());
  EXPECT_EQ(second.read_ahead(), kSets + 2);
  EXPECT_EQ(second.of_those_told(), kSets + 2);
  EXPECT_FALSE(second.Allows());
  Put("{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: closed, namespace: "
      "shop}, spec: {types: [Ingress], ingress: [{action: Allow}]}}");
  EXPECT_TRUE(second.Until([&] { return second.Allows(); }));
  EXPECT_EQ(second.of_those_told(), kSets + 3) << "and an edit is";
}

}  // namespace
}  // namespace ripstop::agent
