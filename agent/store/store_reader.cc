// SPDX-License-Identifier: Apache-2.0
#include "agent/store/store_reader.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

namespace ripstop::agent {
namespace {

bool Readable(int fd) {
  pollfd ready{fd, POLLIN, 0};
  return poll(&ready, 1, 0) > 0;
}

}  // namespace

StoreReader::StoreReader(api::Store* store, const LastGood* last_good, EventLoop* loop,
                         StoreReaderEvents* events)
    : store_(store), last_good_(last_good), loop_(loop), events_(events) {}

StoreReader::~StoreReader() {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->stop = true;
    ++shared_->turn;
  }
  shared_->changed.notify_all();
  wake_.Signal();
  if (thread_.joinable()) thread_.join();
}

void StoreReader::Start() {
  thread_ = std::thread([this] { Run(); });
}

void StoreReader::Open(int64_t revision) {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->wanted = revision;
    ++shared_->turn;
  }
  shared_->changed.notify_all();
  wake_.Signal();
}

// ---- the thread ----

void StoreReader::TakeNext(EventLoop* loop, const std::shared_ptr<Shared>& shared) {
  Shared::Told next;
  bool valid = false;
  {
    const std::lock_guard lock(shared->mutex);
    next = std::move(shared->waiting.front());
    shared->waiting.pop_front();
    valid = shared->turn == next.turn;
  }
  // Open and the end of the reader are on this thread too: neither comes between.
  if (valid) next.tell();
  const std::lock_guard lock(shared->mutex);
  shared->taken.push_back(std::move(next));
  shared->posted = !shared->waiting.empty();
  if (shared->posted) (void)loop->Post([loop, shared] { TakeNext(loop, shared); });
  shared->changed.notify_all();
}

bool StoreReader::Tell(uint64_t turn, std::function<void()> tell) {
  std::vector<Shared::Told> taken;
  std::unique_lock lock(shared_->mutex);
  shared_->changed.wait(lock,
                        [&] { return shared_->turn != turn || shared_->waiting.size() < kAhead; });
  taken.swap(shared_->taken);
  if (shared_->turn != turn) return false;
  shared_->waiting.push_back({turn, std::move(tell)});
  if (!std::exchange(shared_->posted, true)) {
    (void)loop_->Post([loop = loop_, shared = shared_] { TakeNext(loop, shared); });
  }
  lock.unlock();
  return true;
}

std::function<void()> StoreReader::Prepare(const std::vector<api::WatchEvent>& piece) {
  if (known_ && in_snapshot_) return nullptr;
  StoreReaderEvents::Piece put;
  for (const api::WatchEvent& event : piece) {
    if (event.type == api::WatchEvent::Type::kPut) put.push_back(&event.resource);
  }
  return put.empty() ? nullptr : events_->Prepare(put);
}

bool StoreReader::TellEvents(uint64_t turn, std::vector<api::WatchEvent> events, bool more) {
  if (events.empty() && promised_ && !more) {
    promised_ = false;
    return Tell(turn, [this] { events_->OnEvents({}, false); });
  }
  for (size_t at = 0; at < events.size(); at += kPiece) {
    const size_t end = std::min(events.size(), at + kPiece);
    const auto piece = std::make_shared<const std::vector<api::WatchEvent>>(
        std::make_move_iterator(events.begin() + at),
        std::make_move_iterator(events.begin() + end));
    const bool last = end == events.size() && !more;
    promised_ = !last;
    if (!Tell(turn, [this, last, piece, prepared = Prepare(*piece)] {
          if (prepared) prepared();
          events_->OnEvents(*piece, !last);
        }))
      return false;
    const bool synced = std::any_of(piece->begin(), piece->end(), [](const auto& event) {
      return event.type == api::WatchEvent::Type::kSynced;
    });
    known_ |= synced;
    in_snapshot_ &= !synced;
  }
  return true;
}

void StoreReader::ReadRemembered() {
  const auto origin = last_good_->Load([this](std::vector<api::StoredResource> resources) {
    known_ = true;
    const auto piece =
        std::make_shared<const std::vector<api::StoredResource>>(std::move(resources));
    StoreReaderEvents::Piece put;
    for (const api::StoredResource& resource : *piece) put.push_back(&resource);
    Tell(0, [this, piece, prepared = events_->Prepare(put)] {
      if (prepared) prepared();
      events_->OnRemembered(*piece);
    });
  });
  Tell(0, [this, origin] { events_->OnRememberedAll(origin); });
}

void StoreReader::Follow(int64_t from, uint64_t turn) {
  absl::StatusOr<std::unique_ptr<api::Watch>> watch = store_->WatchFrom({}, from);
  if (absl::IsOutOfRange(watch.status())) watch = store_->WatchFrom({}, from = 0);
  if (!watch.ok()) {
    Tell(turn, [this, why = watch.status()] { events_->OnLost(why); });
    return;
  }
  const std::string identity = (*watch)->identity();
  promised_ = false;
  in_snapshot_ = from == 0;
  if (!Tell(turn, [this, identity, from] { events_->OnOpened(identity, from); })) return;
  while (true) {
    pollfd fds[] = {{(*watch)->fd(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    if (poll(fds, 2, -1) < 0 && errno != EINTR) return;
    if (fds[1].revents != 0) {
      wake_.Drain();
      const std::lock_guard lock(shared_->mutex);
      if (shared_->turn != turn) return;
    }
    if (fds[0].revents == 0) continue;
    absl::StatusOr<std::vector<api::WatchEvent>> events = (*watch)->Next();
    if (!events.ok()) {
      watch->reset();  // before it is opened anew, which the loop may ask for at once
      Tell(turn, [this, why = events.status()] { events_->OnLost(why); });
      return;
    }
    const bool more = Readable((*watch)->fd());
    if (!TellEvents(turn, *std::move(events), more)) return;
  }
}

void StoreReader::Run() {
  ReadRemembered();
  std::unique_lock lock(shared_->mutex);
  while (true) {
    shared_->changed.wait(lock, [&] { return shared_->stop || shared_->wanted.has_value(); });
    if (shared_->stop) return;
    const int64_t from = *std::exchange(shared_->wanted, std::nullopt);
    const uint64_t turn = shared_->turn;
    lock.unlock();
    Follow(from, turn);
    lock.lock();
  }
}

}  // namespace ripstop::agent
