// SPDX-License-Identifier: Apache-2.0
//
// How values of a FelixConfiguration are written, for those who check them and those who go by
// them. Pure; any thread.
#ifndef RIPSTOP_API_FELIX_VALUES_H_
#define RIPSTOP_API_FELIX_VALUES_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "api/proto/resources.pb.h"

namespace ripstop::api {

// The least that a flow may be quiet: when it was last seen is known to about a second.
inline constexpr absl::Duration kFlowTimeoutMin = absl::Seconds(2);
inline constexpr absl::Duration kFlowTimeoutMax = absl::Hours(24 * 365);

// Of bpfConntrackTimeouts: "60s", "2h15m". nullopt: Auto, absent, or no duration.
std::optional<absl::Duration> FlowTimeoutOf(const std::string& text);

struct PortRange {
  uint16_t first = 0, last = 0;  // 1 to 65535
  bool operator==(const PortRange&) const = default;
};
// 1000, "1000" or "1000:2000". nullopt: none of these.
std::optional<PortRange> PortRangeOf(const v1::IntOrString& value);

// "10/second", "5/minute", …/hour, …/day: the time between two. nullopt: not that.
std::optional<absl::Duration> RateIntervalOf(const std::string& text);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_FELIX_VALUES_H_
