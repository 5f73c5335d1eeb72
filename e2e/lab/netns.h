// SPDX-License-Identifier: Apache-2.0
//
// Named network namespaces, in the place and manner of iproute2 (/run/netns), so that
// its tools work on them too.
#ifndef RIPSTOP_E2E_LAB_NETNS_H_
#define RIPSTOP_E2E_LAB_NETNS_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace ripstop::lab {

bool NetnsExists(const std::string& name);

// kAlreadyExists if there is one: it is somebody else's.
absl::Status CreateNetns(const std::string& name);

// OK if there is none.
absl::Status DeleteNetns(const std::string& name);

// Runs `work` on a helper thread that is inside the namespace.
absl::Status InNetns(const std::string& name, const std::function<absl::Status()>& work);

// Writes /proc/sys/KEY in the namespace; keys with slashes: "net/ipv4/ip_forward".
absl::Status WriteSysctls(const std::string& netns,
                          const std::vector<std::pair<std::string, std::string>>& values);

// Feeds lines to `ip -batch` inside the namespace; the first refused line is the error.
absl::Status IpBatch(const std::string& netns, const std::vector<std::string>& lines);

}  // namespace ripstop::lab

#endif  // RIPSTOP_E2E_LAB_NETNS_H_
