// SPDX-License-Identifier: Apache-2.0
//
// A measurement in a process of its own: its memory is its own, it can be given up after
// a time, and nothing it leaves behind disturbs the next.
#ifndef RIPSTOP_E2E_BENCH_ISOLATED_H_
#define RIPSTOP_E2E_BENCH_ISOLATED_H_

#include <functional>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ripstop::bench {

// Runs `measure` in a child, which fills `bytes` at `result`.
//   kDeadlineExceeded  not done in `limit_seconds`, the child was ended
//   kAborted           the child crashed
//   any other          what `measure` returned
absl::Status InChild(double limit_seconds, void* result, size_t bytes,
                     const std::function<absl::Status()>& measure);

template <typename T>
absl::StatusOr<T> Isolated(double limit_seconds, const std::function<absl::Status(T&)>& measure) {
  static_assert(std::is_trivially_copyable_v<T>, "it crosses a pipe");
  T result = {};
  const absl::Status status =
      InChild(limit_seconds, &result, sizeof(result), [&] { return measure(result); });
  if (!status.ok()) return status;
  return result;
}

}  // namespace ripstop::bench

#endif  // RIPSTOP_E2E_BENCH_ISOLATED_H_
