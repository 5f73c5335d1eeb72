// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_REFERENCE_H_
#define RIPSTOP_POLICY_REFERENCE_H_

#include <optional>
#include <string>

#include "absl/container/node_hash_map.h"
#include "policy/selector.h"
#include "policy/world.h"

namespace ripstop::policy {

// The slow, obvious evaluator: walks tiers, policies and rules as the semantics are
// written (policy/DESIGN.md, "Semantics"). What it says is right by definition; the
// engine is tested against it. One thread at a time (it remembers parsed selectors).
class Reference {
 public:
  // What the policy of `local` says of `packet`, which it receives (kIngress: it holds
  // packet.destination) or sends (kEgress: packet.source). nullopt: the address is not
  // its own (it is inactive, or another endpoint has it), so it is denied everything.
  std::optional<Verdict> Evaluate(const World& world, const Endpoint& local, Direction direction,
                                  const Packet& packet);

  // What one group of a host endpoint's policies says of a packet that comes in at its
  // interface (kIngress) or leaves there. Verdict::next: the next group is asked.
  Verdict EvaluateHost(const World& world, const HostEndpoint& host, HostGroup group,
                       Direction direction, const Packet& packet);

 private:
  struct Walk;
  // The tiers of the policies of `group` that select `labels`; nullopt: none of them decided.
  std::optional<Verdict> Tiers(Walk& walk, const LabelViews& labels, HostGroup group);
  Verdict Profiles(Walk& walk, const std::vector<std::string>& names);
  const std::optional<Selector>& Parsed(const std::string& text);
  absl::node_hash_map<std::string, std::optional<Selector>> parsed_;  // nullopt: invalid
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_REFERENCE_H_
