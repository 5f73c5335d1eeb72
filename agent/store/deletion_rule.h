// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_STORE_DELETION_RULE_H_
#define RIPSTOP_AGENT_STORE_DELETION_RULE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ripstop::agent {

// How much of one kind there was and is gone.
struct Loss {
  int64_t had = 0;
  int64_t lost = 0;
};
using Losses = std::map<std::string, Loss>;  // by kind

// Beside the kinds: all together that do not come and go with pods.
inline constexpr char kDeclared[] = "";

// When is a deletion no longer somebody's work, but a store that was wiped, swapped or put back?
//
// When more than half of what there was of a kind is gone at once, and at least ten objects of it;
// of kinds that come and go with pods (endpoints, pods, blocks, slices), a hundred. So the one
// policy of a small cluster can be deleted, and a large deployment be scaled down.
bool IsMassDeletion(const std::string& kind, const Loss& loss);

// Endpoints, pods, IPAM blocks and endpoint slices.
bool ComesAndGoesWithPods(const std::string& kind);

// Adds kDeclared.
void AddDeclared(Losses* losses);

// One clause for each kind of which too much is gone: "60 of 80 NetworkPolicy". Empty: none.
std::vector<std::string> MassDeletions(const Losses& losses);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_STORE_DELETION_RULE_H_
