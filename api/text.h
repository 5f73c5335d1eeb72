// SPDX-License-Identifier: Apache-2.0
//
// Debian 12's Abseil has a string_view of its own, which a std::string_view does not
// convert to: Av() takes it across.
#ifndef RIPSTOP_API_TEXT_H_
#define RIPSTOP_API_TEXT_H_

#include <string>
#include <string_view>

#include "absl/strings/string_view.h"

namespace ripstop::api {

inline absl::string_view Av(std::string_view text) { return {text.data(), text.size()}; }

// The text with each control character written out, such as "\x1b", C1's too: for a terminal or a
// log, which would obey them. Everything else is as it was.
std::string Printable(std::string_view text);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_TEXT_H_
