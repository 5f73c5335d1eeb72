// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "api/convert/values.h"
#include "api/validate/validators.h"
#include "policy/model.h"
#include "policy/world.h"

namespace ripstop::api {
namespace {

const std::vector<std::string> kTypes = {"Ingress", "Egress"};

void CheckPorts(const v1::PortList& ports, const std::string& path, Checker& check) {
  if (ports.items_size() == 0) {
    check.Wrong(path, "is an empty list", "list ports, or remove it to match every port");
  }
  for (int i = 0; i < ports.items_size(); ++i) {
    if (!CalicoPort(ports.items(i))) {
      check.Bad(Index(path, i), ToString(ports.items(i)), "is not a port",
                "write 0 to 65535, a range such as \"8000:8010\" with the lower first, or a name");
    }
  }
}

void CheckNets(const v1::StringList& nets, const std::string& path, const v1::Rule& rule,
               Checker& check) {
  if (nets.items_size() == 0) {
    check.Wrong(path, "is an empty list", "list CIDRs, or remove it to match every address");
  }
  for (int i = 0; i < nets.items_size(); ++i) {
    const auto cidr = check.Cidr(Index(path, i), nets.items(i), true);
    if (cidr && rule.has_ip_version() && rule.ip_version() != (cidr->is_v4() ? 4 : 6)) {
      check.Bad(Index(path, i), nets.items(i),
                absl::StrCat("is not IPv", rule.ip_version(), ", which the rule's ipVersion says"),
                "remove ipVersion, or write a CIDR of that family");
    }
  }
}

void CheckService(const v1::EntityRule& entity, const std::string& path, bool global,
                  Checker& check) {
  const v1::ServiceMatch& service = entity.services();
  const std::string at = Field(path, "services");
  check.Subdomain(Field(at, "name"), service.name());
  if (!service.namespace_().empty()) {
    check.DnsLabel(Field(at, "namespace"), service.namespace_());
  } else if (global) {
    check.Wrong(Field(at, "namespace"), "is missing", "a global policy must name the namespace");
  }
  for (const auto& [present, name] :
       {std::pair(entity.has_ports(), "ports"), std::pair(entity.has_not_ports(), "notPorts"),
        std::pair(entity.has_nets(), "nets"), std::pair(entity.has_not_nets(), "notNets"),
        std::pair(!entity.selector().empty(), "selector"),
        std::pair(!entity.not_selector().empty(), "notSelector"),
        std::pair(!entity.namespace_selector().empty(), "namespaceSelector"),
        std::pair(entity.has_service_accounts(), "serviceAccounts")}) {
    if (present) {
      check.Wrong(Field(path, name), "cannot stand beside services",
                  "remove it: the service says which addresses and ports");
    }
  }
}

void CheckEntity(const v1::EntityRule& entity, const std::string& path, const v1::Rule& rule,
                 bool global, Checker& check) {
  if (entity.has_nets()) CheckNets(entity.nets(), Field(path, "nets"), rule, check);
  // Nothing is excepted by an empty notNets or notPorts: harmless, and some tools write it.
  if (entity.not_nets().items_size() > 0) {
    CheckNets(entity.not_nets(), Field(path, "notNets"), rule, check);
  }
  check.Selector(Field(path, "selector"), entity.selector());
  check.Selector(Field(path, "notSelector"), entity.not_selector());
  check.Selector(Field(path, "namespaceSelector"), entity.namespace_selector());
  for (const auto& [present, list, name] :
       {std::tuple(entity.has_ports(), &entity.ports(), "ports"),
        std::tuple(entity.not_ports().items_size() > 0, &entity.not_ports(), "notPorts")}) {
    if (!present) continue;
    const std::string at = Field(path, name);
    CheckPorts(*list, at, check);
    const auto protocol = rule.has_protocol() ? ProtocolNumber(rule.protocol()) : std::nullopt;
    if (!rule.has_protocol()) {
      check.Wrong(at, "needs a protocol", "write protocol: TCP, UDP, SCTP or UDPLite in the rule");
    } else if (protocol && !policy::HasPorts(*protocol)) {
      check.Wrong(at, absl::StrCat("makes no sense with protocol ", ToString(rule.protocol())),
                  "write protocol: TCP, UDP, SCTP or UDPLite in the rule, or remove the ports");
    }
  }
  if (entity.has_service_accounts()) {
    const std::string at = Field(path, "serviceAccounts");
    check.Selector(Field(at, "selector"), entity.service_accounts().selector());
    for (int i = 0; i < entity.service_accounts().names_size(); ++i) {
      check.Subdomain(Index(Field(at, "names"), i), entity.service_accounts().names(i));
    }
  }
  if (entity.has_services()) CheckService(entity, path, global, check);
}

void CheckIcmp(const v1::IcmpFields& icmp, const std::string& path, const v1::Rule& rule,
               Checker& check) {
  if (icmp.has_type()) check.Range(Field(path, "type"), icmp.type(), 0, 255);
  if (icmp.has_code()) check.Range(Field(path, "code"), icmp.code(), 0, 255);
  if (icmp.has_code() && !icmp.has_type()) {
    check.Wrong(Field(path, "code"), "needs a type", "write type beside it");
  }
  const auto protocol = rule.has_protocol() ? ProtocolNumber(rule.protocol()) : std::nullopt;
  if (protocol != policy::kProtocolIcmp && protocol != policy::kProtocolIcmpV6) {
    check.Wrong(path, "needs protocol ICMP or ICMPv6", "write protocol: ICMP or ICMPv6");
  }
}

void CheckRule(const v1::Rule& rule, const std::string& path, bool global, Checker& check) {
  check.Enum(Field(path, "action"), rule.action(), {"Allow", "Deny", "Log", "Pass"});
  if (rule.has_ip_version() && rule.ip_version() != 4 && rule.ip_version() != 6) {
    check.Bad(Field(path, "ipVersion"), absl::StrCat(rule.ip_version()), "is not an IP version",
              "write 4 or 6");
  }
  for (const auto& [present, value, name] :
       {std::tuple(rule.has_protocol(), &rule.protocol(), "protocol"),
        std::tuple(rule.has_not_protocol(), &rule.not_protocol(), "notProtocol")}) {
    if (present && !ProtocolNumber(*value)) {
      check.Bad(Field(path, name), ToString(*value), "is not a protocol",
                "write TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite or 1 to 255");
    }
  }
  if (rule.has_icmp()) CheckIcmp(rule.icmp(), Field(path, "icmp"), rule, check);
  if (rule.has_not_icmp()) CheckIcmp(rule.not_icmp(), Field(path, "notICMP"), rule, check);
  CheckEntity(rule.source(), Field(path, "source"), rule, global, check);
  CheckEntity(rule.destination(), Field(path, "destination"), rule, global, check);
  if (rule.has_http()) {
    check.Wrong(Field(path, "http"), "is not enforced here",
                "remove it and match by ports; the datapath does not read HTTP");
  }
}

}  // namespace

void CheckCalicoRules(const google::protobuf::RepeatedPtrField<v1::Rule>& rules,
                      const std::string& path, bool global, Checker& check) {
  for (int i = 0; i < rules.size(); ++i) CheckRule(rules[i], Index(path, i), global, check);
}

void CheckCalicoPolicy(const v1::PolicySpec& spec, PolicyScope scope, Checker& check) {
  if (!spec.tier().empty()) check.DnsLabel("spec.tier", spec.tier());
  if (scope.staged) {
    check.EnumOrEmpty("spec.stagedAction", spec.staged_action(),
                      {"Set", "Delete", "Learn", "Ignore"});
  } else if (!spec.staged_action().empty()) {
    check.Wrong("spec.stagedAction", "belongs to the staged kinds", "remove it");
  }
  for (const auto& [present, path] :
       {std::pair(!spec.namespace_selector().empty(), "spec.namespaceSelector"),
        std::pair(spec.has_do_not_track(), "spec.doNotTrack"),
        std::pair(spec.has_pre_dnat(), "spec.preDNAT"),
        std::pair(spec.has_apply_on_forward(), "spec.applyOnForward")}) {
    if (present && !scope.global) {
      check.Wrong(path, "belongs to GlobalNetworkPolicy",
                  "remove it, or write a GlobalNetworkPolicy");
    }
  }
  check.Selector("spec.selector", spec.selector());
  check.Selector("spec.namespaceSelector", spec.namespace_selector());
  check.Selector("spec.serviceAccountSelector", spec.service_account_selector());
  bool egress = spec.egress_size() > 0;
  for (int i = 0; i < spec.types_size(); ++i) {
    check.Enum(Index("spec.types", i), spec.types(i), kTypes);
    egress |= spec.types(i) == "Egress";
    for (int j = 0; j < i; ++j) {
      if (spec.types(i) == spec.types(j)) {
        check.Bad(Index("spec.types", i), spec.types(i), "appears twice", "keep one of the two");
      }
    }
  }
  if (spec.do_not_track() && spec.pre_dnat()) {
    check.Wrong("spec.preDNAT", "cannot stand beside doNotTrack", "keep one of the two");
  }
  if ((spec.do_not_track() || spec.pre_dnat()) && !spec.apply_on_forward()) {
    check.Wrong("spec.applyOnForward", "must be true with doNotTrack or preDNAT",
                "write applyOnForward: true");
  }
  if (spec.pre_dnat() && egress) {
    check.Wrong("spec.preDNAT", "is for ingress only", "remove the egress rules and type");
  }
  for (int i = 0; i < spec.performance_hints_size(); ++i) {
    check.Enum(Index("spec.performanceHints", i), spec.performance_hints(i),
               {"AssumeNeededOnEveryNode"});
  }
  CheckCalicoRules(spec.ingress(), "spec.ingress", scope.global, check);
  CheckCalicoRules(spec.egress(), "spec.egress", scope.global, check);
}

void CheckTier(const v1::Tier& tier, Checker& check) {
  check.DnsLabel("metadata.name", tier.metadata().name());
  const v1::TierSpec& spec = tier.spec();
  check.EnumOrEmpty("spec.defaultAction", spec.default_action(), {"Deny", "Pass"});
  const auto built_in = policy::BuiltInTiers().find(tier.metadata().name());
  if (built_in == policy::BuiltInTiers().end()) return;
  const policy::Tier& fixed = built_in->second;
  if (spec.has_order() && spec.order() != fixed.order) {
    check.Bad("spec.order", absl::StrCat(spec.order()), "cannot change for a built-in tier",
              absl::StrCat("write ", fixed.order.value_or(0), ", or use a tier of your own"));
  }
  const char* action = fixed.default_action == policy::Action::kPass ? "Pass" : "Deny";
  if (!spec.default_action().empty() && spec.default_action() != action) {
    check.Bad("spec.defaultAction", spec.default_action(), "cannot change for a built-in tier",
              absl::StrCat("write ", action, ", or use a tier of your own"));
  }
}

}  // namespace ripstop::api
