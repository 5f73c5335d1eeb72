// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_CLASSES_ADDRESS_MAP_H_
#define RIPSTOP_POLICY_CLASSES_ADDRESS_MAP_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "policy/address.h"

namespace ripstop::policy {

// An ordered map by address for very many of them, made for what clusters have: blocks.
//
//   the first 15 bytes ──▶ page: last bytes, sorted ──▶ values, in slabs
//
// In a block an entry costs its value and some 10 bytes. Values stay where they are until they
// are erased.
template <typename T>
class AddressMap {
 public:
  AddressMap() = default;
  AddressMap(const AddressMap&) = delete;
  AddressMap& operator=(const AddressMap&) = delete;
  ~AddressMap() {
    ForEach([this](const Address&, T& value) { value.~T(); });
  }

  size_t size() const { return size_; }

  T* Find(const Address& address) const {
    const auto page = pages_.find(PageOf(address));
    if (page == pages_.end()) return nullptr;
    const auto at = LowerBound(page->second, address.bytes[15]);
    return at == page->second.end() || at->low != address.bytes[15] ? nullptr : &At(at->slot);
  }
  T& operator[](const Address& address) {
    Page& page = pages_[PageOf(address)];
    auto at = LowerBound(page, address.bytes[15]);
    if (at == page.end() || at->low != address.bytes[15]) {
      at = page.insert(at, Entry{NewSlot(), address.bytes[15]});
      new (&At(at->slot)) T();
      ++size_;
    }
    return At(at->slot);
  }
  void Erase(const Address& address) {
    const auto page = pages_.find(PageOf(address));
    if (page == pages_.end()) return;
    const auto at = LowerBound(page->second, address.bytes[15]);
    if (at == page->second.end() || at->low != address.bytes[15]) return;
    At(at->slot).~T();
    free_.push_back(at->slot);
    page->second.erase(at);
    if (page->second.empty()) pages_.erase(page);
    --size_;
  }

  // Calls `f(address, value)` for all, or those from `first` to `last`, in order. `f` neither
  // adds nor erases.
  template <typename F>
  void ForEach(F f) const {
    for (const auto& [base, page] : pages_) Visit(base, page, 0, 255, f);
  }
  template <typename F>
  void ForEachIn(const Address& first, const Address& last, F f) const {
    const Address first_page = PageOf(first), last_page = PageOf(last);
    for (auto it = pages_.lower_bound(first_page); it != pages_.end() && it->first <= last_page;
         ++it) {
      Visit(it->first, it->second, it->first == first_page ? first.bytes[15] : 0,
            it->first == last_page ? last.bytes[15] : 255, f);
    }
  }

 private:
  struct Entry {
    uint32_t slot;
    uint8_t low;
  };
  using Page = std::vector<Entry>;
  static constexpr uint32_t kSlab = 256;  // values
  struct Slab {
    alignas(T) unsigned char bytes[kSlab * sizeof(T)];
  };

  static Address PageOf(Address address) {
    address.bytes[15] = 0;
    return address;
  }
  template <typename AnyPage>
  static auto LowerBound(AnyPage& page, uint8_t low) {
    return std::lower_bound(page.begin(), page.end(), low,
                            [](const Entry& e, uint8_t wanted) { return e.low < wanted; });
  }
  template <typename F>
  void Visit(const Address& base, const Page& page, uint8_t first, uint8_t last, F& f) const {
    Address address = base;
    for (auto it = LowerBound(page, first); it != page.end() && it->low <= last; ++it) {
      address.bytes[15] = it->low;
      f(std::as_const(address), At(it->slot));
    }
  }
  T& At(uint32_t slot) const {
    return *std::launder(
        reinterpret_cast<T*>(&slabs_[slot / kSlab]->bytes[slot % kSlab * sizeof(T)]));
  }
  uint32_t NewSlot() {
    if (free_.empty()) {
      if (next_ == slabs_.size() * kSlab) slabs_.push_back(std::make_unique_for_overwrite<Slab>());
      return next_++;
    }
    const uint32_t slot = free_.back();
    free_.pop_back();
    return slot;
  }

  absl::btree_map<Address, Page> pages_;
  std::vector<std::unique_ptr<Slab>> slabs_;
  std::vector<uint32_t> free_;
  uint32_t next_ = 0;
  size_t size_ = 0;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_CLASSES_ADDRESS_MAP_H_
