// SPDX-License-Identifier: Apache-2.0
#include "agent/base/logging.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "policy/status_macros.h"

namespace ripstop::agent {

void JsonFormatter::format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) {
  const auto text = [](spdlog::string_view_t view) {
    return std::string(view.data(), view.size());
  };
  nlohmann::ordered_json line = {
      {"time", absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::FromChrono(message.time),
                                absl::UTCTimeZone())},
      {"level", text(spdlog::level::to_string_view(message.level))},
      {"logger", text(message.logger_name)},
      {"message", text(message.payload)},
  };
  // Replacing what is not UTF-8: a log line must never be the thing that fails.
  std::string rendered =
      line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  rendered.push_back('\n');
  out.append(rendered.data(), rendered.data() + rendered.size());
}

std::unique_ptr<spdlog::formatter> JsonFormatter::clone() const {
  return std::make_unique<JsonFormatter>();
}

namespace {

absl::StatusOr<spdlog::level::level_enum> LevelOf(const std::string& level) {
  const spdlog::level::level_enum parsed = spdlog::level::from_str(level);
  if (parsed != spdlog::level::off || level == "off") return parsed;
  return absl::InvalidArgumentError(absl::StrCat(
      "log level '", level, "': want trace, debug, info, warn, error, critical or off"));
}

}  // namespace

absl::Status InitLogging(const std::string& program, const std::string& level, LogFormat format) {
  ASSIGN_OR_RETURN(const spdlog::level::level_enum parsed, LevelOf(level));
  auto logger = std::make_shared<spdlog::logger>(
      program, std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  logger->set_level(parsed);
  logger->flush_on(spdlog::level::trace);
  if (format == LogFormat::kJson || (format == LogFormat::kAuto && isatty(STDERR_FILENO) == 0)) {
    logger->set_formatter(std::make_unique<JsonFormatter>());
  } else {
    logger->set_pattern("%H:%M:%S.%e %^%-5l%$ %v");
  }
  spdlog::set_default_logger(std::move(logger));
  return absl::OkStatus();
}

absl::Status SetLogLevel(const std::string& level) {
  ASSIGN_OR_RETURN(const spdlog::level::level_enum parsed, LevelOf(level));
  spdlog::default_logger_raw()->set_level(parsed);
  return absl::OkStatus();
}

void LogUnlessOk(const absl::Status& status) {
  if (!status.ok()) spdlog::warn("{}", std::string(status.message()));
}

}  // namespace ripstop::agent
