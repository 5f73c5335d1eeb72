// SPDX-License-Identifier: Apache-2.0
//
// The demo's files agree with each other without a fabric: the reference evaluator, given
// the demo's pods and policies, says what expected.yaml says of every flow. The real
// packets are scenarios/demo_matrix_test.cc's.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "e2e/lab/matrix.h"
#include "e2e/lab/resources.h"

namespace ripstop::lab {
namespace {

using nlohmann::json;

constexpr char kFolder[] = RIPSTOP_DEMO_DIR;

Topology DemoTopology() {
  const auto topology = ReadTopology(absl::StrCat(kFolder, "/topology.yaml"));
  EXPECT_TRUE(topology.ok()) << topology.status();
  return topology.value_or(Topology{});
}

// Pods as Kubernetes has them, with made-up addresses.
std::string PodDocuments(const Topology& topology) {
  std::string documents;
  int number = 0;
  for (const Pod& pod : topology.pods) {
    ++number;
    json ports = json::array();
    for (const Port& port : pod.ports) {
      ports.push_back(
          {{"name", port.name}, {"containerPort", port.port}, {"protocol", port.protocol}});
    }
    documents += absl::StrCat(
        "---\n",
        json{
            {"apiVersion", "v1"},
            {"kind", "Pod"},
            {"metadata", {{"name", pod.name}, {"namespace", pod.ns}, {"labels", pod.labels}}},
            {"spec", {{"nodeName", pod.node}, {"containers", {{{"name", "c"}, {"ports", ports}}}}}},
            {"status",
             {{"phase", "Running"},
              {"podIPs",
               {{{"ip", absl::StrCat("10.65.0.", number)}},
                {{"ip", absl::StrCat("fd00:10:65::", number)}}}}}}}
            .dump(),
        "\n");
  }
  return documents;
}

TEST(DemoFiles, ExpectationThatNamesNothingIsRefused) {
  const std::string path = absl::StrCat(testing::TempDir(), "/expected.", getpid(), ".yaml");
  std::ofstream(path) << "shop/cart:\n- data/database UDP/8126\n";
  const auto expectation = ReadExpectation(path, DemoTopology());
  EXPECT_EQ(expectation.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(expectation.status().message().find(":2: 'data/database UDP/8126' is not in"),
            std::string::npos)
      << expectation.status();
  std::filesystem::remove(path);
}

TEST(DemoFiles, FlowsCoverEveryPathAndBothFamilies) {
  const Topology topology = DemoTopology();
  std::set<std::pair<std::string, int>> seen;
  for (const Flow& flow : AllFlows(topology)) seen.insert({PathOf(topology, flow), flow.family});
  EXPECT_EQ(seen.size(), 6u);
}

TEST(DemoFiles, EvaluatorSaysWhatIsExpected) {
  const std::string ctl = FindBinDir("") + "/ripstopctl";
  if (!std::filesystem::exists(ctl)) GTEST_SKIP() << "ripstopctl is not built";
  const Topology topology = DemoTopology();
  const auto expectation = ReadExpectation(absl::StrCat(kFolder, "/expected.yaml"), topology);
  ASSERT_TRUE(expectation.ok()) << expectation.status();
  const std::string folder = absl::StrCat(testing::TempDir(), "/demo.", getpid());
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/pods.yaml") << PodDocuments(topology);
  std::ofstream(folder + "/resources.yaml") << ResourceDocuments(topology);
  std::vector<Flow> flows;
  std::string queries;
  for (const Flow& flow : AllFlows(topology)) {
    if (flow.family == 6) continue;  // pods are named, not addressed
    flows.push_back(flow);
    absl::StrAppend(
        &queries,
        json{{"from", flow.from}, {"to", flow.to}, {"protocol", flow.protocol}, {"port", flow.port}}
            .dump(),
        "\n");
  }
  std::ofstream(folder + "/queries") << queries;
  const auto output = RunOk({.argv = {ctl, "evaluate", "-f", absl::StrCat(kFolder, "/policies"),
                                      "-f", folder + "/pods.yaml", "-f", folder + "/resources.yaml",
                                      "--queries", folder + "/queries", "--engine", "reference"}});
  ASSERT_TRUE(output.ok()) << output.status();
  const std::vector<std::string> lines = absl::StrSplit(*output, '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), flows.size());
  for (size_t i = 0; i < flows.size(); ++i) {
    EXPECT_EQ(json::parse(lines[i])["verdict"] == "Allow",
              IsExpected(*expectation, topology, flows[i]))
        << flows[i].ToString() << ": " << lines[i];
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace ripstop::lab
