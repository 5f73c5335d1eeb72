// SPDX-License-Identifier: Apache-2.0
//
// Every case of ../shared/testdata/cyclonus/cases.json, answered by each engine: all
// steps, protocols and ports, the matrices of ingress, of egress and of both, diagonal
// included.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "api/codec/reader.h"
#include "api/ctl/evaluation.h"

namespace ripstop::ctl {
namespace {

using nlohmann::json;

const json& Cases() {
  static const json& cases = *new json([] {
    std::ifstream file(RIPSTOP_SOURCE_DIR "/../shared/testdata/cyclonus/cases.json");
    return file ? json::parse(file) : json();
  }());
  return cases;
}

// The documents of one step, as a user would write them.
std::string Documents(const json& world, const json& policies) {
  json items = json::array();
  for (const auto& [name, labels] : world["namespaces"].items())
    items.push_back({{"apiVersion", "v1"},
                     {"kind", "Namespace"},
                     {"metadata", {{"name", name}, {"labels", labels}}}});
  for (const json& pod : world["pods"]) {
    json ports = json::array();
    for (const json& port : pod["ports"])
      ports.push_back({{"name", port["name"]},
                       {"protocol", port["protocol"]},
                       {"containerPort", port["port"]}});
    items.push_back(
        {{"apiVersion", "v1"},
         {"kind", "Pod"},
         {"metadata",
          {{"name", pod["name"]}, {"namespace", pod["namespace"]}, {"labels", pod["labels"]}}},
         {"spec", {{"containers", {{{"name", "c"}, {"ports", ports}}}}}},
         {"status", {{"podIPs", {{{"ip", pod["ip"]}}}}}}});
  }
  for (json policy : policies) {
    // Some cases leave these two out.
    policy["apiVersion"] = "networking.k8s.io/v1";
    policy["kind"] = "NetworkPolicy";
    items.push_back(std::move(policy));
  }
  return json{{"apiVersion", "v1"}, {"kind", "List"}, {"items", items}}.dump();
}

struct Matrices {
  std::vector<std::string> ingress, egress, combined;
};

class CyclonusTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (Cases().is_null()) GTEST_SKIP() << "../shared/testdata/cyclonus/cases.json not found";
    if (GetParam() == "kernel" && geteuid() != 0)
      GTEST_SKIP() << "needs root: CAP_BPF and CAP_NET_ADMIN";
  }
  void CheckStep(const json& step, const json& world, const std::string& name);
  Matrices Measure(const QueryReader& reader, Evaluator& evaluator,
                   const std::vector<std::string>& pods, const std::string& protocol, int port);
  int verdicts_ = 0;
};

char Mark(const std::optional<policy::Verdict>& verdict) {
  return !verdict ? '?' : verdict->allow ? '.' : 'X';
}

Matrices CyclonusTest::Measure(const QueryReader& reader, Evaluator& evaluator,
                               const std::vector<std::string>& pods, const std::string& protocol,
                               int port) {
  Matrices got;
  for (const std::string& from : pods) {
    std::string ingress, egress, combined;
    for (const std::string& to : pods) {
      const auto flow = reader.Read(
          json{{"from", from}, {"to", to}, {"protocol", protocol}, {"port", port}}.dump());
      EXPECT_TRUE(flow.ok()) << flow.status();
      const auto judgement =
          flow.ok() ? evaluator.Evaluate(*flow) : absl::StatusOr<Judgement>(flow.status());
      EXPECT_TRUE(judgement.ok()) << judgement.status();
      if (!judgement.ok()) return got;
      ingress += Mark(judgement->ingress);
      egress += Mark(judgement->egress);
      combined += ToLine(*judgement).rfind(R"({"verdict":"Allow")", 0) == 0 ? '.' : 'X';
      verdicts_ += 2;
    }
    got.ingress.push_back(ingress);
    got.egress.push_back(egress);
    got.combined.push_back(combined);
  }
  return got;
}

void CyclonusTest::CheckStep(const json& step, const json& world, const std::string& name) {
  const std::string text = Documents(world, step["policies"]);
  const api::Decoded decoded = api::DecodeText(text, name);
  ASSERT_TRUE(decoded.problems.empty()) << api::ToString(decoded.problems);
  const auto model = MakeWorld(decoded.resources);
  ASSERT_TRUE(model.ok()) << model.status();
  const auto evaluator = MakeEvaluator(GetParam(), *model);
  ASSERT_TRUE(evaluator.ok()) << evaluator.status();
  const QueryReader reader(*model);
  const auto pods = step["podOrder"].get<std::vector<std::string>>();
  for (const auto& [key, expected] : step["expected"].items()) {
    const std::vector<std::string> parts = absl::StrSplit(key, '/');
    const Matrices got = Measure(reader, **evaluator, pods, parts[0], std::stoi(parts[1]));
    const auto rows = [&expected = expected](const char* matrix) {
      return expected[matrix].get<std::vector<std::string>>();
    };
    EXPECT_EQ(got.ingress, rows("ingress")) << name << " " << key << " ingress";
    EXPECT_EQ(got.egress, rows("egress")) << name << " " << key << " egress";
    EXPECT_EQ(got.combined, rows("combined")) << name << " " << key << " combined";
  }
}

TEST_P(CyclonusTest, EveryMatrixOfEveryStepIsAsExpected) {
  int steps = 0;
  for (const json& item : Cases()["cases"]) {
    for (const json& step : item["steps"]) {
      CheckStep(step, step.contains("world") ? step["world"] : Cases()["initial"],
                absl::StrCat("case ", item["index"].get<int>(), " (",
                             item["description"].get<std::string>(), ") step ", ++steps));
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_EQ(Cases()["cases"].size(), 115u);
  EXPECT_EQ(steps, 131);
  printf("%s: %d steps, %d verdicts\n", GetParam().c_str(), steps, verdicts_);
}

INSTANTIATE_TEST_SUITE_P(Engines, CyclonusTest, testing::ValuesIn(EvaluatorNames()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace ripstop::ctl
