// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_HOST_NAT_H_
#define RIPSTOP_AGENT_NETWORK_HOST_NAT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/base/event_loop.h"
#include "agent/netlink/nat_monitor.h"

namespace ripstop::agent {

// Whether what pods send to others than pods and nodes goes through this host's stack, so
// that kube-proxy, hostPorts and masquerade work for them.
enum class HostNatMode {
  kAuto,  // while there are NAT rules
  kAlways,
  kNever,
};
const char* NameOf(HostNatMode mode);

// When it is on. On with the first rule; off only when there has been none for a while, since
// whoever writes rules anew may take the old ones away first.
class HostNatSwitch {
 public:
  static constexpr int kQuietTicks = 10;

  explicit HostNatSwitch(HostNatMode mode) : mode_(mode), on_(mode == HostNatMode::kAlways) {}
  // `found`: whether there are rules now. Whether the switch has moved.
  bool Note(bool found);
  // Time passes: a second or so.
  bool Tick(bool found);
  bool on() const { return on_; }

 private:
  const HostNatMode mode_;
  bool on_;
  int quiet_ = 0;
};

// Watches this namespace's rules and keeps the switch.
//
//   NatMonitor's events, a timer ──▶ [HostNat] ──▶ `changed`
//
// For the agent's loop, which outlives this.
class HostNat {
 public:
  // `changed` is called whenever on() has changed after Create.
  static absl::StatusOr<std::unique_ptr<HostNat>> Create(HostNatMode mode, uint32_t mark_mask,
                                                         EventLoop* loop,
                                                         std::function<void()> changed);
  ~HostNat();

  HostNatMode mode() const { return mode_; }
  bool on() const { return switch_.on(); }
  // The rules for whose sake it is on, or would be.
  std::vector<std::string> found() const;
  uint32_t mark_mask() const { return mark_mask_; }
  // Who else uses bits of the mask, as of when it was last turned on.
  const std::vector<std::string>& mark_users() const { return mark_users_; }
  std::vector<std::string> problems() const;

 private:
  HostNat(HostNatMode mode, uint32_t mark_mask, EventLoop* loop, std::function<void()> changed)
      : mode_(mode),
        mark_mask_(mark_mask),
        loop_(loop),
        changed_(std::move(changed)),
        switch_(mode) {}
  absl::Status Init();
  void Read();
  void Poll();
  void Moved();

  const HostNatMode mode_;
  const uint32_t mark_mask_;
  EventLoop* const loop_;
  const std::function<void()> changed_;
  HostNatSwitch switch_;
  std::unique_ptr<NatMonitor> monitor_;  // null: kNever
  EventLoop::TimerId timer_ = 0;
  std::vector<std::string> mark_users_;
  std::string problem_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_HOST_NAT_H_
