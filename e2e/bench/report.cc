// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/report.h"

#include <cstdio>

#include "absl/strings/str_format.h"

namespace ripstop::bench {

std::string Quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out + '"';
}

void Print(const Figure& figure, bool json) {
  const char* const bar = figure.at_least ? "at least" : "at most";
  if (json) {
    std::string line =
        absl::StrFormat("{\"figure\":%s,\"unit\":%s", Quoted(figure.name), Quoted(figure.unit));
    if (figure.value) absl::StrAppendFormat(&line, ",\"value\":%.4g", *figure.value);
    if (figure.bar > 0) {
      absl::StrAppendFormat(&line, ",\"bar\":%g,\"bar_is\":\"%s\",\"met\":%s", figure.bar, bar,
                            figure.met() ? "true" : "false");
    }
    if (!figure.note.empty()) absl::StrAppendFormat(&line, ",\"note\":%s", Quoted(figure.note));
    std::printf("%s}\n", line.c_str());
  } else {
    const std::string value =
        figure.value ? absl::StrFormat("%.4g %s", *figure.value, figure.unit) : "not measured";
    std::printf("%-84s %12s", figure.name.c_str(), value.c_str());
    if (figure.bar > 0) {
      std::printf("   bar %s %g %s: %s", bar, figure.bar, figure.unit.c_str(),
                  figure.met() ? "met" : "MISSED");
    }
    std::printf("%s%s\n", figure.note.empty() ? "" : "   ", figure.note.c_str());
  }
  std::fflush(stdout);
}

}  // namespace ripstop::bench
