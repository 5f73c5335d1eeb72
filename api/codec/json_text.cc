// SPDX-License-Identifier: Apache-2.0
#include "api/codec/json_text.h"

#include <cstdint>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"

namespace ripstop::api {
namespace {

// The character that `text` begins with when JSON may hold it and YAML may not, or 0.
uint32_t Unwelcome(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0u; };
  if (byte(0) == 0x7f) return 0x7f;
  if (byte(0) == 0xc2 && byte(1) < 0xa0) return byte(1);
  if (byte(0) != 0xe2 && byte(0) != 0xef) return 0;
  const uint32_t c = (byte(0) & 0xf) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f);
  return c == 0x2028 || c == 0x2029 || c == 0xfeff || c == 0xfffe || c == 0xffff ? c : 0;
}

size_t Bytes(uint32_t c) { return c < 0x80 ? 1 : c < 0x800 ? 2 : 3; }

// The number of the \uXXXX that `text` begins with.
std::optional<uint32_t> Escape(std::string_view text) {
  uint32_t value = 0;
  if (text.size() < 6 || text[0] != '\\' || text[1] != 'u' ||
      !absl::SimpleHexAtoi(absl::string_view(text.data() + 2, 4), &value)) {
    return std::nullopt;
  }
  return value;
}

std::string Utf8(uint32_t c) {
  return {static_cast<char>(0xf0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 0x3f)),
          static_cast<char>(0x80 | (c >> 6 & 0x3f)), static_cast<char>(0x80 | (c & 0x3f))};
}

std::string JoinSurrogates(std::string_view json) {
  std::string joined;
  while (!json.empty()) {
    const auto high = Escape(json);
    const auto low = high ? Escape(json.substr(6)) : std::nullopt;
    size_t length = 1;
    if (high && low && *high >> 10 == 0xd800 >> 10 && *low >> 10 == 0xdc00 >> 10) {
      joined += Utf8(0x10000 + ((*high & 0x3ff) << 10) + (*low & 0x3ff));
      length = 12;
    } else {
      // An escaped backslash does not begin an escape.
      length = json[0] == '\\' && json.size() > 1 ? 2 : 1;
      joined += json.substr(0, length);
    }
    json.remove_prefix(length);
  }
  return joined;
}

}  // namespace

std::string EscapedForYaml(std::string_view json) {
  std::string escaped;
  while (!json.empty()) {
    const size_t clean = std::min(json.find_first_of("\x7f\xc2\xe2\xef"), json.size());
    escaped += json.substr(0, clean);
    json.remove_prefix(clean);
    if (json.empty()) break;
    if (const uint32_t c = Unwelcome(json); c != 0) {
      absl::StrAppendFormat(&escaped, "\\u%04x", c);
      json.remove_prefix(Bytes(c));
    } else {
      escaped += json[0];
      json.remove_prefix(1);
    }
  }
  return escaped;
}

void MakeYamlOfJson(std::string* text) {
  const size_t first = text->find_first_not_of(" \t\r\n");
  if (first == std::string::npos || (*text)[first] != '{') return;
  std::string changed = EscapedForYaml(*text);
  const bool pairs =
      text->find("\\ud") != std::string::npos || text->find("\\uD") != std::string::npos;
  if ((!pairs && changed == *text) || !nlohmann::json::accept(*text)) return;
  *text = pairs ? JoinSurrogates(changed) : std::move(changed);
}

}  // namespace ripstop::api
