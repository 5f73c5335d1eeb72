// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/fuzz/packet_event.h"

#include <linux/pkt_cls.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "bpf/loader/fuzz/reference_parser.h"

namespace ripstop::loader::fuzz {
namespace {

std::string Hex(const Frame& frame) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(frame.data()), frame.size()));
}

}  // namespace

const char* NameOfReason(uint32_t reason) {
  switch (reason) {
#define X(id, name, description) \
  case DROP_##id: return name;
    DROP_REASONS(X)
#undef X
    default: return "none";
  }
}

const char* ToString(Program program) {
  switch (program) {
    case Program::kFromWorkload: return "from_workload";
    case Program::kToWorkload: return "to_workload";
    case Program::kFromHost: return "from_host";
    case Program::kFromTunnel: return "from_tunnel";
    case Program::kFromElsewhere: return "from_elsewhere";
    case Program::kToHost: return "to_host";
  }
  return "";
}

std::string Describe(const PacketEvent& event) {
  const ParseResult parsed = ParseFrame(event.frame, event.gso_size);
  return absl::StrCat(
      ToString(event.program), " at interface ", event.ifindex, ", in by ", event.ingress_ifindex,
      event.program == Program::kFromTunnel ? absl::StrCat(" of node ", event.sender) : "",
      event.gso_size != 0 ? absl::StrCat(", segments of ", event.gso_size) : "",
      event.mark != 0 ? absl::StrCat(", mark ", absl::Hex(event.mark)) : "",
      event.redirected ? ", redirected" : "", ": ",
      parsed.reason != DROP_NONE ? NameOfReason(parsed.reason) : Describe(parsed.packet), "\n  ",
      Hex(event.frame));
}

std::string Describe(const Outcome& outcome) {
  return absl::StrCat("action ", outcome.action, ", reason ", NameOfReason(outcome.reason),
                      outcome.sender != 0 ? absl::StrCat(", vouches for ", outcome.sender) : "",
                      outcome.mark != 0 ? absl::StrCat(", mark ", absl::Hex(outcome.mark)) : "",
                      outcome.answered ? ", answered" : "", "\n  ", Hex(outcome.frame));
}

Outcome Passed(const PacketEvent& event, int action) {
  return {.action = action, .mark = event.mark, .frame = event.frame};
}

Outcome Dropped(const PacketEvent& event, drop_reason reason) {
  return {.action = TC_ACT_SHOT, .reason = reason, .mark = event.mark, .frame = event.frame};
}

}  // namespace ripstop::loader::fuzz
