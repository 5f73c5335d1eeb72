// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_STORE_STORE_SYNC_H_
#define RIPSTOP_AGENT_STORE_STORE_SYNC_H_

#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "agent/store/deletion_rule.h"
#include "api/store/store.h"
#include "policy/base/keyed_set.h"

namespace ripstop::agent {

// What a StoreSync tells: each change once, in order.
class StoreSink {
 public:
  virtual ~StoreSink() = default;
  virtual void OnPut(const api::StoredResource& resource) = 0;
  virtual void OnDelete(const api::ResourceKey& key) = 0;
};

// Why what the store holds is not put in force.
struct Doubt {
  std::string why;       // one clause for people
  std::string identity;  // of the store that is doubted
  bool other_store = false;
  bool own_node_gone = false;
  Losses losses;
};

// Follows the whole store through its watches and decides what of it is believed.
//
//   what was in force last ──Remember──▶ ┐
//   a watch: snapshot, deltas ──Take───▶ [StoreSync] ──OnPut, OnDelete──▶ StoreSink
//
// A snapshot after the first is a difference, told only once it is whole, so that nobody sees a
// half-empty cluster; by key, revision and content, for revisions of a restored store come again.
//
// Not believed is a store of another identity than the one that was in force, one without this
// node's own Node where that was known, and one of which too much is gone (deletion_rule.h),
// whether a snapshot lacks it or deltas delete it within a minute. Then what is known stays, and
// what went within that minute is put back. The doubt ends when the store is as it should be, or
// when somebody says that it is (Accept); either way by a snapshot (wants_snapshot).
//
// For the agent's loop; not thread-safe.
class StoreSync {
 public:
  static constexpr absl::Duration kWindow = absl::Minutes(1);

  StoreSync(std::string node, StoreSink* sink)
      : own_node_{"Node", "", std::move(node)}, sink_(sink) {}

  // What was in force when this node's agent last ran, before the first watch.
  void Remember(const api::StoredResource& resource);
  void Remembered(const std::string& identity, int64_t revision);
  // Nothing is remembered, but an agent was at work here: its Node must be there.
  void ExpectOwnNode() { expect_own_node_ = true; }

  // Where the next watch begins: a revision, or 0 for a snapshot.
  int64_t resume_from() const {
    return established_ && !doubt_.has_value() && !start_over_ ? revision_ : 0;
  }
  // A watch is open, of a store of this identity, from that revision. The one before is over.
  void Opened(const std::string& identity, int64_t from);
  // What it gave.
  void Take(const std::vector<api::WatchEvent>& events, absl::Time now);
  // It ended because the store was replaced or compacted: the next is a snapshot.
  void StartOver() { start_over_ = true; }
  // The watch is to be closed and another opened, for a snapshot.
  bool wants_snapshot() const { return wants_snapshot_; }
  // From the next snapshot on, everything is told again.
  void TellAgain();

  // All that the store held at revision() has been told, or put in doubt.
  bool synced() const { return synced_; }
  // All that was told is one whole: of a snapshot that is believed, or remembered.
  bool whole() const { return established_; }
  int64_t revision() const { return revision_; }
  const std::string& identity() const { return identity_; }
  const std::optional<Doubt>& doubt() const { return doubt_; }

  // The doubted state is meant: it is taken by the next snapshot, unless even more is gone by
  // then. What is accepted; nullopt: nothing is doubted.
  std::optional<Doubt> Accept();

 private:
  static constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();
  struct Known {
    std::string key;  // "LENGTH:NAMESPACE NAME", in one string: there is one for each object
    int64_t revision = 0;
    size_t content = 0;          // a hash of the value
    uint64_t snapshot = kNever;  // the last one that held it
  };
  using KnownOfKind = KeyedSet<Known, &Known::key>;
  const Known* Find(const api::ResourceKey& key) const;
  int64_t Count(const std::string& kind) const;

  void TakeOfSnapshot(const api::WatchEvent& event);
  void TakeDelta(const api::WatchEvent& event, absl::Time now);
  void TakeInDoubt(const api::WatchEvent& event);
  void EndSnapshot(int64_t revision);
  void Establish(int64_t revision);
  std::optional<Doubt> Judge(const std::string& identity, const std::set<api::ResourceKey>& missing,
                             bool snapshot) const;
  bool IsAccepted(const Doubt& doubt) const;
  void JudgeDeltas(absl::Time now);
  void Unbury(const api::ResourceKey& key);
  // Whether it is news.
  bool Note(const api::StoredResource& resource);
  void Tell(const api::StoredResource& resource);
  void Forget(const api::ResourceKey& key);

  const api::ResourceKey own_node_;
  StoreSink* const sink_;
  std::string identity_;  // of the store whose word this is
  bool established_ = false;
  bool expect_own_node_ = false;
  int64_t revision_ = 0;
  std::map<std::string, KnownOfKind> known_;  // all that was told

  // The watch that is open.
  std::string open_identity_;
  bool in_snapshot_ = false;
  bool synced_ = false;
  bool wants_snapshot_ = false;
  bool start_over_ = true;
  uint64_t snapshot_ = 0;                  // its number
  std::vector<api::StoredResource> news_;  // of the snapshot under way

  // What deltas deleted within the window, as it last was.
  struct Gone {
    absl::Time at;
    api::StoredResource resource;
  };
  std::map<api::ResourceKey, Gone> gone_;
  std::deque<std::pair<absl::Time, api::ResourceKey>> gone_at_;  // also what came back since
  std::map<std::string, int64_t> gone_counts_;                   // by kind

  std::optional<Doubt> doubt_;
  std::set<api::ResourceKey> missing_;  // in doubt: known, and not in the store
  std::optional<Doubt> accepted_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_STORE_STORE_SYNC_H_
