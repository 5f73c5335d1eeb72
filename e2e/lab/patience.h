// SPDX-License-Identifier: Apache-2.0
//
// Limits of the lab are for what hangs, and fit a machine of today. RIPSTOP_PATIENCE=8 makes each
// of them eight times as long, for an emulator.
#ifndef RIPSTOP_E2E_LAB_PATIENCE_H_
#define RIPSTOP_E2E_LAB_PATIENCE_H_

#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/time/time.h"

namespace ripstop::lab {

inline absl::Duration Patient(absl::Duration limit) {
  static const int factor = [] {
    const char* const text = std::getenv("RIPSTOP_PATIENCE");
    int wanted = 1;
    return text != nullptr && absl::SimpleAtoi(text, &wanted) && wanted > 1 ? wanted : 1;
  }();
  return limit * factor;
}

}  // namespace ripstop::lab

#endif  // RIPSTOP_E2E_LAB_PATIENCE_H_
