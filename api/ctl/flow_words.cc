// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/flow_words.h"

#include <CLI/CLI.hpp>

#include "absl/strings/str_cat.h"

namespace ripstop::ctl {

using agent::v1::FlowFilter;

std::string WithPort(const std::string& address, uint32_t port) {
  if (port == 0) return address;
  return address.find(':') == std::string::npos ? absl::StrCat(address, ":", port)
                                                : absl::StrCat("[", address, "]:", port);
}

std::string Named(const std::string& name, const std::string& address) {
  return name.empty() ? address : absl::StrCat(name, " (", address, ")");
}

std::string Rules(const std::string& egress, const std::string& ingress) {
  if (egress.empty() || ingress.empty()) {
    return egress.empty() && ingress.empty() ? "-" : egress + ingress;
  }
  return absl::StrCat(egress, "; ", ingress);
}

std::string FlowName(const agent::v1::FlowEvent& event) {
  if (event.source().empty()) return "-";
  return absl::StrCat(
      Named(event.source_name(), WithPort(event.source(), event.source_port())), " -> ",
      Named(event.destination_name(), WithPort(event.destination(), event.destination_port())));
}

void AddFlowFilter(CLI::App& verb, const std::function<FlowFilter*()>& filter) {
  const auto add = [&](const char* flags, void (FlowFilter::*set)(const std::string&),
                       const char* help) {
    verb.add_option_function<std::string>(
        flags, [filter, set](const std::string& value) { (filter()->*set)(value); }, help);
  };
  add("--pod", &FlowFilter::set_pod, "Either end: namespace/pod or address");
  add("--from", &FlowFilter::set_from, "Who began it");
  add("--to", &FlowFilter::set_to, "Whom it was begun to");
  add("-p,--protocol", &FlowFilter::set_protocol, "Name or number");
  verb.add_option_function<uint32_t>(
          "--port,--dport", [filter](uint32_t value) { filter()->set_port(value); },
          "Destination port")
      ->check(CLI::Range(1, 65535));
}

CLI::Option* AddFlowState(CLI::App& verb, const std::function<FlowFilter*()>& filter) {
  return verb.add_option_function<std::string>(
      "--state", [filter](const std::string& value) { filter()->set_state(value); },
      "half-open, established, closing, closed or reset");
}

}  // namespace ripstop::ctl
