// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_NODE_GUARD_H_
#define RIPSTOP_AGENT_NETWORK_NODE_GUARD_H_

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/dataplane/dataplane_interface.h"
#include "agent/netlink/link_settings.h"
#include "agent/netlink/sysctl.h"

namespace ripstop::agent {

// What the guard asks of the host. NetlinkHost is the real one.
class GuardedHost {
 public:
  virtual ~GuardedHost() = default;
  virtual absl::StatusOr<std::vector<LinkSettings>> Links() = 0;
  virtual absl::Status SetLinkUp(uint32_t ifindex, bool up) = 0;
  virtual absl::StatusOr<std::string> ReadSysctl(const std::string& path) = 0;
  virtual absl::Status WriteSysctl(const Sysctl& setting) = 0;
};

// An interface that is to be up, with its programs and settings.
struct GuardedLink {
  uint32_t ifindex = 0;
  std::string owner;  // "pod shop/cart-1", "the tunnel"
  std::vector<Sysctl> settings;
};

// Puts back what somebody else changes under the agent and what the kernel tells nobody of:
// programs detached, links set down, settings that forwarding needs.
//
//   Check, from a timer ─▶ DataplaneInterface::Repair ─┐
//                       ─▶ links and settings ─────────┴─▶ repairs(), problems()
//
// A link whose program cannot be attached is set down, and up again when it can be: what
// cannot be judged does not pass. What cannot be repaired is a problem until it can. One
// thread, in the namespace of the host.
class NodeGuard {
 public:
  // Something detached passes for this long at most, and for what one Check takes.
  static constexpr absl::Duration kPeriod = absl::Milliseconds(500);

  using Visitor = std::function<void(const GuardedLink&)>;

  // `links` calls its argument for each link to guard; asked anew by each Check. All outlive
  // this.
  NodeGuard(GuardedHost* host, DataplaneInterface* dataplane,
            std::function<void(const Visitor&)> links)
      : host_(host), dataplane_(dataplane), links_(std::move(links)) {}

  // Settings of the node itself.
  void set_node_settings(std::vector<Sysctl> settings) { node_settings_ = std::move(settings); }
  // Whether the host lives by router advertisements at this link (router_advertisements.h).
  void set_advertised(std::function<bool(const LinkSettings&)> advertised) {
    advertised_ = std::move(advertised);
  }

  void Check();

  // What was put back, by kind: "program", "pin", "link", "setting".
  struct Repairs {
    uint64_t count = 0;
    std::string last;  // what it was
  };
  const std::map<std::string, Repairs>& repairs() const { return repairs_; }
  // What is wrong now and stays so.
  const std::set<std::string>& problems() const { return problems_; }

 private:
  void CheckPrograms();
  void CheckNode();
  void CheckLinks();
  void CheckLink(const GuardedLink& guarded, const LinkSettings& found);
  void Restore(const Sysctl& setting, const std::string& now);
  void Repaired(const std::string& kind, const std::string& what);
  void Problem(const std::string& what);

  GuardedHost* const host_;
  DataplaneInterface* const dataplane_;
  const std::function<void(const Visitor&)> links_;
  std::function<bool(const LinkSettings&)> advertised_;
  std::vector<Sysctl> node_settings_;
  std::set<uint32_t> unjudged_;  // interfaces without a program that they need
  std::set<uint32_t> held_down_;
  std::map<std::string, Repairs> repairs_;
  std::set<std::string> problems_, problems_before_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_NODE_GUARD_H_
