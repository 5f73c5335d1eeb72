// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/sysctl.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "policy/base/unique_fd.h"
#include "policy/status_macros.h"

namespace ripstop::agent {

absl::StatusOr<std::string> ReadSysctl(const std::string& path) {
  UniqueFd fd(open(absl::StrCat("/proc/sys/", path).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return absl::ErrnoToStatus(errno, absl::StrCat("setting ", path));
  char buffer[256];
  const ssize_t n = read(fd.get(), buffer, sizeof(buffer));
  if (n < 0) return absl::ErrnoToStatus(errno, absl::StrCat("reading setting ", path));
  return std::string(absl::StripAsciiWhitespace(absl::string_view(buffer, n)));
}

absl::Status WriteSysctl(const Sysctl& setting) {
  ASSIGN_OR_RETURN(const std::string now, ReadSysctl(setting.path));
  if (now == setting.value) return absl::OkStatus();
  const std::string subject = absl::StrCat("setting ", setting.path, " to ", setting.value);
  UniqueFd fd(open(absl::StrCat("/proc/sys/", setting.path).c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.ok()) return absl::ErrnoToStatus(errno, subject);
  if (write(fd.get(), setting.value.data(), setting.value.size()) < 0) {
    return absl::ErrnoToStatus(errno, subject);
  }
  return absl::OkStatus();
}

absl::Status WriteSysctls(const std::vector<Sysctl>& settings) {
  for (const Sysctl& setting : settings) RETURN_IF_ERROR(WriteSysctl(setting));
  return absl::OkStatus();
}

absl::Status WriteWherePresent(const std::vector<Sysctl>& settings) {
  for (const Sysctl& setting : settings) {
    const absl::Status status = WriteSysctl(setting);
    if (absl::IsNotFound(status) && absl::StartsWith(setting.path, "net/ipv6/")) continue;
    RETURN_IF_ERROR(status);
  }
  return absl::OkStatus();
}

std::vector<Sysctl> NodeSysctls() {
  return {{"net/ipv4/ip_forward", "1"},
          {"net/ipv6/conf/default/forwarding", "1"},
          {"net/ipv6/conf/all/forwarding", "1"}};
}

std::vector<Sysctl> HostVethSysctls(const std::string& interface) {
  const std::string v4 = absl::StrCat("net/ipv4/conf/", interface, "/");
  const std::string v6 = absl::StrCat("net/ipv6/conf/", interface, "/");
  return {{v4 + "forwarding", "1"},   {v4 + "rp_filter", "0"},  {v4 + "proxy_arp", "0"},
          {v6 + "disable_ipv6", "0"}, {v6 + "forwarding", "1"}, {v6 + "accept_ra", "0"},
          {v6 + "accept_dad", "0"},   {v6 + "proxy_ndp", "0"}};
}

std::vector<Sysctl> PodVethSysctls(const std::string& interface) {
  const std::string v6 = absl::StrCat("net/ipv6/conf/", interface, "/");
  return {{v6 + "disable_ipv6", "0"},
          {v6 + "accept_ra", "0"},
          {v6 + "autoconf", "0"},
          {v6 + "accept_dad", "0"}};
}

}  // namespace ripstop::agent
