// SPDX-License-Identifier: Apache-2.0
#include "agent/store/store_sync.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ripstop::agent {

using api::ResourceKey;
using api::StoredResource;
using api::WatchEvent;

namespace {

std::string Packed(const ResourceKey& key) {
  return absl::StrCat(key.ns.size(), ":", key.ns, key.name);
}

ResourceKey Unpacked(const std::string& kind, const std::string& packed) {
  const size_t colon = packed.find(':');
  size_t length = 0;
  (void)absl::SimpleAtoi(absl::string_view(packed).substr(0, colon), &length);
  return {kind, packed.substr(colon + 1, length), packed.substr(colon + 1 + length)};
}

}  // namespace

// ---- what is known ----

const StoreSync::Known* StoreSync::Find(const ResourceKey& key) const {
  const auto of_kind = known_.find(key.kind);
  if (of_kind == known_.end()) return nullptr;
  return of_kind->second.Find(Packed(key));
}

int64_t StoreSync::Count(const std::string& kind) const {
  const auto of_kind = known_.find(kind);
  return of_kind == known_.end() ? 0 : static_cast<int64_t>(of_kind->second.size());
}

bool StoreSync::Note(const StoredResource& resource) {
  Known& known = known_[resource.key.kind].Make(Packed(resource.key));
  const bool is_new = known.snapshot == kNever;
  const size_t content = absl::HashOf(resource.value);
  const bool news = is_new || known.revision != resource.revision || known.content != content;
  known.revision = resource.revision;
  known.content = content;
  known.snapshot = snapshot_;
  return news;
}

void StoreSync::Tell(const StoredResource& resource) {
  if (Note(resource)) sink_->OnPut(resource);
}

void StoreSync::Forget(const ResourceKey& key) {
  const auto of_kind = known_.find(key.kind);
  if (of_kind == known_.end()) return;
  const Known* known = of_kind->second.Find(Packed(key));
  if (known == nullptr) return;
  of_kind->second.Erase(known->key);
  sink_->OnDelete(key);
}

void StoreSync::Remember(const StoredResource& resource) { Tell(resource); }

void StoreSync::Remembered(const std::string& identity, int64_t revision) {
  identity_ = identity;
  established_ = true;
  revision_ = revision;
  // A start always reads the store whole: it may have been put back and gone on meanwhile.
  start_over_ = true;
}

void StoreSync::TellAgain() {
  for (auto& [kind, of_kind] : known_) {
    of_kind.ForEach([](Known& known) { known.revision = -1; });
  }
  start_over_ = true;
  wants_snapshot_ = true;
}

// ---- the watch ----

void StoreSync::Opened(const std::string& identity, int64_t from) {
  open_identity_ = identity;
  in_snapshot_ = from == 0;
  synced_ = false;
  news_.clear();
  if (in_snapshot_) ++snapshot_;
  // Deltas of another store are no continuation of what is known.
  wants_snapshot_ = !in_snapshot_ && identity != identity_;
}

void StoreSync::Take(const std::vector<WatchEvent>& events, absl::Time now) {
  for (const WatchEvent& event : events) {
    if (wants_snapshot_) return;
    if (in_snapshot_) {
      TakeOfSnapshot(event);
    } else if (doubt_.has_value()) {
      TakeInDoubt(event);
    } else {
      TakeDelta(event, now);
    }
  }
  if (in_snapshot_ || wants_snapshot_) return;
  if (!doubt_.has_value()) return JudgeDeltas(now);
  if (std::optional<Doubt> still = Judge(open_identity_, missing_, true)) {
    doubt_ = std::move(still);
  } else {
    wants_snapshot_ = true;  // the doubt ends with it
  }
}

void StoreSync::TakeOfSnapshot(const WatchEvent& event) {
  if (event.type == WatchEvent::Type::kSynced) return EndSnapshot(event.revision);
  if (event.type != WatchEvent::Type::kPut) return;
  if (!established_) return Tell(event.resource);
  const auto of_kind = known_.find(event.resource.key.kind);
  if (of_kind != known_.end()) {
    if (Known* known = of_kind->second.Find(Packed(event.resource.key))) {
      known->snapshot = snapshot_;
      if (known->revision == event.resource.revision &&
          known->content == absl::HashOf(event.resource.value)) {
        return;
      }
    }
  }
  news_.push_back(event.resource);
}

void StoreSync::EndSnapshot(int64_t revision) {
  in_snapshot_ = false;
  synced_ = true;
  start_over_ = false;
  std::set<ResourceKey> missing;
  for (const auto& [kind, of_kind] : known_) {
    of_kind.ForEach([&](const Known& known) {
      if (known.snapshot != snapshot_) missing.insert(Unpacked(kind, known.key));
    });
  }
  if (expect_own_node_ && Find(own_node_) == nullptr) {
    const bool there = std::any_of(news_.begin(), news_.end(),
                                   [&](const StoredResource& r) { return r.key == own_node_; });
    if (!there) missing.insert(own_node_);
  }
  doubt_ = Judge(open_identity_, missing, true);
  if (doubt_.has_value() && IsAccepted(*doubt_)) doubt_.reset();
  accepted_.reset();
  gone_.clear();
  gone_at_.clear();
  gone_counts_.clear();
  missing_ = std::move(missing);
  if (!doubt_.has_value()) Establish(revision);
  news_.clear();
}

void StoreSync::Establish(int64_t revision) {
  for (const StoredResource& resource : news_) Tell(resource);
  for (const ResourceKey& key : missing_) Forget(key);
  missing_.clear();
  identity_ = open_identity_;
  established_ = true;
  expect_own_node_ = false;
  revision_ = revision;
}

void StoreSync::TakeDelta(const WatchEvent& event, absl::Time now) {
  const ResourceKey& key = event.resource.key;
  switch (event.type) {
    case WatchEvent::Type::kPut:
      Unbury(key);
      Tell(event.resource);
      break;
    case WatchEvent::Type::kDelete:
      if (Find(key) == nullptr) break;
      if (gone_.insert_or_assign(key, Gone{now, event.resource}).second) ++gone_counts_[key.kind];
      gone_at_.emplace_back(now, key);
      Forget(key);
      break;
    case WatchEvent::Type::kSynced: synced_ = true; break;
  }
  revision_ = std::max(revision_, event.revision);
}

// ---- doubt ----

std::optional<Doubt> StoreSync::Judge(const std::string& identity,
                                      const std::set<ResourceKey>& missing, bool snapshot) const {
  Doubt doubt;
  doubt.identity = identity;
  std::vector<std::string> clauses;
  if (established_ && !identity_.empty() && identity != identity_) {
    doubt.other_store = true;
    clauses.push_back(
        absl::StrCat("it is another store (identity ", identity, ", not ", identity_, ")"));
  }
  if (missing.contains(own_node_) && (established_ || expect_own_node_)) {
    doubt.own_node_gone = true;
    clauses.push_back(absl::StrCat("it lacks this node's own ", own_node_.ToString()));
  }
  // Deltas that delete have taken what they deleted from the counts.
  if (established_) {
    for (const auto& [kind, of_kind] : known_)
      doubt.losses[kind].had = static_cast<int64_t>(of_kind.size());
    for (const ResourceKey& key : missing) {
      Loss& loss = doubt.losses[key.kind];
      ++loss.lost;
      if (Find(key) == nullptr) ++loss.had;
    }
    if (snapshot) AddDeclared(&doubt.losses);
    for (const std::string& clause : MassDeletions(doubt.losses)) {
      clauses.push_back(absl::StrCat("it lacks ", clause));
    }
  }
  if (clauses.empty()) return std::nullopt;
  doubt.why = absl::StrJoin(clauses, "; ");
  return doubt;
}

void StoreSync::Unbury(const ResourceKey& key) {
  if (gone_.erase(key) > 0) --gone_counts_[key.kind];
}

void StoreSync::JudgeDeltas(absl::Time now) {
  for (; !gone_at_.empty() && gone_at_.front().first + kWindow < now; gone_at_.pop_front()) {
    const auto& [at, key] = gone_at_.front();
    const auto it = gone_.find(key);
    if (it != gone_.end() && it->second.at == at) Unbury(ResourceKey(key));
  }
  const bool too_much =
      std::any_of(gone_counts_.begin(), gone_counts_.end(), [&](const auto& item) {
        return IsMassDeletion(item.first, {Count(item.first) + item.second, item.second});
      });
  if (!too_much && !gone_.contains(own_node_)) return;
  std::set<ResourceKey> missing;
  for (const auto& [key, gone] : gone_) missing.insert(key);
  doubt_ = Judge(open_identity_, missing, false);
  // What went before it was too much comes back.
  for (const auto& [key, gone] : gone_) Tell(gone.resource);
  gone_.clear();
  gone_at_.clear();
  gone_counts_.clear();
  missing_ = std::move(missing);
}

void StoreSync::TakeInDoubt(const WatchEvent& event) {
  const ResourceKey& key = event.resource.key;
  if (event.type == WatchEvent::Type::kPut) {
    missing_.erase(key);
  } else if (event.type == WatchEvent::Type::kDelete && Find(key) != nullptr) {
    missing_.insert(key);
  }
}

std::optional<Doubt> StoreSync::Accept() {
  if (!doubt_.has_value()) return std::nullopt;
  accepted_ = doubt_;
  AddDeclared(&accepted_->losses);  // deltas are doubted without it, the snapshot is not
  wants_snapshot_ = true;
  return doubt_;
}

bool StoreSync::IsAccepted(const Doubt& doubt) const {
  if (!accepted_.has_value() || accepted_->identity != doubt.identity) return false;
  if (doubt.own_node_gone && !accepted_->own_node_gone) return false;
  return std::all_of(doubt.losses.begin(), doubt.losses.end(), [&](const auto& item) {
    const auto it = accepted_->losses.find(item.first);
    return item.second.lost <= (it == accepted_->losses.end() ? 0 : it->second.lost);
  });
}

}  // namespace ripstop::agent
