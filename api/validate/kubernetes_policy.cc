// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "absl/strings/str_cat.h"
#include "api/codec/scalar.h"
#include "api/convert/values.h"
#include "api/validate/validators.h"

namespace ripstop::api {
namespace {

constexpr int kClusterListMax = 25;
const std::vector<std::string> kProtocols = {"TCP", "UDP", "SCTP"};

// `number`: what to write where the name is a number.
void CheckPortName(const std::string& path, const std::string& name, const std::string& number,
                   Checker& check) {
  if (IsPortName(name)) return;
  check.Bad(path, name, "is not the name of a port",
            DecimalInteger(name)
                ? number
                : "write at most 15 of a-z, 0-9 and -, at least one of them a letter");
}

void CheckPort(const v1::KubernetesPort& port, const std::string& path, Checker& check) {
  check.EnumOrEmpty(Field(path, "protocol"), port.protocol(), kProtocols);
  const std::string end = Field(path, "endPort");
  if (port.has_port() && port.port().has_text()) {
    const std::string& name = port.port().text();
    CheckPortName(Field(path, "port"), name, absl::StrCat("write ", name, " without quotes"),
                  check);
  }
  if (port.has_port() && port.port().has_number()) {
    check.Range(Field(path, "port"), port.port().number(), 1, 65535);
  }
  if (!port.has_end_port()) return;
  if (!port.has_port() || !port.port().has_number()) {
    check.Bad(end, absl::StrCat(port.end_port()), "needs a port that is a number",
              "write port: with the first number of the range");
  } else if (check.Range(end, port.end_port(), 1, 65535) &&
             port.end_port() < port.port().number()) {
    check.Bad(end, absl::StrCat(port.end_port()), "is below port",
              absl::StrCat("write ", port.port().number(), " or more"));
  }
}

void CheckBlock(const v1::IpBlock& block, const std::string& path, Checker& check) {
  const auto cidr = check.Cidr(Field(path, "cidr"), block.cidr(), false);
  for (int i = 0; i < block.except_size(); ++i) {
    const std::string at = Index(Field(path, "except"), i);
    const auto except = check.Cidr(at, block.except(i), false);
    if (cidr && except && (!cidr->Contains(*except) || cidr->bits == except->bits)) {
      check.Bad(at, block.except(i), absl::StrCat("is not a part of ", block.cidr()),
                "write a longer prefix inside it");
    }
  }
}

void CheckPeer(const v1::KubernetesPeer& peer, const std::string& path, Checker& check) {
  if (!peer.has_pod_selector() && !peer.has_namespace_selector() && !peer.has_ip_block()) {
    check.Wrong(path, "is a peer that says nothing",
                "write podSelector, namespaceSelector or ipBlock; for everything leave out the "
                "whole list");
  }
  if (peer.has_ip_block() && (peer.has_pod_selector() || peer.has_namespace_selector())) {
    check.Wrong(Field(path, "ipBlock"), "cannot stand beside a selector",
                "write it as an item of its own");
  }
  if (peer.has_pod_selector()) {
    check.LabelSelector(Field(path, "podSelector"), peer.pod_selector());
  }
  if (peer.has_namespace_selector()) {
    check.LabelSelector(Field(path, "namespaceSelector"), peer.namespace_selector());
  }
  if (peer.has_ip_block()) CheckBlock(peer.ip_block(), Field(path, "ipBlock"), check);
}

template <typename Ports, typename Peers>
void CheckRule(const Ports& ports, const Peers& peers, const std::string& path,
               const char* peers_name, Checker& check) {
  for (int i = 0; i < ports.size(); ++i) CheckPort(ports[i], Index(Field(path, "ports"), i), check);
  for (int i = 0; i < peers.size(); ++i) {
    CheckPeer(peers[i], Index(Field(path, peers_name), i), check);
  }
}

void CheckNamespacedPods(const v1::NamespacedPods& pods, const std::string& path, Checker& check) {
  if (!pods.has_pod_selector()) {
    check.Wrong(Field(path, "podSelector"), "is missing", "write {} for all pods");
  }
  check.LabelSelector(Field(path, "namespaceSelector"), pods.namespace_selector());
  check.LabelSelector(Field(path, "podSelector"), pods.pod_selector());
}

void CheckListSize(int size, const std::string& path, Checker& check) {
  if (size == 0) {
    check.Wrong(path, "is missing or empty", absl::StrCat("list 1 to ", kClusterListMax));
  } else if (size > kClusterListMax) {
    check.Wrong(path, absl::StrCat("has ", size, " items"),
                absl::StrCat("list at most ", kClusterListMax));
  }
}

void CheckClusterPeer(const v1::ClusterPolicyPeer& peer, const std::string& path, bool ingress,
                      Checker& check) {
  const int fields = peer.has_namespaces() + peer.has_pods() + peer.has_networks() +
                     peer.has_nodes() + peer.has_domain_names();
  if (fields != 1) {
    check.Wrong(path, absl::StrCat("has ", fields, " fields of which there must be exactly one"),
                ingress ? "write namespaces or pods" : "write namespaces, pods, networks or nodes");
  }
  if (peer.has_namespaces()) check.LabelSelector(Field(path, "namespaces"), peer.namespaces());
  if (peer.has_pods()) CheckNamespacedPods(peer.pods(), Field(path, "pods"), check);
  for (const auto& [present, name] :
       {std::pair(peer.has_networks(), "networks"), std::pair(peer.has_nodes(), "nodes"),
        std::pair(peer.has_domain_names(), "domainNames")}) {
    if (present && ingress) {
      check.Wrong(Field(path, name), "is for egress only", "write namespaces or pods");
    }
  }
  if (ingress) return;
  if (peer.has_nodes()) check.LabelSelector(Field(path, "nodes"), peer.nodes());
  if (peer.has_domain_names()) {
    check.Wrong(Field(path, "domainNames"), "is experimental and not enforced here",
                "write namespaces, pods, networks or nodes");
  }
  if (!peer.has_networks()) return;
  const std::string at = Field(path, "networks");
  CheckListSize(peer.networks().items_size(), at, check);
  std::set<std::string> seen;
  for (int i = 0; i < peer.networks().items_size(); ++i) {
    const std::string& text = peer.networks().items(i);
    check.Cidr(Index(at, i), text, false);
    if (!seen.insert(text).second) {
      check.Bad(Index(at, i), text, "appears twice", "keep one of the two");
    }
  }
}

void CheckTransport(const v1::ClusterPolicyTransport& transport, const std::string& path,
                    Checker& check) {
  if (!transport.has_destination_port()) {
    return (void)check.Wrong(Field(path, "destinationPort"), "is missing",
                             "write number: 80, or range: {start: 1, end: 65535} for every port");
  }
  const v1::ClusterPolicyPort& port = transport.destination_port();
  const std::string at = Field(path, "destinationPort");
  if (port.has_number() == port.has_range()) {
    return (void)check.Wrong(at, "has not exactly one of number and range",
                             "write number: 80, or range: {start: 80, end: 90}");
  }
  if (port.has_number()) return (void)check.Range(Field(at, "number"), port.number(), 1, 65535);
  if (check.Range(Field(at, "range.start"), port.range().start(), 1, 65535) &&
      check.Range(Field(at, "range.end"), port.range().end(), 1, 65535) &&
      port.range().start() >= port.range().end()) {
    check.Bad(Field(at, "range.end"), absl::StrCat(port.range().end()), "is not above start",
              "write a higher number, or number: for one port");
  }
}

template <typename Rule>
void CheckClusterRule(const Rule& rule, const v1::ClusterPolicyPeers& peers,
                      const std::string& path, const char* peers_name, bool ingress,
                      Checker& check) {
  check.Enum(Field(path, "action"), rule.action(), {"Accept", "Deny", "Pass"});
  if (rule.name().size() > 100) {
    check.Bad(Field(path, "name"), rule.name(), "is longer than 100 characters", "shorten it");
  }
  CheckListSize(peers.items_size(), Field(path, peers_name), check);
  for (int i = 0; i < peers.items_size(); ++i) {
    CheckClusterPeer(peers.items(i), Index(Field(path, peers_name), i), ingress, check);
  }
  if (!rule.has_protocols()) return;
  CheckListSize(rule.protocols().items_size(), Field(path, "protocols"), check);
  for (int i = 0; i < rule.protocols().items_size(); ++i) {
    const v1::ClusterPolicyProtocol& item = rule.protocols().items(i);
    const std::string at = Index(Field(path, "protocols"), i);
    const std::string& name = item.destination_named_port();
    if (item.has_tcp() + item.has_udp() + item.has_sctp() + !name.empty() != 1) {
      check.Wrong(at, "has not exactly one field",
                  "write one of tcp, udp, sctp, destinationNamedPort");
    }
    if (item.has_tcp()) CheckTransport(item.tcp(), Field(at, "tcp"), check);
    if (item.has_udp()) CheckTransport(item.udp(), Field(at, "udp"), check);
    if (item.has_sctp()) CheckTransport(item.sctp(), Field(at, "sctp"), check);
    if (!name.empty()) {
      CheckPortName(Field(at, "destinationNamedPort"), name,
                    absl::StrCat("write tcp: {destinationPort: {number: ", name, "}}"), check);
    }
  }
}

}  // namespace

void CheckKubernetesPolicy(const v1::KubernetesNetworkPolicySpec& spec, Checker& check) {
  check.LabelSelector("spec.podSelector", spec.pod_selector());
  for (int i = 0; i < spec.ingress_size(); ++i) {
    CheckRule(spec.ingress(i).ports(), spec.ingress(i).from(), Index("spec.ingress", i), "from",
              check);
  }
  for (int i = 0; i < spec.egress_size(); ++i) {
    CheckRule(spec.egress(i).ports(), spec.egress(i).to(), Index("spec.egress", i), "to", check);
  }
  if (spec.policy_types_size() > 2) {
    check.Wrong("spec.policyTypes", "has more than two items", "write Ingress, Egress or both");
  }
  for (int i = 0; i < spec.policy_types_size(); ++i) {
    check.Enum(Index("spec.policyTypes", i), spec.policy_types(i), {"Ingress", "Egress"});
  }
}

void CheckClusterPolicy(const v1::ClusterNetworkPolicySpec& spec, Checker& check) {
  check.Enum("spec.tier", spec.tier(), {"Admin", "Baseline"});
  if (!spec.has_priority()) {
    check.Wrong("spec.priority", "is missing", "write 0 to 1000; lower goes first");
  } else {
    check.Range("spec.priority", spec.priority(), 0, 1000);
  }
  const v1::ClusterPolicySubject& subject = spec.subject();
  if (subject.has_namespaces() == subject.has_pods()) {
    check.Wrong("spec.subject", spec.has_subject() ? "has not exactly one field" : "is missing",
                "write namespaces or pods");
  }
  check.LabelSelector("spec.subject.namespaces", subject.namespaces());
  if (subject.has_pods()) CheckNamespacedPods(subject.pods(), "spec.subject.pods", check);
  for (const auto& [size, path] : {std::pair(spec.ingress_size(), "spec.ingress"),
                                   std::pair(spec.egress_size(), "spec.egress")}) {
    if (size > kClusterListMax) CheckListSize(size, path, check);
  }
  for (int i = 0; i < spec.ingress_size(); ++i) {
    CheckClusterRule(spec.ingress(i), spec.ingress(i).from(), Index("spec.ingress", i), "from",
                     true, check);
  }
  for (int i = 0; i < spec.egress_size(); ++i) {
    CheckClusterRule(spec.egress(i), spec.egress(i).to(), Index("spec.egress", i), "to", false,
                     check);
  }
}

}  // namespace ripstop::api
