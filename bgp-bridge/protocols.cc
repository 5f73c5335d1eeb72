// SPDX-License-Identifier: Apache-2.0
#include "bgp-bridge/protocols.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace ripstop::bgp {
namespace {

constexpr int kProtocolLine = 1002;
constexpr int kProtocolDetail = 1006;
constexpr int kStatusShutdown = 20;  // "Daemon is shutting down"

uint32_t Number(absl::string_view text) {
  uint32_t value = 0;
  return absl::SimpleAtoi(text, &value) ? value : 0;
}

// "name Proto table state 2026-11-21 00:29:24  Active   Socket: Connection refused"
Protocol ParseLine(absl::string_view line) {
  std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
  words.resize(std::max<size_t>(words.size(), 6));
  Protocol protocol{.name = std::string(words[0]),
                    .type = std::string(words[1]),
                    .state = std::string(words[3]),
                    .since = absl::StrCat(words[4], " ", words[5])};
  protocol.info = absl::StrJoin(words.begin() + 6, words.end(), " ");
  return protocol;
}

// "1 imported, 2 exported, 1 preferred"; a "filtered" count may stand between.
void AddRoutes(absl::string_view value, Protocol& protocol) {
  for (absl::string_view part : absl::StrSplit(value, ", ")) {
    if (absl::ConsumeSuffix(&part, " imported")) protocol.imported += Number(part);
    if (absl::ConsumeSuffix(&part, " exported")) protocol.exported += Number(part);
  }
}

void ParseDetail(absl::string_view line, Protocol& protocol) {
  const size_t colon = line.find(':');
  if (colon == absl::string_view::npos) return;
  const absl::string_view key = absl::StripAsciiWhitespace(line.substr(0, colon));
  const absl::string_view value = absl::StripAsciiWhitespace(line.substr(colon + 1));
  if (key == "Description")
    protocol.description = std::string(value);
  else if (key == "BGP state")
    protocol.bgp_state = std::string(value);
  else if (key == "Neighbor address")
    protocol.peer_address = std::string(value);
  else if (key == "Neighbor AS")
    protocol.peer_as = Number(value);
  else if (key == "Local AS")
    protocol.local_as = Number(value);
  else if (key == "Source address")
    protocol.source_address = std::string(value);
  else if (key == "Last error")
    protocol.last_error = std::string(value);
  else if (key == "Routes" && protocol.type == "BGP")
    AddRoutes(value, protocol);
}

}  // namespace

std::vector<Protocol> ParseProtocols(const Reply& reply) {
  std::vector<Protocol> protocols;
  for (const ReplyLine& line : reply.lines) {
    if (line.code == kProtocolLine) protocols.push_back(ParseLine(line.text));
    if (line.code == kProtocolDetail && !protocols.empty())
      ParseDetail(line.text, protocols.back());
  }
  return protocols;
}

BirdGeneral ParseStatus(const Reply& reply) {
  BirdGeneral general;
  for (const ReplyLine& line : reply.lines) {
    absl::string_view text = absl::StripAsciiWhitespace(line.text);
    if (line.code == 1000 && absl::ConsumePrefix(&text, "BIRD "))
      general.version = std::string(text);
    if (absl::ConsumePrefix(&text, "Router ID is ")) general.router_id = std::string(text);
    if (absl::ConsumePrefix(&text, "Last reconfiguration on "))
      general.last_reconfiguration = std::string(text);
    if (absl::StrContains(text, "raceful restart recovery in progress")) general.recovering = true;
    if (line.code == kStatusShutdown || absl::StrContains(text, "shutting down"))
      general.shutting_down = true;
  }
  return general;
}

uint32_t ParseRouteCount(const Reply& reply) {
  // "Total: 2 of 2 routes for 2 networks in 2 tables"
  absl::string_view text = reply.lines.back().text;
  absl::ConsumePrefix(&text, "Total: ");
  return Number(text.substr(0, text.find(' ')));
}

}  // namespace ripstop::bgp
