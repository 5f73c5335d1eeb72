// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_BPF_LOADER_ADDRESS_TABLE_H_
#define RIPSTOP_BPF_LOADER_ADDRESS_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bpf/abi/tables.h"
#include "bpf/loader/inner_maps.h"
#include "policy/base/unique_fd.h"

namespace ripstop::loader {

// The addresses of one generation: a hash map at one slot of rs_addresses_v2, and how it grows.
//
// A hash map has the size it was made with. At seven eighths of it, one of kGrowth times the size
// is made, and each Set takes a part of what is there over: what is written meanwhile is written to
// both, so programs read the smaller until the larger has all and takes its place. No Set copies
// much more than kCopyPerSet, unless the map is full before that was enough.
// One thread at a time.
class AddressTable {
 public:
  static constexpr uint32_t kCopyPerSet = 4096;
  // An empty bucket costs 16 bytes, a copied entry a microsecond: with twice the size, a table that
  // grows would copy as many entries as it takes in; with four times, a third of that.
  static constexpr uint32_t kGrowth = 4;

  // `outer`: rs_addresses_v2, which outlives this.
  explicit AddressTable(int outer) : outer_(outer) {}

  // An empty map takes the slot, which must be empty.
  absl::Status Begin(uint32_t slot, uint32_t capacity);

  // `values[i]` at `keys[i]`. `added`: how many of the keys were not there. In order, up to the
  // first failure:
  //   kResourceExhausted  the kernel has no memory for a larger map
  absl::Status Set(const std::vector<address_key>& keys, const std::vector<address_value>& values,
                   size_t added);
  // That it is not there is fine.
  absl::Status Remove(const address_key& key);

  uint32_t capacity() const { return now_.capacity; }
  // Of the map at `slot`, whoever put it there; 0: none is.
  uint32_t CapacityAt(uint32_t slot) const;
  bool growing() const { return growth_.has_value(); }

 private:
  struct Inner {
    UniqueFd fd;
    uint32_t capacity = 0;
  };
  struct Growth {
    Inner larger;
    EntryCopy copy;
  };

  static absl::StatusOr<Inner> Make(uint32_t capacity);
  absl::Status StartGrowing();
  // Takes over about that many entries. When all are, programs read the larger map.
  absl::Status Grow(size_t entries);

  const int outer_;
  uint32_t slot_ = 0;
  Inner now_;  // what programs read
  std::optional<Growth> growth_;
  size_t entries_ = 0;  // as told
};

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_ADDRESS_TABLE_H_
