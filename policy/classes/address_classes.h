// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_CLASSES_ADDRESS_CLASSES_H_
#define RIPSTOP_POLICY_CLASSES_ADDRESS_CLASSES_H_

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "policy/classes/facts.h"
#include "policy/classes/interned.h"

namespace ripstop::policy {

// Kinds (sets of atoms) and their partition into classes.
//
//   addresses ──▶ kind = {atom, …} ──▶ class = kinds that answer all active predicates alike
//
// The invariant is between calls: two kinds of one class have the same signature, the
// sorted active predicates that are true of them. Two classes may have one signature,
// after a predicate that told them apart went out of use. Class 0 is for ever the class
// of kind 0, which has no atoms; other kinds of empty signature may join it.
class AddressClasses {
 public:
  explicit AddressClasses(Facts* facts);

  // The kind with these atoms (sorted, unique). A new one goes to the class of its
  // signature, or to a new class. Holds its atoms.
  uint32_t Kind(const std::vector<uint32_t>& atoms);
  // The same, but a new one goes to the class of kind `like`, of which it differs only in
  // atoms that no active predicate asks for.
  uint32_t KindLike(const std::vector<uint32_t>& atoms, uint32_t like);
  void Ref(uint32_t kind);
  void Unref(uint32_t kind);  // gone with its last reference
  uint32_t ClassOf(uint32_t kind) const { return kinds_data_[kind].address_class; }
  const std::vector<uint32_t>& AtomsOf(uint32_t kind) const;

  // Splits the classes whose kinds do not agree on `predicate`, which is true of `atoms`;
  // the part with fewer addresses gets the new number. True when a class was split.
  bool Activate(uint32_t predicate, const std::vector<uint32_t>& atoms);
  void Deactivate(uint32_t predicate);

  // A class outside of the partition, for a transition. Its owner releases it.
  uint32_t TemporaryClass();
  void ReleaseTemporary(uint32_t address_class) { retired_.push_back(address_class); }

  const std::vector<uint32_t>& Signature(uint32_t address_class) const {
    return classes_[address_class].signature;
  }
  // Classes of which an active predicate is true.
  const absl::flat_hash_set<uint32_t>& ClassesOf(uint32_t predicate) const;

  // Classes made since the last call and still in use.
  std::vector<uint32_t> TakeNewClasses();
  // One more than the largest number ever given out.
  uint32_t bound() const { return static_cast<uint32_t>(classes_.size()); }
  uint32_t count() const { return count_; }
  // A grace period has passed since the last Flush: numbers retired then may be reused.
  void ReuseRetired();
  size_t retired_count() const { return retired_.size(); }

 private:
  struct KindData {
    uint32_t address_class = 0;
  };
  struct ClassData {
    bool used = false;
    std::vector<uint32_t> signature;
    absl::flat_hash_set<uint32_t> kinds;
  };
  // Of class `id`, the kinds in `yes` (class, kind; sorted) answer yes; true when not all do.
  bool Divide(uint32_t predicate, uint32_t id, std::span<const std::pair<uint32_t, uint32_t>> yes);
  uint32_t NewClass(std::vector<uint32_t> signature);
  void Join(uint32_t kind, uint32_t address_class);
  void Leave(uint32_t kind);
  void SetSignature(uint32_t address_class, std::vector<uint32_t> signature);
  std::vector<uint32_t> SignatureOf(const std::vector<uint32_t>& atoms) const;

  Facts* const facts_;
  Interned<std::vector<uint32_t>> kinds_;
  std::vector<KindData> kinds_data_;
  std::vector<ClassData> classes_;
  uint32_t count_ = 0;
  absl::flat_hash_map<std::vector<uint32_t>, uint32_t> by_signature_;
  absl::flat_hash_map<uint32_t, absl::flat_hash_set<uint32_t>> kinds_with_;  // atom -> kinds
  absl::flat_hash_map<uint32_t, absl::flat_hash_set<uint32_t>>
      classes_with_;  // predicate -> classes
  std::vector<uint32_t> new_classes_;
  std::vector<uint32_t> free_;
  std::vector<uint32_t> retired_;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_CLASSES_ADDRESS_CLASSES_H_
