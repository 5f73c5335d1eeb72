// SPDX-License-Identifier: Apache-2.0
//
// NAT rules of the host's beside real agents: services as kube-proxy makes them, hostPorts,
// masquerade; on the same node, natively and by VXLAN, both families.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_split.h"
#include "e2e/scenarios/demo_lab.h"

namespace ripstop::lab {
namespace {

struct Service {
  const char* v4;
  const char* v6;
  const char* protocol;
  const char* backend;
  uint16_t port;
};

// Nobody's addresses, port 80.
constexpr Service kCartNode1{"10.96.0.1", "fd00:96::1", "tcp", "shop/cart-1", 7070};
constexpr Service kCartNode3{"10.96.0.2", "fd00:96::2", "tcp", "shop/cart-2", 7070};
constexpr Service kCheckoutNode2{"10.96.0.3", "fd00:96::3", "tcp", "shop/checkout-1", 5050};
constexpr Service kDatabaseNode1{"10.96.0.4", "fd00:96::4", "tcp", "data/database-1", 5432};
constexpr Service kDatabaseNode3{"10.96.0.5", "fd00:96::5", "tcp", "data/database-2", 5432};
constexpr Service kEventsNode1{"10.96.0.6", "fd00:96::6", "udp", "shop/cart-1", 7071};
constexpr Service kEventsNode3{"10.96.0.7", "fd00:96::7", "udp", "shop/cart-2", 7071};
const Service kServices[] = {kCartNode1,     kCartNode3,   kCheckoutNode2, kDatabaseNode1,
                             kDatabaseNode3, kEventsNode1, kEventsNode3};

class HostNat : public DemoLab {
 protected:
  void Nft(const std::string& node, const std::string& text) {
    const auto done = lab().Exec(node, {"nft", "-f", "-"}, text);
    ASSERT_TRUE(done.ok()) << done.status();
    ASSERT_EQ(done->exit_code, 0) << done->err << text;
  }
  // Every service on the node, as one transaction.
  void AddServices(const std::string& node) {
    std::string rules;
    for (const Service& service : kServices) {
      absl::StrAppend(&rules, "ip daddr ", service.v4, " ", service.protocol,
                      " dport 80 dnat ip to ", lab().AddressOf(service.backend, 4).value(), ":",
                      service.port, "\n", "ip6 daddr ", service.v6, " ", service.protocol,
                      " dport 80 dnat ip6 to [", lab().AddressOf(service.backend, 6).value(),
                      "]:", service.port, "\n");
    }
    Nft(node, absl::StrCat("table inet services {\n chain translate {\n", rules,
                           " }\n chain prerouting { type nat hook prerouting priority -100;\n"
                           "  jump translate\n }\n}\n"));
    WaitForNat(node, true);
  }
  void WaitForNat(const std::string& node, bool on) {
    ASSERT_TRUE(Eventually([&] {
      const auto status = lab().AgentStatus(node);
      return status.ok() && status->host_nat().on() == on;
    })) << node;
  }
  // What becomes of one attempt: "ok shop/cart-1", "timeout", "refused".
  std::string Ask(const std::string& from, const std::string& protocol, const std::string& address,
                  uint16_t port) {
    const nlohmann::json wish = {
        {"protocol", absl::AsciiStrToUpper(protocol)}, {"address", address}, {"port", port}};
    const auto done =
        lab().Exec(from, {lab().Binary("ripstop-probe"), "connect"}, wish.dump() + "\n");
    if (!done.ok()) return std::string(done.status().message());
    const auto answer = nlohmann::json::parse(done->out, nullptr, false);
    if (answer.is_discarded()) return done->out + done->err;
    const std::string result = answer.value("result", "");
    return result == "ok" ? "ok " + answer.value("peer", "") : result;
  }
  std::string Ask(const std::string& from, const Service& service, int family) {
    return Ask(from, service.protocol, family == 4 ? service.v4 : service.v6, 80);
  }
  void Serve(const std::string& where, uint16_t port) {
    const std::string ready = absl::StrCat(lab().state().dir(), "/", where, ".ready");
    const auto server = SpawnProbe(where,
                                   {"serve", "--name", where, "--tcp", absl::StrCat(port), "--udp",
                                    absl::StrCat(port), "--for", "900", "--ready-file", ready},
                                   absl::StrCat(lab().state().dir(), "/", where, "-serve.log"));
    ASSERT_TRUE(server.ok()) << server.status();
    ASSERT_TRUE(Eventually([&] { return std::filesystem::exists(ready); }));
  }
};

TEST_F(HostNat, ServicesAreReachedFromEveryNodeAsTheirBackendsPolicySays) {
  for (const char* pod : {"shop/frontend-1", "shop/checkout-2"}) {
    EXPECT_EQ(Ask(pod, kCartNode1, 4), "timeout") << "control: without rules nobody is there";
  }
  for (const char* node : {"node1", "node2", "node3"}) AddServices(node);
  const uint64_t before = DropsOf("node1", "policy-egress");
  for (const int family : {4, 6}) {
    for (const char* frontend : {"shop/frontend-1", "shop/frontend-2", "shop/frontend-3"}) {
      EXPECT_EQ(Ask(frontend, kCartNode1, family), "ok shop/cart-1") << frontend << " " << family;
      EXPECT_EQ(Ask(frontend, kCartNode3, family), "ok shop/cart-2") << frontend << " " << family;
      EXPECT_EQ(Ask(frontend, kCheckoutNode2, family), "ok shop/checkout-1") << frontend;
      EXPECT_EQ(Ask(frontend, kDatabaseNode1, family), "timeout") << frontend << " " << family;
      EXPECT_EQ(Ask(frontend, kDatabaseNode3, family), "timeout") << frontend << " " << family;
    }
    for (const char* checkout : {"shop/checkout-1", "shop/checkout-2"}) {
      EXPECT_EQ(Ask(checkout, kEventsNode1, family), "ok shop/cart-1") << checkout << " " << family;
      EXPECT_EQ(Ask(checkout, kEventsNode3, family), "ok shop/cart-2") << checkout << " " << family;
      EXPECT_EQ(Ask(checkout, kDatabaseNode3, family), "ok data/database-2") << checkout;
    }
  }
  EXPECT_GT(DropsOf("node1", "policy-egress"), before);
  EXPECT_EQ(DropsOf("node1", "mark-changed"), 0u);
  // What has nothing to do with services is as it was.
  ExpectMatrix();
  const auto status = lab().Ctl({"node", "status"}, "", "node1");
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_TRUE(
      absl::StrContains(status->out, "Host's NAT: on (Auto), by nftables inet services prerouting"))
      << status->out;
}

TEST_F(HostNat, HostPortsOfOutsidersAndOfTheNodeFollowThePodsIngressPolicy) {
  const std::string outside = lab().topology().Gateway("rack1")->v4;
  Nft("node1", absl::StrCat("table ip ports {\n chain translate {\n"
                            "  ip daddr 192.0.2.11 tcp dport 7080 dnat to ",
                            lab().AddressOf("shop/cart-1", 4).value(),
                            ":7070\n }\n"
                            " chain prerouting { type nat hook prerouting priority -100;\n"
                            "  jump translate\n }\n"
                            " chain output { type nat hook output priority -100;\n"
                            "  jump translate\n }\n}\n"));
  WaitForNat("node1", true);
  EXPECT_EQ(Ask("r1", "TCP", "192.0.2.11", 7080), "timeout") << "only shops may";
  EXPECT_EQ(Ask("node1", "TCP", "192.0.2.11", 7080), "ok shop/cart-1");
  EXPECT_EQ(Ask("shop/frontend-1", "TCP", "192.0.2.11", 7080), "ok shop/cart-1");
  EXPECT_EQ(Ask("data/database-1", "TCP", "192.0.2.11", 7080), "timeout");
  ASSERT_EQ(lab().Apply(absl::StrCat(R"(
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: cart-for-the-router, namespace: shop}
spec:
  podSelector: {matchLabels: {app: cart}}
  policyTypes: [Ingress]
  ingress:
  - from: [{ipBlock: {cidr: )",
                                     outside, R"(/32}}]
)")),
            absl::OkStatus());
  EXPECT_TRUE(Eventually([&] { return Ask("r1", "TCP", "192.0.2.11", 7080) == "ok shop/cart-1"; }));
}

TEST_F(HostNat, MasqueradedPodsReachOutsideOnlyAsTheirOwnPolicyAllows) {
  const std::string v4 = lab().topology().Gateway("rack1")->v4;
  const std::string v6 = lab().topology().Gateway("rack1")->v6;
  Serve("r1", 9000);
  Nft("node1",
      "table inet outbound {\n chain postrouting { type nat hook postrouting priority 100;\n"
      "  ip saddr 10.65.0.0/16 ip daddr != 10.65.0.0/16 masquerade\n"
      "  ip6 saddr fd00:10:65::/48 ip6 daddr != fd00:10:65::/48 masquerade\n }\n}\n");
  WaitForNat("node1", true);
  EXPECT_EQ(Ask("node1", "TCP", v4, 9000), "ok r1") << "control: somebody is there";
  EXPECT_EQ(Ask("shop/frontend-1", "TCP", v4, 9000), "timeout");
  ASSERT_EQ(lab().Apply(R"(
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: frontend-outside, namespace: shop}
spec:
  podSelector: {matchLabels: {app: frontend}}
  policyTypes: [Egress]
  egress:
  - ports: [{protocol: TCP, port: 9000}, {protocol: UDP, port: 9000}]
)"),
            absl::OkStatus());
  for (const std::string& address : {v4, v6}) {
    for (const char* protocol : {"TCP", "UDP"}) {
      EXPECT_TRUE(Eventually([&] {
        return Ask("shop/frontend-1", protocol, address, 9000) == "ok r1";
      })) << protocol
          << " " << address;
      EXPECT_EQ(Ask("shop/cart-1", protocol, address, 9000), "timeout") << protocol;
    }
  }
}

TEST_F(HostNat, AnEditCutsALiveConnectionToAServiceAndAnotherLetsItGoOn) {
  for (const char* node : {"node1", "node2"}) AddServices(node);
  struct Live {
    const char* from;
    std::string log;
  };
  for (const Live& live : {Live{"shop/checkout-1", "near"}, Live{"shop/checkout-1", "far"}}) {
    const std::string log = absl::StrCat(lab().state().dir(), "/stream-", live.log, ".log");
    const auto stream =
        SpawnProbe(live.from,
                   {"stream", "--to", live.log == "near" ? kDatabaseNode1.v4 : kDatabaseNode3.v6,
                    "--port", "80", "--for-ms", "900000", "--cut-after-ms", "400"},
                   log);
    ASSERT_TRUE(stream.ok()) << stream.status();
    ASSERT_TRUE(WaitForText(log, "connected")) << ReadText(log);
    const std::string edit = ReadText(Folder() + "/edits/freeze-orders.yaml");
    ASSERT_EQ(lab().Apply(edit), absl::OkStatus());
    EXPECT_TRUE(WaitForText(log, "\"cut\"")) << ReadText(log);
    ASSERT_EQ(lab().Delete(edit), absl::OkStatus());
    EXPECT_TRUE(WaitForText(log, "restored")) << ReadText(log);
  }
}

TEST_F(HostNat, ItIsOnOnlyWhileThereAreRulesAndLiveFlowsOutliveTheSwitch) {
  const auto direct =
      LiveFlow::Start(lab(), {"shop/frontend-1", "shop/cart-2", "TCP", 7070, 4}, {});
  ASSERT_TRUE(direct.ok()) << direct.status();
  ASSERT_TRUE(direct->WaitFor("connected").ok());
  WaitForNat("node1", false);
  AddServices("node1");
  ASSERT_TRUE(direct->WaitForMore(20).ok());
  EXPECT_EQ(Ask("shop/frontend-1", kCartNode3, 4), "ok shop/cart-2");
  Nft("node1", "delete table inet services\n");
  WaitForNat("node1", false);
  ASSERT_TRUE(direct->WaitForMore(20).ok());
  const auto end = direct->Finish();
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->value("lost", -1), 0) << *end;
  const auto status = lab().Ctl({"node", "status"}, "", "node1");
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_TRUE(absl::StrContains(status->out, "Host's NAT: off (Auto), there are no rules"))
      << status->out;
}

// As the CNI plugin `bandwidth` sets it up after ours; the plugin itself is not needed for that.
TEST_F(HostNat, AQueueingDisciplineOnAPodsVethActsOnItsPackets) {
  const std::string cart = lab().AddressOf("shop/cart-1", 4).value();
  const auto run = [&](const std::vector<std::string>& argv) {
    const auto done = lab().Exec("node1", argv);
    EXPECT_TRUE(done.ok()) << done.status();
    return done.ok() ? done->out : "";
  };
  const std::vector<std::string> route =
      absl::StrSplit(run({"ip", "route", "get", cart}), ' ', absl::SkipEmpty());
  const auto dev = std::find(route.begin(), route.end(), "dev");
  ASSERT_TRUE(dev != route.end());
  const std::string veth = *(dev + 1);
  const auto passed_nothing = [&] {
    return absl::StrContains(run({"tc", "-s", "qdisc", "show", "dev", veth, "root"}),
                             "Sent 0 bytes 0 pkt");
  };
  EXPECT_EQ(Ask("shop/frontend-1", "TCP", cart, 7070), "ok shop/cart-1");
  EXPECT_TRUE(passed_nothing()) << "control: packets pass the host's side of the veth by";
  run({"tc", "qdisc", "add", "dev", veth, "root", "tbf", "rate", "100mbit", "burst", "100kb",
       "limit", "1mb"});
  EXPECT_TRUE(Eventually([&] {
    EXPECT_EQ(Ask("shop/frontend-1", "TCP", cart, 7070), "ok shop/cart-1");
    return !passed_nothing();
  }));
  EXPECT_EQ(Ask("data/database-1", "TCP", cart, 7070), "timeout") << "policy is as before";
}

}  // namespace
}  // namespace ripstop::lab
