// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_RULE_BITS_H_
#define RIPSTOP_POLICY_RULE_BITS_H_

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "policy/rule_folding.h"

namespace ripstop::policy {

// A set of rules of one policy set, by their index. Sparse: words of 64 rules that are
// not zero, because a set of thousands of rules has thousands of these.
class RuleBits {
 public:
  struct Word {
    uint32_t at = 0;  // of rules 64 * at and on
    uint64_t bits = 0;
    bool operator==(const Word&) const = default;
    template <typename H>
    friend H AbslHashValue(H h, const Word& w) {
      return H::combine(std::move(h), w.at, w.bits);
    }
  };

  RuleBits() = default;
  // `rules`: ascending.
  explicit RuleBits(std::span<const uint32_t> rules);
  static RuleBits FromDense(std::span<const uint64_t> words);

  void Add(const RuleBits& other);
  RuleBits And(const RuleBits& other) const { return Masked(other, false); }
  RuleBits Without(const RuleBits& other) const { return Masked(other, true); }
  const std::vector<Word>& words() const { return words_; }

  bool operator==(const RuleBits&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const RuleBits& b) {
    return H::combine(std::move(h), b.words_);
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

#endif  // RIPSTOP_POLICY_RULE_BITS_H_
