// SPDX-License-Identifier: Apache-2.0
//
// The selector language of projectcalico.org/v3.
//
//   selector   = or ; or = and { "||" and } ; and = not { "&&" not }
//   not        = { "!" } term
//   term       = "(" or ")" | "all()" | "global()" | "has(" label ")"
//              | label "==" value | label "!=" value
//              | label "in" set | label "not in" set
//              | label "contains" value | label "starts with" value | label "ends with" value
//              (and "notin", "startswith", "endswith", as Calico's parser has it)
//   set        = "{" [ value { "," value } ] "}"
//   label      = one or more of A-Z a-z 0-9 _ . / -; converters also say whose word a label must
//                be: pod:label, ns:pcns.label (policy/labels.h)
//   value      = '...' or "...", without escapes; no newline anywhere
//
// `!` negates a whole comparison. `!=` and `not in` are true when the label is absent;
// the other comparisons are false then. Empty text is all(). global() is true for what
// has no namespace: no label projectcalico.org/namespace (kNamespaceLabel), which
// converters put on every namespaced endpoint and network set.
#ifndef RIPSTOP_POLICY_SELECTOR_H_
#define RIPSTOP_POLICY_SELECTOR_H_

#include <cstddef>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "policy/labels.h"

namespace ripstop::policy {

struct SelectorLimits {
  size_t length;  // bytes
  int depth;      // nested parentheses
  bool views;     // labels may say whose word they must be
};
// One text that a user writes.
inline constexpr SelectorLimits kWrittenSelector = {64 << 10, 128, false};
// What the engine takes: several of those, each in parentheses, beside a namespace; or a label
// selector of Kubernetes, whose lists of values have no limit but the size of an object.
inline constexpr SelectorLimits kJoinedSelector = {4 << 20, 136, true};

struct SelectorNode;

// A parsed selector: immutable, cheap to copy, may be shared by threads.
class Selector {
 public:
  Selector();  // all()

  // kInvalidArgument names the position (from 1), what stands there and what would be right.
  static absl::StatusOr<Selector> Parse(std::string_view text,
                                        const SelectorLimits& limits = kJoinedSelector);

  // Of one with these labels: effective ones, or any plain ones.
  bool Matches(const Labels& labels) const;
  bool MatchesIn(const LabelViews& views) const;

  // One text for selectors that differ only in spacing, quotes, needless parentheses, or
  // the order and repetition of operands. Parses back to an equal selector.
  const std::string& Canonical() const { return canonical_; }

  bool is_all() const;

  // What labels must look like for a match; a necessary condition, for indexes. A key in
  // the result must be present, with one of `values` unless `any_value`. No entry for a
  // key: it says nothing about that key. `nothing`: no labels match at all.
  struct Restriction {
    bool any_value = true;
    std::set<std::string> values;
    bool operator==(const Restriction&) const = default;
  };
  struct Restrictions {
    bool nothing = false;
    std::map<std::string, Restriction> keys;  // as selectors write them
  };
  Restrictions Restricts() const;

  bool operator==(const Selector& other) const { return canonical_ == other.canonical_; }

 private:
  explicit Selector(std::shared_ptr<const SelectorNode> root);
  std::shared_ptr<const SelectorNode> root_;
  std::string canonical_;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_SELECTOR_H_
