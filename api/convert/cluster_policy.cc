// SPDX-License-Identifier: Apache-2.0
//
// policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy. Like a Kubernetes rule, each rule
// becomes the product of its peers and protocols. What is not understood fails closed:
// Accept admits nothing, Deny and Pass deny whatever the rest of the rule matches.
#include "absl/strings/str_cat.h"
#include "api/convert/converters.h"
#include "api/convert/selector_text.h"
#include "api/convert/unknown_fields.h"
#include "api/convert/values.h"
#include "policy/selector.h"
#include "policy/status_macros.h"

namespace ripstop::api {
namespace {

absl::StatusOr<policy::Action> ParseClusterAction(const std::string& text,
                                                  const std::string& path) {
  if (text == "Accept") return policy::Action::kAllow;
  if (text == "Deny") return policy::Action::kDeny;
  if (text == "Pass") return policy::Action::kPass;
  return BadValue(path, text, "is not Accept, Deny or Pass");
}

absl::StatusOr<std::string> Namespaces(const v1::LabelSelector& selector) {
  ASSIGN_OR_RETURN(const std::string text, LabelSelectorText(selector, policy::kNamespaceView));
  return AllOf({kPodsOnly, absl::StrCat("has(", policy::kNamespaceLabel, ")"), text});
}

absl::StatusOr<std::string> Pods(const v1::NamespacedPods& pods) {
  ASSIGN_OR_RETURN(const std::string namespaces, Namespaces(pods.namespace_selector()));
  ASSIGN_OR_RETURN(const std::string text,
                   LabelSelectorText(pods.pod_selector(), policy::kPodView));
  return AllOf({namespaces, text});
}

// Exactly one field, and one that is enforced here. Of the two experimental ones nodes is, and
// domainNames is not.
absl::Status ConvertPeer(const v1::ClusterPolicyPeer& peer, bool ingress,
                         policy::EntityMatch* match) {
  const int fields = peer.has_namespaces() + peer.has_pods() + peer.has_networks() +
                     peer.has_nodes() + peer.has_domain_names();
  if (fields != 1 || HasUnknownFieldsInside(peer)) {
    return absl::InvalidArgumentError("not exactly one field, one that is known here");
  }
  if (peer.has_namespaces()) {
    ASSIGN_OR_RETURN(match->selector, Namespaces(peer.namespaces()));
  } else if (peer.has_pods()) {
    ASSIGN_OR_RETURN(match->selector, Pods(peer.pods()));
  } else if (peer.has_networks() && !ingress) {
    ASSIGN_OR_RETURN(match->nets, ParseCidrs(peer.networks().items(), "networks"));
  } else if (peer.has_nodes() && !ingress) {
    // Over what documents of nodes say. Nothing else has such labels, so no namespace is folded in.
    ASSIGN_OR_RETURN(match->nodes, LabelSelectorText(peer.nodes(), ""));
  } else {
    return absl::InvalidArgumentError("a kind of peer that is not enforced here");
  }
  return absl::OkStatus();
}

struct ProtocolPort {
  std::optional<uint8_t> protocol;  // absent: an item that is not understood
  std::optional<policy::PortMatch> ports;
};

absl::StatusOr<ProtocolPort> ConvertTransport(uint8_t protocol,
                                              const v1::ClusterPolicyTransport& transport) {
  ProtocolPort out{protocol};
  if (!transport.has_destination_port()) return out;
  const v1::ClusterPolicyPort& port = transport.destination_port();
  const auto first = PortNumber(port.has_number() ? port.number() : port.range().start());
  const auto last = PortNumber(port.has_number() ? port.number() : port.range().end());
  if (port.has_number() == port.has_range() || !first || !last || *first > *last) {
    return absl::InvalidArgumentError("a destinationPort without a number or a range");
  }
  out.ports = policy::PortMatch{{{*first, *last}}, {}};
  return out;
}

std::vector<ProtocolPort> ConvertProtocols(const v1::ClusterPolicyProtocols& protocols) {
  std::vector<ProtocolPort> out;
  for (const v1::ClusterPolicyProtocol& item : protocols.items()) {
    const int fields =
        item.has_tcp() + item.has_udp() + item.has_sctp() + !item.destination_named_port().empty();
    if (fields != 1 || HasUnknownFieldsInside(item)) {
      out.push_back({});
    } else if (!item.destination_named_port().empty()) {
      // The name says the protocol, on each pod its own.
      for (const uint8_t protocol :
           {policy::kProtocolTcp, policy::kProtocolUdp, policy::kProtocolSctp}) {
        out.push_back({protocol, policy::PortMatch{{}, {item.destination_named_port()}}});
      }
    } else {
      const uint8_t protocol = item.has_tcp()   ? policy::kProtocolTcp
                               : item.has_udp() ? policy::kProtocolUdp
                                                : policy::kProtocolSctp;
      const auto transport = ConvertTransport(protocol, item.has_tcp()   ? item.tcp()
                                                        : item.has_udp() ? item.udp()
                                                                         : item.sctp());
      out.push_back(transport.ok() ? *transport : ProtocolPort{});
    }
  }
  return out;
}

template <typename Rule>
absl::Status AddRules(const Rule& from, const v1::ClusterPolicyPeers& peers,
                      const std::string& path, const char* peers_name, bool ingress,
                      std::vector<policy::Rule>* rules) {
  const size_t begin = rules->size();
  policy::Rule base;
  ASSIGN_OR_RETURN(base.action,
                   ParseClusterAction(from.action(), absl::StrCat("spec.", path, ".action")));
  base.name = from.name().empty() ? path : from.name();
  std::vector<policy::Rule> by_peer;
  if (peers.items_size() == 0) {
    by_peer.push_back(base);
    FailClosed(by_peer.back());
  }
  for (int i = 0; i < peers.items_size(); ++i) {
    policy::Rule rule = base;
    if (from.name().empty()) absl::StrAppend(&rule.name, ".", peers_name, "[", i, "]");
    policy::EntityMatch& far = ingress ? rule.source : rule.destination;
    if (!ConvertPeer(peers.items(i), ingress, &far).ok()) {
      far = {};
      FailClosed(rule);
    }
    by_peer.push_back(std::move(rule));
  }
  const std::vector<ProtocolPort> protocols = ConvertProtocols(from.protocols());
  for (const policy::Rule& peer : by_peer) {
    if (!from.has_protocols()) rules->push_back(peer);
    if (from.has_protocols() && protocols.empty()) {
      rules->push_back(peer);
      FailClosed(rules->back());
    }
    for (const ProtocolPort& protocol : protocols) {
      policy::Rule rule = peer;
      rule.protocol = protocol.protocol;
      rule.destination.ports = protocol.ports;
      if (!protocol.protocol) FailClosed(rule);
      rules->push_back(std::move(rule));
    }
  }
  if (HasUnknownFields(from)) {
    for (size_t i = begin; i < rules->size(); ++i) FailClosed((*rules)[i]);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<policy::Policy> ConvertClusterPolicy(const v1::ClusterNetworkPolicy& from) {
  const v1::ClusterNetworkPolicySpec& spec = from.spec();
  policy::Policy policy;
  policy.key = {policy::PolicyKind::kClusterNetworkPolicy, "", from.metadata().name()};
  if (spec.tier() == "Admin") {
    policy.tier = "kube-admin";
  } else if (spec.tier() == "Baseline") {
    policy.tier = "kube-baseline";
  } else {
    return BadValue("spec.tier", spec.tier(), "is not Admin or Baseline");
  }
  policy.order = static_cast<double>(spec.priority());
  const v1::ClusterPolicySubject& subject = spec.subject();
  if (subject.has_namespaces() == subject.has_pods()) {
    return BadValue("spec.subject", "", "has not exactly one of namespaces and pods");
  }
  if (HasUnknownFieldsInside(subject)) {
    return absl::InvalidArgumentError("spec.subject: has a field that is not known here");
  }
  auto selector = subject.has_pods() ? Pods(subject.pods()) : Namespaces(subject.namespaces());
  if (!selector.ok()) return At("spec.subject", selector.status());
  policy.selector = *selector;
  policy.ingress = spec.ingress_size() > 0;
  policy.egress = spec.egress_size() > 0;
  for (int i = 0; i < spec.ingress_size(); ++i) {
    RETURN_IF_ERROR(AddRules(spec.ingress(i), spec.ingress(i).from(),
                             absl::StrCat("ingress[", i, "]"), "from", true,
                             &policy.ingress_rules));
  }
  for (int i = 0; i < spec.egress_size(); ++i) {
    RETURN_IF_ERROR(AddRules(spec.egress(i), spec.egress(i).to(), absl::StrCat("egress[", i, "]"),
                             "to", false, &policy.egress_rules));
  }
  if (HasUnknownFields(spec)) FailClosed(policy);
  return policy;
}

}  // namespace ripstop::api
