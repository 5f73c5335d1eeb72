// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/fuzz/packet_fuzz.h"

#include <linux/pkt_cls.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace ripstop::loader::fuzz {
namespace {

constexpr Mac kNextHop = {2, 0, 0, 0, 0, 0x77};
constexpr uint64_t kChangeEvery = 400;   // packets, about, between two changes of policy
constexpr uint64_t kAnswersEvery = 500;  // packets, before as many may be answered again

// RFC 9293 section 3.10.7.1: what the reset of a segment must say.
std::string CheckReset(const ParsedPacket& asked, size_t payload, const ParsedPacket& reset) {
  const bool has_ack = (asked.tcp_flags & 0x10) != 0;
  const uint32_t length =
      static_cast<uint32_t>(payload) + ((asked.tcp_flags >> 1) & 1) + (asked.tcp_flags & 1);
  const bool right = has_ack ? reset.tcp_flags == 0x04 && reset.sequence == asked.acknowledged
                             : reset.tcp_flags == 0x14 && reset.sequence == 0 &&
                                   reset.acknowledged == asked.sequence + length;
  return right ? "" : absl::StrCat("the reset says ", Describe(reset));
}

// The answer is one, and goes to who asked.
std::string CheckAnswer(const PacketEvent& event, const Frame& answer) {
  const ParsedPacket asked = ParseFrame(event.frame, event.gso_size).packet;
  const ParseResult parsed = ParseFrame(answer, 0);
  const ParsedPacket& a = parsed.packet;
  if (parsed.reason != DROP_NONE) return absl::StrCat("the answer is malformed: ", parsed.reason);
  if (a.source != asked.destination || a.destination != asked.source ||
      !std::equal(answer.begin(), answer.begin() + 6, event.frame.begin() + 6))
    return absl::StrCat("the answer goes astray: ", Describe(a));
  if (asked.protocol != 6) return a.is_icmp_error() ? "" : "the answer is no ICMP error";
  if (a.protocol != 6 || a.source_port != asked.destination_port ||
      a.destination_port != asked.source_port)
    return absl::StrCat("the answer is no reset: ", Describe(a));
  const size_t end = asked.ip_length != 0 ? 14 + asked.ip_length : event.frame.size();
  return CheckReset(asked, end - asked.l4_offset - asked.l4_header, a);
}

bool Same(const Flow::Side& a, const Flow::Side& b) {
  return a.ifindex == b.ifindex && (a.ifindex == 0 || a.address_number == b.address_number) &&
         a.mac == b.mac && a.host == b.host && a.pod == b.pod && a.set_index == b.set_index &&
         a.epoch == b.epoch && a.seen == b.seen && a.number == b.number && a.packets == b.packets &&
         a.bytes == b.bytes;
}

bool Same(const Flow& a, const Flow& b) {
  return a.initiator == b.initiator && a.open == b.open && a.reset == b.reset &&
         a.bypass == b.bypass && a.by_stack == b.by_stack && a.as_sent == b.as_sent &&
         a.has_sender == b.has_sender && a.icmp_type == b.icmp_type && a.icmp_code == b.icmp_code &&
         a.asked == b.asked && Same(a.sides[0], b.sides[0]) && Same(a.sides[1], b.sides[1]);
}

}  // namespace

std::string Describe(const FuzzTotals& t) {
  std::string text =
      absl::StrCat(t.packets, " packets in ", t.worlds, " worlds with ", t.changes,
                   " changes: ", t.passed, " passed, ", t.redirected, " redirected, ", t.answered,
                   " answered; ", t.stale, " by verdicts of before\n  dropped:");
  for (uint32_t i = 1; i < t.drops.size(); ++i) {
    if (t.drops[i] != 0) absl::StrAppend(&text, " ", NameOfReason(i), " ", t.drops[i]);
  }
  absl::StrAppend(&text, "\n  of them:");
  for (const auto& [kind, count] : t.kinds) absl::StrAppend(&text, " ", kind, " ", count, ",");
  text.back() = '\n';
  return text;
}

PacketFuzz::PacketFuzz(KernelNode* node)
    : node_(*node),
      scene_(node->engine_options()),
      model_(&scene_, &node->vteps(), &node->senders()) {}

std::string PacketFuzz::Begin(uint64_t seed) {
  node_.Forget();
  model_.Clear();
  std::mt19937_64 random(seed);
  model_.settings = {.host_obeys_policy = random() % 4 == 0,
                     .reset_unknown = random() % 2 == 0,
                     .reject = random() % 2 == 0,
                     .marks = random() % 2 == 0,
                     .marks_trusted = random() % 2 == 0,
                     .host_nat = random() % 3 != 0};
  if (!model_.settings.marks) model_.settings.marks_trusted = model_.settings.host_nat = false;
  if (deceit_) model_.settings = {};
  node_.SetSettings(deceit_.value_or(model_.settings));
  for (uint32_t i = 0; i < DROP_REASONS_MAX; ++i) counted_[i] = node_.Drops(i);
  const policy::TableWrites writes = scene_.Begin(seed);
  const absl::Status applied = node_.Apply(writes, scene_.l4_table());
  ++totals_.worlds;
  return applied.ok() ? "" : applied.ToString();
}

std::string PacketFuzz::World(uint64_t seed, uint64_t packets) {
  std::string difference = Begin(seed);
  PacketGenerator generator(seed, &scene_, &node_.vteps());
  const uint64_t stale_before = model_.stale();
  uint64_t i = 0;
  for (; i < packets && difference.empty(); ++i) {
    if (i % kAnswersEvery == 0) node_.AllowAnswers();
    if (i > 0 && i % kChangeEvery == 0) {
      difference = Change(generator.Chance(50));
      if (!difference.empty()) break;
    }
    const PacketEvent event = generator.Next();
    Outcome outcome;
    difference = Step(event, &outcome);
    if (model_.settings.marks) generator.Passed(event, outcome);
    ++totals_.packets;
  }
  for (const auto& [kind, count] : generator.kinds()) totals_.kinds[kind] += count;
  totals_.stale += model_.stale() - stale_before;
  if (difference.empty()) difference = CompareAll();
  if (difference.empty()) return "";
  return absl::StrCat("RIPSTOP_FUZZ_SEED=", seed, ", ", i, " packets: ", difference);
}

// `forget`: the agent knows that addresses have gone from where they were.
std::string PacketFuzz::Change(bool forget) {
  ++totals_.changes;
  const policy::TableWrites writes = scene_.Change();
  absl::Status done = node_.Apply(writes, scene_.l4_table());
  if (done.ok() && forget && !scene_.moved().empty()) {
    model_.Forget(scene_.moved());
    done = node_.ForgetFlows(scene_.moved());
  }
  return done.ok() ? "" : done.ToString();
}

std::string PacketFuzz::Step(const PacketEvent& event, Outcome* ret_outcome) {
  const Outcome want = *ret_outcome = model_.Run(event);
  const absl::StatusOr<Outcome> got = node_.Run(event);
  if (!got.ok()) return got.status().ToString();
  ++totals_.drops[want.reason];
  totals_.passed += want.reason == DROP_NONE && want.action != TC_ACT_REDIRECT;
  totals_.redirected += want.reason == DROP_NONE && want.action == TC_ACT_REDIRECT;
  totals_.answered += want.answered;
  std::string difference = Compare(event, want, *got);
  if (difference.empty() && model_.last()) difference = CompareFlow(*model_.last());
  if (difference.empty()) return "";
  return absl::StrCat(difference, "\n", Describe(event), "\nmodel:   ", Describe(want),
                      "\nprogram: ", Describe(*got));
}

std::string PacketFuzz::Compare(const PacketEvent& event, const Outcome& want, Outcome got) {
  if (got.action != want.action || got.reason != want.reason) return "they differ";
  if (got.sender != want.sender) return "another node is vouched for";
  if (got.mark != want.mark) return "the marks differ";
  counted_[want.reason] += want.reason != DROP_NONE;
  if (want.reason != DROP_NONE && node_.Drops(want.reason) != counted_[want.reason])
    return absl::StrCat("the drop is counted ", node_.Drops(want.reason), " times, not ",
                        counted_[want.reason]);
  if (want.answered) return CheckAnswer(event, got.frame);
  const bool by_next_hop = std::equal(kNextHop.begin(), kNextHop.end(), got.frame.begin()) &&
                           std::equal(kHostMac.begin(), kHostMac.end(), got.frame.begin() + 6);
  if (want.routed && by_next_hop) std::copy_n(want.frame.begin(), 12, got.frame.begin());
  return got.frame == want.frame ? "" : "the frames differ";
}

std::string PacketFuzz::CompareFlow(const FlowName& name) {
  std::optional<Flow> want;
  if (const Flow* known = model_.flows().Find(name)) want = *known;
  const std::optional<Flow> got = node_.FlowOf(name);
  // As FlowOf has it: how often it was revoked since.
  for (int i = 0; want && i < 2; ++i) {
    Flow::Side& side = want->sides[i];
    side.epoch = side.set_index != 0 ? scene_.epoch(side.set_index) - side.epoch : 0;
  }
  const bool same = want.has_value() == got.has_value() && (!got || Same(*want, *got));
  if (same) return "";
  return absl::StrCat("the flow differs:\n  model:   ", want ? Describe(*want) : "none",
                      "\n  program: ", got ? Describe(*got) : "none");
}

std::string PacketFuzz::CompareAll() {
  for (const auto& [name, flow] : model_.flows().flows()) {
    if (const std::string difference = CompareFlow(name); !difference.empty()) return difference;
  }
  if (node_.flow_count() != model_.flows().flows().size())
    return absl::StrCat("the programs know ", node_.flow_count(), " flows, the model ",
                        model_.flows().flows().size());
  for (uint32_t i = 1; i < DROP_REASONS_MAX; ++i) {
    if (node_.Drops(i) != counted_[i])
      return absl::StrCat("drops for reason ", i, ": ", node_.Drops(i), ", not ", counted_[i]);
  }
  return "";
}

}  // namespace ripstop::loader::fuzz
