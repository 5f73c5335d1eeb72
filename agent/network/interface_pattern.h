// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_INTERFACE_PATTERN_H_
#define RIPSTOP_AGENT_NETWORK_INTERFACE_PATTERN_H_

#include <re2/re2.h>

#include <memory>
#include <string>

namespace ripstop::agent {

// Interfaces by a regular expression that is found somewhere in their name. One that is empty,
// or none, matches nothing. Immutable.
class InterfacePattern {
 public:
  InterfacePattern() = default;
  explicit InterfacePattern(const std::string& text)
      : compiled_(text.empty() ? nullptr : std::make_shared<const RE2>(text, RE2::Quiet)) {}

  bool empty() const { return compiled_ == nullptr; }
  bool Matches(const std::string& name) const {
    return !empty() && compiled_->ok() && RE2::PartialMatch(name, *compiled_);
  }
  std::string text() const { return empty() ? "" : compiled_->pattern(); }

 private:
  std::shared_ptr<const RE2> compiled_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_INTERFACE_PATTERN_H_
