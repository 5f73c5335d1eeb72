// SPDX-License-Identifier: Apache-2.0
#include "agent/network/shaping.h"

#include <set>
#include <variant>

#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"

namespace ripstop::agent {
namespace {

// A veth has "noqueue" at its root until somebody says otherwise, and clsact holds programs
// (ours, before 6.6).
bool IsLimit(const Qdisc& qdisc) {
  return qdisc.root ? qdisc.kind != "noqueue" : qdisc.kind == "ingress";
}

}  // namespace

void Shaping::Note(const Qdisc& qdisc, bool deleted) {
  Limits limits;
  if (const auto it = limits_.find(qdisc.ifindex); it != limits_.end()) limits = it->second;
  (qdisc.root ? limits.root : limits.ingress) = !deleted && IsLimit(qdisc);
  if (limits.root || limits.ingress) {
    limits_[qdisc.ifindex] = limits;
  } else {
    limits_.erase(qdisc.ifindex);
  }
}

void Shaping::Set(uint32_t ifindex) {
  const absl::Status status = dataplane_->SetShaped(ifindex, limits_.contains(ifindex));
  failed_.erase(ifindex);
  if (status.ok() || absl::IsNotFound(status)) return;  // no workload's, or gone
  failed_[ifindex] = absl::StrCat("limits of interface ", ifindex,
                                  "'s traffic may not act: ", std::string(status.message()));
  spdlog::warn("{}", failed_[ifindex]);
}

void Shaping::Compare() {
  const auto qdiscs = netlink_->ListQdiscs();
  problem_ = qdiscs.ok() ? ""
                         : absl::StrCat("limits of pods' traffic may not act: ",
                                        std::string(qdiscs.status().message()));
  if (!qdiscs.ok()) {
    spdlog::warn("{}", problem_);
    return;
  }
  limits_.clear();
  std::set<uint32_t> interfaces;
  for (const Qdisc& qdisc : *qdiscs) {
    Note(qdisc, false);
    interfaces.insert(qdisc.ifindex);
  }
  for (const uint32_t ifindex : interfaces) Set(ifindex);
}

void Shaping::HandleEvents(const std::vector<MonitorEvent>& events) {
  std::set<uint32_t> changed;
  for (const MonitorEvent& event : events) {
    if (std::holds_alternative<ResyncEvent>(event)) Compare();
    if (const auto* link = std::get_if<LinkEvent>(&event); link != nullptr && link->deleted) {
      limits_.erase(link->link.index);
      failed_.erase(link->link.index);
    }
    if (const auto* qdisc = std::get_if<QdiscEvent>(&event)) {
      Note(qdisc->qdisc, qdisc->deleted);
      changed.insert(qdisc->qdisc.ifindex);
    }
  }
  for (const uint32_t ifindex : changed) Set(ifindex);
}

void Shaping::Retry() {
  if (!problem_.empty()) Compare();
  for (const auto& [ifindex, why] : std::map(failed_)) Set(ifindex);
}

std::vector<std::string> Shaping::problems() const {
  std::vector<std::string> all;
  if (!problem_.empty()) all.push_back(problem_);
  for (const auto& [ifindex, why] : failed_) all.push_back(why);
  return all;
}

}  // namespace ripstop::agent
