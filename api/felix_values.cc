// SPDX-License-Identifier: Apache-2.0
#include "api/felix_values.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "api/codec/scalar.h"

namespace ripstop::api {

std::optional<absl::Duration> FlowTimeoutOf(const std::string& text) {
  absl::Duration duration;
  if (text == "Auto" || !absl::ParseDuration(text, &duration)) return std::nullopt;
  return duration;
}

std::optional<PortRange> PortRangeOf(const v1::IntOrString& value) {
  const std::string text =
      value.value_case() == v1::IntOrString::kNumber ? absl::StrCat(value.number()) : value.text();
  const size_t colon = text.find(':');
  const auto first = DecimalInteger(text.substr(0, colon));
  const auto last = colon == std::string::npos ? first : DecimalInteger(text.substr(colon + 1));
  if (!first || !last || *first < 1 || *last > 65535 || *first > *last) return std::nullopt;
  return PortRange{static_cast<uint16_t>(*first), static_cast<uint16_t>(*last)};
}

std::optional<absl::Duration> RateIntervalOf(const std::string& text) {
  static const std::map<std::string, absl::Duration> units = {{"second", absl::Seconds(1)},
                                                              {"minute", absl::Minutes(1)},
                                                              {"hour", absl::Hours(1)},
                                                              {"day", absl::Hours(24)}};
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return std::nullopt;
  const auto count = DecimalInteger(text.substr(0, slash));
  const auto unit = units.find(text.substr(slash + 1));
  if (!count || *count < 1 || *count > 9999 || unit == units.end()) return std::nullopt;
  return unit->second / *count;
}

}  // namespace ripstop::api
