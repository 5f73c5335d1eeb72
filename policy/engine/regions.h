// SPDX-License-Identifier: Apache-2.0
//
// Addresses and CIDRs that somebody names; for engine/ only.
#ifndef RIPSTOP_POLICY_ENGINE_REGIONS_H_
#define RIPSTOP_POLICY_ENGINE_REGIONS_H_

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "policy/classes/address_classes.h"
#include "policy/classes/address_map.h"
#include "policy/classes/cidr_map.h"
#include "policy/classes/interned.h"
#include "policy/engine/records.h"

namespace ripstop::policy {

// A region is an address, or what a CIDR holds besides smaller regions. Each has a kind; and
// each lies in the CIDRs that cover it. Also what a Flush must look at.
class Regions {
 public:
  explicit Regions(AddressClasses* classes) : classes_(classes) {}

  AddressRecord& At(const Address& address) { return addresses_[address]; }  // made when new
  AddressRecord* Find(const Address& address) const { return addresses_.Find(address); }
  void Erase(const Address& address) { addresses_.Erase(address); }
  const AddressMap<AddressRecord>& addresses() const { return addresses_; }

  CidrRecord& At(const Cidr& cidr);  // made when new, and then dirty
  CidrRecord* Find(const Cidr& cidr);
  void Erase(const Cidr& cidr);
  CidrMap<CidrRecord>& cidrs() { return cidrs_; }

  void SetKind(uint32_t& kind, uint32_t to);

  // Calls `f(cidr, record)` for each known CIDR of at most `bits` that holds `address`, the
  // shortest first.
  template <typename F>
  void ForCover(const Address& address, int bits, F f) const;
  // Calls `f(address, bits, kind&, record or null, cidr or null)` for each region in `cidr`.
  template <typename F>
  void ForEachIn(const Cidr& cidr, F f);
  // The class that the kernel's tables give to what has no entry of its own.
  uint32_t WrittenCover(const Address& address, int bits) const;

  // Atoms that inputs give to single addresses, whoever owns them: of services whose backend it
  // is, of nodes that have it. The same one may be there several times.
  const std::vector<uint32_t>& AddedTo(const AddressRecord& record) const;
  void Add(AddressRecord& record, uint32_t atom);
  void Remove(AddressRecord& record, uint32_t atom);

  // An address that a Flush must look at: who claims it, or what policy it wants, has changed.
  struct Touched {
    Address address;
    AddressRecord* record;
  };
  AddressRecord& Touch(const Address& address) { return Touch(address, At(address)); }
  AddressRecord& Touch(const Address& address, AddressRecord& record);
  const std::vector<Touched>& touched() const { return touched_; }
  // None of them is dirty any more; records that nobody needs, and the kernel has not, go.
  void ClearTouched();

  // Dirty since the last Flush.
  std::set<Cidr> changed_cidrs;  // network sets changed
  std::set<Cidr> dirty_cidrs;
  bool scan_addresses = false;  // some kind changed its class
  bool scan_cidrs = false;

 private:
  void SetAdded(AddressRecord& record, const std::vector<uint32_t>& atoms);

  AddressClasses* const classes_;
  AddressMap<AddressRecord> addresses_;
  std::vector<Touched> touched_;
  // Sorted. Pods of one deployment are backends of the same services.
  Interned<std::vector<uint32_t>> added_sets_;
  CidrMap<CidrRecord> cidrs_;
  std::map<int, uint32_t> cidr_lengths_;  // bits -> how many of `cidrs_`
};

template <typename F>
void Regions::ForCover(const Address& address, int bits, F f) const {
  for (const auto& [length, count] : cidr_lengths_) {
    if (length > bits) break;
    const auto it = cidrs_.find(Cidr::Of(address, length));
    if (it != cidrs_.end() && it->first.is_v4() == address.is_v4()) f(it->first, it->second);
  }
}

template <typename F>
void Regions::ForEachIn(const Cidr& cidr, F f) {
  Address last = cidr.address;
  for (int bit = cidr.bits; bit < 128; ++bit) last.bytes[bit / 8] |= 0x80 >> (bit % 8);
  addresses_.ForEachIn(cidr.address, last, [&](const Address& address, AddressRecord& record) {
    if (cidr.Contains(address)) f(address, 128, record.kind, &record, nullptr);
  });
  for (auto it = cidrs_.lower_bound(Cidr{cidr.address, 0});
       it != cidrs_.end() && it->first.address <= last; ++it) {
    if (cidr.Contains(it->first) && it->first.bits < 128) {
      f(it->first.address, it->first.bits, it->second.kind, nullptr, &it->second);
    }
  }
}

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_ENGINE_REGIONS_H_
