// SPDX-License-Identifier: Apache-2.0
//
// A figure beside its bar (goals.md), as a line of text or of JSON.
#ifndef RIPSTOP_E2E_BENCH_REPORT_H_
#define RIPSTOP_E2E_BENCH_REPORT_H_

#include <optional>
#include <string>

namespace ripstop::bench {

struct Figure {
  std::string name;
  std::optional<double> value;  // absent: could not be measured; `note` says why
  std::string unit;             // "ns", "ms", "MiB", "x" for a ratio …
  double bar = 0;               // 0: none
  bool at_least = false;        // the bar is a minimum
  std::string note;

  bool met() const { return value && (at_least ? *value >= bar : *value <= bar); }
};

void Print(const Figure& figure, bool json);

// `text` as a JSON string, quotes included.
std::string Quoted(const std::string& text);

}  // namespace ripstop::bench

#endif  // RIPSTOP_E2E_BENCH_REPORT_H_
