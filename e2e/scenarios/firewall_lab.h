// SPDX-License-Identifier: Apache-2.0
//
// The demo's fabric, with somebody outside who answers and a policy that lets frontends ask;
// and what node status says of other firewalls.
#ifndef RIPSTOP_E2E_SCENARIOS_FIREWALL_LAB_H_
#define RIPSTOP_E2E_SCENARIOS_FIREWALL_LAB_H_

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "e2e/scenarios/demo_lab.h"

namespace ripstop::lab {

class FirewallLab : public DemoLab {
 protected:
  static constexpr uint16_t kPort = 9000;

  void SetUp() override {
    DemoLab::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    const std::string ready = absl::StrCat(lab().state().dir(), "/r1.ready");
    const auto server = SpawnProbe("r1",
                                   {"serve", "--name", "r1", "--tcp", absl::StrCat(kPort), "--for",
                                    "900", "--ready-file", ready},
                                   absl::StrCat(lab().state().dir(), "/r1-serve.log"));
    ASSERT_TRUE(server.ok()) << server.status();
    ASSERT_TRUE(Eventually([&] { return std::filesystem::exists(ready); }));
    ASSERT_EQ(lab().Apply(R"(
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: frontend-outside, namespace: shop}
spec:
  podSelector: {matchLabels: {app: frontend}}
  policyTypes: [Egress]
  egress: [{ports: [{protocol: TCP, port: 9000}]}]
)"),
              absl::OkStatus());
    for (const auto& [name, cidr] :
         {std::pair{"pods-v4", "10.65.0.0/16"}, {"pods-v6", "'fd00:10:65::/48'"}}) {
      ASSERT_EQ(lab().Apply(absl::StrCat(
                    "{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: ", name,
                    "}, spec: {cidr: ", cidr, ", vxlanMode: CrossSubnet, natOutgoing: true}}")),
                absl::OkStatus());
    }
    for (const int family : {4, 6}) ASSERT_TRUE(ReachesOutside(family)) << family;
  }

  // frontend-1 on node1 to r1, under node1's address.
  std::string AskOutside(int family) {
    const auto* gateway = lab().topology().Gateway("rack1");
    const nlohmann::json wish = {
        {"protocol", "TCP"}, {"address", family == 4 ? gateway->v4 : gateway->v6}, {"port", kPort}};
    const auto done = lab().Exec("shop/frontend-1", {lab().Binary("ripstop-probe"), "connect"},
                                 wish.dump() + "\n");
    if (!done.ok()) return std::string(done.status().message());
    const auto answer = nlohmann::json::parse(done->out, nullptr, false);
    return answer.is_discarded() ? done->out + done->err : answer.value("result", "");
  }
  bool ReachesOutside(int family) {
    return Eventually([&] { return AskOutside(family) == "ok"; });
  }
  bool KeptFromOutside(int family) {
    return Eventually([&] { return AskOutside(family) != "ok"; });
  }
  static Flow ByTunnel(int family) {
    return {"shop/frontend-1", "shop/cart-2", "TCP", 7070, family};
  }
  static Flow Natively(int family) {
    return {"shop/frontend-2", "shop/cart-1", "TCP", 7070, family};
  }
  static Flow OnTheNode(int family) {
    return {"shop/frontend-1", "shop/cart-1", "TCP", 7070, family};
  }

  agent::v1::HostFirewall Firewall(const std::string& node) {
    const auto status = lab().AgentStatus(node);
    EXPECT_TRUE(status.ok()) << status.status();
    return status.ok() ? status->host_firewall() : agent::v1::HostFirewall();
  }
  // The remedies of what is lost for certain, as an operator would type them.
  std::set<std::string> Remedies(const std::string& node) {
    std::set<std::string> remedies;
    const agent::v1::HostFirewall firewall = Firewall(node);
    for (const auto& finding : firewall.findings()) {
      if (finding.loses()) remedies.insert(finding.remedy());
    }
    return remedies;
  }
  bool Loses(const std::string& node, const std::string& what, const std::string& rule) {
    return Eventually([&] {
      const agent::v1::HostFirewall firewall = Firewall(node);
      for (const auto& finding : firewall.findings()) {
        if (finding.loses() && absl::StrContains(finding.what(), what) &&
            absl::StrContains(finding.rule(), rule))
          return true;
      }
      return false;
    });
  }
  bool LosesNothing(const std::string& node) {
    return Eventually([&] { return Remedies(node).empty(); });
  }
  void Sh(const std::string& node, const std::string& command) {
    const auto done = lab().Exec(node, {"sh", "-c", command});
    ASSERT_TRUE(done.ok()) << done.status();
    ASSERT_EQ(done->exit_code, 0) << command << "\n" << done->err;
  }
};

}  // namespace ripstop::lab

#endif  // RIPSTOP_E2E_SCENARIOS_FIREWALL_LAB_H_
