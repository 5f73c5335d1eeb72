// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_POLICY_STAGED_COUNTS_H_
#define RIPSTOP_AGENT_POLICY_STAGED_COUNTS_H_

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "absl/time/time.h"
#include "policy/model.h"

namespace ripstop::agent {

// How the staged world would have judged the flows of this node, by the rule that would have
// decided. Plain bookkeeping: no tables, no clock.
//
// Bounded: kRowsMax rows; a flow for which there is no room is counted as unlisted.
class StagedCounts {
 public:
  static constexpr size_t kRowsMax = 4096;

  struct Row {
    uint64_t would_deny = 0;   // flows that are allowed and would not be
    uint64_t would_allow = 0;  // denied, and would not be
    uint64_t unchanged = 0;    // decided by this rule with the verdict they have
    bool staged = false;       // the rule is of a staged policy
    // Of the last flow that would have had another verdict.
    std::string example;
    std::string instead_of;  // the rule in force that decided it
    absl::Time last = absl::InfinitePast();
    absl::Time since = absl::InfinitePast();
  };

  // One flow whose verdict would be decided by `by`.
  void Count(const policy::RuleIdentity& by, bool staged, bool allowed, bool would_allow,
             const std::string& flow, const std::string& instead_of, absl::Time now);

  // The policies under these (staged) keys changed: what was counted of them is void, and
  // so is what was counted of rules that are not staged, which may have been in their stead.
  void Forget(const std::set<policy::PolicyKey>& keys);
  void Clear();

  const std::map<policy::RuleIdentity, Row>& rows() const { return rows_; }
  uint64_t unlisted() const { return unlisted_; }

  // Whether a denied flow was seen within the last minute, and notes it. A flow that is
  // denied tries again and again, and each try is an event: it is counted once.
  // By a table of hashes: two flows that share a place are rarely taken for new ones.
  bool SeenLately(const policy::Packet& packet, absl::Time now);

 private:
  struct Place {
    size_t hash = 0;
    absl::Time seen = absl::InfinitePast();
  };
  std::map<policy::RuleIdentity, Row> rows_;
  uint64_t unlisted_ = 0;
  std::array<Place, 8192> places_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_POLICY_STAGED_COUNTS_H_
