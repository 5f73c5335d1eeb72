// SPDX-License-Identifier: Apache-2.0
#include "policy/engine/regions.h"

namespace ripstop::policy {

AddressRecord& Regions::At(const Address& address) {
  std::unique_ptr<AddressRecord>& record = addresses_[address];
  if (!record) record = std::make_unique<AddressRecord>();
  return *record;
}

AddressRecord* Regions::Find(const Address& address) const {
  const auto it = addresses_.find(address);
  return it == addresses_.end() ? nullptr : it->second.get();
}

void Regions::Erase(const Address& address) { addresses_.erase(address); }

CidrRecord& Regions::At(const Cidr& cidr) {
  const auto [it, fresh] = cidrs_.try_emplace(cidr);
  if (fresh) {
    ++cidr_lengths_[cidr.bits];
    scan_cidrs = true;
    if (cidr.bits == 128) {
      At(cidr.address).exact_cidr = true;
      dirty_addresses.insert(cidr.address);
    }
  }
  return it->second;
}

CidrRecord* Regions::Find(const Cidr& cidr) {
  const auto it = cidrs_.find(cidr);
  return it == cidrs_.end() ? nullptr : &it->second;
}

void Regions::Erase(const Cidr& cidr) {
  cidrs_.erase(cidr);
  if (--cidr_lengths_[cidr.bits] == 0) cidr_lengths_.erase(cidr.bits);
}

void Regions::SetKind(uint32_t& kind, uint32_t to) {
  classes_->Ref(to);
  classes_->Unref(kind);
  kind = to;
}

uint32_t Regions::WrittenCover(const Address& address, int bits) const {
  uint32_t result = 0;
  ForCover(address, bits - 1, [&](const Cidr&, const CidrRecord& c) {
    if (c.written) result = *c.written;
  });
  return result;
}

}  // namespace ripstop::policy
