// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/queries.h"

#include <time.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "agent/policy/rule_words.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

// One end of the question: the addresses it may stand for, and the endpoint's name.
struct End {
  std::vector<policy::Address> addresses;
  std::string name;  // "ns/pod", or the address when nobody has it
  bool endpoint = false;
  bool local = false;
  std::string note;  // when several endpoints have that name
};

std::string Described(const policy::Endpoint& endpoint) {
  std::string text;
  for (const policy::Address& address : endpoint.addresses) {
    absl::StrAppend(&text, text.empty() ? "" : " ", address.ToString());
  }
  return absl::StrCat(text.empty() ? "without an address" : text,
                      endpoint.local.has_value() ? " here" : " elsewhere");
}

absl::StatusOr<End> Resolve(const PolicyFeed& feed, const char* field, const std::string& text) {
  if (auto address = policy::Address::Parse(text); address.ok()) {
    const std::optional<policy::Endpoint> endpoint = feed.OwnerOf(*address);
    if (!endpoint.has_value()) return End{{*address}, text, false, false, ""};
    return End{{*address}, endpoint->name, true, endpoint->local.has_value(), ""};
  }
  if (text.find('/') == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(
        field, " '", text, "': neither an address nor namespace/pod; for example shop/cart-1"));
  }
  const std::vector<policy::Endpoint> endpoints = feed.Named(text);
  if (endpoints.empty()) {
    return absl::NotFoundError(
        absl::StrCat(field, " '", text,
                     "': no such endpoint; `ripstopctl get workloadendpoints -A` lists them"));
  }
  const policy::Endpoint& first = endpoints.front();
  End end{first.addresses, first.name, true, first.local.has_value(), ""};
  if (endpoints.size() > 1) {
    end.note = absl::StrCat(text, " is ", endpoints.size(), " endpoints: ");
    for (const policy::Endpoint& endpoint : endpoints) {
      absl::StrAppend(&end.note, &endpoint == &first ? "" : ", ", Described(endpoint));
    }
    absl::StrAppend(&end.note, "; this is about the first, ask by address about another");
  }
  return end;
}

// As a field of fewer bits.
template <typename T>
absl::StatusOr<T> Within(const char* field, int64_t value) {
  constexpr T kMax = std::numeric_limits<T>::max();
  if (value >= 0 && value <= kMax) return static_cast<T>(value);
  return absl::InvalidArgumentError(
      absl::StrCat(field, " ", value, ": want a number from 0 to ", kMax));
}

const char* Verdict(bool allow) { return allow ? "Allow" : "Deny"; }

// The first pair of addresses of one family, the wanted one where it is said.
absl::StatusOr<std::pair<policy::Address, policy::Address>> Pair(const End& from, const End& to,
                                                                 uint32_t ip_version) {
  for (const uint32_t version : {4u, 6u}) {
    if (ip_version != 0 && ip_version != version) continue;
    const auto fits = [&](const policy::Address& a) { return a.is_v4() == (version == 4); };
    const auto source = std::find_if(from.addresses.begin(), from.addresses.end(), fits);
    const auto target = std::find_if(to.addresses.begin(), to.addresses.end(), fits);
    if (source != from.addresses.end() && target != to.addresses.end()) {
      return std::pair(*source, *target);
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat(from.name, " and ", to.name, " have no addresses of ",
                   ip_version == 0 ? "one family" : absl::StrCat("IPv", ip_version), " in common"));
}

void DescribeStaged(const StagedPlane& staged, const policy::Packet& packet, v1::WhyStaged* ret) {
  if (!staged.active()) return;
  ret->set_present(true);
  bool allow = true;
  const auto describe = [&](policy::Direction direction, v1::WhyDirection* side) {
    const auto verdict = staged.Verdict(direction, packet);
    if (!verdict.has_value()) return;
    allow = allow && verdict->allow;
    side->set_present(true);
    side->set_verdict(Verdict(verdict->allow));
    side->set_tier(verdict->by.tier);
    side->set_policy(PolicyName(verdict->by));
    side->set_policy_kind(PolicyKindName(verdict->by));
    side->set_rule(RuleName(verdict->by));
  };
  describe(policy::Direction::kEgress, ret->mutable_egress());
  describe(policy::Direction::kIngress, ret->mutable_ingress());
  const bool known = ret->egress().present() || ret->ingress().present();
  ret->set_verdict(known ? Verdict(allow) : "Unknown");
}

int64_t MillisecondsSince(uint64_t monotonic_ns) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  const int64_t now_ns = int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  return std::max<int64_t>(0, (now_ns - static_cast<int64_t>(monotonic_ns)) / 1'000'000);
}

}  // namespace

// Numbers of another generation name rules of an engine that is gone.
absl::Status Queries::CheckInForce() const {
  if (policy_->committed()) return absl::OkStatus();
  return absl::UnavailableError("policy of this agent is not in force yet");
}

absl::StatusOr<policy::Packet> Queries::PacketAsked(const v1::WhyRequest& request) const {
  ASSIGN_OR_RETURN(const End from, Resolve(policy_->feed(), "from", request.from()));
  ASSIGN_OR_RETURN(const End to, Resolve(policy_->feed(), "to", request.to()));
  ASSIGN_OR_RETURN(const auto addresses, Pair(from, to, request.ip_version()));
  policy::Packet packet;
  packet.source = addresses.first;
  packet.destination = addresses.second;
  ASSIGN_OR_RETURN(packet.protocol, ProtocolNamed(request.protocol()));
  // As an ephemeral port would be; rules that ask for a source port are rare.
  const uint32_t source_port = request.source_port() != 0 ? request.source_port() : 40000;
  ASSIGN_OR_RETURN(packet.source_port, Within<uint16_t>("source port", source_port));
  ASSIGN_OR_RETURN(packet.destination_port, Within<uint16_t>("port", request.port()));
  if (packet.destination_port == 0 && policy::HasPorts(packet.protocol)) {
    return absl::InvalidArgumentError("port: is missing; this protocol has ports (--port)");
  }
  // Absent: -1, and whoever asks for ICMP without a type asks whether a ping passes.
  const bool v6 = packet.protocol == policy::kProtocolIcmpV6;
  const int echo = v6 ? 128 : packet.protocol == policy::kProtocolIcmp ? 8 : 0;
  const int type = request.icmp_type() < 0 ? echo : request.icmp_type();
  const int code = std::max(0, request.icmp_code());
  ASSIGN_OR_RETURN(packet.icmp_type, Within<uint8_t>("ICMP type", type));
  ASSIGN_OR_RETURN(packet.icmp_code, Within<uint8_t>("ICMP code", code));
  return packet;
}

absl::StatusOr<v1::WhyReply> Queries::Why(const v1::WhyRequest& request) const {
  RETURN_IF_ERROR(CheckInForce());
  ASSIGN_OR_RETURN(const End from, Resolve(policy_->feed(), "from", request.from()));
  ASSIGN_OR_RETURN(const End to, Resolve(policy_->feed(), "to", request.to()));
  ASSIGN_OR_RETURN(const policy::Packet packet, PacketAsked(request));
  ASSIGN_OR_RETURN(const loader::PacketLookup lookup, dataplane_->Lookup(packet));
  ASSIGN_OR_RETURN(const auto hits, dataplane_->RuleHits());

  v1::WhyReply reply;
  reply.set_source_address(packet.source.ToString());
  reply.set_destination_address(packet.destination.ToString());
  bool allow = true;
  const auto describe = [&](const std::optional<loader::SideLookup>& side, v1::WhyDirection* ret) {
    if (!side.has_value()) return;
    ret->set_present(true);
    ret->set_verdict(Verdict(side->reason == DROP_NONE));
    ret->set_address_class(side->address_class);
    ret->set_l4_class(side->l4_class);
    allow = allow && side->reason == DROP_NONE;
    const uint32_t id = side->verdict & VERDICT_RULE_MASK;
    if (const auto rule = policy_->engine().Rule(id); rule.has_value()) {
      ret->set_tier(rule->tier);
      ret->set_policy(PolicyName(*rule));
      ret->set_policy_kind(PolicyKindName(*rule));
      ret->set_rule(RuleName(*rule));
    } else {
      ret->set_rule("no policy set in the tables");
    }
    if (const auto hit = hits.find(id); hit != hits.end()) ret->set_packets(hit->second.packets);
  };
  describe(lookup.egress, reply.mutable_egress());
  describe(lookup.ingress, reply.mutable_ingress());
  reply.set_verdict(Verdict(allow));
  DescribeStaged(policy_->staged(), packet, reply.mutable_staged());
  if (lookup.ingress && (lookup.source.flags & ADDRESS_THIS_HOST) != 0) {
    reply.set_verdict("Allow");
    reply.set_note(
        "this node's own processes reach its pods before policy; the ingress rule is for others");
  } else if (!lookup.egress && !lookup.ingress) {
    reply.set_verdict("Unknown");
    reply.set_note("neither end is an endpoint of this node; ask the agent of a node that has one");
  } else if (!lookup.ingress && to.endpoint && !to.local) {
    if (allow) reply.set_verdict("Allow here");
    reply.set_note(to.name + " is on another node, whose agent judges its ingress; ask there too");
  } else if (!lookup.egress && from.endpoint && !from.local) {
    if (allow) reply.set_verdict("Allow here");
    reply.set_note(from.name + " is on another node, whose agent judges its egress; ask there too");
  }
  for (const std::string* note : {&from.note, &to.note}) {
    if (note->empty()) continue;
    reply.set_note(absl::StrCat(reply.note(), reply.note().empty() ? "" : "\n", *note));
  }
  return reply;
}

absl::StatusOr<v1::PolicyTablesReply> Queries::PolicyTables() const {
  v1::PolicyTablesReply reply;
  for (const policy::PolicySetStats& stats : policy_->engine().Stats()) {
    v1::PolicyTablesReply::Set* set = reply.add_sets();
    set->set_direction(stats.direction == policy::Direction::kIngress ? "ingress" : "egress");
    std::set<std::string> names;
    for (const std::string& id : stats.endpoints) names.insert(policy_->feed().DisplayName(id));
    for (const std::string& name : names) set->add_endpoints(name);
    set->set_rules(stats.rules);
    set->set_rows(stats.rows);
    set->set_columns(stats.columns);
    set->set_cells(stats.cells);
    set->set_bytes(stats.bytes);
    set->set_representation(stats.representation);
    for (const policy::PolicyShare& share : stats.largest_policies) {
      v1::PolicyTablesReply::PolicyShare* largest = set->add_largest_policies();
      largest->set_kind(PolicyKindName(share.first));
      largest->set_policy(PolicyName(share.first));
      largest->set_tier(share.first.tier);
      largest->set_rules(share.rules);
    }
  }
  const policy::EngineTotals totals = policy_->engine().Totals();
  reply.set_address_classes(totals.address_classes);
  reply.set_l4_classes(totals.l4_classes);
  reply.set_arena_bytes(totals.arena_bytes);
  return reply;
}

absl::StatusOr<v1::RuleHitsReply> Queries::RuleHits() const {
  RETURN_IF_ERROR(CheckInForce());
  ASSIGN_OR_RETURN(const auto hits, dataplane_->RuleHits());
  v1::RuleHitsReply reply;
  reply.set_since_ms_ago(std::chrono::duration_cast<std::chrono::milliseconds>(
                             std::chrono::steady_clock::now() - started_)
                             .count());
  for (const auto& [id, identity] : policy_->engine().Rules()) {
    v1::RuleHitsReply::Rule* rule = reply.add_rules();
    rule->set_tier(identity.tier);
    rule->set_policy(PolicyName(identity));
    rule->set_policy_kind(PolicyKindName(identity));
    rule->set_direction(identity.direction == policy::Direction::kIngress ? "ingress" : "egress");
    rule->set_rule(RuleName(identity));
    rule->set_last_hit_ago_ms(-1);
    if (const auto hit = hits.find(id); hit != hits.end() && hit->second.packets > 0) {
      rule->set_packets(hit->second.packets);
      rule->set_bytes(hit->second.bytes);
      rule->set_last_hit_ago_ms(MillisecondsSince(hit->second.last_hit_ns));
    }
  }
  return reply;
}

}  // namespace ripstop::agent
