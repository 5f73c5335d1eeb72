// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_POLICY_FLOW_LOG_H_
#define RIPSTOP_AGENT_POLICY_FLOW_LOG_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "policy/model.h"
#include "spdlog/logger.h"

namespace ripstop::agent {

struct FlowLogOptions {
  std::string file;                 // empty: the agent's own log, level info
  uint64_t file_bytes = 10u << 20;  // then it is renamed (x.log: x.1.log) and begun anew
  // 0: none, only counted. nullopt: as SetRate says, else kFlowLogLinesPerSecond.
  std::optional<uint32_t> lines_per_second;
};
inline constexpr uint32_t kFlowLogLinesPerSecond = 100;

// One direction of a flow that a Log rule marked.
struct FlowRecord {
  absl::Time time;
  policy::Direction direction = policy::Direction::kIngress;
  std::string endpoint;  // of this node, whose policy it is: "namespace/name"
  policy::Packet packet;
  bool allow = false;
  std::optional<policy::RuleIdentity> rule;  // that decided; absent: of an earlier policy
};

// What Log rules say, one JSON object per line:
//
//   {"time":"2026-01-02T03:04:05.678Z","direction":"ingress","endpoint":"shop/db",
//    "verdict":"Deny","protocol":"TCP","source":"192.0.2.1","sourcePort":40000,
//    "destination":"192.0.2.2","destinationPort":5432,"tier":"default",
//    "policyKind":"NetworkPolicy","policy":"shop/db","rule":"ingress rule 1 (audit)",
//    "ruleIndex":1,"ruleName":"audit"}
//
// A flood cannot fill a disk: the file is one of two, each of at most `file_bytes`, and there
// are at most `lines_per_second`. What was left out is counted, and a line says how many:
//   {"time":"…","leftOut":1234,"notTold":0}
// `notTold`: flows that the datapath could not tell of, marked ones perhaps among them.
// For the agent's loop.
class FlowLog {
 public:
  //   kUnavailable  the file cannot be opened; names it
  static absl::StatusOr<std::unique_ptr<FlowLog>> Open(const FlowLogOptions& options);

  // `burst` lines at once, and one more each `interval`; zero: as if it had never been said.
  // Nothing where the options have lines_per_second.
  void SetRate(absl::Duration interval, uint32_t burst);

  void Write(const FlowRecord& record, absl::Time now);
  // `marked`: all of them by a Log rule. See DataplaneInterface::EventsLost.
  void NotTold(uint64_t flows, bool marked) { (marked ? left_out_ : not_told_) += flows; }
  // Says what was left out since it last did. Call it every few seconds.
  void Tick(absl::Time now);

 private:
  explicit FlowLog(const FlowLogOptions& options) : options_(options) {}
  bool MayWrite(absl::Time now);

  const FlowLogOptions options_;
  std::shared_ptr<spdlog::logger> file_;  // null: the default logger
  absl::Time second_ = absl::InfinitePast();
  uint32_t in_second_ = 0;
  absl::Duration interval_ = absl::ZeroDuration();
  absl::Duration burst_ = absl::ZeroDuration();      // as a time: that many intervals
  absl::Time written_until_ = absl::InfinitePast();  // what has been written fills up to here
  uint64_t left_out_ = 0;
  uint64_t not_told_ = 0;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_POLICY_FLOW_LOG_H_
