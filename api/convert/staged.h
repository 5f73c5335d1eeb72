// SPDX-License-Identifier: Apache-2.0
//
// The staged world: what would be in force if every staged policy were applied.
//
//   enforced policies ─┐
//   staged policies ───┴─[AsIfApplied]─▶ the policies of the staged world
//
// Set adds the policy or replaces the enforced one of the same kind, namespace and name,
// whatever tier that is in, because applying it would. Delete takes that one away, but only
// from the tier it names. A policy of the staged world has the key of the enforced kind, so
// that ties are broken as they will be once it is applied. Pure.
#ifndef RIPSTOP_API_CONVERT_STAGED_H_
#define RIPSTOP_API_CONVERT_STAGED_H_

#include <optional>

#include "policy/model.h"
#include "policy/world.h"

namespace ripstop::api {

// The key a staged policy's enforced twin has; other keys as they are.
policy::PolicyKey EnforcedKey(policy::PolicyKey key);
// And back. Kinds that cannot be staged stay as they are.
policy::PolicyKey StagedKey(policy::PolicyKey key);

// What the staged world holds under one enforced key. `enforced` and `staged` are what is
// known under it and under its staged key, or null.
std::optional<policy::Policy> AsIfApplied(const policy::Policy* enforced,
                                          const policy::Policy* staged);

// Whether `world` holds a staged policy, and the same world with all of them applied.
bool HasStaged(const policy::World& world);
policy::World StagedWorld(const policy::World& world);

// A verdict of the staged world, its rule named as users know it: with the staged kind where
// `staged`, what `world` holds under that key, put it there.
policy::RuleIdentity AsStaged(policy::RuleIdentity by, bool staged);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_CONVERT_STAGED_H_
