// SPDX-License-Identifier: Apache-2.0
//
// Numbers of local addresses, by which packets and flows name their sender (abi/marks.h).
//
// They live in the mapped pages of rs_senders_v1, which is pinned with the flows, so a number
// means the same to a restarted agent. An address that comes back has its old number if nobody was
// given it meanwhile, and a number that was released is given away as late as can be: packets and
// flows of its old owner are long gone by then. One thread at a time.
#ifndef RIPSTOP_BPF_LOADER_ADDRESS_NUMBERS_H_
#define RIPSTOP_BPF_LOADER_ADDRESS_NUMBERS_H_

#include <cstdint>
#include <map>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "bpf/abi/marks.h"
#include "policy/address.h"

namespace ripstop::loader {

class AddressNumbers {
 public:
  // `senders`: MARK_NUMBER_MAX + 1 of them. `max`: the largest number to give.
  AddressNumbers(uint8_t* senders, uint32_t max) : senders_(senders), max_(max) {}

  // A generation of tables: what is taken between Begin and End stays, the rest is released.
  // The first Begin reads the map.
  void Begin();
  void End();

  // The number of `address`, which is local from now on, behind `ifindex`; 0 when as many
  // others are. It is in the map when this returns.
  uint16_t Take(const policy::Address& address, uint32_t ifindex);
  void Release(const policy::Address& address);

  // Local addresses that have none, because there were no more.
  size_t without() const { return without_.size(); }

 private:
  struct Entry {
    policy::Address address;
    uint64_t released = 0;  // when: a count; 0: taken, or never was
    uint64_t generation = 0;
  };
  // Elements of an array map are rounded up to eight bytes.
  static constexpr size_t kStride = (sizeof(sender_value) + 7) / 8 * 8;
  void Load();
  void Write(uint16_t number, const policy::Address& address, uint32_t ifindex);
  uint16_t Free();
  void ReleaseNumber(uint16_t number);

  uint8_t* const senders_;
  const uint32_t max_;
  bool loaded_ = false;
  uint64_t generation_ = 0;
  uint64_t releases_ = 0;
  std::vector<Entry> entries_ = std::vector<Entry>(1);  // by number; 0 is nobody's
  absl::flat_hash_map<policy::Address, uint16_t> numbers_;
  std::map<uint64_t, uint16_t> released_;                   // oldest first
  absl::flat_hash_map<policy::Address, uint64_t> without_;  // to the generation
};

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_ADDRESS_NUMBERS_H_
