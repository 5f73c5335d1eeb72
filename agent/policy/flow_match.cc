// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/flow_match.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/policy/rule_words.h"
#include "policy/status_macros.h"

namespace ripstop::agent {

absl::StatusOr<FlowMatch::Wanted> FlowMatch::ReadEnd(const PolicyFeed* feed, const char* field,
                                                     const std::string& text) {
  Wanted wanted;
  if (text.empty()) return wanted;
  if (auto address = policy::Address::Parse(text); address.ok()) {
    wanted.addresses.emplace({*address});
    return wanted;
  }
  if (text.find('/') == std::string::npos || policy::Cidr::Parse(text).ok()) {
    return absl::InvalidArgumentError(absl::StrCat(
        field, " '", text, "': neither an address nor namespace/pod; for example shop/cart-1"));
  }
  if (feed == nullptr) {
    wanted.name = text;
    return wanted;
  }
  wanted.addresses.emplace();
  for (const policy::Endpoint& endpoint : feed->Named(text)) {
    wanted.addresses->insert(endpoint.addresses.begin(), endpoint.addresses.end());
  }
  if (wanted.addresses->empty()) {
    return absl::NotFoundError(
        absl::StrCat(field, " '", text,
                     "': no such endpoint; `ripstopctl get workloadendpoints -A` lists them"));
  }
  return wanted;
}

absl::StatusOr<FlowMatch> FlowMatch::Read(const PolicyFeed* feed, const v1::FlowFilter& asked) {
  FlowMatch match;
  ASSIGN_OR_RETURN(match.pod_, ReadEnd(feed, "pod", asked.pod()));
  ASSIGN_OR_RETURN(match.from_, ReadEnd(feed, "from", asked.from()));
  ASSIGN_OR_RETURN(match.to_, ReadEnd(feed, "to", asked.to()));
  if (!asked.protocol().empty()) {
    ASSIGN_OR_RETURN(match.protocol_, ProtocolNamed(asked.protocol()));
  }
  if (asked.port() > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("port ", asked.port(), ": want a number from 1 to 65535"));
  }
  match.port_ = static_cast<uint16_t>(asked.port());
  match.state_ = asked.state();
  for (const char* state : kFlowStates) {
    if (match.state_ == state) return match;
  }
  if (match.state_.empty()) return match;
  return absl::InvalidArgumentError(
      absl::StrCat("state '", match.state_, "': half-open, established, closing, closed or reset"));
}

absl::StatusOr<FlowMatch> FlowMatch::Make(const PolicyFeed& feed, const v1::FlowFilter& asked) {
  return Read(&feed, asked);
}

absl::StatusOr<FlowMatch> FlowMatch::ByName(const v1::FlowFilter& asked) {
  return Read(nullptr, asked);
}

bool FlowMatch::Wanted::Is(const FlowTraits::End& end) const {
  if (!name.empty()) {
    // A pod of several interfaces: "namespace/pod/interface".
    return end.name == name || absl::StartsWith(end.name, name + "/");
  }
  return !addresses.has_value() || addresses->contains(end.address);
}

bool FlowMatch::Fits(const FlowTraits& flow) const {
  return from_.Is(flow.from) && to_.Is(flow.to) && (pod_.Is(flow.from) || pod_.Is(flow.to)) &&
         (!protocol_.has_value() || *protocol_ == flow.protocol) &&
         (port_ == 0 || port_ == flow.port) && (state_.empty() || state_ == flow.state);
}

}  // namespace ripstop::agent
