// SPDX-License-Identifier: Apache-2.0
//
// What each field of a projectcalico.org/v3 rule matches, and its negation: in an Allow rule
// beside nothing, and in a Deny rule before one that allows everything.
#include "api/semantics_testing.h"

namespace ripstop::api {
namespace {

using policy::kProtocolUdpLite;

constexpr uint8_t kGre = 47;

class SemanticsRulesTest : public SemanticsTest {
 protected:
  void SetUp() override {
    SemanticsTest::SetUp();
    Pod("shop", "web", 1, "{containers: [{ports: [{name: http, containerPort: 8443}]}]}");
    Pod("shop", "cart", 100,
        "{containers: [{ports: [{name: client, containerPort: 40000},"
        " {name: http, containerPort: 8080}]}]}");
  }

  struct Case {
    bool matches;
    std::string far;  // a pod: asked in both families
    uint8_t protocol = kProtocolTcp;
    uint16_t port = 80;
  };
  // A rule of a GlobalNetworkPolicy that selects shop/web.
  void Matches(Direction direction, const std::string& fields, const std::vector<Case>& cases) {
    const char* field = direction == Direction::kIngress ? "ingress" : "egress";
    for (const bool allow : {true, false}) {
      Calico("GlobalNetworkPolicy", "p",
             absl::Substitute(
                 "{selector: \"app == 'web' && projectcalico.org/namespace == 'shop'\", $0: [$1]}",
                 field,
                 allow ? absl::StrCat("{action: Allow, ", fields, "}")
                       : absl::StrCat("{action: Deny, ", fields, "}, {action: Allow}")));
      for (const Case& c : cases) {
        SCOPED_TRACE(fields);
        Expect(c.matches == allow, direction, "shop/web", c.far, c.protocol, c.port);
      }
    }
  }
  void In(const std::string& fields, const std::vector<Case>& cases) {
    Matches(Direction::kIngress, fields, cases);
  }
  void Out(const std::string& fields, const std::vector<Case>& cases) {
    Matches(Direction::kEgress, fields, cases);
  }
};

const char kCart[] = "shop/cart";

TEST_F(SemanticsRulesTest, ANamedPortWithoutAProtocolIsEachThatTheEndpointDeclares) {
  Pod("shop", "dns", 102,
      "{containers: [{ports: [{name: dns, containerPort: 53}, {name: dns, containerPort: 5353, "
      "protocol: UDP}]}]}");
  const std::vector<Case> cases = {
      {true, "shop/dns", kProtocolTcp, 53},           {true, "shop/dns", kProtocolUdp, 5353},
      {false, "shop/dns", kProtocolUdp, 53},          {false, "shop/dns", kProtocolTcp, 5353},
      {false, "shop/dns", policy::kProtocolSctp, 53}, {false, "shop/dns", policy::kProtocolIcmp, 0},
      {false, "shop/cart", kProtocolTcp, 53}};
  Out("destination: {ports: [dns]}", cases);
  std::vector<Case> others = cases;
  for (Case& c : others) c.matches = !c.matches;
  Out("destination: {notPorts: [dns]}", others);
  In("destination: {ports: [http]}", {{true, kCart, kProtocolTcp, 8443},
                                      {false, kCart, kProtocolUdp, 8443},
                                      {false, kCart, kProtocolTcp, 80}});
}

TEST_F(SemanticsRulesTest, ProtocolsByNameAndNumber) {
  for (const auto& [text, number] :
       {std::pair("TCP", kProtocolTcp), std::pair("UDP", kProtocolUdp),
        std::pair("SCTP", kProtocolSctp), std::pair("UDPLite", kProtocolUdpLite),
        std::pair("6", kProtocolTcp), std::pair("'17'", kProtocolUdp),
        std::pair("132", kProtocolSctp), std::pair("136", kProtocolUdpLite)}) {
    std::vector<Case> is, is_not;
    for (const uint8_t other : {kProtocolTcp, kProtocolUdp, kProtocolSctp, kProtocolUdpLite}) {
      is.push_back({other == number, kCart, other});
      is_not.push_back({other != number, kCart, other});
    }
    is.push_back({false, kCart, kProtocolIcmp});
    is_not.push_back({true, kCart, kProtocolIcmp});
    is_not.push_back({true, kCart, kGre});
    In(absl::StrCat("protocol: ", text), is);
    In(absl::StrCat("notProtocol: ", text), is_not);
  }
  In("protocol: 47", {{true, kCart, kGre}, {false, kCart}, {false, kCart, 48}});
  In("notProtocol: 47", {{false, kCart, kGre}, {true, kCart}, {true, kCart, 48}});
  In("protocol: 255", {{true, kCart, 255}, {false, kCart, 254}});
  In("notProtocol: TCP, protocol: TCP", {{false, kCart}, {false, kCart, kProtocolUdp}});
}

TEST_F(SemanticsRulesTest, IcmpIsOfIpv4AndIcmpv6OfIpv6) {
  const std::string v4 = V4(100), v6 = V6(100);
  In("protocol: ICMP", {{true, v4, kProtocolIcmp}, {false, v6, kProtocolIcmpV6}, {false, v4}});
  In("protocol: ICMPv6", {{false, v4, kProtocolIcmp}, {true, v6, kProtocolIcmpV6}, {false, v6}});
  In("protocol: 58, icmp: {type: 128, code: 0}",
     {{true, v6, kProtocolIcmpV6}, {false, v4, kProtocolIcmp}});
  In("notProtocol: ICMP", {{false, v4, kProtocolIcmp}, {true, v6, kProtocolIcmpV6}});
}

TEST_F(SemanticsRulesTest, IcmpTypesAndCodesAndTheirNegation) {
  const auto ask = [&](uint8_t type, uint8_t code, const std::string& match, bool matches) {
    icmp_type_ = type;
    icmp_code_ = code;
    In(absl::StrCat("protocol: ICMP, icmp: ", match), {{matches, V4(100), kProtocolIcmp}});
    In(absl::StrCat("protocol: ICMP, notICMP: ", match), {{!matches, V4(100), kProtocolIcmp}});
    In(absl::StrCat("protocol: ICMPv6, icmp: ", match), {{matches, V6(100), kProtocolIcmpV6}});
    In(absl::StrCat("protocol: ICMPv6, notICMP: ", match), {{!matches, V6(100), kProtocolIcmpV6}});
  };
  ask(3, 4, "{type: 3}", true);
  ask(3, 4, "{type: 3, code: 4}", true);
  ask(3, 4, "{type: 3, code: 3}", false);
  ask(8, 4, "{type: 3, code: 4}", false);
  ask(0, 0, "{type: 0}", true);
  ask(0, 0, "{type: 0, code: 0}", true);
  ask(0, 1, "{type: 0, code: 0}", false);
  ask(254, 255, "{type: 254, code: 255}", true);
  ask(254, 255, "{type: 253}", false);
}

TEST_F(SemanticsRulesTest, NumbersRangesAndNamesOfPortsAreAlternatives) {
  In("protocol: TCP, destination: {ports: [80, '8000:8010', http]}",
     {{true, kCart, kProtocolTcp, 80},
      {true, kCart, kProtocolTcp, 8000},
      {true, kCart, kProtocolTcp, 8010},
      {true, kCart, kProtocolTcp, 8443},
      {false, kCart, kProtocolTcp, 8080},
      {false, kCart, kProtocolTcp, 81},
      {false, kCart, kProtocolTcp, 7999},
      {false, kCart, kProtocolTcp, 8011},
      {false, kCart, kProtocolUdp, 80}});
  Out("protocol: TCP, destination: {ports: [80, '8000:8010', http]}",
      {{true, kCart, kProtocolTcp, 80},
       {true, kCart, kProtocolTcp, 8080},
       {true, kCart, kProtocolTcp, 8010},
       {false, kCart, kProtocolTcp, 8443},
       {false, "other/web", kProtocolTcp, 8080},
       {false, "203.0.113.1", kProtocolTcp, 8080},
       {true, "203.0.113.1", kProtocolTcp, 80}});
  In("protocol: SCTP, destination: {ports: [80]}", {{true, kCart, kProtocolSctp}, {false, kCart}});
  In("protocol: UDPLite, destination: {ports: ['80:81']}", {{true, kCart, kProtocolUdpLite, 81},
                                                            {false, kCart, kProtocolUdpLite, 82},
                                                            {false, kCart, kProtocolUdp}});
  In("protocol: TCP, destination: {ports: ['0:65535']}", {{true, kCart, kProtocolTcp, 0},
                                                          {true, kCart, kProtocolTcp, 65535},
                                                          {false, kCart, kProtocolIcmp}});
}

TEST_F(SemanticsRulesTest, NegatedPortsNegateTheWholeList) {
  In("protocol: TCP, destination: {notPorts: [80, '8000:8010', http]}",
     {{false, kCart, kProtocolTcp, 80},
      {false, kCart, kProtocolTcp, 8005},
      {false, kCart, kProtocolTcp, 8443},
      {true, kCart, kProtocolTcp, 81},
      {true, kCart, kProtocolTcp, 8080},
      {false, kCart, kProtocolUdp, 81}});
  Out("protocol: TCP, destination: {notPorts: [http]}",
      {{false, kCart, kProtocolTcp, 8080},
       {true, kCart, kProtocolTcp, 8443},
       {true, "other/web", kProtocolTcp, 8080},
       {true, "203.0.113.1", kProtocolTcp, 8080}});
  In("protocol: TCP, destination: {ports: ['1:100'], notPorts: [80]}",
     {{false, kCart, kProtocolTcp, 80},
      {true, kCart, kProtocolTcp, 81},
      {false, kCart, kProtocolTcp, 101}});
}

TEST_F(SemanticsRulesTest, SourcePortsAndTheNamesOfTheirOwner) {
  In("protocol: TCP, source: {ports: ['40000:40001']}",
     {{true, kCart}, {false, kCart, kProtocolUdp}});
  In("protocol: TCP, source: {notPorts: [40000]}", {{false, kCart}});
  In("protocol: TCP, source: {ports: [client]}",
     {{true, kCart}, {false, "other/web"}, {false, "203.0.113.1"}});
  source_port_ = 39999;
  In("protocol: TCP, source: {ports: ['40000:40001']}", {{false, kCart}});
  In("protocol: TCP, source: {notPorts: [40000]}", {{true, kCart}, {false, kCart, kProtocolUdp}});
  In("protocol: TCP, source: {ports: [client]}", {{false, kCart}});
  source_port_ = 8443;  // what shop/web calls http
  Out("protocol: TCP, source: {ports: [http]}", {{true, kCart}, {true, "203.0.113.1"}});
  source_port_ = 8080;
  Out("protocol: TCP, source: {ports: [http]}", {{false, kCart}});
}

TEST_F(SemanticsRulesTest, IpVersion) {
  In("ipVersion: 4",
     {{true, V4(100)}, {false, V6(100)}, {true, "203.0.113.1"}, {true, V4(100), kProtocolIcmp}});
  In("ipVersion: 6", {{false, V4(100)}, {true, V6(100)}, {true, "2001:db8:1::1"}});
  Out("ipVersion: 6, destination: {selector: \"app == 'cart'\"}",
      {{true, V6(100)}, {false, V4(100)}, {false, "2001:db8:1::1"}});
}

TEST_F(SemanticsRulesTest, NetsAndTheirNegation) {
  In("source: {nets: [192.0.2.64/26, \"2001:db8::40/122\"]}", {{true, kCart},
                                                               {false, "192.0.2.63"},
                                                               {true, "192.0.2.64"},
                                                               {true, "192.0.2.127"},
                                                               {false, "192.0.2.128"},
                                                               {true, "2001:db8::7f"},
                                                               {false, "2001:db8::80"}});
  In("source: {notNets: [192.0.2.64/26]}",
     {{false, V4(100)}, {true, V6(100)}, {true, "192.0.2.63"}});
  In("source: {nets: [192.0.2.0/24], notNets: [192.0.2.96/27, 192.0.2.1/32]}",
     {{false, V4(100)}, {true, "192.0.2.95"}, {false, V6(100)}, {false, "203.0.113.1"}});
  In("source: {nets: [198.51.100.7]}", {{true, "198.51.100.7"}, {false, "198.51.100.8"}});
  In("source: {nets: [198.51.100.7/24]}", {{true, "198.51.100.8"}});
  In("source: {nets: [\"::ffff:198.51.100.0/120\"]}",
     {{true, "198.51.100.8"}, {false, "2001:db8::1"}});
  In("source: {nets: [0.0.0.0/0]}", {{true, V4(100)}, {false, V6(100)}});
  In("source: {notNets: [\"::/0\"]}", {{true, V4(100)}, {false, V6(100)}});
  Out("destination: {nets: [192.0.2.64/26], notNets: [192.0.2.101/32]}",
      {{true, V4(100)}, {false, V4(101)}});
}

TEST_F(SemanticsRulesTest, ConditionsOnTheNearSide) {
  In("destination: {nets: [192.0.2.1/32]}", {{true, V4(100)}, {false, V6(100)}});
  In("destination: {nets: [192.0.2.2/32]}", {{false, kCart}});
  In("destination: {notNets: [192.0.2.1/32]}", {{false, V4(100)}, {true, V6(100)}});
  In("destination: {selector: \"app == 'web'\"}", {{true, kCart}});
  In("destination: {selector: \"app == 'db'\"}", {{false, kCart}});
  In("destination: {notSelector: \"app == 'web'\"}", {{false, kCart}});
  Out("source: {notSelector: \"app == 'db'\", nets: [192.0.2.0/30]}",
      {{true, V4(100)}, {false, V6(100)}});
}

// The API's own words on the two kinds of negation.
TEST_F(SemanticsRulesTest, ANegatedSelectorMatchesAddressesThatNobodyHasAndANegationInsideDoesNot) {
  In("source: {selector: \"app == 'cart'\"}",
     {{true, kCart}, {false, "shop/db"}, {false, "203.0.113.1"}});
  In("source: {selector: \"!has(env)\"}",
     {{true, kCart}, {false, "203.0.113.1"}, {false, "2001:db8:1::1"}});
  In("source: {selector: \"app != 'cart'\"}",
     {{false, kCart}, {true, "shop/db"}, {false, "203.0.113.1"}});
  In("source: {notSelector: \"app == 'cart'\"}",
     {{false, kCart}, {true, "shop/db"}, {true, "203.0.113.1"}, {true, "2001:db8:1::1"}});
  In("source: {selector: has(app), notSelector: \"app == 'cart'\"}",
     {{false, kCart}, {true, "shop/db"}, {false, "203.0.113.1"}});
  In("source: {selector: all()}", {{true, kCart}, {false, "203.0.113.1"}});
}

TEST_F(SemanticsRulesTest, EverythingThatARuleNamesMustHold) {
  const std::string all =
      "ipVersion: 4, protocol: TCP, notProtocol: UDP, source: {selector: \"app == 'cart'\", nets:"
      " [192.0.2.0/24], notNets: [192.0.2.101/32], ports: [40000]}, destination: {selector:"
      " \"app == 'web'\", ports: [80, http], notPorts: [81]}";
  In(all, {{true, V4(100), kProtocolTcp, 80},
           {true, V4(100), kProtocolTcp, 8443},
           {false, V6(100)},
           {false, V4(2)},
           {false, V4(100), kProtocolTcp, 82},
           {false, V4(100), kProtocolUdp, 80}});
  source_port_ = 1;
  In(all, {{false, V4(100), kProtocolTcp, 80}});
}

TEST_F(SemanticsRulesTest, LogNotesAndGoesOn) {
  Calico("NetworkPolicy", "p",
         "{selector: \"app == 'web'\", ingress: [{action: Log, source: {selector:"
         " \"app == 'cart'\"}}, {action: Allow, protocol: TCP}]}");
  SemanticsTest::In(kAllowed, "shop/web", kCart);
  EXPECT_TRUE(logged_);
  SemanticsTest::In(kDenied, "shop/web", kCart, kProtocolUdp);
  EXPECT_TRUE(logged_) << "what is denied at the end of the tier";
  SemanticsTest::In(kAllowed, "shop/web", "shop/db");
  EXPECT_FALSE(logged_);
}

}  // namespace
}  // namespace ripstop::api
