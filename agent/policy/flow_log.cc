// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/flow_log.h"

#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/policy/rule_words.h"

namespace ripstop::agent {
namespace {

using nlohmann::ordered_json;

std::string TimeText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone());
}

std::string Line(const FlowRecord& record) {
  const policy::Packet& packet = record.packet;
  const bool icmp =
      packet.protocol == policy::kProtocolIcmp || packet.protocol == policy::kProtocolIcmpV6;
  const bool ports = policy::HasPorts(packet.protocol);
  ordered_json line = {{"time", TimeText(record.time)},
                       {"direction", policy::ToString(record.direction)},
                       {"endpoint", record.endpoint},
                       {"verdict", record.allow ? "Allow" : "Deny"},
                       {"protocol", ProtocolName(packet.protocol)},
                       {"source", packet.source.ToString()}};
  if (ports) line["sourcePort"] = packet.source_port;
  line["destination"] = packet.destination.ToString();
  if (ports) line["destinationPort"] = packet.destination_port;
  if (icmp) {
    line["icmpType"] = packet.icmp_type;
    line["icmpCode"] = packet.icmp_code;
  }
  if (record.rule.has_value()) {
    const policy::RuleIdentity& rule = *record.rule;
    if (!rule.tier.empty()) line["tier"] = rule.tier;
    if (const std::string kind = PolicyKindName(rule); !kind.empty()) line["policyKind"] = kind;
    if (const std::string name = PolicyName(rule); !name.empty()) line["policy"] = name;
    line["rule"] = RuleName(rule);
    if (rule.rule_index >= 0) line["ruleIndex"] = rule.rule_index;
    if (!rule.rule_name.empty()) line["ruleName"] = rule.rule_name;
  } else {
    line["rule"] = "no longer in force";
  }
  // Names come from documents, which are UTF-8; should one not be, the line still is.
  return line.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace

absl::StatusOr<std::unique_ptr<FlowLog>> FlowLog::Open(const FlowLogOptions& options) {
  std::unique_ptr<FlowLog> log(new FlowLog(options));
  if (options.file.empty()) return log;
  try {
    log->file_ = std::make_shared<spdlog::logger>(
        "flow", std::make_shared<spdlog::sinks::rotating_file_sink_st>(options.file,
                                                                       options.file_bytes, 1));
  } catch (const spdlog::spdlog_ex& error) {
    return absl::UnavailableError(absl::StrCat("flow log ", options.file, ": ", error.what()));
  }
  log->file_->set_pattern("%v");
  log->file_->flush_on(spdlog::level::info);
  return log;
}

void FlowLog::SetRate(absl::Duration interval, uint32_t burst) {
  interval_ = interval;
  burst_ = interval * std::max(burst, 1u);
}

bool FlowLog::MayWrite(absl::Time now) {
  if (!options_.lines_per_second.has_value() && interval_ > absl::ZeroDuration()) {
    // Generic cell rate algorithm (ITU-T I.371), as a time that runs ahead of the clock.
    const absl::Time next = std::max(written_until_, now) + interval_;
    if (next > now + burst_) return false;
    written_until_ = next;
    return true;
  }
  if (now < second_ || now - second_ >= absl::Seconds(1)) {
    second_ = now;
    in_second_ = 0;
  }
  return in_second_++ < options_.lines_per_second.value_or(kFlowLogLinesPerSecond);
}

void FlowLog::Write(const FlowRecord& record, absl::Time now) {
  if (!MayWrite(now)) {
    ++left_out_;
    return;
  }
  (file_ != nullptr ? file_.get() : spdlog::default_logger_raw())->info("{}", Line(record));
}

void FlowLog::Tick(absl::Time now) {
  if (left_out_ == 0 && not_told_ == 0) return;
  const ordered_json line = {{"time", TimeText(now)},
                             {"leftOut", std::exchange(left_out_, 0)},
                             {"notTold", std::exchange(not_told_, 0)}};
  (file_ != nullptr ? file_.get() : spdlog::default_logger_raw())->info("{}", line.dump());
}

}  // namespace ripstop::agent
