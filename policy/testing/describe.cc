// SPDX-License-Identifier: Apache-2.0
//
// A world as manifests, to be read by people and by `ripstopctl evaluate`. Selectors
// are printed as the model has them, with namespaces folded in, so policies of every
// kind come out as GlobalNetworkPolicy; their kind is in a comment.
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "policy/testing/random_world.h"

namespace ripstop::policy::testing {
namespace {

std::string Quoted(const std::string& text) {
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}}), "\"");
}

std::string NameOf(const std::string& text) {
  return absl::AsciiStrToLower(absl::StrReplaceAll(text, {{"/", "."}, {" ", "."}}));
}

std::string Text(const Labels& labels) {
  return absl::StrCat("{",
                      absl::StrJoin(labels, ", ",
                                    [](std::string* out, const auto& label) {
                                      absl::StrAppend(out, Quoted(label.first), ": ",
                                                      Quoted(label.second));
                                    }),
                      "}");
}

template <typename T>
std::string Listed(const std::vector<T>& items) {
  return absl::StrCat("[",
                      absl::StrJoin(items, ", ",
                                    [](std::string* out, const T& item) {
                                      absl::StrAppend(out, Quoted(item.ToString()));
                                    }),
                      "]");
}

std::string Text(const PortMatch& ports) {
  std::vector<std::string> items;
  for (const PortRange& r : ports.ranges) {
    items.push_back(r.first == r.last ? absl::StrCat(r.first)
                                      : Quoted(absl::StrCat(r.first, ":", r.last)));
  }
  for (const std::string& name : ports.names) items.push_back(name);
  return absl::StrCat("[", absl::StrJoin(items, ", "), "]");
}

std::string Text(const EntityMatch& match) {
  std::vector<std::string> fields;
  if (match.nets) fields.push_back("nets: " + Listed(*match.nets));
  if (!match.not_nets.empty()) fields.push_back("notNets: " + Listed(match.not_nets));
  if (match.selector) fields.push_back("selector: " + Quoted(*match.selector));
  if (match.not_selector) fields.push_back("notSelector: " + Quoted(*match.not_selector));
  if (match.nodes) fields.push_back("nodes: " + Quoted(*match.nodes));
  if (match.service) {
    fields.push_back(absl::StrCat("services: {name: ", match.service->name,
                                  ", namespace: ", match.service->ns, "}"));
  }
  if (match.ports) fields.push_back("ports: " + Text(*match.ports));
  if (match.not_ports) fields.push_back("notPorts: " + Text(*match.not_ports));
  return absl::StrCat("{", absl::StrJoin(fields, ", "), "}");
}

std::string Text(const IcmpMatch& match) {
  std::vector<std::string> fields;
  if (match.type) fields.push_back(absl::StrCat("type: ", *match.type));
  if (match.code) fields.push_back(absl::StrCat("code: ", *match.code));
  return absl::StrCat("{", absl::StrJoin(fields, ", "), "}");
}

std::string Text(const char* direction, const std::vector<Rule>& rules) {
  if (rules.empty()) return "";
  std::string s = absl::StrCat("  ", direction, ":\n");
  for (const Rule& r : rules) {
    absl::StrAppend(&s, "  - action: ", ToString(r.action), "\n");
    if (r.ip_version) absl::StrAppend(&s, "    ipVersion: ", *r.ip_version, "\n");
    if (r.protocol) absl::StrAppend(&s, "    protocol: ", *r.protocol, "\n");
    if (r.not_protocol) absl::StrAppend(&s, "    notProtocol: ", *r.not_protocol, "\n");
    if (r.icmp) absl::StrAppend(&s, "    icmp: ", Text(*r.icmp), "\n");
    if (r.not_icmp) absl::StrAppend(&s, "    notICMP: ", Text(*r.not_icmp), "\n");
    if (r.source != EntityMatch{}) absl::StrAppend(&s, "    source: ", Text(r.source), "\n");
    if (r.destination != EntityMatch{}) {
      absl::StrAppend(&s, "    destination: ", Text(r.destination), "\n");
    }
  }
  return s;
}

std::string Head(const char* api, const char* kind, const std::string& name, const std::string& ns,
                 const Labels& labels = {}) {
  return absl::StrCat("---\napiVersion: ", api, "\nkind: ", kind,
                      "\nmetadata:\n  name: ", NameOf(name), "\n",
                      ns.empty() ? "" : "  namespace: " + ns + "\n",
                      labels.empty() ? "" : "  labels: " + Text(labels) + "\n");
}

constexpr char kCalico[] = "projectcalico.org/v3";

std::string Text(const Policy& p) {
  std::vector<std::string> types;
  if (p.ingress) types.push_back("Ingress");
  if (p.egress) types.push_back("Egress");
  return absl::StrCat(Head(kCalico, "GlobalNetworkPolicy", p.key.ToString(), ""), "# ",
                      ToString(p.key.kind), p.staged ? ", staged" : "",
                      p.pre_dnat ? ", preDNAT" : "", p.do_not_track ? ", doNotTrack" : "",
                      p.apply_on_forward ? ", applyOnForward" : "", "\nspec:\n  tier: ", p.tier,
                      "\n", p.order ? absl::StrCat("  order: ", *p.order, "\n") : "",
                      "  selector: ", Quoted(p.selector)) +
         absl::StrCat("\n  types: [", absl::StrJoin(types, ", "), "]\n",
                      Text("ingress", p.ingress_rules), Text("egress", p.egress_rules));
}

std::string Text(const Endpoint& e) {
  const size_t slash = e.id.find('/');
  const std::string ns = slash == std::string::npos ? "default" : e.id.substr(0, slash);
  std::vector<std::string> networks;
  for (const Address& a : e.addresses) {
    networks.push_back(Quoted(a.ToString() + (a.is_v4() ? "/32" : "/128")));
  }
  std::string s = Head(kCalico, "WorkloadEndpoint", e.id.substr(slash + 1), ns, e.labels);
  absl::StrAppend(&s, "# ", e.local ? "local" : "remote", e.active ? "" : ", inactive",
                  "\nspec:\n  orchestrator: k8s\n  node: ", e.local ? "here" : "elsewhere",
                  "\n  pod: ", NameOf(e.id.substr(slash + 1)), "\n  endpoint: eth0\n");
  absl::StrAppend(&s, "  profiles: [", absl::StrJoin(e.profiles, ", "), "]\n  ipNetworks: [",
                  absl::StrJoin(networks, ", "), "]\n");
  if (!e.ports.empty()) s += "  ports:\n";
  for (const NamedPort& p : e.ports) {
    absl::StrAppend(&s, "  - {name: ", p.name, ", protocol: ", p.protocol, ", port: ", p.port,
                    "}\n");
  }
  return s;
}

}  // namespace

std::string Describe(const World& w) {
  std::string s;
  for (const auto& [n, t] : w.tiers) {
    absl::StrAppend(&s, Head(kCalico, "Tier", n, ""), "spec:\n",
                    t.order ? absl::StrCat("  order: ", *t.order, "\n") : "",
                    "  defaultAction: ", ToString(t.default_action), "\n");
  }
  for (const auto& [k, p] : w.policies) s += Text(p);
  for (const auto& [n, p] : w.profiles) {
    absl::StrAppend(&s, Head(kCalico, "Profile", n, ""),
                    "spec:\n  labelsToApply: ", Text(p.labels_to_apply), "\n",
                    Text("ingress", p.ingress_rules), Text("egress", p.egress_rules));
  }
  for (const auto& [n, e] : w.endpoints) s += Text(e);
  for (const auto& [n, x] : w.network_sets) {
    const Labels labels = EffectiveLabels(x.labels, x.profiles, w.profiles);
    absl::StrAppend(&s, Head(kCalico, "GlobalNetworkSet", n, "", labels),
                    "spec:\n  nets: ", Listed(x.nets), "\n");
  }
  for (const auto& [k, b] : w.services) {
    absl::StrAppend(&s,
                    Head("discovery.k8s.io/v1", "EndpointSlice", k.second, k.first.ns,
                         {{"kubernetes.io/service-name", k.first.name}}),
                    "addressType: IPv4\nendpoints:\n- addresses: ", Listed(b.addresses),
                    "\nports:\n");
    for (const ServicePort& p : b.ports) {
      absl::StrAppend(&s, "- {port: ", p.port, "}  # protocol ", p.protocol, "\n");
    }
  }
  for (const auto& [n, e] : w.host_endpoints) {
    std::vector<std::string> addresses;
    for (const Address& a : e.expected_addresses) addresses.push_back(Quoted(a.ToString()));
    absl::StrAppend(&s, Head(kCalico, "HostEndpoint", n, "", e.labels), "# interfaces ",
                    absl::StrJoin(e.interfaces, ", "), "\nspec:\n  profiles: [",
                    absl::StrJoin(e.profiles, ", "), "]\n  expectedIPs: [",
                    absl::StrJoin(addresses, ", "), "]\n");
  }
  for (const auto& [n, h] : w.hosts) {
    absl::StrAppend(&s, "---\n# ", h.this_host ? "this " : "", "host ", n, " ", Text(h.labels),
                    ": ", Listed(h.addresses), "\n");
  }
  return s;
}

std::string Describe(const Packet& p) {
  std::string s = absl::StrCat("{\"from\": \"", p.source.ToString(), "\", \"to\": \"",
                               p.destination.ToString(), "\", \"protocol\": ", p.protocol);
  if (HasPorts(p.protocol)) {
    absl::StrAppend(&s, ", \"port\": ", p.destination_port, ", \"sourcePort\": ", p.source_port);
  } else if (p.protocol == kProtocolIcmp || p.protocol == kProtocolIcmpV6) {
    absl::StrAppend(&s, ", \"icmpType\": ", p.icmp_type, ", \"icmpCode\": ", p.icmp_code);
  }
  return s + "}";
}

}  // namespace ripstop::policy::testing
