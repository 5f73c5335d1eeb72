// SPDX-License-Identifier: Apache-2.0
#include "api/codec/scalar.h"

#include <algorithm>
#include <array>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "api/text.h"

namespace ripstop::api {
namespace {

bool IsOneOf(const std::string& lower, std::initializer_list<const char*> words) {
  return std::any_of(words.begin(), words.end(), [&](const char* word) { return lower == word; });
}

bool AllDigits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_isdigit(c); });
}

// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?, which includes the integers.
bool IsDecimalNumber(std::string_view text) {
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  const size_t e = text.find_first_of("eE");
  if (e != std::string_view::npos) {
    std::string_view exponent = text.substr(e + 1);
    if (!exponent.empty() && (exponent[0] == '-' || exponent[0] == '+')) exponent.remove_prefix(1);
    if (!AllDigits(exponent)) return false;
    text = text.substr(0, e);
  }
  const size_t dot = text.find('.');
  if (dot == std::string_view::npos) return AllDigits(text);
  const std::string_view whole = text.substr(0, dot), fraction = text.substr(dot + 1);
  if (whole.empty()) return AllDigits(fraction);
  return AllDigits(whole) && (fraction.empty() || AllDigits(fraction));
}

bool IsPrefixedInteger(const std::string& lower) {
  size_t start = !lower.empty() && (lower[0] == '-' || lower[0] == '+') ? 1 : 0;
  if (lower.size() < start + 3 || lower[start] != '0') return false;
  const std::string_view digits = std::string_view(lower).substr(start + 2);
  const char base = lower[start + 1];
  const char* allowed = base == 'x'   ? "0123456789abcdef_"
                        : base == 'o' ? "01234567_"
                        : base == 'b' ? "01_"
                                      : "";
  return digits.find_first_not_of(allowed) == std::string_view::npos;
}

}  // namespace

ScalarType PlainScalarType(std::string_view text) {
  const std::string lower = absl::AsciiStrToLower(Av(text));
  if (text.empty() || text == "~" || lower == "null") return ScalarType::kNull;
  if (IsOneOf(lower, {"true", "false", "yes", "no", "on", "off"})) return ScalarType::kBool;
  if (IsOneOf(lower, {".inf", "+.inf", "-.inf", ".nan"})) return ScalarType::kFloat;
  // 1_000 is the integer 1000 in YAML 1.1.
  std::string bare = lower;
  if (absl::ascii_isdigit(bare[0]))
    bare.erase(std::remove(bare.begin(), bare.end(), '_'), bare.end());
  if (IsPrefixedInteger(bare)) return ScalarType::kInteger;
  if (!IsDecimalNumber(bare)) return ScalarType::kString;
  return bare.find_first_of(".e") == std::string::npos ? ScalarType::kInteger : ScalarType::kFloat;
}

std::optional<int64_t> DecimalInteger(std::string_view text) {
  const std::string_view digits = !text.empty() && text[0] == '-' ? text.substr(1) : text;
  if (!AllDigits(digits) || (digits.size() > 1 && digits[0] == '0')) return std::nullopt;
  int64_t value = 0;
  if (!absl::SimpleAtoi(Av(text), &value)) return std::nullopt;
  return value;
}

std::optional<uint32_t> AsNumber(std::string_view text) {
  const size_t dot = text.find('.');
  if (dot == std::string_view::npos) {
    const std::optional<int64_t> value = DecimalInteger(text);
    if (!value || *value < 0 || *value > UINT32_MAX) return std::nullopt;
    return static_cast<uint32_t>(*value);
  }
  const std::optional<int64_t> high = DecimalInteger(text.substr(0, dot));
  const std::optional<int64_t> low = DecimalInteger(text.substr(dot + 1));
  if (!high || !low || *high < 0 || *low < 0 || *high > 65535 || *low > 65535) return std::nullopt;
  return static_cast<uint32_t>(*high << 16 | *low);
}

bool IsUtf8(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  for (size_t i = 0; i < text.size();) {
    const uint8_t first = byte(i);
    const size_t length = first < 0x80   ? 1
                          : first < 0xc2 ? 0
                          : first < 0xe0 ? 2
                          : first < 0xf0 ? 3
                          : first < 0xf5 ? 4
                                         : 0;
    if (length == 0 || length > text.size() - i) return false;
    for (size_t k = 1; k < length; ++k) {
      if ((byte(i + k) & 0xc0) != 0x80) return false;
    }
    // Overlong forms, surrogates, and what is beyond U+10FFFF.
    if (length > 2) {
      const uint8_t second = byte(i + 1);
      if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
          (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) {
        return false;
      }
    }
    i += length;
  }
  return true;
}

}  // namespace ripstop::api
