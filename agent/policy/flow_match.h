// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_POLICY_FLOW_MATCH_H_
#define RIPSTOP_AGENT_POLICY_FLOW_MATCH_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "agent/policy/policy_feed.h"
#include "api/proto/agent.pb.h"
#include "policy/model.h"

namespace ripstop::agent {

inline constexpr const char* kFlowStates[] = {"half-open", "established", "closing", "closed",
                                              "reset"};

// What a filter asks of a flow.
struct FlowTraits {
  struct End {
    policy::Address address;
    std::string name;  // "ns/pod"; only for filters made by ByName
  };
  End from, to;
  uint16_t port = 0;  // that it was begun to
  uint8_t protocol = 0;
  std::string state;
};

// A v1::FlowFilter, understood.
class FlowMatch {
 public:
  // Names are of whoever has them now.
  //   kInvalidArgument  a field that cannot be read; says which
  //   kNotFound         "ns/pod" names no endpoint that this node knows
  static absl::StatusOr<FlowMatch> Make(const PolicyFeed& feed, const v1::FlowFilter& asked);
  // Names are of whoever has them when Fits is asked; nobody need have them yet.
  //   kInvalidArgument
  static absl::StatusOr<FlowMatch> ByName(const v1::FlowFilter& asked);

  bool Fits(const FlowTraits& flow) const;

 private:
  // Who an end must be: one of these, or of this name; neither: anybody.
  struct Wanted {
    std::optional<absl::flat_hash_set<policy::Address>> addresses;
    std::string name;
    bool Is(const FlowTraits::End& end) const;
  };
  static absl::StatusOr<FlowMatch> Read(const PolicyFeed* feed, const v1::FlowFilter& asked);
  static absl::StatusOr<Wanted> ReadEnd(const PolicyFeed* feed, const char* field,
                                        const std::string& text);

  Wanted pod_, from_, to_;
  std::optional<uint8_t> protocol_;
  uint16_t port_ = 0;
  std::string state_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_POLICY_FLOW_MATCH_H_
