// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_NETLINK_HOST_H_
#define RIPSTOP_AGENT_NETWORK_NETLINK_HOST_H_

#include "agent/netlink/netlink.h"
#include "agent/network/node_guard.h"

namespace ripstop::agent {

// The host as it is: netlink and /proc of the calling thread's namespace.
class NetlinkHost final : public GuardedHost {
 public:
  explicit NetlinkHost(Netlink* netlink) : netlink_(netlink) {}
  absl::StatusOr<std::vector<LinkSettings>> Links() override {
    return netlink_->ListLinkSettings();
  }
  absl::Status SetLinkUp(uint32_t ifindex, bool up) override {
    return netlink_->SetLinkUp(ifindex, up);
  }
  absl::StatusOr<std::string> ReadSysctl(const std::string& path) override {
    return agent::ReadSysctl(path);
  }
  absl::Status WriteSysctl(const Sysctl& setting) override { return agent::WriteSysctl(setting); }

 private:
  Netlink* const netlink_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_NETLINK_HOST_H_
