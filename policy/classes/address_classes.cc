// SPDX-License-Identifier: Apache-2.0
#include "policy/classes/address_classes.h"

#include <algorithm>

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
  const uint32_t address_class =
      it != by_signature_.end() ? it->second : NewClass(std::move(signature));
  const uint32_t kind = kinds_.Intern(atoms);
  kinds_.ForgetFresh();
  Join(kind, address_class);
  return kind;
}

uint32_t AddressClasses::KindLike(const std::vector<uint32_t>& atoms, uint32_t like) {
  if (atoms.empty()) return 0;
  if (const auto known = kinds_.Find(atoms)) return *known;
  const uint32_t kind = kinds_.Intern(atoms);
  kinds_.ForgetFresh();
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
  if (const auto it = by_signature_.find({});
      it != by_signature_.end() && it->second == address_class) {
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
  const auto for_new = [](const std::vector<uint32_t>& now, const std::vector<uint32_t>& before,
                          auto f) {
    auto b = before.begin();
    for (const uint32_t p : now) {
      while (b != before.end() && *b < p) ++b;
      if (b == before.end() || *b != p) f(p);
    }
  };
  for_new(c.signature, signature, [&](uint32_t p) { classes_with_[p].erase(id); });
  for_new(signature, c.signature, [&](uint32_t p) { classes_with_[p].insert(id); });
  c.signature = std::move(signature);
  by_signature_.try_emplace(c.signature, id);
}

bool AddressClasses::Activate(uint32_t predicate, const std::vector<uint32_t>& atoms) {
  classes_with_[predicate];
  std::vector<std::pair<uint32_t, uint32_t>> found;  // class, kind
  for (const uint32_t atom : atoms) {
    const auto it = kinds_with_.find(atom);
    if (it == kinds_with_.end()) continue;
    for (const uint32_t kind : it->second)
      found.emplace_back(kinds_data_[kind].address_class, kind);
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());

  bool split = false;
  for (auto yes = found.begin(); yes != found.end();) {
    const uint32_t id = yes->first;
    const auto yes_end =
        std::find_if(yes, found.end(), [&](const auto& f) { return f.first != id; });
    split |= Divide(predicate, id, {yes, yes_end});
    yes = yes_end;
  }
  return split;
}

bool AddressClasses::Divide(uint32_t predicate, uint32_t id,
                            std::span<const std::pair<uint32_t, uint32_t>> yes) {
  std::vector<uint32_t> with = classes_[id].signature;
  with.insert(std::lower_bound(with.begin(), with.end(), predicate), predicate);
  if (yes.size() == classes_[id].kinds.size()) {
    SetSignature(id, std::move(with));
    return false;
  }
  // Kind 0 answers no to all and class 0 is its, so there the yes part must move; and
  // class 0 may have very many kinds, so they are not even looked at.
  std::vector<uint32_t> no;
  uint64_t yes_addresses = 0, no_addresses = 0;
  if (id != 0) {
    for (const uint32_t kind : classes_[id].kinds) {
      if (std::binary_search(yes.begin(), yes.end(), std::pair(id, kind))) {
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
  const auto move = [&](uint32_t kind) {
    classes_[id].kinds.erase(kind);
    classes_[to].kinds.insert(kind);
    kinds_data_[kind].address_class = to;
  };
  if (move_yes) {
    for (const auto& [from, kind] : yes) move(kind);
  } else {
    for (const uint32_t kind : no) move(kind);
  }
  return true;
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
