// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_CLASSES_INTERNED_H_
#define RIPSTOP_POLICY_CLASSES_INTERNED_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/node_hash_map.h"
#include "absl/hash/hash.h"

namespace ripstop::policy {

// Numbers for values: equal values get one number, with a count of references. Numbers
// are small and reused; the caller says when (Release), since a table in the kernel may
// know a number for longer than any reference lives. Number 0 is never given out.
template <typename T, typename Hash = absl::Hash<T>, typename Equal = std::equal_to<T>>
class Interned {
 public:
  // The number of `value`, new or known. Adds no reference: a new value stays until
  // Sweep or Unref finds it without any. With a transparent Hash, of anything that is made a T
  // of when it is new.
  template <typename Value = T>
  uint32_t Intern(const Value& value) {
    const auto [it, fresh] = ids_.try_emplace(value, 0);
    if (fresh) {
      if (free_.empty()) {
        it->second = static_cast<uint32_t>(slots_.size());
        slots_.emplace_back();
      } else {
        it->second = free_.back();
        free_.pop_back();
      }
      slots_[it->second] = {&it->first, 0};
      fresh_.push_back(it->second);
    }
    return it->second;
  }
  std::optional<uint32_t> Find(const T& value) const {
    const auto it = ids_.find(value);
    return it == ids_.end() ? std::nullopt : std::optional(it->second);
  }

  void Ref(uint32_t id) { ++slots_[id].references; }
  // True when that was the last reference: the caller drops what it keeps by this number
  // and calls Forget.
  bool Unref(uint32_t id) { return --slots_[id].references == 0; }
  uint32_t references(uint32_t id) const { return slots_[id].references; }

  // The value is gone; its number may not be given out again before Release.
  void Forget(uint32_t id) {
    ids_.erase(ids_.find(*slots_[id].value));
    slots_[id] = {};
  }
  void Release(uint32_t id) { free_.push_back(id); }

  // Numbers given out since the last call that are still known.
  std::vector<uint32_t> TakeFresh() {
    std::vector<uint32_t> fresh;
    for (const uint32_t id : fresh_) {
      if (known(id)) fresh.push_back(id);
    }
    fresh_.clear();
    return fresh;
  }

  // For those who do not ask TakeFresh.
  void ForgetFresh() { fresh_.clear(); }

  bool known(uint32_t id) const { return id < slots_.size() && slots_[id].value != nullptr; }
  const T& operator[](uint32_t id) const { return *slots_[id].value; }
  // One more than the largest number ever given out.
  uint32_t bound() const { return static_cast<uint32_t>(slots_.size()); }
  size_t size() const { return ids_.size(); }

 private:
  struct Slot {
    const T* value = nullptr;
    uint32_t references = 0;
  };
  absl::node_hash_map<T, uint32_t, Hash, Equal> ids_;
  std::vector<Slot> slots_ = std::vector<Slot>(1);
  std::vector<uint32_t> free_;
  std::vector<uint32_t> fresh_;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_CLASSES_INTERNED_H_
