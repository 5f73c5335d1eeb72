// SPDX-License-Identifier: Apache-2.0
//
// The syntax tree behind a Selector; for selector*.cc only.
#ifndef RIPSTOP_POLICY_SELECTOR_NODE_H_
#define RIPSTOP_POLICY_SELECTOR_NODE_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/labels.h"

namespace ripstop::policy {

struct SelectorLimits;

struct SelectorNode {
  enum class Op { kAll, kHas, kIn, kNotIn, kContains, kStartsWith, kEndsWith, kNot, kAnd, kOr };
  Op op = Op::kAll;
  LabelKey key;
  std::vector<std::string> values;  // kIn, kNotIn: sorted, unique; else at most one
  std::vector<std::shared_ptr<const SelectorNode>> operands;
};
using SelectorNodePtr = std::shared_ptr<const SelectorNode>;

// selector_parser.cc. `==` reads as kIn of one value, `!=` as kNotIn, global() as
// !has(kNamespaceLabel). Operands of kAnd and kOr are flat, sorted and unique.
absl::StatusOr<SelectorNodePtr> ParseSelector(std::string_view text, const SelectorLimits& limits);

// Canonical text of a node, with parentheses where the language needs them.
std::string SelectorText(const SelectorNode& node);

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_SELECTOR_NODE_H_
