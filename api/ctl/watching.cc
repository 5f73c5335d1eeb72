// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/watching.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <utility>

namespace ripstop::ctl {

void AddWatchOptions(CLI::App& verb, CLI::Option* watch, WatchOptions& options) {
  verb.add_option_function<std::string>(
          "--for",
          [&options](const std::string& text) {
            if (!absl::ParseDuration(text, &options.length) ||
                options.length <= absl::ZeroDuration()) {
              throw CLI::ValidationError(
                  "--for", "'" + text + "' is no length of time; for example 10s or 2m");
            }
          },
          "With --watch: how long, such as 10s")
      ->needs(watch);
  verb.add_option("--count", options.count, "With --watch: how many lines")
      ->check(CLI::PositiveNumber)
      ->needs(watch);
}

std::string TimeOfDay(const std::string& time) {
  constexpr size_t kDate = sizeof("2026-01-02T") - 1, kTime = sizeof("22:13:20.000") - 1;
  return time.size() > kDate ? time.substr(kDate, kTime) : time;
}

LineTable::LineTable(std::vector<std::string> header) : header_(std::move(header)) {
  for (const std::string& cell : header_) widths_.push_back(cell.size());
}

void LineTable::Print(const std::vector<std::string>& row, std::ostream& out) {
  for (size_t i = 0; i + 1 < row.size() && row.size() == widths_.size(); ++i) {
    widths_[i] = std::max(widths_[i], row[i].size());
  }
  Begin(out);
  PrintRow(row, out);
}

void LineTable::Begin(std::ostream& out) {
  if (!std::exchange(begun_, true)) PrintRow(header_, out);
}

void LineTable::PrintRow(const std::vector<std::string>& row, std::ostream& out) {
  std::string line;
  for (size_t i = 0; i < row.size(); ++i) {
    line += row[i];
    if (i + 1 < row.size())
      line.append(std::max(widths_[i], row[i].size()) - row[i].size() + 3, ' ');
  }
  line.erase(line.find_last_not_of(' ') + 1);
  out << line << "\n";
}

}  // namespace ripstop::ctl
