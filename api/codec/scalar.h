// SPDX-License-Identifier: Apache-2.0
//
// What a plain (unquoted) YAML scalar means. The rules are those of the readers that
// users' documents are written for: YAML 1.1 as Kubernetes reads it, `y` and `1_000`
// included. A quoted scalar is always a string and does not come here.
#ifndef RIPSTOP_API_CODEC_SCALAR_H_
#define RIPSTOP_API_CODEC_SCALAR_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace ripstop::api {

enum class ScalarType { kNull, kBool, kInteger, kFloat, kString };

ScalarType PlainScalarType(std::string_view text);
bool IsNullScalar(std::string_view text);  // its kNull alone

// true and false alone: yes, on and y are booleans to some readers and words to others.
std::optional<bool> Boolean(std::string_view text);

// Decimal only: an octal or hexadecimal port or order is a mistake, not a wish.
std::optional<int64_t> DecimalInteger(std::string_view text);

// 64512, or 64086.59904 (RFC 5396 asdot+).
std::optional<uint32_t> AsNumber(std::string_view text);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_CODEC_SCALAR_H_
