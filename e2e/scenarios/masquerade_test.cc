// SPDX-License-Identifier: Apache-2.0
//
// Pools with natOutgoing on real agents: pods reach who knows no way back to them.
#include <signal.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "e2e/scenarios/demo_lab.h"

namespace ripstop::lab {
namespace {

constexpr uint16_t kPort = 9000;
constexpr char kFrontendOutside[] = R"(
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: frontend-outside, namespace: shop}
spec:
  podSelector: {matchLabels: {app: frontend}}
  policyTypes: [Egress]
  egress:
  - ports: [{protocol: TCP, port: 9000}, {protocol: UDP, port: 9000}]
)";

class MasqueradeLab : public DemoLab {
 protected:
  void SetUp() override {
    DemoLab::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    const std::string ready = absl::StrCat(lab().state().dir(), "/r1.ready");
    const auto server = SpawnProbe("r1",
                                   {"serve", "--name", "r1", "--tcp", absl::StrCat(kPort), "--udp",
                                    absl::StrCat(kPort), "--for", "900", "--ready-file", ready},
                                   absl::StrCat(lab().state().dir(), "/r1-serve.log"));
    ASSERT_TRUE(server.ok()) << server.status();
    ASSERT_TRUE(Eventually([&] { return std::filesystem::exists(ready); }));
    ASSERT_EQ(lab().Apply(kFrontendOutside), absl::OkStatus());
    for (const std::string& address : Outside())
      ASSERT_EQ(Ask("node1", "TCP", address), "ok r1") << "control: somebody is there";
  }
  // r1, where the rack has it: its datagrams come from the address that is nearest.
  std::vector<std::string> Outside(const std::string& rack = "rack1") {
    return {lab().topology().Gateway(rack)->v4, lab().topology().Gateway(rack)->v6};
  }
  // The demo's pools, which are as they were but for this.
  void SetNatOutgoing(bool on) {
    for (const auto& [name, cidr] :
         {std::pair{"pods-v4", "10.65.0.0/16"}, {"pods-v6", "'fd00:10:65::/48'"}}) {
      const absl::Status applied = lab().Apply(
          absl::StrCat("{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: ", name,
                       "}, spec: {cidr: ", cidr,
                       ", vxlanMode: CrossSubnet, natOutgoing: ", on ? "true" : "false", "}}"));
      ASSERT_TRUE(applied.ok()) << applied;
    }
  }
  // What becomes of one attempt: "ok r1", "timeout", "refused".
  std::string Ask(const std::string& from, const std::string& protocol,
                  const std::string& address) {
    const nlohmann::json wish = {{"protocol", protocol}, {"address", address}, {"port", kPort}};
    const auto done =
        lab().Exec(from, {lab().Binary("ripstop-probe"), "connect"}, wish.dump() + "\n");
    if (!done.ok()) return std::string(done.status().message());
    const auto answer = nlohmann::json::parse(done->out, nullptr, false);
    if (answer.is_discarded()) return done->out + done->err;
    const std::string result = answer.value("result", "");
    return result == "ok" ? "ok " + answer.value("peer", "") : result;
  }
  bool Reached(const std::string& from, const std::string& protocol, const std::string& address) {
    return Eventually([&] { return Ask(from, protocol, address) == "ok r1"; });
  }
};

TEST_F(MasqueradeLab, PodsOfSuchAPoolReachWhoKnowsNoWayBackAsTheirPolicyAllows) {
  for (const std::string& address : Outside())
    EXPECT_EQ(Ask("shop/frontend-1", "TCP", address), "timeout") << "the pod's own address";
  SetNatOutgoing(true);
  // Of either rack, and r1 answers them as their nodes.
  for (const auto& [pod, rack] :
       {std::pair{"shop/frontend-1", "rack1"}, {"shop/frontend-3", "rack2"}}) {
    for (const std::string& address : Outside(rack)) {
      for (const char* protocol : {"TCP", "UDP"})
        EXPECT_TRUE(Reached(pod, protocol, address)) << pod << " " << protocol << " " << address;
    }
  }
  for (const std::string& address : Outside())
    EXPECT_EQ(Ask("shop/cart-1", "TCP", address), "timeout") << "policy is the pod's";
  const auto flows = lab().Ctl({"conntrack", "list", "--pod", "shop/frontend-1"}, "", "node1");
  ASSERT_TRUE(flows.ok()) << flows.status();
  EXPECT_TRUE(absl::StrContains(flows->out, "LEAVES AS")) << flows->out;
  EXPECT_TRUE(absl::StrContains(flows->out, "192.0.2.11:")) << flows->out;
  EXPECT_TRUE(absl::StrContains(flows->out, "[2001:db8:1::11]:")) << flows->out;
  // Among pods all is as it was, natively and by the tunnel.
  ExpectMatrix();
  for (const char* reason : {"nat-ports", "nat-address", "nat-protocol"})
    EXPECT_EQ(DropsOf("node1", reason), 0u) << reason;

  SetNatOutgoing(false);
  EXPECT_TRUE(Eventually([&] { return Ask("shop/frontend-1", "TCP", Outside()[0]) == "timeout"; }))
      << "what begins now shows the pod";
}

TEST_F(MasqueradeLab, ALiveConnectionOutlivesTheAgentAndTheSettings) {
  SetNatOutgoing(true);
  ASSERT_TRUE(Reached("shop/frontend-1", "TCP", Outside()[0]));
  const auto live = LiveFlow::Start(lab(), {"shop/frontend-1", Outside()[0], "TCP", kPort, 4}, {});
  ASSERT_TRUE(live.ok()) << live.status();
  ASSERT_TRUE(live->WaitFor("connected").ok());
  ASSERT_TRUE(live->WaitForMore(20).ok());
  ASSERT_TRUE(lab().StopAgent("node1", SIGKILL).ok());
  ASSERT_TRUE(live->WaitForMore(20).ok()) << "no agent";
  ASSERT_TRUE(lab().StartAgent("node1").ok());
  ASSERT_TRUE(live->WaitForMore(20).ok()) << "another agent";
  ASSERT_EQ(lab().Apply("{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: "
                        "{name: default}, spec: {natPortRange: '40000:40003'}}"),
            absl::OkStatus());
  EXPECT_TRUE(Eventually([&] {
    if (Ask("shop/frontend-1", "UDP", Outside()[0]) != "ok r1") return false;
    const auto flows = lab().Ctl({"conntrack", "list", "--protocol", "UDP"}, "", "node1");
    return flows.ok() && absl::StrContains(flows->out, "192.0.2.11:4000");
  })) << "new flows have the range that is said now";
  ASSERT_TRUE(live->WaitForMore(20).ok()) << "and old ones theirs";
}

}  // namespace
}  // namespace ripstop::lab
