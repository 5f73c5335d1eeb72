// SPDX-License-Identifier: Apache-2.0
//
// What staged policies and Log rules say of real packets.
#include <nlohmann/json.hpp>

#include "e2e/scenarios/demo_lab.h"

namespace ripstop::lab {
namespace {

class StagedPolicy : public DemoLab {
 protected:
  // From node2, through policy of shop, which allows it.
  const Flow flow_{"shop/checkout-1", "data/database-2", "TCP", 5432, 4};

  // One document of tier default, before the demo's own policies.
  static std::string Document(const std::string& kind, const std::string& egress) {
    return absl::StrCat("apiVersion: projectcalico.org/v3\nkind: ", kind,
                        "\nmetadata: {name: checkout-audit, namespace: shop}\n"
                        "spec:\n  selector: app == 'checkout'\n  order: 1\n  types: [Egress]\n"
                        "  egress: ",
                        egress, "\n");
  }
  static std::string AnyDeny(bool staged) {
    return Document(staged ? "StagedNetworkPolicy" : "NetworkPolicy",
                    "[{action: Deny, protocol: TCP, destination: {ports: [5432]}}]");
  }
  nlohmann::json Ask(const std::vector<std::string>& arguments) {
    std::vector<std::string> words = arguments;
    words.insert(words.end(), {"-o", "json"});
    const auto output = lab().Ctl(words, "", "node2");
    EXPECT_TRUE(output.ok()) << output.status();
    if (!output.ok() || output->exit_code != 0) {
      ADD_FAILURE() << (output.ok() ? output->err : "");
      return {};
    }
    return nlohmann::json::parse(output->out);
  }
  std::vector<nlohmann::json> Rows() { return Ask({"policy", "staged"})["rules"]; }
};

TEST_F(StagedPolicy, AStagedDenyIsReportedWithTheFlowAndTheFlowStillPasses) {
  ASSERT_TRUE(lab().Apply(AnyDeny(true)).ok());
  ASSERT_TRUE(Eventually([&] { return !Ask({"policy", "staged"})["policies"].empty(); }));
  EXPECT_TRUE(Reaches(flow_));
  nlohmann::json rule;
  ASSERT_TRUE(Eventually([&] {
    for (const nlohmann::json& row : Rows()) {
      if (row["wouldDeny"] > 0) rule = row;
    }
    return !rule.empty();
  })) << Ask({"policy", "staged"});
  EXPECT_EQ(rule["policyKind"], "StagedNetworkPolicy");
  EXPECT_EQ(rule["policy"], "shop/checkout-audit");
  EXPECT_EQ(rule["rule"], "egress rule 0");
  EXPECT_EQ(rule["wouldAllow"], 0);
  const std::string example = rule["example"];
  EXPECT_TRUE(absl::StrContains(
      example, absl::StrCat("TCP ", lab().AddressOf("shop/checkout-1", 4).value(), ":")))
      << example;
  EXPECT_TRUE(absl::StrContains(rule["insteadOf"].get<std::string>(), "shop/checkout")) << rule;
  EXPECT_GE(rule["lastSeenAgoMs"], 0);

  const auto why =
      Ask({"why", "--from", "shop/checkout-1", "--to", "data/database-2", "--port", "5432"});
  EXPECT_EQ(why["verdict"], "Allow here") << why;
  EXPECT_EQ(why["staged"]["verdict"], "Deny") << why;
  EXPECT_EQ(why["staged"]["egress"]["policyKind"], "StagedNetworkPolicy") << why;
  EXPECT_TRUE(Reaches(flow_));

  // The control: the same policy, enforced, does what was said; staged to go, it would allow.
  ASSERT_TRUE(lab().Delete(AnyDeny(true)).ok());
  ASSERT_TRUE(lab().Apply(AnyDeny(false)).ok());
  EXPECT_TRUE(Eventually([&] { return Silent(flow_); }));
  EXPECT_TRUE(Rows().empty());
  ASSERT_TRUE(lab()
                  .Apply("apiVersion: projectcalico.org/v3\nkind: StagedNetworkPolicy\n"
                         "metadata: {name: checkout-audit, namespace: shop}\n"
                         "spec: {stagedAction: Delete}\n")
                  .ok());
  EXPECT_TRUE(Eventually([&] {
    EXPECT_TRUE(Silent(flow_, absl::Milliseconds(300)));
    for (const nlohmann::json& row : Rows()) {
      if (row["wouldAllow"] > 0) return true;
    }
    return false;
  }));
}

TEST_F(StagedPolicy, ALogRuleWritesALineForTheFlowAndForNoOther) {
  ASSERT_TRUE(lab()
                  .Apply(Document("NetworkPolicy",
                                  "[{action: Log, protocol: TCP, destination: "
                                  "{ports: [5432]}}]"))
                  .ok());
  const std::string log = absl::StrCat(lab().state().dir(), "/node2/agent.log");
  const std::string mark = absl::StrCat("\\\"destination\\\":\\\"",
                                        lab().AddressOf("data/database-2", 4).value(), "\\\"");
  ASSERT_TRUE(Eventually([&] {
    EXPECT_TRUE(Reaches(flow_));
    return absl::StrContains(ReadText(log), mark);
  })) << ReadText(log);
  EXPECT_TRUE(Reaches({"shop/checkout-1", "shop/cart-2", "TCP", 7070, 4}));
  std::istringstream lines(ReadText(log));
  int flows = 0;
  for (std::string text; std::getline(lines, text);) {
    const auto entry = nlohmann::json::parse(text, nullptr, false);
    const auto line = nlohmann::json::parse(entry.value("message", ""), nullptr, false);
    if (!line.is_object() || !line.contains("verdict")) continue;
    ++flows;
    EXPECT_EQ(line["endpoint"], "shop/checkout-1");
    EXPECT_EQ(line["direction"], "egress");
    EXPECT_EQ(line["verdict"], "Allow");
    EXPECT_EQ(line["destinationPort"], 5432);
    EXPECT_EQ(line["policyKind"], "KubernetesNetworkPolicy") << line;
    EXPECT_EQ(line["policy"], "shop/checkout") << line;
  }
  EXPECT_GE(flows, 1);
}

}  // namespace
}  // namespace ripstop::lab
