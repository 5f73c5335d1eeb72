// SPDX-License-Identifier: Apache-2.0
#include "agent/network/host_nat.h"

#include <sys/epoll.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "agent/netlink/mark_users.h"
#include "policy/status_macros.h"
#include "spdlog/spdlog.h"

namespace ripstop::agent {
namespace {

constexpr absl::Duration kPollPeriod = absl::Seconds(1);

}  // namespace

const char* NameOf(HostNatMode mode) {
  switch (mode) {
    case HostNatMode::kAuto: return "Auto";
    case HostNatMode::kAlways: return "Always";
    case HostNatMode::kNever: return "Never";
  }
  return "";
}

bool HostNatSwitch::Note(bool found) {
  if (found) quiet_ = 0;
  if (mode_ != HostNatMode::kAuto || on_ || !found) return false;
  on_ = true;
  return true;
}

bool HostNatSwitch::Tick(bool found) {
  if (mode_ != HostNatMode::kAuto || found || !on_) return Note(found);
  if (++quiet_ < kQuietTicks) return false;
  on_ = false;
  quiet_ = 0;
  return true;
}

absl::StatusOr<std::unique_ptr<HostNat>> HostNat::Create(HostNatMode mode, uint32_t mark_mask,
                                                         EventLoop* loop,
                                                         std::function<void()> changed) {
  std::unique_ptr<HostNat> nat(new HostNat(mode, mark_mask, loop, std::move(changed)));
  RETURN_IF_ERROR(nat->Init());
  return nat;
}

absl::Status HostNat::Init() {
  if (mode_ == HostNatMode::kNever) return absl::OkStatus();
  ASSIGN_OR_RETURN(monitor_, NatMonitor::Open());
  if (monitor_->fd() >= 0) {
    RETURN_IF_ERROR(loop_->AddFd(monitor_->fd(), EPOLLIN, [this](uint32_t) { Read(); }));
  }
  timer_ = loop_->AddTimer(kPollPeriod, kPollPeriod, [this] { Poll(); });
  switch_.Note(!monitor_->found().empty());
  if (on()) Moved();
  return absl::OkStatus();
}

HostNat::~HostNat() {
  if (monitor_ == nullptr) return;
  if (monitor_->fd() >= 0) loop_->RemoveFd(monitor_->fd());
  loop_->CancelTimer(timer_);
}

void HostNat::Read() {
  const absl::Status status = monitor_->Read();
  problem_ = status.ok() ? "" : std::string(status.message());
  if (!switch_.Note(!monitor_->found().empty())) return;
  Moved();
  changed_();
}

void HostNat::Poll() {
  const absl::Status status = monitor_->Poll();
  problem_ = status.ok() ? "" : std::string(status.message());
  if (!switch_.Tick(!monitor_->found().empty())) return;
  Moved();
  changed_();
}

void HostNat::Moved() {
  if (!on()) {
    spdlog::info("host's NAT: off, no rules are left");
    return;
  }
  spdlog::info("host's NAT: on ({}), {}", NameOf(mode_),
               found().empty() ? "no rules yet" : absl::StrJoin(found(), ", "));
  const auto users = FindMarkUsers(mark_mask_);
  if (!users.ok()) {
    spdlog::warn("{}", std::string(users.status().message()));
    return;
  }
  mark_users_ = *users;
  for (const std::string& user : mark_users_) {
    spdlog::warn("marks of mask {}: {}; choose others with --mark-mask",
                 absl::StrFormat("0x%x", mark_mask_), user);
  }
}

std::vector<std::string> HostNat::found() const {
  return monitor_ == nullptr ? std::vector<std::string>() : monitor_->found();
}

std::vector<std::string> HostNat::problems() const {
  std::vector<std::string> all;
  if (!problem_.empty()) all.push_back(absl::StrCat("host's NAT: ", problem_));
  return all;
}

}  // namespace ripstop::agent
