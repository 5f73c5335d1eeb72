// SPDX-License-Identifier: Apache-2.0
//
// projectcalico.org/v3 policies. Source of the semantics: the API's reference pages; how
// namespaces fold into selectors is written out at EntitySelector.
#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "api/convert/converters.h"
#include "api/convert/selector_text.h"
#include "api/convert/unknown_fields.h"
#include "api/convert/values.h"
#include "api/text.h"
#include "policy/selector.h"
#include "policy/status_macros.h"

namespace ripstop::api {
namespace {

absl::Status CheckSelector(const std::string& text, const std::string& path) {
  return At(path, policy::Selector::Parse(text, policy::kWrittenSelector).status());
}

absl::StatusOr<policy::Action> ParseAction(const std::string& text, const std::string& path) {
  if (text == "Allow") return policy::Action::kAllow;
  if (text == "Deny") return policy::Action::kDeny;
  if (text == "Pass") return policy::Action::kPass;
  if (text == "Log") return policy::Action::kLog;
  return BadValue(path, text, "is not Allow, Deny, Pass or Log");
}

absl::StatusOr<policy::PortMatch> ConvertPorts(const v1::PortList& list, const std::string& path) {
  policy::PortMatch match;
  for (int i = 0; i < list.items_size(); ++i) {
    const auto port = CalicoPort(list.items(i));
    if (!port) {
      return BadValue(absl::StrCat(path, "[", i, "]"), ToString(list.items(i)), "is not a port");
    }
    if (const auto* range = std::get_if<policy::PortRange>(&*port)) {
      match.ranges.push_back(*range);
    } else {
      match.names.push_back(std::get<std::string>(*port));
    }
  }
  return match;
}

absl::StatusOr<policy::IcmpMatch> ConvertIcmp(const v1::IcmpFields& fields,
                                              const std::string& path) {
  policy::IcmpMatch match;
  for (const auto& [present, value, out, name] :
       {std::tuple(fields.has_type(), fields.type(), &match.type, ".type"),
        std::tuple(fields.has_code(), fields.code(), &match.code, ".code")}) {
    if (!present) continue;
    if (value < 0 || value > 255) {
      return BadValue(path + name, absl::StrCat(value), "is not 0-255");
    }
    *out = static_cast<uint8_t>(value);
  }
  return match;
}

// The service accounts of an entity as a selector.
absl::StatusOr<std::string> AccountSelector(const v1::ServiceAccountMatch& match,
                                            const std::string& path) {
  std::vector<std::string> parts;
  if (!match.selector().empty()) {
    auto selector = ServiceAccountSelectorText(match.selector());
    if (!selector.ok()) return At(absl::StrCat(path, ".selector"), selector.status());
    parts.push_back(*selector);
  }
  if (match.names_size() > 0) {
    std::vector<std::string> names;
    for (const std::string& name : match.names()) {
      ASSIGN_OR_RETURN(names.emplace_back(), Quoted(name));
    }
    parts.push_back(
        absl::StrCat(policy::kServiceAccountLabel, " in {", absl::StrJoin(names, ", "), "}"));
  }
  // `serviceAccounts: {}` says: some service account.
  if (parts.empty()) parts.push_back(absl::StrCat("has(", policy::kServiceAccountLabel, ")"));
  return AllOf(parts);
}

// selector, namespaceSelector and serviceAccounts as one selector; nullopt when none is
// given. As soon as any of them, or notSelector, is there, a rule of a namespaced policy
// without namespaceSelector means endpoints of its own namespace.
absl::StatusOr<std::optional<std::string>> EntitySelector(const v1::EntityRule& entity,
                                                          const std::string& ns,
                                                          const std::string& path) {
  if (entity.selector().empty() && entity.not_selector().empty() &&
      entity.namespace_selector().empty() && !entity.has_service_accounts()) {
    return std::nullopt;
  }
  std::vector<std::string> parts;
  if (!entity.namespace_selector().empty()) {
    auto text = NamespaceSelectorText(entity.namespace_selector());
    if (!text.ok()) return At(absl::StrCat(path, ".namespaceSelector"), text.status());
    parts.push_back(*text);
  } else if (!ns.empty()) {
    parts.push_back(InNamespace(ns));
  }
  if (entity.has_service_accounts()) {
    ASSIGN_OR_RETURN(parts.emplace_back(), AccountSelector(entity.service_accounts(),
                                                           absl::StrCat(path, ".serviceAccounts")));
  }
  RETURN_IF_ERROR(CheckSelector(entity.selector(), absl::StrCat(path, ".selector")));
  parts.push_back(entity.selector());
  const std::string text = AllOf(parts);
  if (text.empty()) return std::nullopt;  // a global policy with only notSelector
  return text;
}

absl::StatusOr<policy::EntityMatch> ConvertEntity(const v1::EntityRule& entity,
                                                  const std::string& ns, const std::string& path) {
  policy::EntityMatch match;
  if (entity.has_nets()) {
    ASSIGN_OR_RETURN(match.nets, ParseCidrs(entity.nets().items(), absl::StrCat(path, ".nets")));
  }
  ASSIGN_OR_RETURN(match.not_nets,
                   ParseCidrs(entity.not_nets().items(), absl::StrCat(path, ".notNets")));
  ASSIGN_OR_RETURN(match.selector, EntitySelector(entity, ns, path));
  if (!entity.not_selector().empty()) {
    RETURN_IF_ERROR(CheckSelector(entity.not_selector(), absl::StrCat(path, ".notSelector")));
    match.not_selector = entity.not_selector();
  }
  if (entity.has_services()) {
    const v1::ServiceMatch& service = entity.services();
    match.service = policy::ServiceName{service.namespace_().empty() ? ns : service.namespace_(),
                                        service.name()};
  }
  if (entity.has_ports()) {
    ASSIGN_OR_RETURN(match.ports, ConvertPorts(entity.ports(), absl::StrCat(path, ".ports")));
  }
  if (entity.not_ports().items_size() > 0) {
    ASSIGN_OR_RETURN(match.not_ports,
                     ConvertPorts(entity.not_ports(), absl::StrCat(path, ".notPorts")));
  }
  return match;
}

absl::StatusOr<policy::Rule> ConvertRule(const v1::Rule& from, const std::string& ns,
                                         const std::string& path) {
  policy::Rule rule;
  ASSIGN_OR_RETURN(rule.action, ParseAction(from.action(), absl::StrCat(path, ".action")));
  const auto& annotations = from.metadata().annotations();
  if (const auto name = annotations.find("name"); name != annotations.end()) {
    rule.name = Printable(name->second);  // whoever may write a policy writes to root's terminal
  }
  if (from.has_ip_version()) {
    if (from.ip_version() != 4 && from.ip_version() != 6) {
      return BadValue(absl::StrCat(path, ".ipVersion"), absl::StrCat(from.ip_version()),
                      "is not 4 or 6");
    }
    rule.ip_version = static_cast<int>(from.ip_version());
  }
  for (const auto& [present, value, out, name] :
       {std::tuple(from.has_protocol(), &from.protocol(), &rule.protocol, ".protocol"),
        std::tuple(from.has_not_protocol(), &from.not_protocol(), &rule.not_protocol,
                   ".notProtocol")}) {
    if (!present) continue;
    *out = ProtocolNumber(*value);
    if (!*out) return BadValue(path + name, ToString(*value), "is not a protocol");
  }
  if (from.has_icmp()) {
    ASSIGN_OR_RETURN(rule.icmp, ConvertIcmp(from.icmp(), absl::StrCat(path, ".icmp")));
  }
  if (from.has_not_icmp()) {
    ASSIGN_OR_RETURN(rule.not_icmp, ConvertIcmp(from.not_icmp(), absl::StrCat(path, ".notICMP")));
  }
  ASSIGN_OR_RETURN(rule.source, ConvertEntity(from.source(), ns, absl::StrCat(path, ".source")));
  ASSIGN_OR_RETURN(rule.destination,
                   ConvertEntity(from.destination(), ns, absl::StrCat(path, ".destination")));
  // Nothing here reads HTTP, nor knows what a later version asks for.
  if (from.has_http() || HasUnknownFieldsInside(from)) FailClosed(rule);
  return rule;
}

absl::StatusOr<std::string> SubjectSelector(const v1::PolicySpec& spec, const std::string& ns) {
  std::vector<std::string> parts;
  if (!ns.empty()) {
    parts.push_back(InNamespace(ns));
  } else if (!spec.namespace_selector().empty()) {
    auto text = NamespaceSelectorText(spec.namespace_selector());
    if (!text.ok()) return At("spec.namespaceSelector", text.status());
    parts.push_back(*text);
  }
  if (!spec.service_account_selector().empty()) {
    auto text = ServiceAccountSelectorText(spec.service_account_selector());
    if (!text.ok()) return At("spec.serviceAccountSelector", text.status());
    parts.push_back(*text);
  }
  RETURN_IF_ERROR(CheckSelector(spec.selector(), "spec.selector"));
  parts.push_back(spec.selector());
  return AllOf(parts);
}

}  // namespace

absl::StatusOr<std::vector<policy::Rule>> ConvertCalicoRules(
    const google::protobuf::RepeatedPtrField<v1::Rule>& rules, const std::string& ns,
    const std::string& path) {
  std::vector<policy::Rule> converted;
  for (int i = 0; i < rules.size(); ++i) {
    ASSIGN_OR_RETURN(converted.emplace_back(),
                     ConvertRule(rules[i], ns, absl::StrCat(path, "[", i, "]")));
  }
  return converted;
}

absl::StatusOr<policy::Policy> ConvertCalicoPolicy(policy::PolicyKind kind,
                                                   const v1::ObjectMeta& metadata,
                                                   const v1::PolicySpec& spec) {
  using policy::PolicyKind;
  const bool global =
      kind == PolicyKind::kGlobalNetworkPolicy || kind == PolicyKind::kStagedGlobalNetworkPolicy;
  const std::string ns = global ? "" : metadata.namespace_();
  policy::Policy policy;
  policy.key = {kind, ns, metadata.name()};
  policy.staged =
      kind == PolicyKind::kStagedNetworkPolicy || kind == PolicyKind::kStagedGlobalNetworkPolicy;
  policy.tier = spec.tier().empty() ? "default" : spec.tier();
  if (spec.has_order()) {
    if (!std::isfinite(spec.order())) {
      return BadValue("spec.order", absl::StrCat(spec.order()), "is not a number");
    }
    policy.order = spec.order();
  }
  ASSIGN_OR_RETURN(policy.selector, SubjectSelector(spec, ns));
  for (const std::string& type : spec.types()) {
    if (type != "Ingress" && type != "Egress") {
      return BadValue("spec.types", type, "is not Ingress or Egress");
    }
    (type == "Ingress" ? policy.ingress : policy.egress) = true;
  }
  if (spec.types_size() == 0) {
    policy.egress = spec.egress_size() > 0;
    policy.ingress = spec.ingress_size() > 0 || !policy.egress;
  }
  ASSIGN_OR_RETURN(policy.ingress_rules, ConvertCalicoRules(spec.ingress(), ns, "spec.ingress"));
  ASSIGN_OR_RETURN(policy.egress_rules, ConvertCalicoRules(spec.egress(), ns, "spec.egress"));
  if (!policy.ingress) policy.ingress_rules.clear();
  if (!policy.egress) policy.egress_rules.clear();
  if (HasUnknownFields(spec)) FailClosed(policy);
  policy.do_not_track = spec.do_not_track();
  policy.pre_dnat = spec.pre_dnat();
  policy.apply_on_forward = spec.apply_on_forward();
  return policy;
}

}  // namespace ripstop::api
