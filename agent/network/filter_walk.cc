// SPDX-License-Identifier: Apache-2.0
#include "agent/network/filter_walk.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>

#include <algorithm>
#include <map>
#include <utility>

#include "agent/network/filter_registers.h"

namespace ripstop::agent {
namespace {

constexpr int kDepthMax = 16;  // the kernel's own, NFT_JUMP_STACK_SIZE

// What may come of a packet in a chain.
struct Fate {
  bool accepted = false;
  bool through = false;  // to whoever called the chain
  std::optional<FilterDrop> drop;

  // Also what may come of it in `other`; `instead` where nothing else can.
  void Add(const Fate& other, bool instead) {
    accepted |= other.accepted;
    if (other.drop.has_value() && (instead || !drop.has_value())) drop = other.drop;
  }
};

class Walk {
 public:
  Walk(const FilterTable& name, const FilterRules::Table& table, const std::string& base,
       const SamplePacket& packet, bool tracked)
      : name_(name),
        table_(table),
        base_(base),
        hook_(table.chains.at(base).hook),
        packet_(packet),
        tracked_(tracked) {}

  std::optional<FilterDrop> Run() {
    Fate fate = Chain(base_, 0);
    if (fate.through && table_.chains.at(base_).drops)
      fate.Add({.drop = FilterDrop{name_, base_, base_, 0, RuleVerdict::kDrop}}, true);
    else
      fate.accepted |= fate.through;
    if (!fate.drop.has_value()) return fate.drop;
    fate.drop->certain = !fate.accepted;
    fate.drop->hook = hook_;
    return fate.drop;
  }
  // After Run(): whether a step that may be reached keeps the packet from being tracked.
  bool untracks() const { return untracks_; }

 private:
  const Fate& Chain(const std::string& chain, int depth);
  // What a rule may do; `ret_ends` of those that say something of the packet's fate.
  Match Matches(const FilterRule& rule, std::vector<std::pair<Match, RuleEnd>>* ret_ends);
  Match LookUp(const RuleStep& step, const FilterRegisters& registers,
               std::vector<std::pair<Match, RuleEnd>>* ret_ends) const;
  // Whether the walk of this chain is over.
  bool Take(const std::string& chain, uint64_t handle, const RuleEnd& end, Match match, int depth,
            Fate* fate);

  const FilterTable& name_;
  const FilterRules::Table& table_;
  const std::string& base_;
  const uint32_t hook_;
  const SamplePacket& packet_;
  const bool tracked_;
  bool untracks_ = false;
  std::map<std::string, Fate> known_;  // the same for whoever calls
};

// The element that a known key finds; of one that is not known, any.
Match Walk::LookUp(const RuleStep& step, const FilterRegisters& registers,
                   std::vector<std::pair<Match, RuleEnd>>* ret_ends) const {
  const auto found = table_.sets.find(step.set);
  if (found == table_.sets.end() || !found->second.readable) {
    if (step.ends) ret_ends->emplace_back(Match::kMaybe, RuleEnd{RuleVerdict::kElsewhere, ""});
    return Match::kMaybe;
  }
  const RuleSet& set = found->second;
  const RuleSet::Element* hit = nullptr;   // of the least that the key may be
  const RuleSet::Element* last = nullptr;  // of the greatest
  const RuleSet::Element* otherwise = nullptr;
  PartlyKnown key;
  std::vector<uint8_t> low, high;
  for (const RuleSet::Element& element : set.elements) {
    if (element.catch_all) {
      otherwise = &element;
      continue;
    }
    if (key.value.empty()) {
      key = registers.Read(step.from, static_cast<uint32_t>(element.key.size()));
      low = key.Low();
      high = key.High();
    }
    if (!key.all_known() && !set.intervals) break;
    if (element.key.size() != key.value.size()) continue;
    const int order = CompareBytes(element.key, low);
    if (set.intervals ? order <= 0 : order == 0) hit = &element;
    if (set.intervals && CompareBytes(element.key, high) <= 0) last = &element;
  }
  if (set.elements.empty()) return MatchOf(step.flags != 0);
  // An interval that holds both holds all between them.
  const bool open = !key.all_known() && (!set.intervals || hit != last);
  if (!key.value.empty() && open) {
    for (const RuleSet::Element& element : set.elements) {
      if (step.ends && !element.interval_end) ret_ends->emplace_back(Match::kMaybe, element.end);
    }
    return Match::kMaybe;
  }
  if (hit != nullptr && hit->interval_end) hit = nullptr;
  if (hit == nullptr) hit = otherwise;
  if (step.ends && hit != nullptr) ret_ends->emplace_back(Match::kYes, hit->end);
  return MatchOf((hit != nullptr) == (step.flags == 0));
}

Match Walk::Matches(const FilterRule& rule, std::vector<std::pair<Match, RuleEnd>>* ret_ends) {
  FilterRegisters registers(packet_, hook_, tracked_);
  Match all = Match::kYes;
  for (const RuleStep& step : rule.steps) {
    if (step.kind == RuleStep::kEnd) {
      ret_ends->emplace_back(all, step.end);
      continue;
    }
    untracks_ |= step.kind == RuleStep::kNoTrack;  // none before it is kNo
    std::vector<std::pair<Match, RuleEnd>> of_map;
    const Match match =
        step.kind == RuleStep::kLookup ? LookUp(step, registers, &of_map) : registers.Run(step);
    all = std::min(all, match);
    for (auto& [sure, end] : of_map) ret_ends->emplace_back(std::min(sure, all), std::move(end));
    if (all == Match::kNo) break;
  }
  return all;
}

bool Walk::Take(const std::string& chain, uint64_t handle, const RuleEnd& end, Match match,
                int depth, Fate* fate) {
  const bool sure = match == Match::kYes;
  switch (end.verdict) {
    case RuleVerdict::kNone: return false;
    case RuleVerdict::kAccept: fate->accepted = true; return sure;
    case RuleVerdict::kElsewhere:
      // As good as accepted: nobody here can say that it is lost.
      fate->accepted = true;
      return sure;
    case RuleVerdict::kDrop:
    case RuleVerdict::kReject:
      fate->Add({.drop = FilterDrop{name_, base_, chain, handle, end.verdict}}, sure);
      return sure;
    case RuleVerdict::kReturn: fate->through = true; return sure;
    case RuleVerdict::kJump:
    case RuleVerdict::kGoto: {
      const Fate& there = Chain(end.chain, depth + 1);
      const bool over = sure && (end.verdict == RuleVerdict::kGoto || !there.through);
      fate->Add(there, over && !there.through);
      if (end.verdict == RuleVerdict::kGoto) fate->through |= there.through;
      return over;
    }
  }
  return false;
}

const Fate& Walk::Chain(const std::string& chain, int depth) {
  if (const auto known = known_.find(chain); known != known_.end()) return known->second;
  Fate fate;
  const auto found = table_.chains.find(chain);
  if (found == table_.chains.end() || depth > kDepthMax) {
    // Gone while the rules were read.
    return known_[chain] = Fate{.accepted = true, .through = true, .drop = {}};
  }
  for (const FilterRule& rule : found->second.rules) {
    std::vector<std::pair<Match, RuleEnd>> ends;
    Matches(rule, &ends);
    bool over = false;
    for (const auto& [match, end] : ends) {
      if (match == Match::kNo) continue;
      over = Take(chain, rule.handle, end, match, depth, &fate);
      if (over) break;
    }
    if (over) return known_[chain] = fate;
  }
  fate.through = true;
  return known_[chain] = fate;
}

bool Meets(const SamplePacket& packet, uint8_t family, uint32_t hook) {
  if (family != NFPROTO_INET && (family == NFPROTO_IPV4) != (packet.family == 4)) return false;
  switch (packet.way) {
    case SamplePacket::kToHost: return hook == NF_INET_PRE_ROUTING || hook == NF_INET_LOCAL_IN;
    case SamplePacket::kFromHost: return hook == NF_INET_LOCAL_OUT || hook == NF_INET_POST_ROUTING;
    case SamplePacket::kForwarded: break;
  }
  return hook == NF_INET_PRE_ROUTING || hook == NF_INET_FORWARD || hook == NF_INET_POST_ROUTING;
}

// Where a packet's connection is not looked up yet, and may be told not to be. Of those at the same
// priority either may be first.
bool BeforeTracking(const FilterChain& chain) {
  return (chain.hook == NF_INET_PRE_ROUTING || chain.hook == NF_INET_LOCAL_OUT) &&
         chain.priority <= NF_IP_PRI_CONNTRACK;
}

}  // namespace

std::vector<FilterDrop> WhoDrops(const FilterRules& rules, const SamplePacket& packet) {
  std::vector<FilterDrop> drops;
  bool tracked = true;
  for (const bool before : {true, false}) {
    for (const auto& [name, table] : rules.tables) {
      for (const auto& [base, chain] : table.chains) {
        if (!chain.base || !Meets(packet, name.family, chain.hook)) continue;
        if (BeforeTracking(chain) != before) continue;
        Walk walk(name, table, base, packet, !before && tracked);
        if (auto drop = walk.Run()) drops.push_back(*std::move(drop));
        if (before) tracked &= !walk.untracks();
      }
    }
  }
  std::stable_sort(drops.begin(), drops.end(),
                   [](const FilterDrop& a, const FilterDrop& b) { return a.certain > b.certain; });
  return drops;
}

}  // namespace ripstop::agent
