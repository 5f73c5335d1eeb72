// SPDX-License-Identifier: Apache-2.0
#include "e2e/attacks/shot.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "policy/status_macros.h"

namespace ripstop::attacks {
namespace {

using absl::StrCat;

// "spoofed 1 on node1", of what rose.
std::string Risen(const Ground::Drops& before, const Ground::Drops& after) {
  std::vector<std::string> parts;
  for (const auto& [key, packets] : after) {
    const auto old = before.find(key);
    const uint64_t rise = packets - (old == before.end() ? 0 : old->second);
    if (rise != 0) parts.push_back(StrCat(key.second, " ", rise, " on ", key.first));
  }
  return parts.empty() ? "nothing" : absl::StrJoin(parts, ", ");
}

}  // namespace

bool Await(const std::function<bool()>& condition) {
  const absl::Time deadline = absl::Now() + absl::Minutes(1);
  while (!condition()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(3));
  }
  return true;
}

absl::Status MustArrive(const Shot& shot) {
  RETURN_IF_ERROR(shot.fire());
  if (Await(shot.arrived)) return absl::OkStatus();
  return absl::FailedPreconditionError(StrCat(shot.name, ": did not arrive"));
}

absl::Status MustBeDropped(Ground& ground, const Shot& shot) {
  ASSIGN_OR_RETURN(const Ground::Drops before, ground.DropsNow());
  const auto expected = [&] {
    Ground::Drops drops = before;
    drops[{shot.counted_at, shot.reason}] += shot.packets;
    return drops;
  }();
  RETURN_IF_ERROR(shot.fire());
  absl::StatusOr<Ground::Drops> after = before;
  bool arrived = false;
  const bool judged = Await([&] {
                        after = ground.DropsNow();
                        arrived = shot.arrived();
                        return arrived || !after.ok() || *after != before;
                      }) &&
                      Await([&] {
                        // Several packets are counted one after another.
                        if (arrived || !after.ok()) return true;
                        const auto total = [](const Ground::Drops& drops) {
                          uint64_t sum = 0;
                          for (const auto& [_, packets] : drops) sum += packets;
                          return sum;
                        };
                        if (total(*after) >= total(expected)) return true;
                        after = ground.DropsNow();
                        arrived = shot.arrived();
                        return false;
                      });
  RETURN_IF_ERROR(after.status());
  arrived = arrived || shot.arrived();
  if (arrived) return absl::InternalError(StrCat(shot.name, ": ARRIVED"));
  if (judged && *after == expected) return absl::OkStatus();
  return absl::InternalError(StrCat(shot.name, ": expected ", shot.reason, " ", shot.packets,
                                    " on ", shot.counted_at, ", counted ", Risen(before, *after)));
}

Attack Shots(std::string id, std::string title, std::vector<Variant> variants, Aim aim) {
  Attack attack;
  attack.id = std::move(id);
  attack.title = std::move(title);
  attack.variants = std::move(variants);
  attack.control = [aim](Ground& ground, const Variant& variant) -> absl::Status {
    ASSIGN_OR_RETURN(const std::vector<Shot> shots, aim(ground, variant));
    for (const Shot& shot : shots) RETURN_IF_ERROR(MustArrive(shot));
    return absl::OkStatus();
  };
  attack.defence = [aim](Ground& ground, const Variant& variant) -> absl::StatusOr<Failed> {
    ASSIGN_OR_RETURN(const std::vector<Shot> shots, aim(ground, variant));
    Failed failed;
    std::set<std::string> reasons;
    std::vector<std::string> problems;
    for (const Shot& shot : shots) {
      const absl::Status dropped = MustBeDropped(ground, shot);
      if (dropped.ok()) {
        reasons.insert(shot.reason);
        failed.reasons[shot.name] = shot.reason;
      } else {
        problems.push_back(std::string(dropped.message()));
      }
    }
    if (!problems.empty()) return absl::InternalError(absl::StrJoin(problems, "; "));
    failed.how = StrCat("dropped: ", absl::StrJoin(reasons, ", "));
    return failed;
  };
  return attack;
}

}  // namespace ripstop::attacks
