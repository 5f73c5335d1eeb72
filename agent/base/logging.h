// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_BASE_LOGGING_H_
#define RIPSTOP_AGENT_BASE_LOGGING_H_

#include <spdlog/formatter.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>

#include "absl/status/status.h"

namespace ripstop::agent {

inline constexpr char kUsualLogLevel[] = "info";

enum class LogFormat { kAuto, kText, kJson };  // kAuto: text on a terminal, else JSON

// Points the default logger of spdlog at standard error. Call once, before threads.
//   kInvalidArgument  the level is none of trace, debug, info, warn, error, critical, off
absl::Status InitLogging(const std::string& program, const std::string& level,
                         LogFormat format = LogFormat::kAuto);

// Of the default logger, from now on.
//   kInvalidArgument  likewise
absl::Status SetLogLevel(const std::string& level);

// A warning, where there is something to warn of.
void LogUnlessOk(const absl::Status& status);

// One JSON object per line: time (RFC 3339, UTC), level, logger, message.
class JsonFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override;
  std::unique_ptr<spdlog::formatter> clone() const override;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_BASE_LOGGING_H_
