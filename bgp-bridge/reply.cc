// SPDX-License-Identifier: Apache-2.0
#include "bgp-bridge/reply.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "policy/status_macros.h"

namespace ripstop::bgp {
namespace {

constexpr size_t kLineMax = 64 * 1024;
constexpr size_t kCodeWidth = 4;

}  // namespace

std::string Reply::Text() const {
  return absl::StrJoin(lines, "\n",
                       [](std::string* out, const ReplyLine& line) { *out += line.text; });
}

absl::Status ReplyParser::Feed(absl::string_view bytes) {
  pending_.append(bytes.data(), bytes.size());
  size_t begin = 0;
  for (size_t end; (end = pending_.find('\n', begin)) != std::string::npos; begin = end + 1)
    RETURN_IF_ERROR(Line(absl::string_view(pending_).substr(begin, end - begin)));
  pending_.erase(0, begin);
  if (pending_.size() > kLineMax) return absl::DataLossError("BIRD sent a line without end");
  return absl::OkStatus();
}

absl::Status ReplyParser::Line(absl::string_view line) {
  if (!line.empty() && line.front() == '+') return absl::OkStatus();
  if (!line.empty() && line.front() == ' ') {
    if (current_.lines.empty())
      return absl::DataLossError("BIRD continued a reply that it had not begun");
    line.remove_prefix(1);
    current_.lines.push_back({current_.lines.back().code, std::string(line)});
    return absl::OkStatus();
  }
  int code = 0;
  bool valid = line.size() > kCodeWidth && (line[kCodeWidth] == ' ' || line[kCodeWidth] == '-');
  for (size_t i = 0; valid && i < kCodeWidth; ++i) {
    valid = absl::ascii_isdigit(static_cast<unsigned char>(line[i]));
    code = code * 10 + (line[i] - '0');
  }
  if (!valid)
    return absl::DataLossError(
        absl::StrCat("not a reply of BIRD: \"", absl::CEscape(line.substr(0, 80)), "\""));
  current_.lines.push_back({code, std::string(line.substr(kCodeWidth + 1))});
  if (line[kCodeWidth] == ' ') complete_.push_back(std::exchange(current_, {}));
  return absl::OkStatus();
}

std::optional<Reply> ReplyParser::Next() {
  if (complete_.empty()) return std::nullopt;
  Reply reply = std::move(complete_.front());
  complete_.erase(complete_.begin());
  return reply;
}

}  // namespace ripstop::bgp
