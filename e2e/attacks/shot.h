// SPDX-License-Identifier: Apache-2.0
//
// Attacks that are a packet or a few: fired on the plain ground, where they must arrive, and
// on the guarded one, where each packet must be counted under one reason on one node, nothing
// under any other, and nothing may arrive. When all are counted, all have been judged: nobody
// waits for what does not come.
#ifndef RIPSTOP_E2E_ATTACKS_SHOT_H_
#define RIPSTOP_E2E_ATTACKS_SHOT_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "e2e/attacks/arrival.h"
#include "e2e/attacks/attack.h"

namespace ripstop::attacks {

struct Shot {
  std::string name;
  std::string reason;  // as counters name it
  Arrived arrived;
  std::function<absl::Status()> fire;
  uint64_t packets = 1;              // that are counted
  std::string counted_at = "node1";  // where mallory is
};

// Takes aim on a ground: all shots of a variant, made to be fired there and watched.
using Aim = std::function<absl::StatusOr<std::vector<Shot>>(Ground&, const Variant&)>;

Attack Shots(std::string id, std::string title, std::vector<Variant> variants, Aim aim);

// The two halves for one shot.
absl::Status MustArrive(const Shot& shot);
absl::Status MustBeDropped(Ground& ground, const Shot& shot);

// Asks until `condition` holds, or a minute is over: a limit for hangs alone.
bool Await(const std::function<bool()>& condition);

}  // namespace ripstop::attacks

#endif  // RIPSTOP_E2E_ATTACKS_SHOT_H_
