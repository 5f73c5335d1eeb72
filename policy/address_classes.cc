// SPDX-License-Identifier: Apache-2.0
#include "policy/address_classes.h"

#include <algorithm>
#include <map>

namespace ripstop::policy {

AddressClasses::AddressClasses(Facts* facts) : facts_(facts) {
  kinds_data_.resize(1);
  classes_.resize(1);
  classes_[0].used = true;
  classes_[0].kinds.insert(0);  // kind 0 is the interner's unused number: no atoms
  by_signature_[{}] = 0;
  count_ = 1;
}

const std::vector<uint32_t>& AddressClasses::AtomsOf(uint32_t kind) const {
  static const auto& none = *new std::vector<uint32_t>();
  return kind == 0 ? none : kinds_[kind];
}

const absl::flat_hash_set<uint32_t>& AddressClasses::ClassesOf(uint32_t predicate) const {
  static const auto& none = *new absl::flat_hash_set<uint32_t>();
  const auto it = classes_with_.find(predicate);
  return it == classes_with_.end() ? none : it->second;
}

std::vector<uint32_t> AddressClasses::SignatureOf(const std::vector<uint32_t>& atoms) const {
  std::vector<uint32_t> signature;
  for (const uint32_t atom : atoms) {
    const std::vector<uint32_t>& more = facts_->TruePredicates(atom);
    signature.insert(signature.end(), more.begin(), more.end());
  }
  std::sort(signature.begin(), signature.end());
  signature.erase(std::unique(signature.begin(), signature.end()), signature.end());
  return signature;
}

uint32_t AddressClasses::Kind(const std::vector<uint32_t>& atoms) {
  if (atoms.empty()) return 0;
  if (const auto known = kinds_.Find(atoms)) return *known;
  std::vector<uint32_t> signature = SignatureOf(atoms);
  const auto it = by_signature_.find(signature);
  const uint32_t address_class = it != by_signature_.end() ? it->second : NewClass(std::move(signature));
  const uint32_t kind = kinds_.Intern(atoms);
  Join(kind, address_class);
  return kind;
}

uint32_t AddressClasses::KindLike(const std::vector<uint32_t>& atoms, uint32_t like) {
  if (atoms.empty()) return 0;
  if (const auto known = kinds_.Find(atoms)) return *known;
  const uint32_t kind = kinds_.Intern(atoms);
  Join(kind, kinds_data_[like].address_class);
  return kind;
}

void AddressClasses::Join(uint32_t kind, uint32_t address_class) {
  if (kinds_data_.size() <= kind) kinds_data_.resize(kind + 1);
  kinds_data_[kind].address_class = address_class;
  classes_[address_class].kinds.insert(kind);
  for (const uint32_t atom : kinds_[kind]) {
    facts_->RefAtom(atom);
    kinds_with_[atom].insert(kind);
  }
}

void AddressClasses::Ref(uint32_t kind) {
  if (kind != 0) kinds_.Ref(kind);
}

void AddressClasses::Unref(uint32_t kind) {
  if (kind == 0 || !kinds_.Unref(kind)) return;
  Leave(kind);
  for (const uint32_t atom : std::vector<uint32_t>(kinds_[kind])) {
    const auto it = kinds_with_.find(atom);
    it->second.erase(kind);
    if (it->second.empty()) kinds_with_.erase(it);
    facts_->UnrefAtom(atom);
  }
  kinds_.Forget(kind);
  kinds_.Release(kind);
}

void AddressClasses::Leave(uint32_t kind) {
  const uint32_t address_class = kinds_data_[kind].address_class;
  ClassData& c = classes_[address_class];
  c.kinds.erase(kind);
  if (!c.kinds.empty()) return;
  SetSignature(address_class, {});
  if (const auto it = by_signature_.find({}); it != by_signature_.end() && it->second == address_class) {
    by_signature_.erase(it);
  }
  c.used = false;
  --count_;
  retired_.push_back(address_class);
}

uint32_t AddressClasses::NewClass(std::vector<uint32_t> signature) {
  uint32_t id;
  if (free_.empty()) {
    id = bound();
    classes_.emplace_back();
  } else {
    id = free_.back();
    free_.pop_back();
  }
  classes_[id].used = true;
  ++count_;
  new_classes_.push_back(id);
  SetSignature(id, std::move(signature));
  return id;
}

uint32_t AddressClasses::TemporaryClass() {
  if (free_.empty()) {
    classes_.emplace_back();
    return bound() - 1;
  }
  const uint32_t id = free_.back();
  free_.pop_back();
  return id;
}

void AddressClasses::SetSignature(uint32_t id, std::vector<uint32_t> signature) {
  ClassData& c = classes_[id];
  const auto it = by_signature_.find(c.signature);
  if (it != by_signature_.end() && it->second == id) by_signature_.erase(it);
  for (const uint32_t p : c.signature) classes_with_[p].erase(id);
  c.signature = std::move(signature);
  for (const uint32_t p : c.signature) classes_with_[p].insert(id);
  by_signature_.try_emplace(c.signature, id);
}

bool AddressClasses::Activate(uint32_t predicate, const std::vector<uint32_t>& atoms) {
  classes_with_[predicate];
  absl::flat_hash_set<uint32_t> kinds;
  for (const uint32_t atom : atoms) {
    if (const auto it = kinds_with_.find(atom); it != kinds_with_.end()) {
      kinds.insert(it->second.begin(), it->second.end());
    }
  }
  std::map<uint32_t, std::vector<uint32_t>> by_class;
  for (const uint32_t kind : kinds) by_class[kinds_data_[kind].address_class].push_back(kind);

  bool split = false;
  for (auto& [id, yes] : by_class) {
    std::vector<uint32_t> with = classes_[id].signature;
    with.insert(std::lower_bound(with.begin(), with.end(), predicate), predicate);
    if (yes.size() == classes_[id].kinds.size()) {
      SetSignature(id, std::move(with));
      continue;
    }
    split = true;
    // Kind 0 answers no to all and class 0 is its, so there the yes part must move; and
    // class 0 may have very many kinds, so they are not even looked at.
    const absl::flat_hash_set<uint32_t> inside(yes.begin(), yes.end());
    std::vector<uint32_t> no;
    uint64_t yes_addresses = 0, no_addresses = 0;
    if (id != 0) {
      for (const uint32_t kind : classes_[id].kinds) {
        if (inside.contains(kind)) {
          yes_addresses += kinds_.references(kind);
        } else {
          no.push_back(kind);
          no_addresses += kinds_.references(kind);
        }
      }
    }
    const bool move_yes = id == 0 || yes_addresses <= no_addresses;
    std::vector<uint32_t> without = classes_[id].signature;
    if (!move_yes) SetSignature(id, with);
    const uint32_t to = NewClass(move_yes ? std::move(with) : std::move(without));
    for (const uint32_t kind : move_yes ? yes : no) {
      classes_[id].kinds.erase(kind);
      classes_[to].kinds.insert(kind);
      kinds_data_[kind].address_class = to;
    }
  }
  return split;
}

void AddressClasses::Deactivate(uint32_t predicate) {
  const absl::flat_hash_set<uint32_t> classes = ClassesOf(predicate);
  for (const uint32_t id : classes) {
    std::vector<uint32_t> signature = classes_[id].signature;
    signature.erase(std::lower_bound(signature.begin(), signature.end(), predicate));
    SetSignature(id, std::move(signature));
  }
  classes_with_.erase(predicate);
}

std::vector<uint32_t> AddressClasses::TakeNewClasses() {
  std::vector<uint32_t> result;
  for (const uint32_t id : new_classes_) {
    if (classes_[id].used) result.push_back(id);
  }
  new_classes_.clear();
  return result;
}

void AddressClasses::ReuseRetired() {
  free_.insert(free_.end(), retired_.begin(), retired_.end());
  retired_.clear();
}

}  // namespace ripstop::policy
