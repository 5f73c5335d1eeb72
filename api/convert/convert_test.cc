// SPDX-License-Identifier: Apache-2.0
#include "api/convert/convert.h"

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "api/codec/reader.h"
#include "api/convert/selector_text.h"
#include "api/validate/validate.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "policy/selector.h"

namespace ripstop::api {
namespace {

using policy::Action;
using policy::Cidr;
using policy::Labels;
using policy::PortRange;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Optional;
using testing::SizeIs;

Resource Read(const std::string& text) {
  Decoded decoded = DecodeText(text, "f.yaml");
  EXPECT_THAT(decoded.problems, IsEmpty()) << ToString(decoded.problems) << "\n" << text;
  return decoded.resources.empty() ? Resource::Make<v1::Tier>() : decoded.resources[0];
}

template <typename T>
T Model(const std::string& text) {
  const auto objects = ToModel(Read(text), {.this_host = "n1"});
  EXPECT_TRUE(objects.ok()) << objects.status();
  if (!objects.ok() || objects->size() != 1 || !std::holds_alternative<T>((*objects)[0])) {
    ADD_FAILURE() << "not one object of that type: " << text;
    return {};
  }
  return std::get<T>((*objects)[0]);
}

std::string Doc(const char* api, const char* kind, const std::string& spec) {
  return absl::StrCat("apiVersion: ", api, "\nkind: ", kind,
                      "\nmetadata: {name: p, namespace: shop}\nspec: ", spec, "\n");
}
policy::Policy Np(const std::string& spec) {
  return Model<policy::Policy>(Doc("projectcalico.org/v3", "NetworkPolicy", spec));
}
policy::Policy Gnp(const std::string& spec) {
  return Model<policy::Policy>(Doc("projectcalico.org/v3", "GlobalNetworkPolicy", spec));
}
policy::Policy K8s(const std::string& spec) {
  return Model<policy::Policy>(Doc("networking.k8s.io/v1", "NetworkPolicy", spec));
}
policy::Policy Cnp(const std::string& spec) {
  return Model<policy::Policy>(
      Doc("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", spec));
}

bool Matches(const std::string& selector, const Labels& labels) {
  const auto parsed = policy::Selector::Parse(selector);
  EXPECT_TRUE(parsed.ok()) << selector << ": " << parsed.status();
  return parsed.ok() && parsed->Matches(labels);
}

// Labels as the engine sees them, profile labels inherited.
Labels PodIn(const std::string& ns, Labels labels) {
  labels["projectcalico.org/namespace"] = ns;
  labels["projectcalico.org/orchestrator"] = "k8s";
  labels["pcns.projectcalico.org/name"] = ns;
  labels["pcns.team"] = ns;
  return labels;
}
Labels SetIn(const std::string& ns, Labels labels) {
  labels = PodIn(ns, std::move(labels));
  labels.erase("projectcalico.org/orchestrator");
  return labels;
}

TEST(SelectorTextTest, PrefixesLabelsAndNothingElse) {
  const auto text = [](const std::string& s) { return NamespaceSelectorText(s).value_or("error"); };
  EXPECT_EQ(text("a == 'a b' && has(b) || !(c in {'all()', \"d\"})"),
            "pcns.a == 'a b' && has(pcns.b) || !(pcns.c in {'all()', \"d\"})");
  EXPECT_EQ(text("all()"), "has(projectcalico.org/namespace)");
  EXPECT_EQ(text("global() || x != 'y'"), "!has(projectcalico.org/namespace) || pcns.x != 'y'");
  EXPECT_EQ(text("has ( contains ) && all == 'all'"), "has( pcns.contains ) && pcns.all == 'all'");
  EXPECT_EQ(text("in contains 'x'&&!b not in {}"), "pcns.in contains 'x'&&!pcns.b not in {}");
  EXPECT_EQ(text("a starts with 'x' && b ends with \"y\""),
            "pcns.a starts with 'x' && pcns.b ends with \"y\"");
  EXPECT_EQ(text("a =="), "error");
  EXPECT_EQ(ServiceAccountSelectorText("all() && a == 'b'").value(),
            "has(projectcalico.org/serviceaccount) && pcsa.a == 'b'");
}

TEST(SelectorTextTest, LabelSelectorsKeepKubernetesMeaningForAbsentKeys) {
  v1::LabelSelector selector;
  auto* not_in = selector.add_match_expressions();
  not_in->set_key("env");
  not_in->set_operator_("NotIn");
  not_in->add_values("prod");
  const std::string text = LabelSelectorText(selector, "").value();
  EXPECT_TRUE(Matches(text, {}));
  EXPECT_TRUE(Matches(text, {{"env", "dev"}}));
  EXPECT_FALSE(Matches(text, {{"env", "prod"}}));
  not_in->set_key("env == 'x' || has(y");
  EXPECT_FALSE(LabelSelectorText(selector, "").ok()) << "a key is no piece of a selector";
}

TEST(CalicoPolicyTest, TypesDefaultByTheRulesThatAreThere) {
  const auto types = [](const std::string& spec) {
    const policy::Policy p = Np(spec);
    return std::pair(p.ingress, p.egress);
  };
  EXPECT_EQ(types("{}"), std::pair(true, false));
  EXPECT_EQ(types("{ingress: [{action: Allow}]}"), std::pair(true, false));
  EXPECT_EQ(types("{egress: [{action: Allow}]}"), std::pair(false, true));
  EXPECT_EQ(types("{ingress: [{action: Allow}], egress: [{action: Deny}]}"), std::pair(true, true));
  EXPECT_EQ(types("{types: [Egress], ingress: [{action: Allow}]}"), std::pair(false, true));
  EXPECT_THAT(Np("{types: [Egress], ingress: [{action: Allow}]}").ingress_rules, IsEmpty());
}

TEST(CalicoPolicyTest, ANamespacedPolicySelectsItsNamespaceOnly) {
  for (const char* spec : {"{selector: \"app == 'a' || app == 'b'\"}", "{}", "{selector: all()}"}) {
    const policy::Policy p = Np(spec);
    EXPECT_TRUE(Matches(p.selector, PodIn("shop", {{"app", "b"}}))) << p.selector;
    EXPECT_FALSE(Matches(p.selector, PodIn("other", {{"app", "b"}}))) << p.selector;
    EXPECT_EQ(p.tier, "default");
    EXPECT_EQ(p.order, std::nullopt);
  }
  EXPECT_TRUE(Gnp("{selector: all()}").key.ns.empty());
  EXPECT_EQ(Gnp("{}").selector, "");
}

TEST(CalicoPolicyTest, GlobalPoliciesFoldNamespaceAndServiceAccountSelectors) {
  const policy::Policy p =
      Gnp("{selector: \"a == 'b'\", namespaceSelector: \"team == 'shop'\", "
          "serviceAccountSelector: \"role == 'web'\"}");
  Labels labels = PodIn("shop", {{"a", "b"}, {"pcsa.role", "web"}});
  EXPECT_TRUE(Matches(p.selector, labels)) << p.selector;
  for (const char* key : {"a", "pcns.team", "pcsa.role"}) {
    Labels without = labels;
    without.erase(key);
    EXPECT_FALSE(Matches(p.selector, without)) << key;
  }
}

TEST(CalicoPolicyTest, PeerSelectorsMeanTheirNamespaceUnlessTheyNameNamespaces) {
  const auto source = [](const std::string& entity) {
    return Np(absl::StrCat("{ingress: [{action: Allow, source: ", entity, "}]}"))
        .ingress_rules.at(0)
        .source;
  };
  const Labels own = PodIn("shop", {{"a", "b"}}), other = PodIn("other", {{"a", "b"}});
  const Labels global = {{"a", "b"}};
  const std::string plain = source("{selector: \"a == 'b'\"}").selector.value();
  EXPECT_TRUE(Matches(plain, own));
  EXPECT_FALSE(Matches(plain, other));
  EXPECT_FALSE(Matches(plain, global));
  EXPECT_TRUE(Matches(plain, SetIn("shop", {{"a", "b"}}))) << "network sets are peers here";
  const std::string all =
      source("{selector: \"a == 'b'\", namespaceSelector: all()}").selector.value();
  EXPECT_TRUE(Matches(all, own));
  EXPECT_TRUE(Matches(all, other));
  EXPECT_FALSE(Matches(all, global));
  const std::string none =
      source("{selector: \"a == 'b'\", namespaceSelector: global()}").selector.value();
  EXPECT_FALSE(Matches(none, own));
  EXPECT_TRUE(Matches(none, global));
  const std::string only = source("{namespaceSelector: \"team == 'other'\"}").selector.value();
  EXPECT_TRUE(Matches(only, other));
  EXPECT_FALSE(Matches(only, own));
  const policy::EntityMatch negative = source("{notSelector: \"a == 'b'\"}");
  EXPECT_TRUE(Matches(*negative.selector, own)) << "limited to its own namespace";
  EXPECT_FALSE(Matches(*negative.selector, other));
  EXPECT_EQ(negative.not_selector, "a == 'b'");
  EXPECT_EQ(source("{nets: [192.0.2.0/24]}").selector, std::nullopt);
}

TEST(CalicoPolicyTest, GlobalPolicysPlainSelectorsMatchEverything) {
  const policy::Policy p =
      Gnp("{egress: [{action: Deny, destination: {selector: \"a == 'b'\"}}, "
          "{action: Deny, destination: {notSelector: has(x)}}]}");
  EXPECT_EQ(p.egress_rules[0].destination.selector, "a == 'b'");
  EXPECT_EQ(p.egress_rules[1].destination.selector, std::nullopt);
  EXPECT_EQ(p.egress_rules[1].destination.not_selector, "has(x)");
}

TEST(CalicoPolicyTest, ServiceAccountsByNameAndSelectorAreBothRequired) {
  const std::string text =
      Np("{ingress: [{action: Allow, source: {serviceAccounts: {names: [x, y], selector: "
         "\"role == 'web'\"}}}]}")
          .ingress_rules[0]
          .source.selector.value();
  Labels labels = PodIn("shop", {{"pcsa.role", "web"}, {"projectcalico.org/serviceaccount", "y"}});
  EXPECT_TRUE(Matches(text, labels)) << text;
  labels["projectcalico.org/serviceaccount"] = "z";
  EXPECT_FALSE(Matches(text, labels));
  EXPECT_FALSE(Matches(
      text, PodIn("other", {{"pcsa.role", "web"}, {"projectcalico.org/serviceaccount", "y"}})));
}

TEST(CalicoPolicyTest, EveryMatchOfARuleIsCarriedOver) {
  const policy::Policy p = Np(R"({tier: sec, order: -1.5, ingress: [{action: Pass, ipVersion: 6,
   protocol: 6, notProtocol: sctp, metadata: {annotations: {name: one}},
   source: {nets: [10.0.0.5/8], notNets: [10.1.0.0/16], notPorts: [53]},
   destination: {ports: [80, "81", "90:92", http], services: {name: cart}}},
   {action: Log, protocol: ICMPv6, icmp: {type: 128}, notICMP: {type: 1, code: 0}},
   {action: Deny, source: {nets: []}}]})");
  EXPECT_EQ(p.tier, "sec");
  EXPECT_EQ(p.order, -1.5);
  const policy::Rule& r = p.ingress_rules[0];
  EXPECT_EQ(r.action, Action::kPass);
  EXPECT_EQ(r.name, "one");
  EXPECT_EQ(r.ip_version, 6);
  EXPECT_EQ(r.protocol, policy::kProtocolTcp);
  EXPECT_EQ(r.not_protocol, policy::kProtocolSctp);
  EXPECT_THAT(r.source.nets, Optional(ElementsAre(*Cidr::Parse("10.0.0.0/8"))));
  EXPECT_THAT(r.source.not_nets, ElementsAre(*Cidr::Parse("10.1.0.0/16")));
  EXPECT_THAT(r.source.not_ports->ranges, ElementsAre(PortRange{53, 53}));
  EXPECT_THAT(r.destination.ports->ranges,
              ElementsAre(PortRange{80, 80}, PortRange{81, 81}, PortRange{90, 92}));
  EXPECT_THAT(r.destination.ports->names, ElementsAre("http"));
  EXPECT_EQ(r.destination.service, (policy::ServiceName{"shop", "cart"}));
  EXPECT_EQ(p.ingress_rules[1].icmp->type, 128);
  EXPECT_EQ(p.ingress_rules[1].not_icmp->code, 0);
  EXPECT_THAT(p.ingress_rules[2].source.nets, Optional(IsEmpty())) << "matches nothing, not all";
}

TEST(CalicoPolicyTest, HttpRulesFailClosed) {
  const policy::Policy p =
      Np("{ingress: [{action: Allow, http: {methods: [GET]}}, {action: Deny, http: {}}, "
         "{action: Pass, http: {}}]}");
  EXPECT_TRUE(p.ingress_rules[0].degraded);
  EXPECT_THAT(p.ingress_rules[0].source.nets, Optional(IsEmpty()));
  EXPECT_EQ(p.ingress_rules[1].source.nets, std::nullopt);
  EXPECT_EQ(p.ingress_rules[2].action, Action::kDeny);
}

TEST(CalicoPolicyTest, ErrorsNameResourcePathAndValue) {
  const auto error = [](const std::string& spec) {
    return std::string(
        ToModel(Read(Doc("projectcalico.org/v3", "NetworkPolicy", spec))).status().message());
  };
  EXPECT_EQ(error("{ingress: [{action: Allow, source: {nets: [x]}}]}"),
            "NetworkPolicy shop/p: spec.ingress[0].source.nets[0]: \"x\" is not a CIDR");
  EXPECT_EQ(
      error("{egress: [{action: allow}]}"),
      "NetworkPolicy shop/p: spec.egress[0].action: \"allow\" is not Allow, Deny, Pass or Log");
  EXPECT_THAT(error("{ingress: [{action: Allow, source: {namespaceSelector: 'a =='}}]}"),
              HasSubstr("spec.ingress[0].source.namespaceSelector: "));
  EXPECT_THAT(error("{ingress: [{action: Allow, protocol: TCP, destination: {ports: ['9:1']}}]}"),
              HasSubstr("spec.ingress[0].destination.ports[0]: \"9:1\" is not a port"));
  EXPECT_THAT(error("{selector: 'a =='}"), HasSubstr("spec.selector: "));
}

TEST(KubernetesPolicyTest, TypesDefaultAsTheApiServerDoes) {
  const auto types = [](const std::string& spec) {
    const policy::Policy p = K8s(spec);
    return std::pair(p.ingress, p.egress);
  };
  EXPECT_EQ(types("{podSelector: {}}"), std::pair(true, false));
  EXPECT_EQ(types("{egress: []}"), std::pair(true, false));
  EXPECT_EQ(types("{egress: [{}]}"), std::pair(true, true));
  EXPECT_EQ(types("{policyTypes: [Egress], ingress: [{}]}"), std::pair(false, true));
  EXPECT_THAT(K8s("{policyTypes: [Egress], ingress: [{}]}").ingress_rules, IsEmpty());
  const policy::Policy p = K8s("{}");
  EXPECT_EQ(p.tier, "default");
  EXPECT_EQ(p.order, 1000);
  EXPECT_TRUE(Matches(p.selector, PodIn("shop", {})));
  EXPECT_FALSE(Matches(p.selector, PodIn("other", {})));
}

TEST(KubernetesPolicyTest, NilAndEmptyAtEachPlace) {
  const auto source = [](const std::string& rule) {
    const policy::Policy p = K8s(absl::StrCat("{ingress: [", rule, "]}"));
    EXPECT_THAT(p.ingress_rules, SizeIs(1)) << rule;
    return p.ingress_rules.at(0);
  };
  for (const char* anything : {"{}", "{from: []}", "{from: null, ports: []}"}) {
    EXPECT_EQ(source(anything).source, policy::EntityMatch{}) << anything;
    EXPECT_EQ(source(anything).protocol, std::nullopt);
  }
  EXPECT_THAT(K8s("{ingress: []}").ingress_rules, IsEmpty());
  struct Case {
    const char* peer;
    bool own, own_b, other, set;
  };
  for (const Case& c : std::vector<Case>{
           {"{podSelector: {}}", true, true, false, false},
           {"{namespaceSelector: {}}", true, true, true, false},
           {"{namespaceSelector: {}, podSelector: {}}", true, true, true, false},
           {"{podSelector: {matchLabels: {a: b}}}", false, true, false, false},
           {"{namespaceSelector: {matchLabels: {team: other}}}", false, false, true, false},
           {"{namespaceSelector: {matchLabels: {team: shop}}, podSelector: {matchLabels: {a: b}}}",
            false, true, false, false},
           {"{namespaceSelector: {matchExpressions: [{key: team, operator: NotIn, values: "
            "[shop]}]}}",
            false, false, true, false},
           {"{namespaceSelector: {matchExpressions: [{key: none, operator: DoesNotExist}]}}", true,
            true, true, false}}) {
    const std::string text = source(absl::StrCat("{from: [", c.peer, "]}")).source.selector.value();
    EXPECT_EQ(Matches(text, PodIn("shop", {})), c.own) << text;
    EXPECT_EQ(Matches(text, PodIn("shop", {{"a", "b"}})), c.own_b) << text;
    EXPECT_EQ(Matches(text, PodIn("other", {})), c.other) << text;
    EXPECT_EQ(Matches(text, SetIn("shop", {{"a", "b"}})), c.set) << "a network set is no pod";
    EXPECT_FALSE(Matches(text, {{"a", "b"}})) << "nor is a host";
  }
}

TEST(KubernetesPolicyTest, BlocksKeepTheirExceptionsAndPortsTheirProtocols) {
  const policy::Policy p = K8s(R"({egress: [{to: [{ipBlock: {cidr: 10.0.0.5/8,
    except: ["10.1.0.0/16"]}}, {podSelector: {}}],
    ports: [{port: 80}, {protocol: TCP, port: 8000, endPort: 8010}, {port: http},
            {protocol: SCTP}, {protocol: UDP, port: 53}]}]})");
  ASSERT_THAT(p.egress_rules, SizeIs(6)) << "two peers, three protocols";
  const policy::Rule& tcp = p.egress_rules[0];
  EXPECT_EQ(tcp.protocol, policy::kProtocolTcp);
  EXPECT_EQ(tcp.name, "egress[0].to[0]");
  EXPECT_THAT(tcp.destination.nets, Optional(ElementsAre(*Cidr::Parse("10.0.0.0/8"))));
  EXPECT_THAT(tcp.destination.not_nets, ElementsAre(*Cidr::Parse("10.1.0.0/16")));
  EXPECT_THAT(tcp.destination.ports->ranges, ElementsAre(PortRange{80, 80}, PortRange{8000, 8010}));
  EXPECT_THAT(tcp.destination.ports->names, ElementsAre("http"));
  EXPECT_EQ(p.egress_rules[1].protocol, policy::kProtocolSctp);
  EXPECT_EQ(p.egress_rules[1].destination.ports, std::nullopt) << "every port of SCTP";
  EXPECT_EQ(p.egress_rules[2].protocol, policy::kProtocolUdp);
  EXPECT_EQ(p.egress_rules[3].name, "egress[0].to[1]");
}

TEST(KubernetesPolicyTest, PeersAndPortsOfTheFutureAdmitNothing) {
  const policy::Policy p =
      K8s("{ingress: [{from: [{}, {podSelector: {}}]}, {ports: [{protocol: QUIC, port: 1}]}, "
          "{from: [{podSelector: {matchExpressions: [{key: a, operator: Near}]}}]}]}");
  ASSERT_THAT(p.ingress_rules, SizeIs(4));
  for (const int i : {0, 2, 3}) {
    EXPECT_TRUE(p.ingress_rules[i].degraded) << i;
    EXPECT_THAT(p.ingress_rules[i].source.nets, Optional(IsEmpty())) << i;
  }
  EXPECT_FALSE(p.ingress_rules[1].degraded);
}

TEST(ClusterPolicyTest, TierPriorityActionsPeersAndProtocols) {
  const policy::Policy p = Cnp(R"({tier: Admin, priority: 7, subject: {namespaces: {}},
   ingress: [{name: one, action: Accept, from: [{namespaces: {matchLabels: {team: shop}}}],
              protocols: [{tcp: {destinationPort: {number: 80}}},
                          {udp: {destinationPort: {range: {start: 1, end: 9}}}},
                          {destinationNamedPort: http}]},
             {action: Pass, from: [{pods: {podSelector: {matchLabels: {a: b}}}}]}],
   egress: [{action: Deny, to: [{networks: [192.0.2.0/24]}], protocols: [{sctp: {}}]}]})");
  EXPECT_EQ(p.tier, "kube-admin");
  EXPECT_EQ(p.order, 7);
  EXPECT_TRUE(p.ingress && p.egress);
  EXPECT_TRUE(Matches(p.selector, PodIn("any", {})));
  EXPECT_FALSE(Matches(p.selector, {}));
  ASSERT_THAT(p.ingress_rules, SizeIs(6));
  EXPECT_EQ(p.ingress_rules[0].action, Action::kAllow);
  EXPECT_EQ(p.ingress_rules[0].name, "one");
  EXPECT_THAT(p.ingress_rules[1].destination.ports->ranges, ElementsAre(PortRange{1, 9}));
  EXPECT_EQ(p.ingress_rules[4].protocol, policy::kProtocolSctp) << "a name, on each protocol";
  EXPECT_TRUE(Matches(*p.ingress_rules[5].source.selector, PodIn("x", {{"a", "b"}})));
  EXPECT_EQ(p.ingress_rules[5].action, Action::kPass);
  EXPECT_EQ(p.egress_rules[0].action, Action::kDeny);
  EXPECT_EQ(p.egress_rules[0].destination.ports, std::nullopt);
  EXPECT_EQ(Cnp("{tier: Baseline, priority: 0, subject: {pods: {}}}").tier, "kube-baseline");
}

TEST(ClusterPolicyTest, UnknownPeersFailClosedByAction) {
  const policy::Policy p = Cnp(R"({tier: Admin, priority: 1, subject: {pods: {}}, egress: [
    {action: Accept, to: [{}]}, {action: Deny, to: [{nodes: {}}]}, {action: Pass, to: [{}]},
    {action: Accept, to: []}, {action: Accept, to: [{networks: []}]}]})");
  EXPECT_THAT(p.egress_rules[0].source.nets, Optional(IsEmpty()));
  EXPECT_EQ(p.egress_rules[1].destination, policy::EntityMatch{}) << "denies all";
  EXPECT_EQ(p.egress_rules[2].action, Action::kDeny);
  EXPECT_THAT(p.egress_rules[3].source.nets, Optional(IsEmpty()));
  EXPECT_THAT(p.egress_rules[4].destination.nets, Optional(IsEmpty()));
}

TEST(EndpointTest, PodsCarryLabelsProfilesAddressesAndNamedPorts) {
  const auto pod = Model<policy::Endpoint>(R"({apiVersion: v1, kind: Pod,
    metadata: {name: cart, namespace: shop, labels: {a: b, projectcalico.org/namespace: forged}},
    spec: {serviceAccountName: sa, initContainers: [{ports: [{name: init, containerPort: 1}]}],
      containers: [{ports: [{name: http, containerPort: 80}, {containerPort: 81}]},
                   {ports: [{name: dns, containerPort: 53, protocol: UDP}]}]},
    status: {phase: Running, podIP: 192.0.2.1, podIPs: [{ip: 192.0.2.1}, {ip: "2001:db8::1"}]}})");
  EXPECT_EQ(pod.id, "shop/cart");
  EXPECT_EQ(pod.labels, (Labels{{"a", "b"},
                                {"projectcalico.org/namespace", "shop"},
                                {"projectcalico.org/orchestrator", "k8s"},
                                {"projectcalico.org/serviceaccount", "sa"}}));
  EXPECT_THAT(pod.profiles, ElementsAre("kns.shop", "ksa.shop.sa"));
  EXPECT_THAT(pod.addresses, SizeIs(2));
  EXPECT_THAT(pod.ports,
              ElementsAre(policy::NamedPort{"http", 6, 80}, policy::NamedPort{"dns", 17, 53},
                          policy::NamedPort{"init", 6, 1}));
  EXPECT_TRUE(pod.active);
}

TEST(EndpointTest, FinishedAndHostNetworkPodsAreInactiveAndTerminatingOnesAreNot) {
  const auto active = [](const std::string& rest) {
    return Model<policy::Endpoint>(
               absl::StrCat("{apiVersion: v1, kind: Pod, metadata: {name: a", rest, "}"))
        .active;
  };
  EXPECT_FALSE(active("}, status: {phase: Succeeded}"));
  EXPECT_FALSE(active("}, status: {phase: Failed}"));
  EXPECT_FALSE(active("}, spec: {hostNetwork: true}, status: {phase: Running}"));
  EXPECT_TRUE(active("}, status: {phase: Pending}"));
  EXPECT_TRUE(active(", deletionTimestamp: \"2026-01-01T00:00:00Z\"}, status: {phase: Running}"));
}

TEST(EndpointTest, WorkloadEndpointsAreNamedByTheirPod) {
  const auto endpoint = Model<policy::Endpoint>(Doc(
      "projectcalico.org/v3", "WorkloadEndpoint",
      "{pod: cart, endpoint: eth0, orchestrator: cni, profiles: [x], ipNetworks: [192.0.2.1/32, "
      "\"2001:db8::1\"], ports: [{name: http, protocol: tcp, port: 80}]}"));
  EXPECT_EQ(endpoint.id, "shop/cart");
  EXPECT_EQ(endpoint.labels.at("projectcalico.org/orchestrator"), "cni");
  EXPECT_THAT(endpoint.profiles, ElementsAre("x"));
  EXPECT_THAT(endpoint.addresses, SizeIs(2));
  EXPECT_THAT(endpoint.ports, ElementsAre(policy::NamedPort{"http", 6, 80}));
}

TEST(OtherKindsTest, NamespacesAndServiceAccountsBecomeProfiles) {
  const auto ns = Model<policy::Profile>(
      "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: x}}}");
  EXPECT_EQ(ns.name, "kns.shop");
  EXPECT_EQ(ns.labels_to_apply, (Labels{{"pcns.kubernetes.io/metadata.name", "shop"},
                                        {"pcns.projectcalico.org/name", "shop"},
                                        {"pcns.team", "x"}}));
  EXPECT_EQ(ns.ingress_rules.at(0).action, Action::kAllow);
  EXPECT_EQ(ns.egress_rules.at(0).action, Action::kAllow);
  const auto sa = Model<policy::Profile>(
      "{apiVersion: v1, kind: ServiceAccount, metadata: {name: sa, namespace: shop, "
      "labels: {role: web}}}");
  EXPECT_EQ(sa.name, "ksa.shop.sa");
  EXPECT_EQ(sa.labels_to_apply.at("pcsa.role"), "web");
  EXPECT_THAT(sa.ingress_rules, IsEmpty());
}

TEST(OtherKindsTest, SetsTiersNodesAndSlices) {
  const auto set = Model<policy::NetworkSet>(
      Doc("projectcalico.org/v3", "NetworkSet", "{nets: [192.0.2.7/24, \"2001:db8::/32\"]}"));
  EXPECT_EQ(set.id, "shop/p");
  EXPECT_THAT(set.profiles, ElementsAre("kns.shop"));
  EXPECT_EQ(set.nets.at(0).ToString(), "192.0.2.0/24");
  const auto global =
      Model<policy::NetworkSet>(Doc("projectcalico.org/v3", "GlobalNetworkSet", "{}"));
  EXPECT_EQ(global.id, "p");
  EXPECT_THAT(global.labels, IsEmpty());
  const auto tier =
      Model<policy::Tier>(Doc("projectcalico.org/v3", "Tier", "{order: 5, defaultAction: Pass}"));
  EXPECT_EQ(tier.default_action, Action::kPass);
  EXPECT_EQ(tier.order, 5);
  const auto host = Model<policy::Host>(
      "{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: n1}, spec: {bgp: "
      "{ipv4Address: 192.0.2.1/24}, addresses: [{address: 192.0.2.1}, {address: 198.51.100.1}], "
      "ipv4VXLANTunnelAddr: 10.65.0.0}}");
  EXPECT_TRUE(host.this_host);
  EXPECT_THAT(host.addresses, SizeIs(3));
  const auto slice = Model<policy::ServiceBackends>(R"({apiVersion: discovery.k8s.io/v1,
    kind: EndpointSlice, metadata: {name: cart-x, namespace: shop,
      labels: {kubernetes.io/service-name: cart}}, addressType: IPv4,
    endpoints: [{addresses: [192.0.2.1]}, {addresses: [192.0.2.2], conditions: {ready: false}}],
    ports: [{port: 80}, {port: 53, protocol: UDP}]})");
  EXPECT_EQ(slice.service, (policy::ServiceName{"shop", "cart"}));
  EXPECT_THAT(slice.addresses, SizeIs(2));
  EXPECT_THAT(slice.ports, SizeIs(2));
}

std::filesystem::path FindCyclonus() {
  std::filesystem::path folder = std::filesystem::path(RIPSTOP_SOURCE_DIR);
  return folder.parent_path() / "shared/testdata/cyclonus/cases.json";
}

TEST(CyclonusTest, EveryPolicyDecodesIsValidAndConverts) {
  const std::filesystem::path path = FindCyclonus();
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " not found";
  std::ifstream stream(path);
  const nlohmann::json data = nlohmann::json::parse(stream);
  int policies = 0;
  for (const auto& one : data["cases"]) {
    for (const auto& step : one["steps"]) {
      for (nlohmann::json document : step["policies"]) {
        // Some cases were recorded from typed objects, which say it nowhere.
        document["apiVersion"] = "networking.k8s.io/v1";
        document["kind"] = "NetworkPolicy";
        const Decoded decoded = DecodeText(document.dump(), one["description"]);
        ASSERT_THAT(decoded.problems, IsEmpty()) << ToString(decoded.problems);
        ASSERT_THAT(decoded.resources, SizeIs(1)) << document.dump();
        const std::vector<Problem> problems = Validate(decoded.resources[0]);
        EXPECT_THAT(problems, IsEmpty()) << ToString(problems) << document.dump();
        const auto objects = ToModel(decoded.resources[0]);
        ASSERT_TRUE(objects.ok()) << objects.status() << document.dump();
        ASSERT_THAT(*objects, SizeIs(1));
        const auto& policy = std::get<policy::Policy>((*objects)[0]);
        for (const auto& rules : {policy.ingress_rules, policy.egress_rules}) {
          for (const policy::Rule& rule : rules) EXPECT_FALSE(rule.degraded) << document.dump();
        }
        ++policies;
      }
    }
  }
  EXPECT_GT(policies, 100);
}

}  // namespace
}  // namespace ripstop::api
