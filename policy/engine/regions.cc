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

const std::vector<uint32_t>& Regions::AddedTo(const AddressRecord& record) const {
  static const auto& none = *new std::vector<uint32_t>();
  return record.added == 0 ? none : added_sets_[record.added];
}

void Regions::SetAdded(AddressRecord& record, const std::vector<uint32_t>& atoms) {
  const uint32_t before = record.added;
  record.added = atoms.empty() ? 0 : added_sets_.Intern(atoms);
  added_sets_.ForgetFresh();
  if (record.added != 0) added_sets_.Ref(record.added);
  if (before == 0 || !added_sets_.Unref(before)) return;
  added_sets_.Forget(before);
  added_sets_.Release(before);
}

void Regions::Add(AddressRecord& record, uint32_t atom) {
  std::vector<uint32_t> atoms = AddedTo(record);
  atoms.insert(std::upper_bound(atoms.begin(), atoms.end(), atom), atom);
  SetAdded(record, atoms);
}

void Regions::Remove(AddressRecord& record, uint32_t atom) {
  std::vector<uint32_t> atoms = AddedTo(record);
  const auto at = std::lower_bound(atoms.begin(), atoms.end(), atom);
  if (at == atoms.end() || *at != atom) return;
  atoms.erase(at);
  SetAdded(record, atoms);
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
