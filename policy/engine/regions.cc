// SPDX-License-Identifier: Apache-2.0
#include "policy/engine/regions.h"

#include <algorithm>

namespace ripstop::policy {

AddressRecord& Regions::Touch(const Address& address, AddressRecord& record) {
  if (!record.dirty) touched_.push_back({address, &record});
  record.dirty = true;
  return record;
}

void Regions::ClearTouched() {
  for (const Touched& t : touched_) {
    t.record->dirty = false;
    if (!t.record->needed() && !t.record->is_written) Erase(t.address);
  }
  std::vector<Touched>().swap(touched_);  // as long as a large cluster, after a cold start
}

const std::vector<uint32_t>& Regions::ServicesOf(const AddressRecord& record) const {
  static const auto& none = *new std::vector<uint32_t>();
  return record.services == 0 ? none : service_sets_[record.services];
}

void Regions::SetServices(AddressRecord& record, const std::vector<uint32_t>& atoms) {
  const uint32_t before = record.services;
  record.services = atoms.empty() ? 0 : service_sets_.Intern(atoms);
  service_sets_.ForgetFresh();
  if (record.services != 0) service_sets_.Ref(record.services);
  if (before == 0 || !service_sets_.Unref(before)) return;
  service_sets_.Forget(before);
  service_sets_.Release(before);
}

void Regions::AddService(AddressRecord& record, uint32_t atom) {
  std::vector<uint32_t> atoms = ServicesOf(record);
  atoms.insert(std::upper_bound(atoms.begin(), atoms.end(), atom), atom);
  SetServices(record, atoms);
}

void Regions::RemoveService(AddressRecord& record, uint32_t atom) {
  std::vector<uint32_t> atoms = ServicesOf(record);
  const auto at = std::lower_bound(atoms.begin(), atoms.end(), atom);
  if (at == atoms.end() || *at != atom) return;
  atoms.erase(at);
  SetServices(record, atoms);
}

CidrRecord& Regions::At(const Cidr& cidr) {
  const auto [it, fresh] = cidrs_.try_emplace(cidr);
  if (fresh) {
    ++cidr_lengths_[cidr.bits];
    scan_cidrs = true;
    if (cidr.bits == 128) {
      Touch(cidr.address).exact_cidr = true;
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
