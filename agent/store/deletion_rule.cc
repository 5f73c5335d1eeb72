// SPDX-License-Identifier: Apache-2.0
#include "agent/store/deletion_rule.h"

#include "absl/strings/str_cat.h"
#include "api/ipam/block.h"
#include "api/kinds.h"

namespace ripstop::agent {
namespace {

constexpr int64_t kFloor = 10;
constexpr int64_t kFloorOfPods = 100;  // of kinds that come and go with pods

}  // namespace

bool ComesAndGoesWithPods(const std::string& kind) {
  return kind == api::kKindWorkloadEndpoint || kind == api::kKindPod ||
         kind == api::kKindEndpointSlice || kind == ipam::kBlockKind;
}

void AddDeclared(Losses* losses) {
  losses->erase(kDeclared);
  Loss all;
  for (const auto& [kind, loss] : *losses) {
    if (ComesAndGoesWithPods(kind)) continue;
    all.had += loss.had;
    all.lost += loss.lost;
  }
  (*losses)[kDeclared] = all;
}

bool IsMassDeletion(const std::string& kind, const Loss& loss) {
  const int64_t floor = ComesAndGoesWithPods(kind) ? kFloorOfPods : kFloor;
  return loss.lost >= floor && loss.lost * 2 > loss.had;
}

std::vector<std::string> MassDeletions(const Losses& losses) {
  std::vector<std::string> clauses;
  for (const auto& [kind, loss] : losses) {
    if (!IsMassDeletion(kind, loss)) continue;
    clauses.push_back(absl::StrCat(loss.lost, " of ", loss.had, " ",
                                   kind == kDeclared ? std::string("objects") : kind));
  }
  return clauses;
}

}  // namespace ripstop::agent
