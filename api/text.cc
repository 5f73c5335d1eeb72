// SPDX-License-Identifier: Apache-2.0
#include "api/text.h"

#include "absl/strings/str_cat.h"

namespace ripstop::api {

std::string Printable(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    // U+0080 to U+009F in UTF-8.
    const bool c1 =
        byte == 0xc2 && i + 1 < text.size() && (static_cast<uint8_t>(text[i + 1]) & 0xe0) == 0x80;
    if (byte >= 0x20 && byte != 0x7f && !c1) {
      out.push_back(text[i]);
      continue;
    }
    if (c1) ++i;
    absl::StrAppend(&out, "\\x", absl::Hex(static_cast<uint8_t>(text[i]), absl::kZeroPad2));
  }
  return out;
}

}  // namespace ripstop::api
