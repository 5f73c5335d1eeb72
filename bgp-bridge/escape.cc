// SPDX-License-Identifier: Apache-2.0
#include "bgp-bridge/escape.h"

#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "policy/base/stable_hash.h"

namespace ripstop::bgp {
namespace {

constexpr size_t kReadableMax = 24;
constexpr size_t kDescriptionMax = 200;

}  // namespace

std::string SafeSymbol(absl::string_view prefix, absl::string_view name,
                       absl::string_view identity) {
  std::string readable(name.substr(0, kReadableMax));
  for (char& c : readable)
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c))) c = '_';
  return absl::StrCat(
      prefix, "_", readable, "_",
      absl::Hex(StableHash(std::string_view(identity.data(), identity.size())), absl::kZeroPad16));
}

std::string QuotedDescription(absl::string_view text) {
  std::string safe = absl::StrReplaceAll(absl::CEscape(text.substr(0, kDescriptionMax)),
                                         {{"\\\"", "'"}, {"\\'", "'"}, {"\"", "'"}});
  return absl::StrCat("\"", safe, "\"");
}

absl::StatusOr<std::string> QuotedExact(absl::string_view text, size_t bytes_max) {
  if (text.size() > bytes_max)
    return absl::InvalidArgumentError(
        absl::StrCat("is ", text.size(), " bytes long; at most ", bytes_max, " are possible"));
  if (text.find_first_of(absl::string_view("\"\r\n\0", 4)) != absl::string_view::npos)
    return absl::InvalidArgumentError(
        "holds a double quote, a line end or a NUL, which BIRD cannot read; choose one without");
  return absl::StrCat("\"", text, "\"");
}

}  // namespace ripstop::bgp
