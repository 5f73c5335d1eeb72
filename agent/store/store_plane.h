// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_STORE_STORE_PLANE_H_
#define RIPSTOP_AGENT_STORE_STORE_PLANE_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agent/base/event_loop.h"
#include "agent/store/last_good.h"
#include "agent/store/store_gate.h"
#include "agent/store/store_reader.h"
#include "agent/store/store_sync.h"

namespace ripstop::agent {

// What becomes of the store's word on this node.
class StorePlaneClient {
 public:
  // What a resource is worth for the next start.
  enum class Keep { kThis, kFormer, kFormerElseThis };

  virtual ~StorePlaneClient() = default;
  // StoreReaderEvents::Prepare; on another thread.
  virtual std::function<void()> Prepare(const StoreReaderEvents::Piece& /*piece*/) {
    return nullptr;
  }
  // kFormerElseThis: it cannot be read, and what it meant before stays.
  virtual Keep OnPut(const api::StoredResource& resource) = 0;
  virtual void OnDelete(const api::ResourceKey& key) = 0;
  // Many were told, and others are answered before the next.
  virtual void OnPiece() {}
  // What was told is a whole, of the store as it is or of what was in force last: bring the kernel
  // to it. True when it is in force.
  virtual bool OnWhole() = 0;
  // A watch of a store that is believed is open and has told all. After OnWhole; again for each.
  virtual void OnSynced() = 0;
};

struct StorePlaneOptions {
  std::string node;
  std::string url;                             // for messages
  std::string last_good;                       // path of the file
  bool agent_was_here = false;                 // tables of an earlier agent are in force
  absl::Duration patience = absl::Seconds(5);  // with a store that says nothing, at the start
  absl::Duration back_off_min = absl::Milliseconds(100);
  absl::Duration back_off_max = absl::Seconds(10);
};

// All between the store and what this node enforces:
//
//   last-good.db ─▶ ┐                                        ┌─▶ StorePlaneClient
//   store ────────▶ [StoreReader] ─loop─▶ [StoreSync] ───────┤
//   CNI ADD, DEL ─▶ [StoreGate] ─▶ store                     └─▶ [LastGood], once in force
//
// A start: what is remembered is told, but waits for the store. If the store is believed, its
// difference follows and both become in force at once; if it is away, unreadable, silent or
// doubted, what is remembered does. Later, whatever happens to the store, what was read last
// stays. The store itself is never made here.
// For the agent's loop.
class StorePlane final : private StoreSink, private StoreReaderEvents {
 public:
  // `store`, `loop` and `client` outlive this.
  StorePlane(StorePlaneOptions options, api::Store* store, EventLoop* loop,
             StorePlaneClient* client);
  ~StorePlane() override;

  void Start();

  // For what this node writes to the store.
  api::Store* gate() { return &gate_; }

  int64_t revision() const { return sync_.revision(); }
  const std::string& identity() const { return sync_.identity(); }
  // Whether the store is read, believed, and in force.
  bool in_sync() const {
    return problem_.empty() && !sync_.doubt().has_value() && believed_ && !failed_;
  }
  // Why not, and what else keeps this node from being ready, one sentence each.
  std::vector<std::string> problems() const;

  // Takes what is doubted for what is meant. What that was; nullopt: nothing is doubted.
  std::optional<Doubt> Accept();

  // Tries again what failed. Now and then.
  void Housekeeping();

 private:
  void OnPut(const api::StoredResource& resource) override;
  void OnDelete(const api::ResourceKey& key) override;

  std::function<void()> Prepare(const Piece& piece) override { return client_->Prepare(piece); }
  void OnRemembered(const std::vector<api::StoredResource>& piece) override;
  void OnRememberedAll(const absl::StatusOr<LastGood::Origin>& origin) override;
  void OnOpened(const std::string& identity, int64_t from) override;
  void OnEvents(const std::vector<api::WatchEvent>& events, bool more) override;
  void OnLost(const absl::Status& why) override;
  // This node is alive: whoever takes it for gone is told so, whatever is believed of the
  // store. Nothing else is written past the gate.
  void AnswerForNode();

  void OpenWatch();
  void NoteDoubt();
  void Believe();
  void TellSynced();
  // Puts in force what was told and is a whole, though the store does not say more.
  void EnforceWithoutStore(const std::string& why);
  void Settle();

  const StorePlaneOptions options_;
  api::Store* const store_;
  EventLoop* const loop_;
  StorePlaneClient* const client_;
  StoreGate gate_;
  StoreSync sync_;
  LastGood last_good_;
  std::unique_ptr<StoreReader> reader_;

  absl::Duration back_off_;
  std::optional<EventLoop::TimerId> retry_;
  std::optional<EventLoop::TimerId> patience_;
  std::optional<EventLoop::TimerId> answer_;
  std::string problem_ = "the store has not been read yet";
  std::string memory_problem_;  // what was remembered could not be read
  std::string doubted_;         // as last logged
  // Until the store was first believed.
  std::optional<LastGood::Origin> remembered_;
  bool telling_remembered_ = false;  // so that it is not kept again
  bool telling_again_ = false;       // the file was lost, and not all has been kept again
  bool owed_ = true;                 // something was told that is not in force yet
  bool failed_ = false;              // and could not be put in force
  bool believed_ = false;            // this watch has told all, and that is in force
  bool synced_told_ = false;         // of this watch
  int postponed_ = 0;                // pieces in a row that were said to be followed by more
};

// As the operator is told: what is doubted, what stays in force, what to do.
std::string DoubtText(const Doubt& doubt, const std::string& url);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_STORE_STORE_PLANE_H_
