// SPDX-License-Identifier: Apache-2.0
//
// What commands with --watch have in common.
#ifndef RIPSTOP_API_CTL_WATCHING_H_
#define RIPSTOP_API_CTL_WATCHING_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace ripstop::ctl {

struct WatchOptions {
  absl::Duration length = absl::InfiniteDuration();
  uint64_t count = 0;  // of lines; 0: no end
};

// --for and --count, which need `watch`.
void AddWatchOptions(CLI::App& verb, CLI::Option* watch, WatchOptions& options);

// "22:13:20.000" of an RFC 3339 time.
std::string TimeOfDay(const std::string& time);

// A table whose rows are printed as they come: a column is as wide as the widest cell so far.
class LineTable {
 public:
  explicit LineTable(std::vector<std::string> header);
  // The header, unless that was before: a reader sees that the watch is on.
  void Begin(std::ostream& out);
  // Fewer cells than columns: the last one may be as wide as it likes.
  void Print(const std::vector<std::string>& row, std::ostream& out);

 private:
  void PrintRow(const std::vector<std::string>& row, std::ostream& out);

  const std::vector<std::string> header_;
  std::vector<size_t> widths_;
  bool begun_ = false;
};

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_WATCHING_H_
