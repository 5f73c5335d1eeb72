// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_SETS_RULE_BITS_H_
#define RIPSTOP_POLICY_SETS_RULE_BITS_H_

#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "policy/rules/rule_folding.h"

namespace ripstop::policy {

// A set of rules of one policy set, by their index. Sparse: words of 64 rules that are
// not zero, because a set of thousands of rules has thousands of these.
class RuleBits {
 public:
  // Without padding, so that whole sets are hashed and compared as bytes.
  struct Word {
    uint64_t at = 0;  // of rules 64 * at and on
    uint64_t bits = 0;
  };
  static_assert(std::has_unique_object_representations_v<Word>);

  RuleBits() = default;
  // `rules`: ascending.
  explicit RuleBits(std::span<const uint32_t> rules);
  // `first`: which word of 64 rules the first of `words` is.
  static RuleBits FromDense(std::span<const uint64_t> words, uint64_t first = 0);

  RuleBits Or(const RuleBits& other) const;
  RuleBits And(const RuleBits& other) const { return Masked(other, false); }
  RuleBits Without(const RuleBits& other) const { return Masked(other, true); }
  const std::vector<Word>& words() const { return words_; }

  bool operator==(const RuleBits& other) const {
    if (words_.size() != other.words_.size()) return false;
    return words_.empty() ||
           std::memcmp(words_.data(), other.words_.data(), words_.size() * sizeof(Word)) == 0;
  }
  template <typename H>
  friend H AbslHashValue(H h, const RuleBits& b) {
    return H::combine_contiguous(std::move(h),
                                 reinterpret_cast<const unsigned char*>(b.words_.data()),
                                 b.words_.size() * sizeof(Word));
  }

 private:
  RuleBits Masked(const RuleBits& other, bool invert) const;
  std::vector<Word> words_;  // ascending, none zero
};

// The verdict word of a rule that decides: one that is neither Log nor Pass.
uint32_t VerdictWord(const FlatRule& rule);

// Whether a flow may be admitted on the strength of this verdict.
bool LetsThrough(uint32_t verdict);

// The verdict word of a packet that satisfies, on each side that is looked at, the rules
// of one member of `sides`; at most four sides. Follows Log and Pass. Some rule is in all
// of them, for the last rule of a policy set matches everything.
uint32_t FirstVerdict(const FlatRules& rules, std::span<const RuleBits* const> sides);

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_SETS_RULE_BITS_H_
