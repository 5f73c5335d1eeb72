// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_POLICY_ASKED_ADDRESSES_H_
#define RIPSTOP_AGENT_POLICY_ASKED_ADDRESSES_H_

#include <optional>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "agent/policy/policy_feed.h"

namespace ripstop::agent {

using Addresses = absl::flat_hash_set<policy::Address>;

// Whom somebody asks about: those of "ns/pod", or the one address. Empty text: nothing is asked.
//   kInvalidArgument  neither of these; names `field`
//   kNotFound         no such endpoint
absl::StatusOr<std::optional<Addresses>> AddressesOf(const PolicyFeed& feed, const char* field,
                                                     const std::string& text);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_POLICY_ASKED_ADDRESSES_H_
