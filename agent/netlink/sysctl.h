// SPDX-License-Identifier: Apache-2.0
//
// The kernel settings that routing needs, written through /proc/sys/net of the calling
// thread's namespace; wrap in RunInNetns (agent/base/netns.h) for another one.
#ifndef RIPSTOP_AGENT_NETLINK_SYSCTL_H_
#define RIPSTOP_AGENT_NETLINK_SYSCTL_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ripstop::agent {

struct Sysctl {
  std::string path;  // below /proc/sys: "net/ipv4/ip_forward"
  std::string value;
};

// Writes nothing when the value is there already (some containers mount /proc/sys
// read-only). Errors name the setting.
//   kNotFound  the kernel has no such setting (IPv6 disabled, or the interface is gone)
absl::Status WriteSysctl(const Sysctl& setting);
absl::StatusOr<std::string> ReadSysctl(const std::string& path);
absl::Status WriteSysctls(const std::vector<Sysctl>& settings);

// A node routes. IPv6 only where the kernel has it.
std::vector<Sysctl> NodeSysctls();
// The host side of a pod's veth. Spoofing is stopped by the programs on it, before any
// route lookup, so the reverse-path filter is off; nothing is proxied.
std::vector<Sysctl> HostVethSysctls(const std::string& interface);
// The pod's own side: no router advertisements, no autoconfiguration, addresses at once.
std::vector<Sysctl> PodVethSysctls(const std::string& interface);

// Without the IPv6 ones where the namespace has no IPv6.
absl::Status WriteWherePresent(const std::vector<Sysctl>& settings);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETLINK_SYSCTL_H_
