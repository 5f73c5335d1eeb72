// SPDX-License-Identifier: Apache-2.0
//
// A `ripstop-probe stream` that runs in a pod while the test does something else.
#ifndef RIPSTOP_E2E_LAB_LIVE_FLOW_H_
#define RIPSTOP_E2E_LAB_LIVE_FLOW_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "e2e/lab/connectivity.h"
#include "e2e/lab/lab.h"

namespace ripstop::lab {

// Ends, and its record is removed, with the object.
class LiveFlow {
 public:
  struct Timing {
    absl::Duration interval = absl::Milliseconds(5);
    absl::Duration duration = absl::Hours(1);  // unless Finish comes before
    absl::Duration cut_after = absl::Milliseconds(400);
  };
  static absl::StatusOr<LiveFlow> Start(const Lab& lab, const Flow& flow, const Timing& timing);
  LiveFlow(LiveFlow&& other) noexcept;
  LiveFlow& operator=(LiveFlow&&) = delete;
  ~LiveFlow();

  // Waits for the `count`th event of that name ("connected", "cut", "restored", "progress",
  // "end") and returns it. kDeadlineExceeded, after ten minutes: what has been seen.
  absl::StatusOr<nlohmann::json> WaitFor(const std::string& event, int count = 1) const;
  // Waits until at least so many more were sent.
  absl::Status WaitForMore(int64_t count) const;
  // Has it send no more. For several that then listen together, before Finish asks each.
  void StopSending() const;
  // The same, waits for the answers that are under way, and tells how it went.
  absl::StatusOr<nlohmann::json> Finish() const;

 private:
  LiveFlow(std::string log, ProcessId process) : log_(std::move(log)), process_(process) {}
  std::string log_;
  ProcessId process_;
};

}  // namespace ripstop::lab

#endif  // RIPSTOP_E2E_LAB_LIVE_FLOW_H_
