// SPDX-License-Identifier: Apache-2.0
//
// The policy model: what resources of every API mean, in one vocabulary.
//
//   api/ resources ──convert──▶ model ──▶ [Engine] ──▶ table writes
//                                  └────▶ [Reference] ──▶ verdict
//
// Plain values, no behaviour beyond equality. Converters have already applied the
// defaults of the API they come from: namespaces are folded into selectors, types
// are explicit, a Kubernetes policy is a Policy of tier "default".
#ifndef RIPSTOP_POLICY_MODEL_H_
#define RIPSTOP_POLICY_MODEL_H_

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "policy/address.h"
#include "policy/labels.h"

namespace ripstop::policy {

enum class Direction : uint8_t { kIngress, kEgress };  // as the endpoint sees it

enum class Action : uint8_t { kAllow, kDeny, kPass, kLog };

const char* ToString(Direction direction);  // "ingress", "egress"
const char* ToString(Action action);        // "Allow", …

// IP protocol numbers that policy knows by name (IANA assigned numbers).
enum Protocol : uint8_t {
  kProtocolIcmp = 1,
  kProtocolTcp = 6,
  kProtocolUdp = 17,
  kProtocolIcmpV6 = 58,
  kProtocolSctp = 132,
  kProtocolUdpLite = 136,
};
bool HasPorts(uint8_t protocol);  // TCP, UDP, SCTP, UDPLite

struct PortRange {
  uint16_t first = 0;
  uint16_t last = 0;
  auto operator<=>(const PortRange&) const = default;
};

// A port list of a rule: any range or any name. Absent (no list) and empty differ:
// an empty list that is present matches nothing.
struct PortMatch {
  std::vector<PortRange> ranges;
  std::vector<std::string> names;
  bool operator==(const PortMatch&) const = default;
};

struct IcmpMatch {
  std::optional<uint8_t> type;  // absent: every type
  std::optional<uint8_t> code;
  bool operator==(const IcmpMatch&) const = default;
};

struct ServiceName {
  std::string ns;
  std::string name;
  auto operator<=>(const ServiceName&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const ServiceName& s) {
    return H::combine(std::move(h), s.ns, s.name);
  }
};

// What a rule asks of one side of a packet: the AND of the fields that are present.
struct EntityMatch {
  // Present and empty matches nothing (an unresolved or future peer), never everything.
  std::optional<std::vector<Cidr>> nets;
  std::vector<Cidr> not_nets;
  // Selectors over endpoints and network sets, in the selector language, with the
  // namespace constraint folded in (policy/selector.h). Absent: any address.
  std::optional<std::string> selector;
  std::optional<std::string> not_selector;
  // A selector over the labels of nodes (Host), and over nothing else: an address of one of them.
  std::optional<std::string> nodes;
  std::optional<ServiceName> service;  // destination: address and port; source: address
  std::optional<PortMatch> ports;
  std::optional<PortMatch> not_ports;
  bool operator==(const EntityMatch&) const = default;
};

struct Rule {
  Action action = Action::kDeny;
  std::string name;               // from metadata; may be empty
  std::optional<int> ip_version;  // 4 or 6
  std::optional<uint8_t> protocol;
  std::optional<uint8_t> not_protocol;
  std::optional<IcmpMatch> icmp;
  std::optional<IcmpMatch> not_icmp;
  EntityMatch source;
  EntityMatch destination;
  // A field or peer this version does not know: Allow matches nothing, Deny and Pass
  // match all that the rest of the rule matches. The converter has already emptied or
  // dropped what it must; this flag only reports.
  bool degraded = false;
  bool operator==(const Rule&) const = default;
};

enum class PolicyKind : uint8_t {
  kNetworkPolicy,            // projectcalico.org/v3
  kGlobalNetworkPolicy,      // projectcalico.org/v3
  kKubernetesNetworkPolicy,  // networking.k8s.io/v1
  kClusterNetworkPolicy,     // policy.networking.k8s.io/v1alpha2
  kStagedNetworkPolicy,
  kStagedGlobalNetworkPolicy,
  kStagedKubernetesNetworkPolicy,
};
const char* ToString(PolicyKind kind);

struct PolicyKey {
  PolicyKind kind = PolicyKind::kNetworkPolicy;
  std::string ns;  // empty for global kinds
  std::string name;
  auto operator<=>(const PolicyKey&) const = default;
  std::string ToString() const;  // "namespace/name" or "name"
  template <typename H>
  friend H AbslHashValue(H h, const PolicyKey& k) {
    return H::combine(std::move(h), k.kind, k.ns, k.name);
  }
};

struct Policy {
  PolicyKey key;
  std::string tier = "default";
  std::optional<double> order;  // absent: last
  std::string selector;         // which endpoints; namespace folded in; empty: all()
  bool ingress = false;         // types
  bool egress = false;
  std::vector<Rule> ingress_rules;
  std::vector<Rule> egress_rules;
  bool staged = false;         // evaluated and reported, never enforced
  bool staged_delete = false;  // staged: proposes that the enforced one of its name goes
  // Host endpoints only; see semantics.md.
  bool apply_on_forward = false;
  bool pre_dnat = false;
  bool do_not_track = false;
  bool operator==(const Policy&) const = default;
};

struct Tier {
  std::string name;
  std::optional<double> order;            // absent: last; tie: name
  Action default_action = Action::kDeny;  // kDeny or kPass
  bool operator==(const Tier&) const = default;
};

struct Profile {
  std::string name;        // kns.<namespace>, ksa.<namespace>.<name>, or a user's
  Labels labels_to_apply;  // with prefix pcns. or pcsa. where the kind has one; KeyOfNamespace
  std::vector<Rule> ingress_rules;
  std::vector<Rule> egress_rules;
  bool operator==(const Profile&) const = default;
};

struct NamedPort {
  std::string name;
  uint8_t protocol = kProtocolTcp;
  uint16_t port = 0;
  auto operator<=>(const NamedPort&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const NamedPort& p) {
    return H::combine(std::move(h), p.name, p.protocol, p.port);
  }
};

// Where a local endpoint is attached.
struct Attachment {
  uint32_t ifindex = 0;
  std::array<uint8_t, 6> mac{};
  bool operator==(const Attachment&) const = default;
};

struct Endpoint {
  std::string id;  // unique, and nothing else: what it is called is `name`
  Labels labels;   // own, by KeyOfPod; profile labels are inherited by the engine, own ones win
  std::vector<std::string> profiles;  // in order
  std::vector<Address> addresses;
  std::vector<NamedPort> ports;
  std::optional<Attachment> local;  // absent: an endpoint of another node
  // False for pods that are Succeeded or Failed and for host-network pods: they are
  // neither peers nor subjects.
  bool active = true;
  // What people call it: "namespace/pod", "namespace/pod/interface" beside eth0. Several may
  // have one name, for a while. The engine does not ask.
  std::string name;
  bool operator==(const Endpoint&) const = default;
};

// The groups of policies that a host endpoint has, in the order in which they are asked.
//   kUntracked  doNotTrack: all traffic, before connections are known; if no rule decides,
//               the next group is asked
//   kPreDnat    preDNAT: all traffic that comes in, before its destination is translated;
//               if no rule decides, the next group is asked
//   kForward    applyOnForward: what the host forwards; passes when there is none such
//   kNormal     what the host itself sends and receives
enum class HostGroup : uint8_t { kUntracked, kPreDnat, kForward, kNormal };
inline constexpr int kHostGroups = 4;
const char* ToString(HostGroup group);
// Whether `policy` belongs to that group of the host endpoints it selects; of workload
// endpoints only those of kNormal are enforced.
bool InGroup(const Policy& policy, HostGroup group);

// An interface of this node, or any that has no host endpoint of its own ("*").
inline constexpr uint32_t kAnyInterface = 0;

// A host endpoint. Its expected addresses feed selectors, on any node; policy is enforced
// at `interfaces`, which only this node's have.
struct HostEndpoint {
  std::string id;
  Labels labels;
  std::vector<std::string> profiles;
  std::vector<NamedPort> ports;
  std::vector<Address> expected_addresses;
  std::vector<uint32_t> interfaces;  // interface indexes, or kAnyInterface
  bool operator==(const HostEndpoint&) const = default;
};

// Ports that no policy of a host endpoint closes, so that nobody locks himself out.
struct FailsafePort {
  uint8_t protocol = kProtocolTcp;
  uint16_t port = 0;
  std::optional<Cidr> net;  // of the far side; absent: any
  bool operator==(const FailsafePort&) const = default;
};
struct FailsafePorts {
  std::vector<FailsafePort> inbound;
  std::vector<FailsafePort> outbound;
  bool operator==(const FailsafePorts&) const = default;
};
// "tcp 22", or "reply to tcp 22" for what comes back.
std::string FailsafeName(const FailsafePort& port, bool way_back);
// SSH, BGP, etcd, Typha, API server and the ports of clustered etcd; DHCP, DNS.
FailsafePorts DefaultFailsafePorts();

struct NetworkSet {
  std::string id;                     // "namespace/name", or "name" for a GlobalNetworkSet
  Labels labels;                      // own
  std::vector<std::string> profiles;  // kns.<namespace> for a NetworkSet
  std::vector<Cidr> nets;
  bool operator==(const NetworkSet&) const = default;
};

struct ServicePort {
  uint8_t protocol = kProtocolTcp;
  uint16_t port = 0;
  auto operator<=>(const ServicePort&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const ServicePort& p) {
    return H::combine(std::move(h), p.protocol, p.port);
  }
};

// One EndpointSlice's worth of backends of a service.
struct ServiceBackends {
  ServiceName service;
  std::string slice;  // unique within the service
  std::vector<Address> addresses;
  std::vector<ServicePort> ports;
  bool operator==(const ServiceBackends&) const = default;
};

// Addresses that are nodes of the cluster: this one, whose traffic to its own pods
// passes, and the others.
struct Host {
  std::string name;
  bool this_host = false;
  std::vector<Address> addresses;
  Labels labels;  // of the node's document, as it says them; only EntityMatch::nodes asks
  bool operator==(const Host&) const = default;
};

struct Packet {
  Address source;
  Address destination;
  uint8_t protocol = 0;
  uint16_t source_port = 0;  // zero where the protocol has none
  uint16_t destination_port = 0;
  uint8_t icmp_type = 0;
  uint8_t icmp_code = 0;
  bool operator==(const Packet&) const = default;
};

// Who decided. Every verdict carries one.
struct RuleIdentity {
  enum class Kind : uint8_t {
    kRule,             // tier, policy, direction, rule_index
    kTierDefault,      // tier, direction: end of tier with default action Deny; `policy` is
                       // the last policy of the tier that selected the endpoint
    kProfile,          // profile, direction, rule_index
    kNoProfile,        // no profile matched or a profile is missing: deny
    kFailsafe,         // host endpoints: rule_name is the failsafe port
    kNoForwardPolicy,  // host endpoints: nobody asks about forwarded traffic: allow
    kNextGroup,        // host endpoints: no rule of the group decides
    kDisputed,         // several endpoints claim the far address: deny, whatever policy says
  };
  Kind kind = Kind::kNoProfile;
  std::string tier;
  PolicyKey policy;
  std::string profile;
  Direction direction = Direction::kIngress;
  int rule_index = -1;
  std::string rule_name;
  auto operator<=>(const RuleIdentity&) const = default;
  // "default/web/allow-http ingress rule 0 (http)" and the like.
  std::string ToString() const;
  template <typename H>
  friend H AbslHashValue(H h, const RuleIdentity& r) {
    return H::combine(std::move(h), r.kind, r.tier, r.policy, r.profile, r.direction, r.rule_index,
                      r.rule_name);
  }
};

struct Verdict {
  bool allow = false;
  bool log = false;  // a Log rule matched on the way
  RuleIdentity by;
  bool next = false;  // a host endpoint's group leaves it to the next one; never with allow
  bool operator==(const Verdict&) const = default;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_MODEL_H_
