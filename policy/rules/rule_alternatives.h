// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_RULES_RULE_ALTERNATIVES_H_
#define RIPSTOP_POLICY_RULES_RULE_ALTERNATIVES_H_

#include <cstdint>
#include <map>
#include <vector>

#include "policy/classes/l4_set.h"
#include "policy/model.h"

namespace ripstop::policy {

// What is asked of one side of a packet: every clause has a predicate that is true of the
// address, none of `none_of` is, and the port that belongs to the address is in `l4`.
struct SideTerms {
  std::vector<std::vector<uint32_t>> any_of;
  std::vector<uint32_t> none_of;
  L4Set l4 = L4Set::All();
};

// One way in which a rule can match: a conjunction. Terms that tie a port to an address
// (named ports, services) split a rule into several of these; all stand in its place.
struct Alternative {
  SideTerms source;
  SideTerms destination;
};
using Side = SideTerms Alternative::*;

// A port list: numbers that hold for any address, and points that hold for addresses of
// which a predicate is true.
struct PortTerm {
  L4Set numbers = L4Set::None();
  std::map<ServicePort, std::vector<uint32_t>> points;
};

// The ways in which `from` matches and the port of `side` is (or is not) in `term`.
std::vector<Alternative> Require(const std::vector<Alternative>& from, Side side,
                                 const PortTerm& term);
std::vector<Alternative> Exclude(const std::vector<Alternative>& from, Side side,
                                 const PortTerm& term);

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_RULES_RULE_ALTERNATIVES_H_
