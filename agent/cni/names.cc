// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/names.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

constexpr size_t kShownMax = 80;
constexpr size_t kIdMax = 200;  // with an interface name it is a file's name, 255 at most
constexpr size_t kInterfaceMax = 15;
constexpr size_t kLabelMax = 63;
constexpr size_t kNameMax = 253;

absl::Status Bad(const char* field, const std::string& value, const std::string& want) {
  const std::string shown = absl::CHexEscape(value.substr(0, kShownMax));
  return absl::InvalidArgumentError(
      absl::StrCat(field, " '", shown, value.size() > kShownMax ? "…" : "", "': want ", want));
}

template <typename F>
bool AllOf(const std::string& text, F good) {
  return std::all_of(text.begin(), text.end(), good);
}

bool IsCniName(const std::string& text, size_t max) {
  return !text.empty() && text.size() <= max && absl::ascii_isalnum(text[0]) &&
         AllOf(text,
               [](char c) { return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-'; });
}

bool IsDnsLabel(const std::string& text, size_t max) {
  const auto alnum = [](char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c); };
  return !text.empty() && text.size() <= max && alnum(text.front()) && alnum(text.back()) &&
         AllOf(text, [&](char c) { return alnum(c) || c == '-'; });
}

bool IsSubdomain(const std::string& text) {
  if (text.size() > kNameMax) return false;
  for (const absl::string_view part : absl::StrSplit(text, '.')) {
    if (!IsDnsLabel(std::string(part), kNameMax)) return false;
  }
  return true;
}

constexpr char kCniWant[] = "a letter or digit, then letters, digits, '_', '.' or '-', at most ";
constexpr char kSubdomainWant[] =
    "at most 253 of a-z, 0-9, '-' and '.', with a letter or digit at both ends of each part "
    "between dots (RFC 1123)";

}  // namespace

absl::Status CheckContainerId(const std::string& id) {
  if (IsCniName(id, kIdMax)) return absl::OkStatus();
  return Bad("container id", id, absl::StrCat(kCniWant, kIdMax));
}

absl::Status CheckInterfaceName(const std::string& name) {
  // The kernel takes a '%' for a pattern of which it makes a name of its own.
  const bool good = !name.empty() && name.size() <= kInterfaceMax && name != "." && name != ".." &&
                    AllOf(name, [](char c) {
                      return absl::ascii_isgraph(c) && c != '/' && c != ':' && c != '%';
                    });
  if (good) return absl::OkStatus();
  return Bad("interface name", name,
             "1 to 15 printable characters, none of '/', ':', '%' and space, not '.' or '..'");
}

absl::Status CheckNames(const ripstop::agent::v1::CniRequest& request) {
  RETURN_IF_ERROR(CheckContainerId(request.container_id()));
  RETURN_IF_ERROR(CheckInterfaceName(request.interface_name()));
  if (!request.pod_namespace().empty() && !IsDnsLabel(request.pod_namespace(), kLabelMax)) {
    return Bad("pod namespace", request.pod_namespace(),
               "at most 63 of a-z, 0-9 and '-', with a letter or digit at both ends (RFC 1123)");
  }
  const std::string& pod = request.pod_name();
  const bool kubernetes = !request.pod_namespace().empty();
  if (!pod.empty() && !(kubernetes ? IsSubdomain(pod) : IsCniName(pod, kNameMax))) {
    return Bad("pod name", pod, kubernetes ? kSubdomainWant : absl::StrCat(kCniWant, kNameMax));
  }
  if (!request.pod_uid().empty() && !IsCniName(request.pod_uid(), kNameMax)) {
    return Bad("pod UID", request.pod_uid(), absl::StrCat(kCniWant, kNameMax));
  }
  if (!request.service_account().empty() && !IsSubdomain(request.service_account())) {
    return Bad("service account", request.service_account(), kSubdomainWant);
  }
  if (!request.network().empty() && !IsCniName(request.network(), kNameMax)) {
    return Bad("network name", request.network(), absl::StrCat(kCniWant, kNameMax));
  }
  return absl::OkStatus();
}

}  // namespace ripstop::agent
