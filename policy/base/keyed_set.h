// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_BASE_KEYED_SET_H_
#define RIPSTOP_POLICY_BASE_KEYED_SET_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"

namespace ripstop {

// Objects that stay where they are, found by a string of their own, which does not change.
//
// The hash is kept beside each pointer: a table that grows then moves rows of 16 bytes. To hash
// 57,344 keys anew, each in a line of the cache of its own, would take 15 ms, in which whoever owns
// the table answers nobody.
template <typename T, std::string T::* kKey>
class KeyedSet {
 public:
  size_t size() const { return rows_.size(); }
  T* Find(std::string_view key) const {
    const auto it = rows_.find(Wanted(key));
    return it == rows_.end() ? nullptr : it->item.get();
  }
  // The one of this key, made where there is none.
  T& Make(std::string_view key) {
    const Wanted wanted(key);
    if (const auto it = rows_.find(wanted); it != rows_.end()) return *it->item;
    auto made = std::make_unique<T>();
    (*made).*kKey = std::string(key);
    return *rows_.insert(Row{wanted.hash, std::move(made)}).first->item;
  }
  void Erase(std::string_view key) {
    if (const auto it = rows_.find(Wanted(key)); it != rows_.end()) rows_.erase(it);
  }
  // `f` neither adds nor erases.
  template <typename F>
  void ForEach(F f) const {
    for (const Row& row : rows_) f(*row.item);
  }

 private:
  struct Row {
    size_t hash;
    std::unique_ptr<T> item;
    std::string_view key() const { return (*item).*kKey; }
  };
  struct Wanted {
    explicit Wanted(std::string_view k) : hash(absl::HashOf(k)), text(k) {}
    size_t hash;
    std::string_view text;
    std::string_view key() const { return text; }
  };
  struct Hash {
    using is_transparent = void;
    template <typename U>
    size_t operator()(const U& row) const {
      return row.hash;
    }
  };
  struct Same {
    using is_transparent = void;
    template <typename U, typename V>
    bool operator()(const U& a, const V& b) const {
      return a.hash == b.hash && a.key() == b.key();
    }
  };
  absl::flat_hash_set<Row, Hash, Same> rows_;
};

}  // namespace ripstop

#endif  // RIPSTOP_POLICY_BASE_KEYED_SET_H_
