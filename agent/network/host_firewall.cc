// SPDX-License-Identifier: Apache-2.0
#include "agent/network/host_firewall.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"

namespace ripstop::agent {
namespace {

constexpr int kRestFactor = 20;

}  // namespace

HostFirewall::HostFirewall(EventLoop* loop, std::function<void()> changed)
    : loop_(loop), shared_(std::make_shared<Shared>()) {
  shared_->changed = std::move(changed);
  thread_ = std::thread([this] { Run(); });
}

HostFirewall::~HostFirewall() {
  shared_->changed = nullptr;  // on the loop, as what calls it
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void HostFirewall::SetScene(const FirewallScene& scene) {
  {
    const std::lock_guard lock(mutex_);
    if (scene_ == scene) return;
    scene_ = scene;
    ++scenes_;
  }
  wake_.notify_all();
}

void HostFirewall::Tell(FirewallReport report) {
  (void)loop_->Post([shared = shared_, report = std::move(report)]() mutable {
    if (shared->report == report) return;
    shared->report = std::move(report);
    if (shared->changed) shared->changed();
  });
}

void HostFirewall::Run() {
  absl::StatusOr<FilterRules> rules = FilterRules();
  std::optional<uint32_t> read;  // the generation that `rules` are of; nullopt: none
  uint64_t found = 0;            // the scene that was told of
  absl::Duration rest = absl::ZeroDuration();
  while (true) {
    FirewallScene scene;
    uint64_t number;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, absl::ToChronoNanoseconds(rest),
                     [&] { return stopping_ || scenes_ != found; });
      if (stopping_) return;
      number = scenes_;
      if (scene_.has_value()) scene = *scene_;
    }
    rest = kPeriod;
    if (number == 0) continue;  // nobody has said yet what is ours
    const absl::Time begin = absl::Now();
    const absl::StatusOr<uint32_t> generation = FilterGeneration();
    const bool same = generation.ok() && read == *generation;
    if (same && number == found) continue;
    if (!same) {
      rules = ReadFilterRules();
      // What changed meanwhile is read in the next round: then the generation is another one.
      read = rules.ok() && generation.ok() ? std::optional(*generation) : std::nullopt;
    }
    rest = std::max(rest, (absl::Now() - begin) * kRestFactor);
    found = number;
    FirewallReport report;
    if (rules.ok()) {
      report.findings = FindInFirewall(*rules, scene);
      report.unread = rules->unread;
    } else {
      report.problem = std::string(rules.status().message());
    }
    Tell(std::move(report));
  }
}

}  // namespace ripstop::agent
