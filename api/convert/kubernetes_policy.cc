// SPDX-License-Identifier: Apache-2.0
//
// networking.k8s.io/v1 NetworkPolicy. A Kubernetes rule is (any of the peers) and (any of
// the ports); the model's rules have one peer and one protocol, so each rule becomes the
// product, named by its place in the document: `ingress[0].from[1]`.
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "api/convert/converters.h"
#include "api/convert/selector_text.h"
#include "api/convert/unknown_fields.h"
#include "api/convert/values.h"
#include "policy/selector.h"
#include "policy/status_macros.h"

namespace ripstop::api {
namespace {

using Peers = google::protobuf::RepeatedPtrField<v1::KubernetesPeer>;
using Ports = google::protobuf::RepeatedPtrField<v1::KubernetesPort>;

constexpr double kOrder = 1000;

// A peer of this version's API; anything else, such as the empty item that a future kind of
// peer arrives as, is an error and fails closed.
absl::Status ConvertPeer(const v1::KubernetesPeer& peer, const std::string& ns,
                         policy::EntityMatch* match) {
  if (HasUnknownFieldsInside(peer)) {
    return absl::InvalidArgumentError("a field that is not known here");
  }
  if (peer.has_ip_block()) {
    if (peer.has_pod_selector() || peer.has_namespace_selector()) {
      return absl::InvalidArgumentError("an ipBlock beside a selector");
    }
    ASSIGN_OR_RETURN(const policy::Cidr cidr, policy::Cidr::Parse(peer.ip_block().cidr()));
    match->nets = std::vector<policy::Cidr>{cidr};
    ASSIGN_OR_RETURN(match->not_nets, ParseCidrs(peer.ip_block().except(), "except"));
    return absl::OkStatus();
  }
  if (!peer.has_pod_selector() && !peer.has_namespace_selector()) {
    return absl::InvalidArgumentError("a peer without a field that is known here");
  }
  std::vector<std::string> parts = {kPodsOnly};
  if (peer.has_namespace_selector()) {
    parts.push_back(absl::StrCat("has(", policy::kNamespaceLabel, ")"));
    ASSIGN_OR_RETURN(parts.emplace_back(),
                     LabelSelectorText(peer.namespace_selector(), policy::kNamespaceView));
  } else {
    parts.push_back(InNamespace(ns));
  }
  ASSIGN_OR_RETURN(parts.emplace_back(), LabelSelectorText(peer.pod_selector(), policy::kPodView));
  match->selector = AllOf(parts);
  return absl::OkStatus();
}

// What the port list allows of one protocol; no `ports`: all of it.
struct ProtocolPorts {
  uint8_t protocol = 0;
  std::optional<policy::PortMatch> ports;
  bool degraded = false;
};

// In order of first appearance. An item that is not understood admits nothing.
std::vector<ProtocolPorts> ConvertPorts(const Ports& ports) {
  std::vector<ProtocolPorts> out;
  for (const v1::KubernetesPort& port : ports) {
    const std::optional<uint8_t> protocol =
        ProtocolNumber(port.protocol().empty() ? "TCP" : port.protocol());
    if (!protocol || !policy::HasPorts(*protocol) || HasUnknownFieldsInside(port)) {
      out.push_back({.protocol = 0, .degraded = true});
      continue;
    }
    auto it = std::find_if(out.begin(), out.end(),
                           [&](const ProtocolPorts& p) { return p.protocol == *protocol; });
    if (it == out.end()) it = out.insert(it, {*protocol, policy::PortMatch{}});
    if (!port.has_port()) {
      it->ports.reset();
    } else if (it->ports && port.port().has_text()) {
      it->ports->names.push_back(port.port().text());
    } else if (it->ports) {
      const auto first = PortNumber(port.port().number());
      const auto last = port.has_end_port() ? PortNumber(port.end_port()) : first;
      if (first && last && *first <= *last) {
        it->ports->ranges.push_back({*first, *last});
      } else {
        it->degraded = true;
      }
    }
  }
  return out;
}

template <typename KubernetesRule>
void AddRules(const KubernetesRule& from, const Peers& peers, const char* peers_name,
              const std::string& name, bool ingress, const std::string& ns,
              std::vector<policy::Rule>* rules) {
  const size_t begin = rules->size();
  std::vector<policy::Rule> by_peer;
  const auto far = [&](policy::Rule& rule) -> policy::EntityMatch& {
    return ingress ? rule.source : rule.destination;
  };
  if (peers.empty()) by_peer.push_back({.action = policy::Action::kAllow, .name = name});
  for (int i = 0; i < peers.size(); ++i) {
    policy::Rule rule{.action = policy::Action::kAllow,
                      .name = absl::StrCat(name, ".", peers_name, "[", i, "]")};
    if (!ConvertPeer(peers[i], ns, &far(rule)).ok()) {
      far(rule) = {};
      FailClosed(rule);
    }
    by_peer.push_back(std::move(rule));
  }
  const std::vector<ProtocolPorts> protocols = ConvertPorts(from.ports());
  for (const policy::Rule& base : by_peer) {
    if (protocols.empty()) rules->push_back(base);
    for (const ProtocolPorts& protocol : protocols) {
      policy::Rule rule = base;
      if (protocol.protocol == 0) {
        FailClosed(rule);
      } else {
        rule.protocol = protocol.protocol;
        rule.destination.ports = protocol.ports;
        rule.degraded |= protocol.degraded;
      }
      rules->push_back(std::move(rule));
    }
  }
  if (HasUnknownFields(from)) {
    for (size_t i = begin; i < rules->size(); ++i) FailClosed((*rules)[i]);
  }
}

}  // namespace

absl::StatusOr<policy::Policy> ConvertKubernetesPolicy(
    policy::PolicyKind kind, const v1::ObjectMeta& metadata,
    const v1::KubernetesNetworkPolicySpec& spec) {
  policy::Policy policy;
  const std::string& ns = metadata.namespace_();
  policy.key = {kind, ns, metadata.name()};
  policy.staged = kind == policy::PolicyKind::kStagedKubernetesNetworkPolicy;
  policy.tier = "default";
  policy.order = kOrder;
  // Which pods it would isolate is not known then: nothing safe to do is left.
  if (HasUnknownFieldsInside(spec.pod_selector())) {
    return absl::InvalidArgumentError("spec.podSelector: has a field that is not known here");
  }
  auto pods = LabelSelectorText(spec.pod_selector(), policy::kPodView);
  if (!pods.ok()) return At("spec.podSelector", pods.status());
  policy.selector = AllOf({InNamespace(ns), *pods});
  for (const std::string& type : spec.policy_types()) {
    // A type of a future version restricts no direction that is known here.
    if (type == "Ingress") policy.ingress = true;
    if (type == "Egress") policy.egress = true;
  }
  if (spec.policy_types_size() == 0) {
    policy.ingress = true;
    policy.egress = spec.egress_size() > 0;
  }
  for (int i = 0; policy.ingress && i < spec.ingress_size(); ++i) {
    AddRules(spec.ingress(i), spec.ingress(i).from(), "from", absl::StrCat("ingress[", i, "]"),
             true, ns, &policy.ingress_rules);
  }
  for (int i = 0; policy.egress && i < spec.egress_size(); ++i) {
    AddRules(spec.egress(i), spec.egress(i).to(), "to", absl::StrCat("egress[", i, "]"), false, ns,
             &policy.egress_rules);
  }
  if (HasUnknownFields(spec)) FailClosed(policy);
  return policy;
}

}  // namespace ripstop::api
