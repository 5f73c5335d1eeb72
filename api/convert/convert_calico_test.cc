// SPDX-License-Identifier: Apache-2.0
#include "api/convert/testing.h"

namespace ripstop::api {
namespace {

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
      Np("{ingress: [{action: Allow, source: {serviceAccounts: {names: [x, \"y\"], selector: "
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

}  // namespace
}  // namespace ripstop::api
