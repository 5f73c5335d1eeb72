// SPDX-License-Identifier: Apache-2.0
#include "agent/network/node_identity.h"

#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace ripstop::agent {
namespace {

constexpr size_t kNodeNameMax = 253;

bool IsNameCharacter(char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c); }

// RFC 1123, without its limit for one label, as Kubernetes has it.
bool IsSubdomain(const std::string& name) {
  if (name.empty() || name.size() > kNodeNameMax) return false;
  for (const auto& label : absl::StrSplit(name, '.')) {
    if (label.empty() || label.front() == '-' || label.back() == '-') return false;
    if (!std::all_of(label.begin(), label.end(),
                     [](char c) { return IsNameCharacter(c) || c == '-'; })) {
      return false;
    }
  }
  return true;
}

// The nearest name that is one, or "node".
std::string Suggestion(const std::string& name) {
  std::string lower = absl::AsciiStrToLower(absl::StripAsciiWhitespace(name));
  for (char& c : lower) {
    if (!IsNameCharacter(c) && c != '.') c = '-';
  }
  std::vector<std::string> labels;
  for (const auto& label : absl::StrSplit(lower.substr(0, kNodeNameMax), '.')) {
    std::string_view part(label.data(), label.size());
    while (part.starts_with('-')) part.remove_prefix(1);
    while (part.ends_with('-')) part.remove_suffix(1);
    if (!part.empty()) labels.emplace_back(part);
  }
  return labels.empty() ? "node" : absl::StrJoin(labels, ".");
}

const char* FieldOf(const policy::Address& address) {
  return address.is_v4() ? "ipv4Address" : "ipv6Address";
}

bool IsUsable(const policy::Address& address) {
  static const auto* link_local = new policy::Cidr(*policy::Cidr::Parse("fe80::/10"));
  static const auto* loopback4 = new policy::Cidr(*policy::Cidr::Parse("127.0.0.0/8"));
  static const auto* loopback6 = new policy::Cidr(*policy::Cidr::Parse("::1/128"));
  return !link_local->Contains(address) && !loopback4->Contains(address) &&
         !loopback6->Contains(address);
}

// "it has 192.0.2.1, 198.51.100.7": where a wrong one could be put right.
std::string Candidates(const std::vector<InterfaceAddress>& interfaces, bool v4) {
  constexpr size_t kShownMax = 4;
  std::vector<std::string> usable;
  for (const InterfaceAddress& one : interfaces) {
    if (one.address.is_v4() == v4 && IsUsable(one.address) && usable.size() < kShownMax) {
      usable.push_back(one.address.ToString());
    }
  }
  if (usable.empty()) return absl::StrCat("it has no IPv", v4 ? 4 : 6, " address at all");
  return absl::StrCat("it has ", absl::StrJoin(usable, ", "));
}

}  // namespace

absl::Status CheckNodeName(const std::string& name) {
  if (IsSubdomain(name)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("node name \"", absl::CEscape(name.substr(0, 80)), name.size() > 80 ? "…" : "",
                   "\": no Node resource can have it: a name is up to ", kNodeNameMax,
                   " lower case letters, digits, '-' and '.'; start with --node ", Suggestion(name),
                   " and give its Node resource that name"));
}

NodeAddressProblems CheckNodeAddresses(const ClusterView& cluster, const std::string& node,
                                       const std::vector<InterfaceAddress>& interfaces) {
  NodeAddressProblems problems;
  std::map<policy::Address, std::vector<std::string>> owners;
  for (const auto& [name, resource] : cluster.nodes) {
    for (const auto& address : {NodeIpv4(resource), NodeIpv6(resource)}) {
      if (address.has_value()) owners[address->address].push_back(name);
    }
  }
  for (const auto& [address, names] : owners) {
    const bool own = std::find(names.begin(), names.end(), node) != names.end();
    const std::string object = absl::StrCat("Node ", own ? node : names[0], ": spec.bgp.",
                                            FieldOf(address), " ", address.ToString(), ": ");
    if (names.size() > 1) {
      std::vector<std::string> rest(names);
      std::erase(rest, own ? node : names[0]);
      (own ? problems.own : problems.others)
          .push_back(absl::StrCat(object, "Node ", absl::StrJoin(rest, ", "),
                                  " has it too; give each its own"));
    }
    const bool here = std::any_of(
        interfaces.begin(), interfaces.end(),
        [&address = address](const InterfaceAddress& one) { return one.address == address; });
    if (own && !here) {
      problems.own.push_back(absl::StrCat(object, "no interface of this node has it; ",
                                          Candidates(interfaces, address.is_v4()),
                                          "; write one of its own"));
    }
  }
  return problems;
}

}  // namespace ripstop::agent
