// SPDX-License-Identifier: Apache-2.0
#include "policy/rule_bits.h"

#include <algorithm>
#include <array>
#include <bit>

#include "bpf/abi/tables.h"

namespace ripstop::policy {
RuleBits::RuleBits(std::span<const uint32_t> rules) {
  for (const uint32_t rule : rules) {
    if (words_.empty() || words_.back().at != rule / 64) words_.push_back({rule / 64, 0});
    words_.back().bits |= uint64_t{1} << (rule % 64);
  }
}

RuleBits RuleBits::FromDense(std::span<const uint64_t> words) {
  RuleBits result;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] != 0) result.words_.push_back({static_cast<uint32_t>(i), words[i]});
  }
  result.words_.shrink_to_fit();  // thousands of these are kept
  return result;
}

void RuleBits::Add(const RuleBits& other) {
  std::vector<Word> both;
  both.reserve(words_.size() + other.words_.size());
  auto a = words_.begin();
  for (const Word& b : other.words_) {
    while (a != words_.end() && a->at < b.at) both.push_back(*a++);
    both.push_back(b);
    if (a != words_.end() && a->at == b.at) both.back().bits |= (a++)->bits;
  }
  both.insert(both.end(), a, words_.end());
  words_ = std::move(both);
}

RuleBits RuleBits::Masked(const RuleBits& other, bool invert) const {
  RuleBits result;
  auto o = other.words_.begin();
  for (const Word& w : words_) {
    while (o != other.words_.end() && o->at < w.at) ++o;
    const uint64_t mask = o != other.words_.end() && o->at == w.at ? o->bits : 0;
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
    uint32_t at = from / 64;
    uint64_t bits = ~uint64_t{0} << (from % 64);
    for (size_t s = 0; s < sides.size(); ++s) {
      const RuleBits::Word* const end = sides[s]->words().data() + sides[s]->words().size();
      const RuleBits::Word*& w = cursors[s];
      while (w != end && w->at < at) ++w;
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
      from = (at + 1) * 64;
      continue;
    }
    from = at * 64 + static_cast<uint32_t>(std::countr_zero(bits));
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
