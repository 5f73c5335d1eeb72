// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_CLASSES_L4_CLASSES_H_
#define RIPSTOP_POLICY_CLASSES_L4_CLASSES_H_

#include <cstdint>
#include <vector>

#include "absl/container/btree_map.h"
#include "policy/classes/l4_set.h"

namespace ripstop::policy {

// The partition of the L4 index space by the L4 sets ever refined with.
//
// Classes are only split, never merged or renumbered: a new number goes to one part and
// the rest keeps the old one. Class 0 holds only packets without ports, because the
// program takes 0 as the source class of such packets.
class L4Classes {
 public:
  L4Classes();

  struct Split {
    uint32_t from;
    uint32_t to;  // new
  };
  // After this, each class is wholly inside or wholly outside of `set`; unless that takes
  // more classes than the table can number: then nothing is split, and Knows(set) is false.
  std::vector<Split> Refine(const L4Set& set);
  bool Knows(const L4Set& set) const;

  uint32_t ClassOf(uint32_t index) const;
  uint32_t count() const { return static_cast<uint32_t>(points_.size()); }
  // An index of the class.
  uint32_t representative(uint32_t l4_class) const;

  // The class table as words of two halves, and which words changed since the last call
  // (all of them at first).
  struct Words {
    uint32_t first;
    std::vector<uint32_t> words;
  };
  std::vector<Words> TakeChanges();

 private:
  static constexpr size_t kClassesMax = 1u << 16;  // an entry of the table is a half
  void CutAt(uint32_t index);

  absl::btree_map<uint32_t, uint32_t> start_;     // first index of an interval -> class
  mutable std::vector<uint32_t> representative_;  // of classes; too short after a split
  std::vector<uint32_t> points_;                  // indexes in each class
  bool full_ = false;                             // some set was not refined with
  // Since TakeChanges, in any order: made one set there, not for each split.
  std::vector<L4Set::Interval> changed_ = L4Set::All().intervals();
  // Of Refine alone, by class; all 0 between calls.
  std::vector<uint32_t> inside_, renamed_;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_CLASSES_L4_CLASSES_H_
