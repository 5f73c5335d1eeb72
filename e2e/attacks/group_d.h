// SPDX-License-Identifier: Apache-2.0
//
// What the rows of group D have in common: mallory, whom bob's policy admits to one port and not to
// another, and a flow of alice's that must go on whatever happens to the agent.
#ifndef RIPSTOP_E2E_ATTACKS_GROUP_D_H_
#define RIPSTOP_E2E_ATTACKS_GROUP_D_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "e2e/attacks/attack.h"
#include "e2e/attacks/ground.h"
#include "e2e/lab/live_flow.h"

namespace ripstop::attacks {

// How many starts, and how many places to die at. RIPSTOP_ATTACK_STARTS, RIPSTOP_ATTACK_POINTS.
int Number(const char* name, int otherwise);

// A control: bob's closed port is reached.
absl::Status ClosedPortIsReached(Ground& ground, const Variant& v);

// The open port is reached by what was sent after what was sent to the closed one, and that is
// not. Nobody need be there to count it.
absl::Status PolicyHolds(Ground& ground, const Variant& v);

absl::StatusOr<lab::LiveFlow> AliceToBob(Ground& ground, const Variant& v,
                                         const char* protocol = "UDP", uint16_t port = 7002);
absl::Status NothingLost(const lab::LiveFlow& live);

// What the denied packets were counted under since `before`: one reason and no other.
absl::Status CountedAsDenied(Ground& ground, const Variant& v, Ground::Drops before);

// A pod that comes and goes, on node1.
lab::Pod Kid();

// Rows D3 and D9: death before any write.
Attack DiesInAStart();
Attack DiesInAnAdd();

}  // namespace ripstop::attacks

#endif  // RIPSTOP_E2E_ATTACKS_GROUP_D_H_
