// SPDX-License-Identifier: Apache-2.0
//
// The text of bird.conf (BIRD 2.0) for a Model.
//
//   blocks ─▶ static blackholes ──┬─▶ peers (own and learned prefixes of exportable pools)
//   peers ─▶ import filter ─▶ table ─▶ kernel export filter ─▶ kernel (if BIRD owns the route)
//   kernel ─▶ table: what resolves next hops; neither pool prefixes nor the agent's routes
//
// A pure function: equal models give equal text, so that comparing text tells whether
// anything changed, and protocol names are stable, so that `configure` flaps no session
// which did not change. Nothing a user wrote is in the text but parsed and printed numbers
// and addresses, escaped descriptions, and passwords without quote or line end.
// Any thread.
#ifndef RIPSTOP_BGP_BRIDGE_RENDER_H_
#define RIPSTOP_BGP_BRIDGE_RENDER_H_

#include <string>
#include <vector>

#include "bgp-bridge/model.h"
#include "bgp-bridge/sessions.h"

namespace ripstop::bgp {

struct RenderedConfig {
  std::string text;
  std::vector<Session> sessions;    // by symbol; resolves names that BIRD reports
  std::vector<SetAside> set_aside;  // what is not in the text, and why
};

// Never fails: an object that cannot be expressed is set aside, the rest stands.
RenderedConfig RenderBirdConfig(const Model& model);

}  // namespace ripstop::bgp

#endif  // RIPSTOP_BGP_BRIDGE_RENDER_H_
