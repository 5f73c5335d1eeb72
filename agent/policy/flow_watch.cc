// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/flow_watch.h"

#include <algorithm>
#include <vector>

#include "agent/policy/flow_events.h"
#include "agent/policy/rule_words.h"
#include "api/convert/staged.h"
#include "spdlog/spdlog.h"

namespace ripstop::agent {
FlowWatch::FlowWatch(const PolicyPlane* policy, DataplaneInterface* dataplane, FlowLog* log)
    : policy_(policy),
      dataplane_(dataplane),
      log_(log),
      counts_(std::make_unique<StagedCounts>()),
      // What was lost under an earlier agent was its to tell.
      lost_(dataplane->EventsLost().value_or(0)) {}

bool FlowWatch::Read(absl::Time now) {
  const std::vector<flow_event> events = dataplane_->TakeEvents();
  for (const flow_event& event : events) {
    Show(event, now);
    const bool begins = event.type == FLOW_EVENT_NEW;
    const bool denied = event.type == FLOW_EVENT_DENIED ||
                        (event.type == FLOW_EVENT_CHANGED && event.reason != DROP_NONE);
    if (!begins && !denied) continue;
    const policy::Packet packet = PacketOf(event);
    Log(event, packet, now);
    if (policy_->staged().active()) Judge(event, packet, now);
  }
  return !events.empty();
}

void FlowWatch::Show(const flow_event& event, absl::Time now) {
  const bool watched = watchers_.any() && event.type != FLOW_EVENT_DROPPED;
  if (!watched && event.reason == DROP_NONE) return;
  const v1::FlowEvent described = Describe(event, *policy_, dataplane_->slot(), now);
  if (watched) watchers_.Tell(described, TraitsOf(event, described));
  if (event.reason != DROP_NONE) drops_.Add(described, policy_->feed().NameAt(event.ifindex));
}

void FlowWatch::Log(const flow_event& event, const policy::Packet& packet, absl::Time now) {
  for (const policy::Direction direction :
       {policy::Direction::kEgress, policy::Direction::kIngress}) {
    const bool ingress = direction == policy::Direction::kIngress;
    const uint32_t word = ingress ? event.ingress_verdict : event.egress_verdict;
    // What the sender's policy denies never came before the receiver's.
    if (ingress && event.egress_verdict != 0 && !Allows(event.egress_verdict)) return;
    if ((word & VERDICT_LOG) == 0) continue;
    const policy::Address& near = ingress ? packet.destination : packet.source;
    const std::optional<policy::Endpoint> endpoint = policy_->feed().OwnerOf(near);
    log_->Write({.time = TimeOf(event.time_ns, now),
                 .direction = direction,
                 .endpoint = endpoint.has_value() ? endpoint->name : near.ToString(),
                 .packet = packet,
                 .allow = Allows(word),
                 .rule = RuleOf(event, word, *policy_, dataplane_->slot())},
                now);
  }
}

// The flow as a whole is allowed or not. The rule that a change is laid to is, in the order
// in which the directions are asked, the first that would deny it, or the one that would
// allow it where it is denied now.
void FlowWatch::Judge(const flow_event& event, const policy::Packet& packet, absl::Time now) {
  struct Side {
    uint32_t word = 0;
    StagedPlane::StagedVerdict staged;
  };
  std::vector<Side> sides;
  for (const auto& [direction, word] :
       {std::pair(policy::Direction::kEgress, event.egress_verdict),
        std::pair(policy::Direction::kIngress, event.ingress_verdict)}) {
    if (word == 0) continue;
    auto staged = policy_->staged().Verdict(direction, packet);
    if (!staged.has_value()) {
      ++not_judged_;
      return;
    }
    sides.push_back({word, *std::move(staged)});
  }
  // This host's own traffic to its pods, which no policy judges; or no set yet.
  if (sides.empty()) return;
  if (event.reason != DROP_NONE && counts_->SeenLately(packet, now)) return;
  ++judged_;
  const auto denied_now =
      std::find_if(sides.begin(), sides.end(), [](const Side& side) { return !Allows(side.word); });
  const auto would_deny =
      std::find_if(sides.begin(), sides.end(), [](const Side& side) { return !side.staged.allow; });
  const bool allowed = denied_now == sides.end(), would_allow = would_deny == sides.end();
  if (allowed == would_allow) {
    for (const Side& side : sides) {
      if (side.staged.staged) {
        counts_->Count(side.staged.by, true, allowed, would_allow, "", "", now);
      }
      if (!side.staged.allow) break;
    }
    return;
  }
  const Side& side = would_allow ? *denied_now : *would_deny;
  const auto rule = RuleOf(event, side.word, *policy_, dataplane_->slot());
  counts_->Count(side.staged.by, side.staged.staged, allowed, would_allow, FlowText(packet),
                 rule.has_value() ? FullRuleName(*rule) : "a rule no longer in force", now);
}

void FlowWatch::Changed(const std::set<policy::PolicyKey>& staged) {
  if (!policy_->staged().active()) {
    // This is asked at every change of anything; only the first time is news.
    if (!was_active_) return;
    was_active_ = false;
    counts_->Clear();
    judged_ = not_judged_ = lost_staged_ = 0;
    return;
  }
  was_active_ = true;
  std::set<policy::PolicyKey> keys;
  for (const policy::PolicyKey& key : staged) keys.insert(api::StagedKey(key));
  counts_->Forget(keys);
}

void FlowWatch::Tick(absl::Time now) {
  const auto lost = dataplane_->EventsLost();
  if (!lost.ok()) {
    spdlog::warn("{}", std::string(lost.status().message()));
  } else if (*lost > lost_) {
    const uint64_t news = *lost - lost_;
    // While nothing is staged or watched, only flows that a Log rule marked are told of.
    log_->NotTold(news, !policy_->staged().active() && !watchers_.any());
    watchers_.LostByDatapath(news);
    if (policy_->staged().active()) lost_staged_ += news;
    lost_ = *lost;
  }
  log_->Tick(now);
}

v1::StagedPoliciesReply FlowWatch::Report(absl::Time now) const {
  v1::StagedPoliciesReply reply;
  for (const auto& [key, staged] : policy_->feed().staged()) {
    v1::StagedPoliciesReply::Policy* policy = reply.add_policies();
    policy->set_kind(policy::ToString(staged.key.kind));
    policy->set_policy(staged.key.ToString());
    policy->set_tier(staged.tier);
    policy->set_action(staged.staged_delete ? "Delete" : "Set");
  }
  reply.set_flows_judged(judged_);
  reply.set_flows_not_judged(not_judged_ + lost_staged_);
  reply.set_flows_unlisted(counts_->unlisted());
  std::map<policy::RuleIdentity, StagedCounts::Row> rows = counts_->rows();
  // Rules that have decided nothing yet are news too.
  for (const policy::RuleIdentity& rule : policy_->staged().Rules()) {
    rows.try_emplace(rule, StagedCounts::Row{.staged = true});
  }
  for (const auto& [by, row] : rows) {
    v1::StagedPoliciesReply::Rule* rule = reply.add_rules();
    rule->set_tier(by.tier);
    rule->set_policy(PolicyName(by));
    rule->set_policy_kind(PolicyKindName(by));
    rule->set_direction(policy::ToString(by.direction));
    rule->set_rule(RuleName(by));
    rule->set_staged(row.staged);
    rule->set_would_deny(row.would_deny);
    rule->set_would_allow(row.would_allow);
    rule->set_unchanged(row.unchanged);
    rule->set_example(row.example);
    rule->set_instead_of(row.instead_of);
    rule->set_last_seen_ago_ms(
        row.last == absl::InfinitePast()
            ? -1
            : std::max<int64_t>(0, absl::ToInt64Milliseconds(now - row.last)));
  }
  // Those that would change most first; the rest in their own order.
  std::stable_sort(reply.mutable_rules()->begin(), reply.mutable_rules()->end(),
                   [](const auto& a, const auto& b) {
                     return a.would_deny() + a.would_allow() > b.would_deny() + b.would_allow();
                   });
  return reply;
}

}  // namespace ripstop::agent
