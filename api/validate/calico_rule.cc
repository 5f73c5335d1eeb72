// SPDX-License-Identifier: Apache-2.0
//
// One rule of projectcalico.org/v3. Limits and cross-field rules are those of the API's own
// schema and validator, so that what is valid here is valid there.
#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "api/convert/values.h"
#include "api/validate/validators.h"
#include "policy/model.h"

namespace ripstop::api {
namespace {

constexpr int kNetsMax = 256;
constexpr int kPortsMax = 50;
constexpr int kRulesMax = 1024;

void CheckCount(int count, int max, const std::string& path, const char* remedy, Checker& check) {
  if (count <= max) return;
  check.Bad(path, absl::StrCat(count, " items"), absl::StrCat("is longer than ", max), remedy);
}

// Where an entity stands.
struct EntityPlace {
  bool ingress = false;
  bool destination = false;
  bool global = false;  // in a policy without a namespace
};

bool IsPortNumbers(const v1::IntOrString& port) {
  const auto parsed = CalicoPort(port);
  return parsed && std::holds_alternative<policy::PortRange>(*parsed);
}

// No port of a pod is called so (RFC 6335 section 5.1 wants a letter): 80-90 is meant as a range.
bool IsNameOfNoPort(const std::variant<policy::PortRange, std::string>& port) {
  const auto* name = std::get_if<std::string>(&port);
  return name != nullptr && std::none_of(name->begin(), name->end(), absl::ascii_isalpha);
}

void CheckPorts(const v1::PortList& ports, const std::string& path, Checker& check) {
  if (ports.items_size() == 0) {
    check.Wrong(path, "is an empty list", "list ports, or remove it to match every port");
  }
  CheckCount(ports.items_size(), kPortsMax, path, "join ports to ranges, or write two rules",
             check);
  for (int i = 0; i < ports.items_size(); ++i) {
    const auto port = CalicoPort(ports.items(i));
    const auto* range = port ? std::get_if<policy::PortRange>(&*port) : nullptr;
    if (!port || (range != nullptr && range->first == 0) || IsNameOfNoPort(*port)) {
      check.Bad(Index(path, i), ToString(ports.items(i)), "is not a port",
                "write 1 to 65535, a range such as \"8000:8010\" with the lower first, or a name");
    }
  }
}

void CheckNets(const v1::StringList& nets, const std::string& path, const v1::Rule& rule,
               Checker& check) {
  if (nets.items_size() == 0) {
    check.Wrong(path, "is an empty list", "list CIDRs, or remove it to match every address");
  }
  CheckCount(nets.items_size(), kNetsMax, path,
             "put them into a GlobalNetworkSet and select it by a label", check);
  std::set<std::string> seen;
  for (int i = 0; i < nets.items_size(); ++i) {
    if (!seen.insert(nets.items(i)).second) {
      check.Bad(Index(path, i), nets.items(i), "appears twice", "keep one of the two");
    }
    const auto cidr = check.Cidr(Index(path, i), nets.items(i), true);
    if (cidr && rule.has_ip_version() && rule.ip_version() != (cidr->is_v4() ? 4 : 6)) {
      check.Bad(Index(path, i), nets.items(i),
                absl::StrCat("is not IPv", rule.ip_version(), ", which the rule's ipVersion says"),
                "remove ipVersion, or write a CIDR of that family");
    }
  }
}

// What excepts a whole version leaves it nothing to match.
void CheckNothingLeft(const v1::StringList& nets, const std::string& path, Checker& check) {
  for (int i = 0; i < nets.items_size(); ++i) {
    const auto cidr = policy::Cidr::Parse(nets.items(i));
    if (!cidr.ok() || cidr->family_bits() != 0) continue;
    check.Bad(Index(path, i), nets.items(i), "excepts every address",
              cidr->is_v4() ? "write ipVersion: 6 if IPv4 is not meant, or a longer prefix"
                            : "write ipVersion: 4 if IPv6 is not meant, or a longer prefix");
  }
}

// A service stands for the peers: the destinations of an egress rule, whose ports it says too,
// or the sources of an ingress rule.
void CheckService(const v1::EntityRule& entity, const std::string& path, const EntityPlace& place,
                  Checker& check) {
  const v1::ServiceMatch& service = entity.services();
  const std::string at = Field(path, "services");
  if (place.ingress == place.destination) {
    check.Wrong(at,
                place.ingress ? "cannot be the destination of an ingress rule"
                              : "cannot be the source of an egress rule",
                place.ingress ? "write it as source, or select the pods behind it"
                              : "write it as destination, or select the pods behind it");
  }
  check.Subdomain(Field(at, "name"), service.name());
  if (!service.namespace_().empty()) {
    check.DnsLabel(Field(at, "namespace"), service.namespace_());
  } else if (place.global) {
    check.Wrong(Field(at, "namespace"), "is missing", "a global policy must name the namespace");
  }
  for (const auto& [present, name] :
       {std::pair(place.destination && entity.has_ports(), "ports"),
        std::pair(place.destination && entity.has_not_ports(), "notPorts"),
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
                 const EntityPlace& place, Checker& check) {
  if (entity.has_nets()) CheckNets(entity.nets(), Field(path, "nets"), rule, check);
  // Nothing is excepted by an empty notNets or notPorts: harmless, and some tools write it.
  if (entity.not_nets().items_size() > 0) {
    CheckNets(entity.not_nets(), Field(path, "notNets"), rule, check);
    CheckNothingLeft(entity.not_nets(), Field(path, "notNets"), check);
  }
  CheckPolicySelector(Field(path, "selector"), entity.selector(), check);
  CheckPolicySelector(Field(path, "notSelector"), entity.not_selector(), check);
  const std::string namespaces = Field(path, "namespaceSelector");
  if (absl::StripAsciiWhitespace(entity.namespace_selector()) != "global()") {
    CheckPolicySelector(namespaces, entity.namespace_selector(), check);
  }
  for (const auto& [present, list, name] :
       {std::tuple(entity.has_ports(), &entity.ports(), "ports"),
        std::tuple(entity.not_ports().items_size() > 0, &entity.not_ports(), "notPorts")}) {
    if (!present) continue;
    const std::string at = Field(path, name);
    CheckPorts(*list, at, check);
    const auto protocol = rule.has_protocol() ? ProtocolNumber(rule.protocol()) : std::nullopt;
    // A name says its protocol itself: each that the endpoint declares for it.
    const bool numbers = std::any_of(list->items().begin(), list->items().end(), IsPortNumbers);
    if (!rule.has_protocol() && numbers) {
      check.Wrong(at, "needs a protocol", "write protocol: TCP, UDP, SCTP or UDPLite in the rule");
    } else if (protocol && !policy::HasPorts(*protocol)) {
      check.Wrong(at, absl::StrCat("makes no sense with protocol ", ToString(rule.protocol())),
                  "write protocol: TCP, UDP, SCTP or UDPLite in the rule, or remove the ports");
    }
  }
  if (entity.has_service_accounts()) {
    const std::string at = Field(path, "serviceAccounts");
    check.Selector(Field(at, "selector"), entity.service_accounts().selector());
    std::set<std::string> seen;
    for (int i = 0; i < entity.service_accounts().names_size(); ++i) {
      const std::string& name = entity.service_accounts().names(i);
      if (!seen.insert(name).second) {
        check.Bad(Index(Field(at, "names"), i), name, "appears twice", "keep one of the two");
      }
      check.Subdomain(Index(Field(at, "names"), i), entity.service_accounts().names(i));
    }
  }
  if (entity.has_services()) CheckService(entity, path, place, check);
}

void CheckIcmp(const v1::IcmpFields& icmp, const std::string& path, const v1::Rule& rule,
               Checker& check) {
  if (icmp.has_type()) check.Range(Field(path, "type"), icmp.type(), 0, 254);
  if (icmp.has_code()) check.Range(Field(path, "code"), icmp.code(), 0, 255);
  if (icmp.has_code() && !icmp.has_type()) {
    check.Wrong(Field(path, "code"), "needs a type", "write type beside it");
  }
  const auto protocol = rule.has_protocol() ? ProtocolNumber(rule.protocol()) : std::nullopt;
  if (protocol != policy::kProtocolIcmp && protocol != policy::kProtocolIcmpV6) {
    check.Wrong(path, "needs protocol ICMP or ICMPv6", "write protocol: ICMP or ICMPv6");
  }
}

// ICMP is IPv4's and ICMPv6 IPv6's: a rule of the other version would match nothing.
void CheckIcmpVersion(const v1::Rule& rule, const std::string& path, Checker& check) {
  if (!rule.has_ip_version()) return;
  for (const auto& [present, protocol] :
       {std::pair(rule.has_protocol(), &rule.protocol()),
        std::pair(rule.has_not_protocol(), &rule.not_protocol())}) {
    if (!present) continue;
    const auto number = ProtocolNumber(*protocol);
    const bool v4 = number == policy::kProtocolIcmp, v6 = number == policy::kProtocolIcmpV6;
    if ((v4 && rule.ip_version() == 6) || (v6 && rule.ip_version() == 4)) {
      check.Bad(Field(path, "ipVersion"), absl::StrCat(rule.ip_version()),
                absl::StrCat("is not that of ", ToString(*protocol)),
                absl::StrCat("write ", v4 ? 4 : 6, ", or remove it"));
    }
  }
}

// One side IPv4 alone and the other IPv6 alone: no packet is both.
void CheckNetVersions(const v1::Rule& rule, const std::string& path, Checker& check) {
  const auto version = [](const v1::StringList& nets) {
    std::set<int> versions;
    for (const std::string& net : nets.items()) {
      if (const auto cidr = policy::Cidr::Parse(net); cidr.ok())
        versions.insert(cidr->is_v4() ? 4 : 6);
    }
    return versions.size() == 1 ? *versions.begin() : 0;
  };
  const int source = version(rule.source().nets()),
            destination = version(rule.destination().nets());
  if (source == 0 || destination == 0 || source == destination) return;
  check.Wrong(Field(path, "destination.nets"),
              absl::StrCat("is IPv", destination, " and source.nets is IPv", source),
              "write a rule for each version");
}

void CheckRule(const v1::Rule& rule, const std::string& path, bool ingress, bool global,
               Checker& check) {
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
  CheckIcmpVersion(rule, path, check);
  CheckEntity(rule.source(), Field(path, "source"), rule, {ingress, false, global}, check);
  CheckEntity(rule.destination(), Field(path, "destination"), rule, {ingress, true, global}, check);
  CheckNetVersions(rule, path, check);
  check.Annotations(Field(path, "metadata.annotations"), rule.metadata().annotations());
}

}  // namespace

void CheckPolicySelector(const std::string& path, const std::string& text, Checker& check) {
  constexpr size_t kBytesMax = 1024;
  if (text.size() > kBytesMax) {
    check.Bad(path, absl::StrCat(text.size(), " bytes"), absl::StrCat("is longer than ", kBytesMax),
              "give what it selects a label of its own");
  }
  if (check.Selector(path, text) && absl::StrContains(text, "global(")) {
    check.Bad(path, text, "uses global()",
              "write it alone, as the namespaceSelector of a rule's source or destination");
  }
}

void CheckCalicoRules(const google::protobuf::RepeatedPtrField<v1::Rule>& rules,
                      const std::string& path, bool ingress, bool global, Checker& check) {
  CheckCount(rules.size(), kRulesMax, path, "divide the policy into several", check);
  for (int i = 0; i < rules.size(); ++i) {
    CheckRule(rules[i], Index(path, i), ingress, global, check);
  }
}

}  // namespace ripstop::api
