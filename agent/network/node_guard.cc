// SPDX-License-Identifier: Apache-2.0
#include "agent/network/node_guard.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/network/host_programs.h"
#include "spdlog/spdlog.h"

namespace ripstop::agent {

void NodeGuard::Repaired(const std::string& kind, const std::string& what) {
  spdlog::warn("put back: {}", what);
  Repairs& repairs = repairs_[kind];
  ++repairs.count;
  repairs.last = what;
}

// In the log once, not twice a second.
void NodeGuard::Problem(const std::string& what) {
  if (!problems_before_.contains(what)) spdlog::error("{}", what);
  problems_.insert(what);
}

void NodeGuard::Check() {
  problems_before_ = std::exchange(problems_, {});
  unjudged_.clear();
  CheckPrograms();
  CheckNode();
  CheckLinks();
}

void NodeGuard::CheckPrograms() {
  using What = ProgramFinding::What;
  for (const ProgramFinding& finding : dataplane_->Repair()) {
    switch (finding.what) {
      case What::kRepaired: Repaired("program", finding.message); break;
      case What::kPinned: Repaired("pin", finding.message); break;
      case What::kFailed: unjudged_.insert(finding.ifindex); [[fallthrough]];
      case What::kUnpinned:
      case What::kShadowed: Problem(finding.message); break;
    }
  }
}

void NodeGuard::Restore(const Sysctl& setting, const std::string& now) {
  const absl::Status written = host_->WriteSysctl(setting);
  if (absl::IsNotFound(written)) return;  // the interface has just gone
  if (written.ok()) {
    Repaired("setting", absl::StrCat(setting.path, " was ", now, ", is ", setting.value, " again"));
  } else {
    Problem(absl::StrCat(setting.path, " is ", now, ", must be ", setting.value, ": ",
                         std::string(written.message())));
  }
}

void NodeGuard::CheckNode() {
  for (const Sysctl& setting : node_settings_) {
    const absl::StatusOr<std::string> now = host_->ReadSysctl(setting.path);
    if (absl::IsNotFound(now.status())) continue;  // no IPv6 here
    if (!now.ok()) {
      Problem(std::string(now.status().message()));
    } else if (*now != setting.value) {
      Restore(setting, *now);
    }
  }
}

void NodeGuard::CheckLinks() {
  const absl::StatusOr<std::vector<LinkSettings>> all = host_->Links();
  if (!all.ok()) {
    Problem(std::string(all.status().message()));
    return;
  }
  std::map<uint32_t, const LinkSettings*> by_index;
  for (const LinkSettings& settings : *all) {
    by_index[settings.link.index] = &settings;
    if (!advertised_ || !advertised_(settings)) continue;
    Restore({absl::StrCat("net/ipv6/conf/", settings.link.name, "/accept_ra"), "2"}, "1");
  }
  // What is gone has an event, and its owner deals with it.
  std::erase_if(held_down_, [&](uint32_t ifindex) { return !by_index.contains(ifindex); });
  std::set<uint32_t> known;
  links_([&](const GuardedLink& guarded) {
    known.insert(guarded.ifindex);
    const auto it = by_index.find(guarded.ifindex);
    if (it != by_index.end()) CheckLink(guarded, *it->second);
  });
  for (const auto& [ifindex, settings] : by_index) {
    if (!IsWorkloadInterface(settings->link) || known.contains(ifindex)) continue;
    Problem(absl::StrCat("interface ", settings->link.name,
                         " is of no pod that is known here: what was noted of it is lost, its "
                         "packets are dropped; delete its pod, or the interface"));
  }
}

void NodeGuard::CheckLink(const GuardedLink& guarded, const LinkSettings& found) {
  const std::string name = absl::StrCat("interface ", found.link.name, " of ", guarded.owner);
  if (unjudged_.contains(guarded.ifindex)) {
    Problem(absl::StrCat(name, " is down until its program can be attached"));
    held_down_.insert(guarded.ifindex);
    if (!found.link.up) return;
    const absl::Status down = host_->SetLinkUp(guarded.ifindex, false);
    if (!down.ok()) {
      Problem(absl::StrCat(name, " is open: ", std::string(down.message())));
    }
    return;
  }
  for (const Sysctl& setting : guarded.settings) {
    const std::optional<std::string> now = found.Value(setting.path);
    if (now.has_value() && *now != setting.value) Restore(setting, *now);
  }
  const bool ours = held_down_.erase(guarded.ifindex) > 0;
  if (found.link.up) return;
  const absl::Status up = host_->SetLinkUp(guarded.ifindex, true);
  if (!up.ok()) {
    Problem(absl::StrCat(name, " is down: ", std::string(up.message())));
  } else {
    Repaired("link", absl::StrCat(name, ours ? " is up again" : " was set down by somebody"));
  }
}

}  // namespace ripstop::agent
