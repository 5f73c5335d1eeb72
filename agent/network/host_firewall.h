// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_HOST_FIREWALL_H_
#define RIPSTOP_AGENT_NETWORK_HOST_FIREWALL_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/base/event_loop.h"
#include "agent/network/firewall_findings.h"

namespace ripstop::agent {

// What was found last.
struct FirewallReport {
  std::vector<FirewallFinding> findings;
  std::vector<std::string> unread;  // rules that are there and were not read
  std::string problem;              // why nothing newer is known
  bool operator==(const FirewallReport&) const = default;
};

// Reads the rules of other people's firewalls in this network namespace and says which of them
// drop packets of ours. Changes nothing there.
//
//   loop ──SetScene──▶ ┐
//   nftables' generation ▶ [thread: reads, FindInFirewall] ──▶ report(), on the loop
//
// Asks nftables once a second whether anything has changed, and reads only then; after a reading
// and a walk that took long it rests twenty times as long, whatever changes meanwhile. Rules of
// iptables-legacy, which are not read, are looked for each time.
class HostFirewall {
 public:
  static constexpr absl::Duration kPeriod = absl::Seconds(1);

  // `changed`: on the loop, when report() is another one. The loop outlives this.
  HostFirewall(EventLoop* loop, std::function<void()> changed);
  ~HostFirewall();  // waits for one answer of the kernel's at most, or one sample's walk

  void SetScene(const FirewallScene& scene);
  const FirewallReport& report() const { return shared_->report; }

 private:
  struct Shared {  // of the loop's thread; what was posted may run when this is gone
    FirewallReport report;
    std::function<void()> changed;
  };
  void Run();
  bool Rest(absl::Duration rest, uint64_t told);
  bool Stopping();
  void Tell(FirewallReport report);

  EventLoop* const loop_;
  const std::shared_ptr<Shared> shared_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  bool stopping_ = false;
  std::optional<FirewallScene> scene_;
  uint64_t scenes_ = 0;

  std::thread thread_;
};

// How many packets netfilter has dropped, of which the kernel tells by a counter alone.
class FirewallLosses {
 public:
  // Two readings of the agent's are ten seconds apart.
  static constexpr absl::Duration kRecent = absl::Minutes(1);

  // A reading that failed says nothing: the count stays, and the next one is none of its own.
  void Note(const absl::StatusOr<uint64_t>& packets, absl::Time now) {
    problem_ = std::string(packets.status().message());
    if (!packets.ok()) return;
    if (*packets != packets_) at_ = now;
    packets_ = *packets;
  }
  uint64_t packets() const { return packets_; }
  const std::string& problem() const { return problem_; }  // of the last reading
  bool recent(absl::Time now) const { return packets_ > 0 && now - at_ <= kRecent; }

 private:
  uint64_t packets_ = 0;
  std::string problem_;
  absl::Time at_ = absl::InfinitePast();
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_HOST_FIREWALL_H_
