// SPDX-License-Identifier: Apache-2.0
#include "agent/store/store_plane.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "api/ipam/claims.h"
#include "spdlog/spdlog.h"

namespace ripstop::agent {
namespace {

// Pieces after which what was told is put in force although more follows.
constexpr int kPostponedMax = 256;
constexpr absl::Duration kAnswerAgain = absl::Milliseconds(200);

std::string When(const LastGood::Origin& origin) {
  return absl::StrCat("revision ", origin.revision, ", in force at ",
                      absl::FormatTime("%Y-%m-%d %H:%M:%S", origin.at, absl::LocalTimeZone()));
}

}  // namespace

std::string DoubtText(const Doubt& doubt, const std::string& url) {
  return absl::StrCat("store ", url, " is not believed: ", doubt.why,
                      ". What was in force stays in force. If the store is right, say so with "
                      "`ripstopctl node accept-store`; else put it back");
}

StorePlane::StorePlane(StorePlaneOptions options, api::Store* store, EventLoop* loop,
                       StorePlaneClient* client)
    : options_(std::move(options)),
      store_(store),
      loop_(loop),
      client_(client),
      gate_(store),
      sync_(options_.node, this),
      last_good_(options_.last_good),
      back_off_(options_.back_off_min) {}

StorePlane::~StorePlane() {
  reader_.reset();
  for (const auto& timer : {retry_, patience_, answer_}) {
    if (timer.has_value()) loop_->CancelTimer(*timer);
  }
}

void StorePlane::Start() {
  StoreReaderEvents* const events = this;
  reader_ = std::make_unique<StoreReader>(store_, &last_good_, loop_, events);
  reader_->Start();
}

std::vector<std::string> StorePlane::problems() const {
  std::vector<std::string> all;
  if (!problem_.empty()) all.push_back(problem_);
  if (sync_.doubt().has_value()) all.push_back(DoubtText(*sync_.doubt(), options_.url));
  if (!all.empty() && remembered_.has_value() && !owed_)
    all.push_back(absl::StrCat("in force is what was last: ", When(*remembered_)));
  if (!memory_problem_.empty()) all.push_back(memory_problem_);
  if (std::string kept = last_good_.problem(); !kept.empty()) all.push_back(std::move(kept));
  return all;
}

// ---- what is remembered ----

void StorePlane::OnRemembered(const std::vector<api::StoredResource>& piece) {
  telling_remembered_ = true;
  for (const api::StoredResource& resource : piece) sync_.Remember(resource);
  telling_remembered_ = false;
  client_->OnPiece();
}

void StorePlane::OnRememberedAll(const absl::StatusOr<LastGood::Origin>& origin) {
  if (origin.ok()) {
    remembered_ = *origin;
    sync_.Remembered(origin->identity, origin->revision);
    spdlog::info("remembered of store {}: {}", origin->identity, When(*origin));
    patience_ = loop_->AddTimer(options_.patience, absl::ZeroDuration(), [this] {
      patience_.reset();
      EnforceWithoutStore("it says nothing");
    });
  } else {
    if (options_.agent_was_here) sync_.ExpectOwnNode();
    if (!absl::IsNotFound(origin.status())) {
      memory_problem_ = std::string(origin.status().message());
      spdlog::error("{}", memory_problem_);
    }
  }
  OpenWatch();
}

void StorePlane::EnforceWithoutStore(const std::string& why) {
  if (!sync_.whole() || !owed_) return;
  if (remembered_.has_value())
    spdlog::warn("store {}: {}; enforcing what is remembered: {}", options_.url, why,
                 When(*remembered_));
  Settle();
}

// ---- the store ----

void StorePlane::OpenWatch() { reader_->Open(sync_.resume_from()); }

void StorePlane::OnOpened(const std::string& identity, int64_t from) {
  believed_ = false;
  postponed_ = 0;
  sync_.Opened(identity, from);
  if (sync_.wants_snapshot()) OpenWatch();
}

void StorePlane::OnLost(const absl::Status& why) {
  if (absl::IsOutOfRange(why)) sync_.StartOver();
  problem_ = absl::StrCat("store ", options_.url, ": ", std::string(why.message()));
  EnforceWithoutStore(std::string(why.message()));
  spdlog::warn("{}; trying again in {}", problem_, absl::FormatDuration(back_off_));
  if (retry_.has_value()) loop_->CancelTimer(*retry_);
  retry_ = loop_->AddTimer(back_off_, absl::ZeroDuration(), [this] {
    retry_.reset();
    OpenWatch();
  });
  back_off_ = std::min(back_off_ * 2, options_.back_off_max);
}

void StorePlane::OnEvents(const std::vector<api::WatchEvent>& events, bool more) {
  const bool asked =
      std::any_of(events.begin(), events.end(), [this](const api::WatchEvent& event) {
        return event.type == api::WatchEvent::Type::kPut &&
               event.resource.key == api::ResourceKey{ipam::kNodeReleaseKind, "", options_.node};
      });
  if (asked) AnswerForNode();
  sync_.Take(events, absl::Now());
  client_->OnPiece();
  NoteDoubt();
  if (sync_.wants_snapshot()) OpenWatch();
  if (!sync_.synced()) return;
  problem_.clear();
  back_off_ = options_.back_off_min;
  // So a deletion of many is judged whole before any of it is put in force.
  if (!sync_.whole() || (more && ++postponed_ < kPostponedMax)) return;
  postponed_ = 0;
  if (sync_.doubt().has_value()) return EnforceWithoutStore("it is not believed");
  Believe();
}

void StorePlane::AnswerForNode() {
  spdlog::warn(
      "somebody took this node for gone and would release its addresses (ripstopctl ipam release "
      "--node {}): it is not, and says so",
      options_.node);
  const absl::Status answered =
      store_->Delete({ipam::kNodeReleaseKind, "", options_.node}, 0).status();
  if (answered.ok() || absl::IsNotFound(answered)) return;
  spdlog::warn("store {}: {}", options_.url, std::string(answered.message()));
  if (!absl::IsUnavailable(answered)) return;
  answer_ = loop_->AddTimer(kAnswerAgain, absl::ZeroDuration(), [this] {
    answer_.reset();
    AnswerForNode();
  });
}

void StorePlane::Believe() {
  gate_.Open(sync_.identity());
  remembered_.reset();
  memory_problem_.clear();
  telling_again_ = telling_again_ && sync_.wants_snapshot();
  if (owed_) Settle();
  if (!std::exchange(believed_, true)) synced_told_ = false;
  TellSynced();
}

// What the client does then stands on what is in force.
void StorePlane::TellSynced() {
  if (!believed_ || failed_ || std::exchange(synced_told_, true)) return;
  client_->OnSynced();
  // The client may have written of its own meanwhile; what is in force is kept in any case.
  if (!telling_again_) last_good_.Commit(sync_.identity(), sync_.revision());
}

void StorePlane::NoteDoubt() {
  if (!sync_.doubt().has_value()) {
    if (!doubted_.empty()) spdlog::info("store {} is believed", options_.url);
    doubted_.clear();
    return;
  }
  gate_.Close(absl::StrCat("store ", options_.url, " is not believed: ", sync_.doubt()->why,
                           "; nothing is written to it"));
  const std::string text = DoubtText(*sync_.doubt(), options_.url);
  if (text == doubted_) return;
  doubted_ = text;
  spdlog::error("{}", text);
}

std::optional<Doubt> StorePlane::Accept() {
  std::optional<Doubt> accepted = sync_.Accept();
  if (!accepted.has_value()) return std::nullopt;
  spdlog::warn("store {} was accepted although {}", options_.url, accepted->why);
  OpenWatch();
  return accepted;
}

// ---- putting in force, and keeping ----

void StorePlane::OnPut(const api::StoredResource& resource) {
  owed_ = true;
  const StorePlaneClient::Keep keep = client_->OnPut(resource);
  if (telling_remembered_) return;
  if (keep == StorePlaneClient::Keep::kThis) last_good_.Put(resource);
  if (keep == StorePlaneClient::Keep::kFormerElseThis) last_good_.PutIfAbsent(resource);
}

void StorePlane::OnDelete(const api::ResourceKey& key) {
  owed_ = true;
  client_->OnDelete(key);
  last_good_.Delete(key);
}

void StorePlane::Settle() {
  failed_ = !client_->OnWhole();
  owed_ = failed_;
  // While what is remembered is enforced, it is on the disk already.
  if (failed_ || remembered_.has_value() || telling_again_) return;
  last_good_.Commit(sync_.identity(), sync_.revision());
}

void StorePlane::Housekeeping() {
  if (failed_) Settle();
  TellSynced();
  if (!last_good_.TakeLost()) return;
  telling_again_ = true;
  sync_.TellAgain();
  OpenWatch();
}

}  // namespace ripstop::agent
