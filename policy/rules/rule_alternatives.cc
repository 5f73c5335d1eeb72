// SPDX-License-Identifier: Apache-2.0
#include "policy/rules/rule_alternatives.h"

namespace ripstop::policy {
namespace {

L4Set SetOf(const ServicePort& port) { return L4Set::OfPort(port.protocol, port.port); }

}  // namespace

std::vector<Alternative> Require(const std::vector<Alternative>& from, Side side,
                                 const PortTerm& term) {
  std::vector<Alternative> result;
  for (const Alternative& a : from) {
    Alternative plain = a;
    (plain.*side).l4 = (a.*side).l4.And(term.numbers);
    if (!(plain.*side).l4.empty()) result.push_back(std::move(plain));
    for (const auto& [port, predicates] : term.points) {
      Alternative named = a;
      (named.*side).l4 = (a.*side).l4.And(SetOf(port)).And(term.numbers.Not());
      if ((named.*side).l4.empty()) continue;
      (named.*side).any_of.push_back(predicates);
      result.push_back(std::move(named));
    }
  }
  return result;
}

std::vector<Alternative> Exclude(const std::vector<Alternative>& from, Side side,
                                 const PortTerm& term) {
  std::vector<Alternative> result;
  L4Set points = L4Set::None();
  for (const auto& [port, predicates] : term.points) points = points.Or(SetOf(port));
  for (const Alternative& a : from) {
    const L4Set left = (a.*side).l4.And(term.numbers.Not());
    Alternative plain = a;
    (plain.*side).l4 = left.And(points.Not());
    if (!(plain.*side).l4.empty()) result.push_back(std::move(plain));
    for (const auto& [port, predicates] : term.points) {
      Alternative named = a;
      (named.*side).l4 = left.And(SetOf(port));
      if ((named.*side).l4.empty()) continue;
      auto& none_of = (named.*side).none_of;
      none_of.insert(none_of.end(), predicates.begin(), predicates.end());
      result.push_back(std::move(named));
    }
  }
  return result;
}

}  // namespace ripstop::policy
