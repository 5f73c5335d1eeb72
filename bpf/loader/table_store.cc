// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/table_store.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "bpf/loader/grace.h"
#include "bpf/loader/inner_maps.h"
#include "policy/status_macros.h"

namespace ripstop::loader {
namespace {

constexpr uint32_t kChunkWords = ARENA_CHUNK_LINES * ARENA_LINE_WORDS;

}  // namespace

address_key AddressKeyOf(const policy::Address& address) { return {.address = ToKey(address)}; }

ip_address ToKey(const policy::Address& address) {
  ip_address key;
  static_assert(sizeof(key) == sizeof(address.bytes));
  std::memcpy(&key, address.bytes.data(), sizeof(key));
  return key;
}

policy::Address FromKey(const ip_address& key) {
  policy::Address address;
  static_assert(sizeof(key) == sizeof(address.bytes));
  std::memcpy(address.bytes.data(), &key, sizeof(key));
  return address;
}

absl::StatusOr<policy::EngineOptions> TableStore::Begin() {
  const active_generation active = object_->active();
  begun_ = committed_ = false;
  chunks_.clear();
  slot_ = active.l4_table == 0 ? 0 : 1 - (active.slot & 1);
  // The half that the tables in force do not live in.
  first_chunk_ = active.l4_table != 0 && ARENA_HANDLE_CHUNK(active.l4_table) < kHalf ? kHalf : 0;
  RETURN_IF_ERROR(FreeSlot(slot_, first_chunk_));
  // A map that grows is copied, so it begins as large as the one in force; it does not shrink.
  const uint32_t in_force = active.l4_table == 0 ? 0 : addresses_.CapacityAt(active.slot & 1);
  RETURN_IF_ERROR(
      addresses_.Begin(slot_, std::max({first_capacity_, addresses_.capacity(), in_force})));
  hit_chunks_ = 0;
  RETURN_IF_ERROR(EnsureRules(1));
  numbers_.Begin();
  begun_ = true;
  policy::EngineOptions options;
  options.first_chunk = first_chunk_;
  options.chunk_count = kHalf;
  return options;
}

absl::StatusOr<uint32_t> TableStore::UsedChunks(uint32_t first_chunk) const {
  arena_range range = {.first = first_chunk, .count = kHalf};
  LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &range, .ctx_size_in = sizeof(range));
  if (bpf_prog_test_run_opts(object_->arena_used(), &options) != 0) {
    return absl::ErrnoToStatus(errno, "run arena_used");
  }
  return range.used;
}

absl::Status TableStore::FreeSlot(uint32_t slot, uint32_t first_chunk) {
  RETURN_IF_ERROR(UninstallInnerMap(object_->addresses(), slot, "rs_addresses_v2"));
  ASSIGN_OR_RETURN(const uint32_t used, UsedChunks(first_chunk));
  for (uint32_t i = 0; i < used; ++i) {
    RETURN_IF_ERROR(UninstallInnerMap(object_->arena(), first_chunk + i, "rs_arena_v2"));
  }
  for (uint32_t i = 0; i < HITS_CHUNKS_PER_SLOT; ++i) {
    const uint32_t index = slot * HITS_CHUNKS_PER_SLOT + i;
    uint32_t id = 0;
    // Hit chunks are installed in order, so the first hole is the end.
    if (bpf_map_lookup_elem(object_->hits(), &index, &id) != 0) break;
    RETURN_IF_ERROR(UninstallInnerMap(object_->hits(), index, "rs_hits_v1"));
  }
  return absl::OkStatus();
}

absl::Status TableStore::Commit(uint32_t l4_table) {
  if (!begun_) return absl::FailedPreconditionError("commit: no generation was begun");
  if (l4_table == 0) return absl::InvalidArgumentError("commit: no L4 table");
  const active_generation before = object_->active();
  object_->SetActive({.slot = slot_, .l4_table = l4_table});
  RETURN_IF_ERROR(JudgeFlowsAnew());
  numbers_.End();
  committed_ = true;
  if (before.l4_table == 0 || before.slot == slot_) return absl::OkStatus();
  return FreeSlot(before.slot & 1, first_chunk_ == 0 ? kHalf : 0);
}

absl::Status TableStore::JudgeFlowsAnew() {
  RETURN_IF_ERROR(RcuGrace());
  for (uint32_t i = 0; i < EPOCHS_MAX; ++i)
    __atomic_fetch_add(object_->epoch(i), 1, __ATOMIC_RELEASE);
  return absl::OkStatus();
}

// Local addresses have numbers, which are known before the address is.
void TableStore::GiveNumber(const policy::SetAddress& write, address_value& value) {
  value.number = 0;
  if ((value.flags & ADDRESS_LOCAL_ENDPOINT) != 0 && value.ifindex != 0) {
    value.number = numbers_.Take(write.address, value.ifindex);
  } else {
    numbers_.Release(write.address);
  }
}

// A new chunk holds zeros, and no program has its number yet.
absl::Status TableStore::AddChunks(const std::set<uint32_t>& chunks) {
  constexpr size_t kBytes = ARENA_CHUNK_LINES * sizeof(arena_line);
  std::map<uint32_t, Chunk> added;
  std::vector<uint32_t> indexes;
  std::vector<int> fds;
  for (const uint32_t chunk : chunks) {
    ASSIGN_OR_RETURN(UniqueFd fd,
                     MakeInnerMap(BPF_MAP_TYPE_ARRAY, "rs_arena_chunk", sizeof(uint32_t),
                                  sizeof(arena_line), ARENA_CHUNK_LINES, BPF_F_MMAPABLE));
    void* base = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (base == MAP_FAILED) return absl::ErrnoToStatus(errno, absl::StrCat("map chunk ", chunk));
    indexes.push_back(chunk);
    fds.push_back(fd.get());
    added.emplace(chunk, Chunk{std::move(fd), MappedPages(base, kBytes)});
  }
  RETURN_IF_ERROR(InstallInnerMaps(object_->arena(), indexes, fds, "rs_arena_v2"));
  chunks_.merge(added);
  return absl::OkStatus();
}

// All chunks that `writes` need and that are not there yet, before the first write: to put
// a map into the arena waits for a grace period, so it is done once.
absl::Status TableStore::AddChunksFor(const policy::TableWrites& writes) {
  std::set<uint32_t> missing;
  for (const policy::TableWrite& write : writes) {
    const auto* words = std::get_if<policy::WriteWords>(&write);
    if (words == nullptr) continue;
    const uint32_t chunk = ARENA_HANDLE_CHUNK(words->handle);
    if (Owns(chunk) && !chunks_.contains(chunk)) missing.insert(chunk);
  }
  return missing.empty() ? absl::OkStatus() : AddChunks(missing);
}

absl::StatusOr<uint32_t*> TableStore::ChunkWords(uint32_t chunk) {
  if (!Owns(chunk)) {
    return absl::OutOfRangeError(absl::StrCat("arena chunk ", chunk, " is not of this generation"));
  }
  // Not there: it was given back by a write before this one.
  if (!chunks_.contains(chunk)) RETURN_IF_ERROR(AddChunks({chunk}));
  return static_cast<uint32_t*>(chunks_.find(chunk)->second.pages.base());
}

absl::Status TableStore::WriteWords(const policy::WriteWords& write) {
  const uint64_t first =
      uint64_t{ARENA_HANDLE_LINE(write.handle)} * ARENA_LINE_WORDS + write.first_word;
  if (first + write.words.size() > kChunkWords) {
    return absl::OutOfRangeError(absl::StrCat(write.words.size(), " words at handle ", write.handle,
                                              " run over the end of their chunk"));
  }
  ASSIGN_OR_RETURN(uint32_t* words, ChunkWords(ARENA_HANDLE_CHUNK(write.handle)));
  for (size_t i = 0; i < write.words.size(); ++i) {
    __atomic_store_n(&words[first + i], write.words[i], __ATOMIC_RELEASE);
  }
  return absl::OkStatus();
}

absl::Status TableStore::ReleaseChunk(uint32_t chunk) {
  if (chunks_.erase(chunk) == 0) return absl::OkStatus();
  return UninstallInnerMap(object_->arena(), chunk, "rs_arena_v2");
}

absl::Status TableStore::EnsureRules(uint32_t count) {
  if (count > VERDICT_RULE_MASK + 1) {
    return absl::OutOfRangeError(
        absl::StrCat(count, " rules; a verdict word has room for ", VERDICT_RULE_MASK));
  }
  std::vector<UniqueFd> added;
  std::vector<uint32_t> indexes;
  std::vector<int> fds;
  uint32_t chunks = hit_chunks_;
  for (; chunks * HITS_CHUNK_RULES < count; ++chunks) {
    ASSIGN_OR_RETURN(UniqueFd fd,
                     MakeInnerMap(BPF_MAP_TYPE_PERCPU_ARRAY, "rs_hits_chunk", sizeof(uint32_t),
                                  sizeof(rule_hits), HITS_CHUNK_RULES, 0));
    indexes.push_back(slot_ * HITS_CHUNKS_PER_SLOT + chunks);
    fds.push_back(fd.get());
    added.push_back(std::move(fd));
  }
  if (added.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(InstallInnerMaps(object_->hits(), indexes, fds, "rs_hits_v1"));
  hit_chunks_ = chunks;
  waited_ = true;
  return absl::OkStatus();
}

absl::Status TableStore::ForgetRule(uint32_t rule_id) {
  const uint32_t index = slot_ * HITS_CHUNKS_PER_SLOT + rule_id / HITS_CHUNK_RULES;
  uint32_t id = 0;
  if (bpf_map_lookup_elem(object_->hits(), &index, &id) != 0) return absl::OkStatus();
  const UniqueFd chunk(bpf_map_get_fd_by_id(id));
  const uint32_t entry = rule_id % HITS_CHUNK_RULES;
  const std::vector<rule_hits> zero(static_cast<size_t>(libbpf_num_possible_cpus()));
  if (bpf_map_update_elem(chunk.get(), &entry, zero.data(), BPF_ANY) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("rs_hits_v1: reset of rule ", rule_id));
  }
  return absl::OkStatus();
}

absl::Status TableStore::ApplyOne(const policy::TableWrite& write) {
  struct Visitor {
    TableStore* store;
    absl::Status operator()(const policy::SetAddress&) { return absl::OkStatus(); }  // batched
    absl::Status operator()(const policy::RemoveAddress& w) {
      RETURN_IF_ERROR(store->addresses_.Remove(AddressKeyOf(w.address)));
      store->numbers_.Release(w.address);
      return absl::OkStatus();
    }
    absl::Status operator()(const policy::WriteWords& w) { return store->WriteWords(w); }
    absl::Status operator()(const policy::ReleaseChunk& w) { return store->ReleaseChunk(w.chunk); }
    // No program reads what is not committed, and Commit moves all epochs.
    absl::Status operator()(const policy::Grace&) {
      return store->waited_ || !store->committed_ ? absl::OkStatus() : RcuGrace();
    }
    absl::Status operator()(const policy::BumpEpoch& w) {
      if (!store->committed_) return absl::OkStatus();
      if (w.set_index >= EPOCHS_MAX) {
        return absl::OutOfRangeError(absl::StrCat("epoch of policy set ", w.set_index));
      }
      __atomic_fetch_add(store->object_->epoch(w.set_index), 1, __ATOMIC_RELEASE);
      return absl::OkStatus();
    }
    absl::Status operator()(const policy::EnsureRules& w) { return store->EnsureRules(w.count); }
    // No program asks for them yet: attaching at the host's interfaces is to come.
    absl::Status operator()(const policy::SetHostSets&) { return absl::OkStatus(); }
    absl::Status operator()(const policy::RemoveHostSets&) { return absl::OkStatus(); }
    absl::Status operator()(const policy::ForgetRules& w) {
      for (const uint32_t id : w.rule_ids) RETURN_IF_ERROR(store->ForgetRule(id));
      return absl::OkStatus();
    }
  };
  return std::visit(Visitor{this}, write);
}

absl::Status TableStore::Apply(const policy::TableWrites& writes) {
  if (!begun_) return absl::FailedPreconditionError("table writes: no generation was begun");
  RETURN_IF_ERROR(AddChunksFor(writes));
  std::vector<address_key> keys;
  std::vector<address_value> values;
  size_t added = 0;
  const auto set_addresses = [&] {
    writes_ += keys.size();
    const absl::Status status = addresses_.Set(keys, values, added);
    keys.clear();
    values.clear();
    added = 0;
    return status;
  };
  for (const policy::TableWrite& write : writes) {
    if (const auto* set = std::get_if<policy::SetAddress>(&write)) {
      keys.push_back(AddressKeyOf(set->address));
      values.push_back(set->value);
      added += set->is_new;
      GiveNumber(*set, values.back());
      waited_ = false;
      continue;
    }
    RETURN_IF_ERROR(set_addresses());
    // A grace period asked for right after one has passed.
    if (!std::holds_alternative<policy::Grace>(write)) waited_ = false;
    RETURN_IF_ERROR(ApplyOne(write));
    ++writes_;
  }
  return set_addresses();
}

}  // namespace ripstop::loader
