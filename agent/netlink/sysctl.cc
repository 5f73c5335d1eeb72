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
namespace {

// Settings that follow each other are mostly of one folder. It is opened once: each namespace has
// its own net/ipv6/conf, all of one name, and the kernel looks through them for each path.
class SysctlFolder {
 public:
  // Of a setting, with that folder open.
  UniqueFd Open(const std::string& path, int flags) {
    const size_t slash = path.rfind('/');
    const std::string folder = path.substr(0, slash);
    if (!fd_.ok() || folder != folder_) {
      folder_ = folder;
      fd_ = UniqueFd(
          open(absl::StrCat("/proc/sys/", folder).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
      if (!fd_.ok()) return UniqueFd();
    }
    return UniqueFd(openat(fd_.get(), path.c_str() + slash + 1, flags | O_CLOEXEC));
  }

 private:
  std::string folder_;
  UniqueFd fd_;
};

absl::StatusOr<std::string> Read(SysctlFolder& folder, const std::string& path) {
  const UniqueFd fd = folder.Open(path, O_RDONLY);
  if (!fd.ok()) return absl::ErrnoToStatus(errno, absl::StrCat("setting ", path));
  char buffer[256];
  const ssize_t n = read(fd.get(), buffer, sizeof(buffer));
  if (n < 0) return absl::ErrnoToStatus(errno, absl::StrCat("reading setting ", path));
  return std::string(absl::StripAsciiWhitespace(absl::string_view(buffer, n)));
}

absl::Status Write(SysctlFolder& folder, const Sysctl& setting) {
  ASSIGN_OR_RETURN(const std::string now, Read(folder, setting.path));
  if (now == setting.value) return absl::OkStatus();
  const std::string subject = absl::StrCat("setting ", setting.path, " to ", setting.value);
  const UniqueFd fd = folder.Open(setting.path, O_WRONLY);
  if (!fd.ok()) return absl::ErrnoToStatus(errno, subject);
  if (write(fd.get(), setting.value.data(), setting.value.size()) < 0) {
    return absl::ErrnoToStatus(errno, subject);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadSysctl(const std::string& path) {
  SysctlFolder folder;
  return Read(folder, path);
}

absl::Status WriteSysctl(const Sysctl& setting) {
  SysctlFolder folder;
  return Write(folder, setting);
}

absl::Status WriteSysctls(const std::vector<Sysctl>& settings) {
  SysctlFolder folder;
  for (const Sysctl& setting : settings) RETURN_IF_ERROR(Write(folder, setting));
  return absl::OkStatus();
}

absl::Status WriteWherePresent(const std::vector<Sysctl>& settings) {
  SysctlFolder folder;
  for (const Sysctl& setting : settings) {
    const absl::Status status = Write(folder, setting);
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
