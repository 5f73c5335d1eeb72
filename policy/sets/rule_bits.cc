// SPDX-License-Identifier: Apache-2.0
#include "policy/sets/rule_bits.h"

#include <algorithm>
#include <array>
#include <bit>

#include "bpf/abi/tables.h"

namespace ripstop::policy {
namespace {

using Word = RuleBits::Word;

// The first word from `w` on that is not before `at`, or `end`.
const Word* Seek(const Word* w, const Word* end, uint64_t at) {
  if (w == end || w->at >= at) return w;
  // Words ascend, so it is at most as many words ahead as `at` is; in a full set just as many.
  const Word* const last = w + std::min<uint64_t>(at - w->at, static_cast<uint64_t>(end - w));
  if (last != end && last->at == at) return last;
  return std::lower_bound(w + 1, last, at, [](const Word& x, uint64_t y) { return x.at < y; });
}

}  // namespace

RuleBits::RuleBits(std::span<const uint32_t> rules) {
  for (const uint32_t rule : rules) {
    if (words_.empty() || words_.back().at != rule / 64) words_.push_back({rule / 64, 0});
    words_.back().bits |= uint64_t{1} << (rule % 64);
  }
}

RuleBits RuleBits::FromDense(std::span<const uint64_t> words, uint64_t first) {
  RuleBits result;
  // Thousands of these are kept, each without room to spare.
  result.words_.reserve(words.size() -
                        static_cast<size_t>(std::count(words.begin(), words.end(), 0)));
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] != 0) result.words_.push_back({first + i, words[i]});
  }
  return result;
}

RuleBits RuleBits::Or(const RuleBits& other) const {
  RuleBits both;
  both.words_.reserve(words_.size() + other.words_.size());
  auto a = words_.begin();
  for (const Word& b : other.words_) {
    while (a != words_.end() && a->at < b.at) both.words_.push_back(*a++);
    both.words_.push_back(b);
    if (a != words_.end() && a->at == b.at) both.words_.back().bits |= (a++)->bits;
  }
  both.words_.insert(both.words_.end(), a, words_.end());
  return both;
}

RuleBits RuleBits::Masked(const RuleBits& other, bool invert) const {
  RuleBits result;
  result.words_.reserve(invert ? words_.size() : std::min(words_.size(), other.words_.size()));
  const Word* o = other.words_.data();
  const Word* const end = o + other.words_.size();
  for (const Word& w : words_) {
    o = Seek(o, end, w.at);
    const uint64_t mask = o != end && o->at == w.at ? o->bits : 0;
    const uint64_t left = w.bits & (invert ? ~mask : mask);
    if (left != 0) result.words_.push_back({w.at, left});
  }
  return result;
}

uint32_t VerdictWord(const FlatRule& rule) {
  if (rule.action == Action::kAllow) return VERDICT_ALLOW | rule.rule_id;
  return (rule.next_group ? VERDICT_NEXT_GROUP : 0) | rule.rule_id;
}

bool LetsThrough(uint32_t verdict) { return (verdict & (VERDICT_ALLOW | VERDICT_NEXT_GROUP)) != 0; }

uint32_t FirstVerdict(const FlatRules& rules, std::span<const RuleBits* const> sides) {
  std::array<const RuleBits::Word*, 4> cursors;
  for (size_t s = 0; s < sides.size(); ++s) cursors[s] = sides[s]->words().data();
  uint32_t from = 0, flags = 0;
  for (;;) {
    // The least word that all sides have, from that of `from` on.
    uint64_t at = from / 64;
    uint64_t bits = ~uint64_t{0} << (from % 64);
    for (size_t s = 0; s < sides.size(); ++s) {
      const RuleBits::Word* const end = sides[s]->words().data() + sides[s]->words().size();
      const RuleBits::Word*& w = cursors[s];
      w = Seek(w, end, at);
      if (w == end) return 0;  // not a policy set's rules: no last rule for everything
      if (w->at > at) {
        at = w->at;
        bits = w->bits;
        s = static_cast<size_t>(-1);  // the sides before must come here too
        bits = ~uint64_t{0};
        continue;
      }
      bits &= w->bits;
    }
    if (bits == 0) {
      from = static_cast<uint32_t>((at + 1) * 64);
      continue;
    }
    from = static_cast<uint32_t>(at * 64) + static_cast<uint32_t>(std::countr_zero(bits));
    const FlatRule& r = rules[from];
    switch (r.action) {
      case Action::kAllow:
      case Action::kDeny: return VerdictWord(r) | flags;
      case Action::kPass: from = r.pass_to; break;
      case Action::kLog:
        flags = VERDICT_LOG;
        ++from;
        break;
    }
  }
}

}  // namespace ripstop::policy
