// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/probe_queries.h"

#include <linux/pkt_cls.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/policy/kernel_words.h"
#include "agent/policy/rule_words.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

constexpr uint32_t kLoopback = 1;

std::string PacketText(const loader::ProbeStage& stage) {
  std::string text = FlowText(stage.packet);
  if (stage.packet.protocol == policy::kProtocolTcp)
    absl::StrAppend(&text, (stage.tcp_flags & 0x02) != 0 ? ", SYN" : ", ACK");
  absl::StrAppend(&text, ", ", stage.length, " bytes");
  if (stage.tunnel_node != 0)
    absl::StrAppend(&text, ", out of the tunnel from node number ", stage.tunnel_node);
  return text;
}

std::string FlowText(const loader::ProbeStage& stage) {
  if (!stage.flow.has_value()) {
    return stage.begins_flow ? "not known; it would begin one" : "not known; it would begin none";
  }
  const bool half_open = FLOW_LIFE_STATE(stage.flow->life) == FLOW_HALF_OPEN;
  return absl::StrCat("known, ", half_open ? "half open" : "open",
                      stage.flow_current ? ", its verdicts are in force"
                                         : ", judged anew: policy has changed since");
}

std::string AddressText(const std::optional<address_value>& value) {
  if (!value.has_value()) return "not looked up";
  std::vector<std::string> words;
  if (value->flags & ADDRESS_LOCAL_ENDPOINT)
    words.push_back(absl::StrCat("endpoint here, at ", InterfaceName(value->ifindex)));
  if (value->flags & ADDRESS_REMOTE_ENDPOINT) words.push_back("endpoint of another node");
  if (value->flags & ADDRESS_THIS_HOST) words.push_back("this host");
  if (value->flags & ADDRESS_OTHER_NODE) words.push_back("another node");
  return words.empty() ? "in no table but those of prefixes" : absl::StrJoin(words, ", ");
}

std::string ClassText(const loader::SideLookup& side) {
  return absl::StrCat("policy set ", side.set_index, ": far address class ", side.address_class,
                      ", L4 class ", side.l4_class);
}

void Add(v1::ProbeStage* ret, const char* name, const std::string& value) {
  v1::ProbeStage::Fact* fact = ret->add_facts();
  fact->set_name(name);
  fact->set_value(value);
}

bool IsDrop(const loader::ProbeStage& stage) {
  return stage.action == TC_ACT_SHOT || stage.reason != DROP_NONE;
}

const char* Next(const loader::ProbeStage& stage, const loader::PacketLookup& lookup) {
  if (IsDrop(stage)) return stage.action == TC_ACT_SHOT ? "" : "answer";
  if (stage.program == "to_workload") return "pod";
  if (stage.action != TC_ACT_REDIRECT) return "host stack";
  return (lookup.destination.flags & ADDRESS_LOCAL_ENDPOINT) != 0 ? "pod" : "route";
}

}  // namespace

std::string ProbeQueries::VerdictText(uint32_t word) const {
  if (word == 0) return "not asked";
  const auto rule =
      policy_->committed() ? policy_->engine().Rule(word & VERDICT_RULE_MASK) : std::nullopt;
  return absl::StrCat((word & VERDICT_ALLOW) != 0 ? "Allow" : "Deny", " by ",
                      rule.has_value() ? FullRuleName(*rule) : "a rule no longer in force");
}

void ProbeQueries::Describe(const loader::ProbeStage& stage, const loader::PacketLookup& lookup,
                            v1::ProbeStage* ret) const {
  ret->set_hook(stage.program);
  if (stage.ifindex != kLoopback) ret->set_interface(InterfaceName(stage.ifindex));
  for (const policy::Address& address : {stage.packet.source, stage.packet.destination}) {
    const auto owner = policy_->feed().OwnerOf(address);
    if (owner.has_value() && owner->local.has_value() && owner->local->ifindex == stage.ifindex)
      ret->set_endpoint(owner->name);
  }
  Add(ret, "packet", stage.parsed ? PacketText(stage) : "not understood by the parser");
  Add(ret, "flow", FlowText(stage));
  Add(ret, "source", AddressText(stage.source));
  Add(ret, "destination", AddressText(stage.destination));
  // What the flow knows is not looked up again.
  const bool looked_up = stage.source.has_value();
  if (looked_up && lookup.egress.has_value()) Add(ret, "egress classes", ClassText(*lookup.egress));
  Add(ret, "egress", VerdictText(stage.egress_word));
  if (looked_up && lookup.ingress.has_value())
    Add(ret, "ingress classes", ClassText(*lookup.ingress));
  Add(ret, "ingress", VerdictText(stage.ingress_word));
  ret->set_verdict(IsDrop(stage) ? "Drop" : "Allow");
  if (IsDrop(stage)) ret->set_reason(loader::DropReasonName(stage.reason));
  ret->set_next(Next(stage, lookup));
}

absl::Status ProbeQueries::Run(const v1::WhyRequest& request, v1::WhyReply* ret) {
  ASSIGN_OR_RETURN(const auto packet, loop_->Call([&] { return queries_->PacketAsked(request); }));
  RETURN_IF_ERROR(packet.status());
  std::vector<loader::ProbeStage> stages;
  {
    const std::unique_lock turn(asking_, kPatience);
    if (!turn.owns_lock())
      return absl::ResourceExhaustedError("other probes are under way on this node; ask again");
    ASSIGN_OR_RETURN(stages, dataplane_->Probe(*packet));
  }
  return loop_->CallStatus([&]() -> absl::Status {
    ASSIGN_OR_RETURN(const loader::PacketLookup lookup, dataplane_->Lookup(*packet));
    for (const loader::ProbeStage& stage : stages) Describe(stage, lookup, ret->add_probe());
    for (v1::DropsReply::Sample& sample : drops_->Like(*packet))
      *ret->add_recent() = std::move(sample);
    return absl::OkStatus();
  });
}

}  // namespace ripstop::agent
