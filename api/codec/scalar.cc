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

bool IsOneOf(std::string_view text, std::initializer_list<const char*> words) {
  return std::any_of(words.begin(), words.end(), [&](const char* word) { return text == word; });
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

bool IsNullScalar(std::string_view text) {
  return text.empty() || text == "~" ||
         (text.size() == 4 && IsOneOf(text, {"null", "Null", "NULL"}));
}

ScalarType PlainScalarType(std::string_view text) {
  if (IsNullScalar(text)) return ScalarType::kNull;
  // Most scalars are words, which their first letter and their length tell.
  const bool number = std::string_view("+-.0123456789").find(text[0]) != text.npos;
  if (!number && text.size() > 5) return ScalarType::kString;
  // In letters of any case, though Kubernetes reads only three of each: the others are refused
  // where a string is wanted, not taken for one.
  const std::string lower = absl::AsciiStrToLower(Av(text));
  if (IsOneOf(lower, {"true", "false", "yes", "no", "on", "off", "y", "n"}))
    return ScalarType::kBool;
  if (IsOneOf(lower, {".inf", "+.inf", "-.inf", ".nan"})) return ScalarType::kFloat;
  // 1_000 is the integer 1000 in YAML 1.1.
  std::string bare = lower;
  if (absl::ascii_isdigit(bare[0]) || bare[0] == '-' || bare[0] == '+')
    bare.erase(std::remove(bare.begin(), bare.end(), '_'), bare.end());
  if (IsPrefixedInteger(bare)) return ScalarType::kInteger;
  if (!IsDecimalNumber(bare)) return ScalarType::kString;
  return bare.find_first_of(".e") == std::string::npos ? ScalarType::kInteger : ScalarType::kFloat;
}

std::optional<bool> Boolean(std::string_view text) {
  if (IsOneOf(text, {"true", "True", "TRUE"})) return true;
  if (IsOneOf(text, {"false", "False", "FALSE"})) return false;
  return std::nullopt;
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

}  // namespace ripstop::api
