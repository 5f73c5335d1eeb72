// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_STORE_STORE_READER_H_
#define RIPSTOP_AGENT_STORE_STORE_READER_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "agent/base/event_loop.h"
#include "agent/base/wake_fd.h"
#include "agent/store/last_good.h"
#include "api/store/store.h"
#include "policy/base/unique_fd.h"

namespace ripstop::agent {

// What a StoreReader tells, on the loop, in order.
class StoreReaderEvents {
 public:
  virtual ~StoreReaderEvents() = default;
  // On the reader's thread, of a piece that will be news: what can be done with it beside the loop.
  // The result runs on the loop, right before the piece is told; the piece stays where it is.
  using Piece = std::vector<const api::StoredResource*>;
  virtual std::function<void()> Prepare(const Piece& /*piece*/) { return nullptr; }
  // Pieces of what was in force last, then whether they were all of it (LastGood::Load).
  virtual void OnRemembered(const std::vector<api::StoredResource>& piece) = 0;
  virtual void OnRememberedAll(const absl::StatusOr<LastGood::Origin>& origin) = 0;
  // A watch is open, from that revision.
  virtual void OnOpened(const std::string& identity, int64_t from) = 0;
  // What it gave, in pieces. `more`: the next follows at once.
  virtual void OnEvents(const std::vector<api::WatchEvent>& events, bool more) = 0;
  // It could not be opened, or ended. Nothing more comes before the next Open.
  virtual void OnLost(const absl::Status& why) = 0;
};

// Reads the store, and the disk, where the loop must not wait for either.
//
//   LastGood::Load ─▶ ┐
//   Store::WatchFrom ─▶ [thread] ──pieces of at most kPiece──▶ EventLoop ─▶ StoreReaderEvents
//
// While the loop takes one piece in, the thread prepares the next, and no more than kAhead wait:
// so what waits is bounded. Each comes by a turn of the loop of its own, and between two of them
// the loop answers others.
class StoreReader {
 public:
  static constexpr size_t kPiece = 128;
  static constexpr size_t kAhead = 16;

  // All outlive this. Nothing happens before Start.
  StoreReader(api::Store* store, const LastGood* last_good, EventLoop* loop,
              StoreReaderEvents* events);
  // Ends the thread. From the loop's thread, as all that follows.
  ~StoreReader();

  // Reads what is remembered, then waits for Open.
  void Start();
  // Opens a watch from there; the one that is open is closed, and nothing of it comes any more.
  void Open(int64_t revision);

 private:
  // Also held by what was posted to the loop, which may be run or dropped after this is gone.
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<int64_t> wanted;  // where the next watch begins
    uint64_t turn = 0;              // counts Open; what was told in an earlier one is void
    bool stop = false;
    struct Told {
      uint64_t turn;
      std::function<void()> tell;
    };
    std::deque<Told> waiting;  // for the loop
    bool posted = false;       // the loop will look at it
    std::vector<Told> taken;   // the thread frees them
  };
  static void TakeNext(EventLoop* loop, const std::shared_ptr<Shared>& shared);

  void Run();
  void ReadRemembered();
  void Follow(int64_t from, uint64_t turn);
  // Has `tell` run on the loop, after all that was told before; waits while there is too much of
  // that. False: this turn is over.
  bool Tell(uint64_t turn, std::function<void()> tell);
  std::function<void()> Prepare(const std::vector<api::WatchEvent>& piece);
  bool TellEvents(uint64_t turn, std::vector<api::WatchEvent> events, bool more);

  api::Store* const store_;
  const LastGood* const last_good_;
  EventLoop* const loop_;
  StoreReaderEvents* const events_;
  WakeFd wake_;  // another turn, or the end
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  // Of the thread:
  bool known_ = false;        // something was told as a whole: a snapshot is hardly news
  bool in_snapshot_ = false;  // of the watch that is open
  bool promised_ = false;     // that more follows what was told last
  std::thread thread_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_STORE_STORE_READER_H_
