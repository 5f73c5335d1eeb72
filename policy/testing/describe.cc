// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "policy/testing/random_world.h"

namespace ripstop::policy::testing {
namespace {

std::string Text(const Labels& labels) {
  std::string s;
  for (const auto& [k, v] : labels) absl::StrAppend(&s, " ", k, "=", v);
  return s;
}

std::string Text(const PortMatch& m) {
  std::string s = "[";
  for (const PortRange& r : m.ranges) absl::StrAppend(&s, " ", r.first, ":", r.last);
  for (const std::string& n : m.names) absl::StrAppend(&s, " ", n);
  return s + " ]";
}

std::string Text(const std::vector<Cidr>& nets) {
  std::string s = "[";
  for (const Cidr& c : nets) absl::StrAppend(&s, " ", c.ToString());
  return s + " ]";
}

std::string Text(const char* side, const EntityMatch& m) {
  std::string s;
  if (m.nets) absl::StrAppend(&s, " nets", Text(*m.nets));
  if (!m.not_nets.empty()) absl::StrAppend(&s, " notNets", Text(m.not_nets));
  if (m.selector) absl::StrAppend(&s, " selector{", *m.selector, "}");
  if (m.not_selector) absl::StrAppend(&s, " notSelector{", *m.not_selector, "}");
  if (m.service) absl::StrAppend(&s, " service ", m.service->name);
  if (m.ports) absl::StrAppend(&s, " ports", Text(*m.ports));
  if (m.not_ports) absl::StrAppend(&s, " notPorts", Text(*m.not_ports));
  return s.empty() ? s : absl::StrCat(" ", side, ":", s);
}

std::string Text(const std::optional<IcmpMatch>& m, const char* name) {
  if (!m) return "";
  return absl::StrCat(" ", name, " ", m->type ? absl::StrCat(*m->type) : "*", "/",
                      m->code ? absl::StrCat(*m->code) : "*");
}

std::string Text(const char* direction, const std::vector<Rule>& rules) {
  std::string s;
  for (const Rule& r : rules) {
    absl::StrAppend(&s, "    ", direction, " ", ToString(r.action),
                    r.ip_version ? absl::StrCat(" ipVersion ", *r.ip_version) : "",
                    r.protocol ? absl::StrCat(" protocol ", *r.protocol) : "",
                    r.not_protocol ? absl::StrCat(" notProtocol ", *r.not_protocol) : "",
                    Text(r.icmp, "icmp"));
    absl::StrAppend(&s, Text(r.not_icmp, "notICMP"), Text("source", r.source),
                    Text("destination", r.destination), "\n");
  }
  return s;
}

}  // namespace

std::string Describe(const World& w) {
  std::string s;
  for (const auto& [n, t] : w.tiers) {
    absl::StrAppend(&s, "tier ", n, " order ", t.order ? absl::StrCat(*t.order) : "-", " default ",
                    ToString(t.default_action), "\n");
  }
  for (const auto& [k, p] : w.policies) {
    absl::StrAppend(&s, ToString(k.kind), " ", k.ToString(), " tier ", p.tier, " order ",
                    p.order ? absl::StrCat(*p.order) : "-", " selector{", p.selector, "}",
                    p.ingress ? " ingress" : "", p.egress ? " egress" : "", p.staged ? " staged" : "",
                    p.pre_dnat ? " preDNAT" : "", p.do_not_track ? " doNotTrack" : "", "\n",
                    Text("ingress", p.ingress_rules), Text("egress", p.egress_rules));
  }
  for (const auto& [n, p] : w.profiles) {
    absl::StrAppend(&s, "profile ", n, Text(p.labels_to_apply), "\n", Text("ingress", p.ingress_rules),
                    Text("egress", p.egress_rules));
  }
  for (const auto& [n, e] : w.endpoints) {
    absl::StrAppend(&s, "endpoint ", n, e.local ? " local" : "", e.active ? "" : " inactive", Text(e.labels));
    for (const std::string& p : e.profiles) absl::StrAppend(&s, " profile ", p);
    for (const Address& a : e.addresses) absl::StrAppend(&s, " ", a.ToString());
    for (const NamedPort& p : e.ports) absl::StrAppend(&s, " ", p.name, "=", p.protocol, "/", p.port);
    s += "\n";
  }
  for (const auto& [n, x] : w.network_sets) {
    absl::StrAppend(&s, "network set ", n, Text(x.labels), " ", Text(x.nets));
    for (const std::string& p : x.profiles) absl::StrAppend(&s, " profile ", p);
    s += "\n";
  }
  for (const auto& [k, b] : w.services) {
    absl::StrAppend(&s, "service ", k.first.name, " ", k.second);
    for (const Address& a : b.addresses) absl::StrAppend(&s, " ", a.ToString());
    for (const ServicePort& p : b.ports) absl::StrAppend(&s, " ", p.protocol, "/", p.port);
    s += "\n";
  }
  for (const auto& [n, h] : w.hosts) {
    absl::StrAppend(&s, "host ", n);
    for (const Address& a : h.addresses) absl::StrAppend(&s, " ", a.ToString());
    s += "\n";
  }
  return s;
}

std::string Describe(const Packet& p) {
  return absl::StrCat(p.source.ToString(), ":", p.source_port, " -> ", p.destination.ToString(), ":",
                      p.destination_port, " protocol ", p.protocol,
                      absl::StrCat(" icmp ", p.icmp_type, "/", p.icmp_code));
}

}  // namespace ripstop::policy::testing
