// SPDX-License-Identifier: Apache-2.0
//
// The two macros that Debian 12's Abseil lacks.
#ifndef RIPSTOP_POLICY_STATUS_MACROS_H_
#define RIPSTOP_POLICY_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define RS_CONCAT_INNER(a, b) a##b
#define RS_CONCAT(a, b) RS_CONCAT_INNER(a, b)

// Leaves the function with the status of `expression` unless it is OK.
#define RETURN_IF_ERROR(expression)                                               \
  do {                                                                            \
    if (absl::Status rs_status = (expression); !rs_status.ok()) return rs_status; \
  } while (false)

// NOLINTBEGIN(bugprone-macro-parentheses): a declaration cannot stand in parentheses.
// ASSIGN_OR_RETURN(auto value, MakeValue()): unwraps a StatusOr or leaves with its status.
#define ASSIGN_OR_RETURN(declaration, expression) \
  RS_ASSIGN_OR_RETURN(RS_CONCAT(rs_status_or_, __LINE__), declaration, expression)
#define RS_ASSIGN_OR_RETURN(temporary, declaration, expression) \
  auto temporary = (expression);                                \
  if (!temporary.ok()) return temporary.status();               \
  declaration = *std::move(temporary)
// NOLINTEND(bugprone-macro-parentheses)

#endif  // RIPSTOP_POLICY_STATUS_MACROS_H_
