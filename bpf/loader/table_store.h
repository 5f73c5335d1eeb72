// SPDX-License-Identifier: Apache-2.0
//
// One generation of policy tables in the kernel.
//
//   Engine ──TableWrites──▶ [TableStore] ─▶ inner maps of one slot, half of the arena
//
// Begin makes fresh inner maps; nothing reads them until Commit stores the one word.
// Writes keep their order. Addresses are map updates, batched; everything else is
// stores to mapped memory. One thread at a time.
#ifndef RIPSTOP_BPF_LOADER_TABLE_STORE_H_
#define RIPSTOP_BPF_LOADER_TABLE_STORE_H_

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bpf/loader/address_numbers.h"
#include "bpf/loader/address_table.h"
#include "bpf/loader/datapath_object.h"
#include "policy/engine/engine.h"
#include "policy/tables/table_write.h"

namespace ripstop::loader {

class TableStore {
 public:
  // `object` outlives this.
  TableStore(DatapathObject* object, const DatapathSizes& sizes)
      : object_(object),
        first_capacity_(sizes.addresses),
        addresses_(object->addresses()),
        numbers_(object->senders(), sizes.mark_numbers) {}

  // Empties the slot and the half of the arena that are not in force and takes them.
  // Returns what the engine of this generation must be made with.
  absl::StatusOr<policy::EngineOptions> Begin();

  // Applies in order, stops at the first failure:
  //   kFailedPrecondition  no generation was begun
  //   kOutOfRange          a handle, set index or rule count that the layout has no room for
  //   kResourceExhausted   the kernel has no memory for a larger map
  absl::Status Apply(const policy::TableWrites& writes);

  // Puts this generation in force, waits a grace period, moves every epoch, frees what
  // was in force before. Flows are judged once more by the new tables.
  absl::Status Commit(uint32_t l4_table);

  // Waits a grace period and moves every epoch: once programs that judge by other tables have gone,
  // no flow keeps what they made of it.
  absl::Status JudgeFlowsAnew();

  uint32_t slot() const { return slot_; }
  // Local addresses that packets cannot be marked with, since there are too many.
  size_t addresses_without_number() const { return numbers_.without(); }
  uint64_t writes() const { return writes_; }  // table writes applied so far

 private:
  static constexpr uint32_t kHalf = ARENA_CHUNKS_MAX / 2;
  struct Chunk {
    UniqueFd fd;
    MappedPages pages;
  };

  void GiveNumber(const policy::SetAddress& write, address_value& value);
  absl::Status ApplyOne(const policy::TableWrite& write);
  absl::Status WriteWords(const policy::WriteWords& write);
  bool Owns(uint32_t chunk) const { return chunk >= first_chunk_ && chunk < first_chunk_ + kHalf; }
  absl::Status AddChunks(const std::set<uint32_t>& chunks);
  absl::Status AddChunksFor(const policy::TableWrites& writes);
  absl::StatusOr<uint32_t*> ChunkWords(uint32_t chunk);
  absl::Status ReleaseChunk(uint32_t chunk);
  absl::Status EnsureRules(uint32_t count);
  absl::Status ForgetRule(uint32_t rule_id);
  // How many of the chunks of the half from `first_chunk` on may be there.
  absl::StatusOr<uint32_t> UsedChunks(uint32_t first_chunk) const;
  absl::Status FreeSlot(uint32_t slot, uint32_t first_chunk);

  DatapathObject* const object_;
  const uint32_t first_capacity_;  // of addresses
  bool begun_ = false;
  bool committed_ = false;  // what was begun last
  uint32_t slot_ = 0;
  uint32_t first_chunk_ = 0;
  AddressTable addresses_;
  AddressNumbers numbers_;
  std::map<uint32_t, Chunk> chunks_;
  uint32_t hit_chunks_ = 0;
  bool waited_ = false;  // the last write waited for a grace period
  uint64_t writes_ = 0;
};

// The key form of an address.
ip_address ToKey(const policy::Address& address);
policy::Address FromKey(const ip_address& key);
// Of this node's own network.
address_key AddressKeyOf(const policy::Address& address);

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_TABLE_STORE_H_
