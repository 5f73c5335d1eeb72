// SPDX-License-Identifier: Apache-2.0
#include "policy/selector.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "policy/selector_node.h"
#include "policy/status_macros.h"

namespace ripstop::policy {
namespace {

using Op = SelectorNode::Op;

template <typename AnyLabels>
bool Evaluate(const SelectorNode& node, const AnyLabels& labels) {
  const auto all = [&](const SelectorNodePtr& operand) { return Evaluate(*operand, labels); };
  switch (node.op) {
    case Op::kAll: return true;
    case Op::kNot: return !Evaluate(*node.operands[0], labels);
    case Op::kAnd: return std::all_of(node.operands.begin(), node.operands.end(), all);
    case Op::kOr: return std::any_of(node.operands.begin(), node.operands.end(), all);
    default: break;
  }
  const std::string* const label = node.key.In(labels);
  if (label == nullptr) return node.op == Op::kNotIn;
  const std::string& value = *label;
  const auto listed = [&] {
    return std::binary_search(node.values.begin(), node.values.end(), value);
  };
  switch (node.op) {
    case Op::kHas: return true;
    case Op::kIn: return listed();
    case Op::kNotIn: return !listed();
    case Op::kContains: return absl::StrContains(value, node.values[0]);
    case Op::kStartsWith: return absl::StartsWith(value, node.values[0]);
    case Op::kEndsWith: return absl::EndsWith(value, node.values[0]);
    default: return false;
  }
}

using Restriction = Selector::Restriction;
using Restrictions = Selector::Restrictions;

void Intersect(Restrictions& into, const Restrictions& with) {
  into.nothing |= with.nothing;
  for (const auto& [key, r] : with.keys) {
    const auto [it, fresh] = into.keys.emplace(key, r);
    if (fresh || r.any_value) continue;
    if (it->second.any_value) {
      it->second = r;
      continue;
    }
    std::erase_if(it->second.values, [&r = r](const auto& v) { return !r.values.contains(v); });
    into.nothing |= it->second.values.empty();
  }
}

void Unite(Restrictions& into, const Restrictions& with) {
  if (with.nothing) return;
  if (into.nothing) {
    into = with;
    return;
  }
  std::erase_if(into.keys, [&](const auto& e) { return !with.keys.contains(e.first); });
  for (auto& [key, r] : into.keys) {
    const Restriction& other = with.keys.at(key);
    if (other.any_value) r = Restriction{};
    if (!r.any_value) r.values.insert(other.values.begin(), other.values.end());
  }
}

Restrictions Restrict(const SelectorNode& node) {
  Restrictions result;
  switch (node.op) {
    case Op::kIn:
      result.nothing = node.values.empty();
      result.keys[node.key.text()] = {false, {node.values.begin(), node.values.end()}};
      return result;
    case Op::kHas:
    case Op::kContains:
    case Op::kStartsWith:
    case Op::kEndsWith: result.keys[node.key.text()] = {}; return result;
    case Op::kAnd:
      for (const SelectorNodePtr& operand : node.operands) Intersect(result, Restrict(*operand));
      return result;
    case Op::kOr:
      result.nothing = true;
      for (const SelectorNodePtr& operand : node.operands) Unite(result, Restrict(*operand));
      return result;
    case Op::kNot: result.nothing = node.operands[0]->op == Op::kAll; return result;
    case Op::kAll:
    case Op::kNotIn: break;
  }
  return result;
}

const SelectorNodePtr& AllNode() {
  static const auto& node = *new SelectorNodePtr(std::make_shared<SelectorNode>());
  return node;
}

}  // namespace

Selector::Selector() : Selector(AllNode()) {}

Selector::Selector(std::shared_ptr<const SelectorNode> root)
    : root_(std::move(root)), canonical_(SelectorText(*root_)) {}

absl::StatusOr<Selector> Selector::Parse(std::string_view text, const SelectorLimits& limits) {
  ASSIGN_OR_RETURN(SelectorNodePtr root, ParseSelector(text, limits));
  return Selector(std::move(root));
}

bool Selector::Matches(const Labels& labels) const { return Evaluate(*root_, labels); }
bool Selector::MatchesIn(const LabelViews& views) const { return Evaluate(*root_, views); }
bool Selector::is_all() const { return root_->op == Op::kAll; }
Selector::Restrictions Selector::Restricts() const { return Restrict(*root_); }

}  // namespace ripstop::policy
