// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_STORE_STORE_READER_H_
#define RIPSTOP_AGENT_STORE_STORE_READER_H_

#include <condition_variable>
#include <cstdint>
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
// The thread goes on only when the loop has taken what it gave, so what waits is bounded, and
// between two pieces the loop answers others.
class StoreReader {
 public:
  static constexpr size_t kPiece = 128;

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
    uint64_t taken = 0;  // how much of what was told the loop has done with
  };

  void Run();
  void ReadRemembered();
  void Follow(int64_t from, uint64_t turn);
  // Runs `tell` on the loop and waits for that. False: this turn is over.
  bool Tell(uint64_t turn, std::function<void()> tell);
  bool TellEvents(uint64_t turn, std::vector<api::WatchEvent> events, bool more);

  api::Store* const store_;
  const LastGood* const last_good_;
  EventLoop* const loop_;
  StoreReaderEvents* const events_;
  WakeFd wake_;  // another turn, or the end
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  // Of the thread:
  uint64_t told_ = 0;
  bool promised_ = false;  // that more follows what was told last
  std::thread thread_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_STORE_STORE_READER_H_
