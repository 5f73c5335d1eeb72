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

bool HostFirewall::Stopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

// Until it is time to ask again; false: until the end. A scene that is not told of ends the
// period, but not the rest.
bool HostFirewall::Rest(absl::Duration rest, uint64_t told) {
  std::unique_lock lock(mutex_);
  if (wake_.wait_for(lock, absl::ToChronoNanoseconds(rest), [&] { return stopping_; }))
    return false;
  const absl::Duration more = std::max(kPeriod - rest, absl::ZeroDuration());
  wake_.wait_for(lock, absl::ToChronoNanoseconds(more),
                 [&] { return stopping_ || scenes_ != told; });
  return !stopping_;
}

void HostFirewall::Run() {
  const std::function<bool()> stop = [this] { return Stopping(); };
  absl::StatusOr<FilterRules> rules = FilterRules();
  std::optional<uint32_t> read;  // the generation that `rules` are of; nullopt: none
  uint64_t told = 0;             // the scene that was told of
  FirewallReport report;
  absl::Duration rest = absl::ZeroDuration();
  while (Rest(rest, told)) {
    FirewallScene scene;
    uint64_t number;
    {
      const std::lock_guard lock(mutex_);
      number = scenes_;
      if (scene_.has_value()) scene = *scene_;
    }
    rest = absl::ZeroDuration();
    if (number == 0) continue;  // nobody has said yet what is ours
    const absl::Time begin = absl::Now();
    std::vector<std::string> unread = UnreadFilterRules();
    const absl::StatusOr<uint32_t> generation = FilterGeneration();
    const bool same = generation.ok() && read == *generation;
    if (same && number == told && unread == report.unread) continue;
    if (!same) {
      rules = ReadFilterRules(stop);
      // What changed meanwhile is read in the next round: then the generation is another one.
      read = rules.ok() && generation.ok() ? std::optional(*generation) : std::nullopt;
    }
    report = {};
    report.unread = std::move(unread);
    if (rules.ok()) {
      report.findings = FindInFirewall(*rules, scene, stop);
    } else {
      report.problem = std::string(rules.status().message());
    }
    told = number;
    rest = (absl::Now() - begin) * kRestFactor;
    if (!Stopping()) Tell(report);
  }
}

}  // namespace ripstop::agent
