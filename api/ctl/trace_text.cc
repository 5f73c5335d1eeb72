// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/trace_text.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "api/ctl/flow_words.h"

namespace ripstop::ctl {
namespace {

using agent::v1::TracedPacket;

// So that the first lines stand as the later ones will.
const std::vector<std::string> kHeader = {"TIME",    "PACKET",      "AT",      "PROTOCOL",
                                          "SOURCE",  "DESTINATION", "DETAILS", "LENGTH",
                                          "VERDICT", "TO",          "RULES"};
const std::vector<size_t> kWidths = {15, 8, 50, 8, 38, 38, 8, 6, 18, 10, 0};

std::string Length(const TracedPacket& packet) {
  if (packet.gso_bytes() == 0) return absl::StrCat(packet.length());
  return absl::StrCat(packet.length(), " by ", packet.gso_bytes());
}

}  // namespace

std::string TracedAt(const TracedPacket& packet) {
  const std::string interface =
      packet.interface().empty() ? absl::StrCat("#", packet.ifindex()) : packet.interface();
  return absl::StrCat(packet.hook(), " ", Named(packet.endpoint(), interface));
}

std::string TracedVerdict(const TracedPacket& packet) {
  return packet.reason().empty() ? packet.verdict()
                                 : absl::StrCat(packet.verdict(), " ", packet.reason());
}

std::string TracedRules(const TracedPacket& packet) {
  return absl::StrCat(packet.egress_rule(),
                      packet.egress_rule().empty() || packet.ingress_rule().empty() ? "" : "; ",
                      packet.ingress_rule());
}

void TraceLines::PrintRow(const std::vector<std::string>& row) {
  std::string line;
  for (size_t i = 0; i < row.size(); ++i) {
    widths_[i] = std::max(widths_[i], row[i].size());
    absl::StrAppend(&line, row[i]);
    if (i + 1 < row.size()) line.append(widths_[i] - row[i].size() + 2, ' ');
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  // At once: somebody waits for it, perhaps behind a pipe.
  out_ << line << "\n" << std::flush;
}

void TraceLines::Print(const TracedPacket& packet) {
  if (widths_.empty()) {
    widths_ = kWidths;
    PrintRow(kHeader);
  }
  const auto ip = [&](const std::string& text) { return packet.ip_version() == 0 ? "-" : text; };
  PrintRow(
      {absl::FormatTime("%H:%M:%E6S", absl::FromUnixNanos(packet.time_ns()), absl::LocalTimeZone()),
       absl::StrFormat("%08x", packet.packet()), TracedAt(packet), ip(packet.protocol()),
       ip(Named(packet.source_name(), WithPort(packet.source(), packet.source_port()))),
       ip(Named(packet.destination_name(),
                WithPort(packet.destination(), packet.destination_port()))),
       packet.details().empty() ? "-" : packet.details(), Length(packet), TracedVerdict(packet),
       packet.next().empty() ? "-" : packet.next(), TracedRules(packet)});
}

}  // namespace ripstop::ctl
