// SPDX-License-Identifier: Apache-2.0
//
// The only ways by which a user's text enters bird.conf. BIRD 2.0 has no escape inside a
// quoted string (conf/cf-lex.l: '"' up to the next '"', no line end), so what cannot stand
// there is rewritten (descriptions) or refused (passwords). Pure; any thread.
#ifndef RIPSTOP_BGP_BRIDGE_ESCAPE_H_
#define RIPSTOP_BGP_BRIDGE_ESCAPE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ripstop::bgp {

// A BIRD symbol, the same for the same input on every run and machine:
// `prefix`, up to 24 readable characters of `name`, and 64 bits of a hash of `identity`,
// so that two names which look alike stay two. At most 64 characters, BIRD's limit.
std::string SafeSymbol(absl::string_view prefix, absl::string_view name,
                       absl::string_view identity);

// `text` in double quotes, printable ASCII only, for `description`. Cut after 200 characters.
std::string QuotedDescription(absl::string_view text);

// `text` in double quotes, unchanged. kInvalidArgument, without the text (it may be a
// secret), when it holds a '"', a line end or a NUL, or is longer than `bytes_max`.
absl::StatusOr<std::string> QuotedExact(absl::string_view text, size_t bytes_max);

}  // namespace ripstop::bgp

#endif  // RIPSTOP_BGP_BRIDGE_ESCAPE_H_
