// SPDX-License-Identifier: Apache-2.0
//
// That every benchmark runs, with tiny sizes, and prints what run_all.py reads. No time is
// looked at.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#ifndef RIPSTOP_BENCH_FOLDER
#error "the folder of the benchmark binaries"
#endif

namespace ripstop::bench {
namespace {

using nlohmann::json;

struct Output {
  int exit_code = -1;
  std::vector<json> records;  // lines that are JSON objects
  std::vector<std::string> others;
};

Output RunBench(const std::string& arguments) {
  Output output;
  FILE* const pipe = popen((RIPSTOP_BENCH_FOLDER "/" + arguments + " --json --quick").c_str(), "r");
  if (pipe == nullptr) return output;
  std::string text;
  char buffer[4096];
  for (size_t n = 0; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) text.append(buffer, n);
  const int status = pclose(pipe);
  output.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = text.find('\n', at);
    const std::string line = text.substr(at, end - at);
    const json record = json::parse(line, nullptr, false);
    if (record.is_object()) {
      output.records.push_back(record);
    } else {
      output.others.push_back(line);
    }
    if (end == std::string::npos) break;
    at = end + 1;
  }
  return output;
}

std::vector<json> Table(const Output& output, const std::string& name) {
  std::vector<json> rows;
  for (const json& record : output.records) {
    if (record.value("table", "") == name) rows.push_back(record);
  }
  return rows;
}

std::vector<json> Figures(const Output& output) {
  std::vector<json> figures;
  for (const json& record : output.records) {
    if (record.contains("figure")) figures.push_back(record);
  }
  return figures;
}

class BenchSmokeTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root: programs, maps and namespaces";
  }
};

TEST_F(BenchSmokeTest, PacketCostsArePrintedBesideTheirBars) {
  const Output output = RunBench("datapath_bench");
  EXPECT_EQ(output.exit_code, 0);
  EXPECT_THAT(output.others, testing::IsEmpty());
  size_t with_bar = 0;
  for (const json& figure : Figures(output))
    with_bar += figure.contains("bar") && figure.contains("met");
  EXPECT_EQ(with_bar, 16u);
}

TEST_F(BenchSmokeTest, TrafficOfEveryPathIsComparedWithPlainRouting) {
  const Output output = RunBench("traffic_bench");
  EXPECT_EQ(output.exit_code, 0);
  EXPECT_THAT(output.others, testing::IsEmpty());
  const std::vector<json> figures = Figures(output);
  EXPECT_EQ(figures.size(), 36u);
  for (const json& figure : figures) EXPECT_GT(figure.value("value", 0.0), 0) << figure;
}

TEST_F(BenchSmokeTest, ASweepSeesAndEndsEveryFlow) {
  const Output output = RunBench("sweep_bench");
  EXPECT_EQ(output.exit_code, 0);
  EXPECT_EQ(Figures(output).size(), 2u);
}

TEST_F(BenchSmokeTest, EveryPointOfTheCurvesIsTimedOrSaysWhyNot) {
  const Output output = RunBench("verdict_bench --family hosts");
  EXPECT_EQ(output.exit_code, 0);
  const std::vector<json> rows = Table(output, "verdict");
  ASSERT_EQ(rows.size(), 2u);  // 1 and 10 rules
  for (const json& row : rows) {
    EXPECT_GT(row.value("verdict_ns", 0.0), 0) << row;
    EXPECT_GT(row.value("new_flow_ratio", 0.0), 0) << row;
    EXPECT_GT(row.value("map_mib", 0.0), 0) << row;
    EXPECT_EQ(row.value("rule", -1), row.value("size", 0) - 1) << row;  // the last one decided
  }
}

TEST_F(BenchSmokeTest, ConnectionsAreCountedUnderEveryVariant) {
  const Output output = RunBench("connect_bench");
  EXPECT_EQ(output.exit_code, 0);
  const std::vector<json> rows = Table(output, "connect");
  ASSERT_EQ(rows.size(), 2u);
  for (const json& row : rows) {
    for (const char* variant : {"plain", "nft_rules", "nft_map", "ripstop"}) {
      EXPECT_GT(row.value(variant, 0.0), 0) << variant << " in " << row;
    }
  }
}

TEST_F(BenchSmokeTest, ManyDocumentsAreAppliedByTheProgramItself) {
  const Output output = RunBench("apply_bench");
  EXPECT_EQ(output.exit_code, 0);
  EXPECT_THAT(output.others, testing::IsEmpty());
  EXPECT_EQ(Figures(output).size(), 8u);
  for (const json& figure : Figures(output)) EXPECT_GT(figure.value("value", 0.0), 0) << figure;
}

TEST_F(BenchSmokeTest, EventsAndColdStartReachTheMaps) {
  const Output output = RunBench("control_bench");
  EXPECT_EQ(output.exit_code, 0);
  const std::vector<json> rows = Table(output, "event");
  EXPECT_GE(rows.size(), 10u);
  for (const json& row : rows) {
    if (row.value("promise", "") != "1 address") continue;
    EXPECT_EQ(row.value("addresses", -1), 1) << row;
    EXPECT_EQ(row.value("stores", -1), 0) << row;
  }
  for (const json& figure : Figures(output)) EXPECT_TRUE(figure.contains("value")) << figure;
}

TEST_F(BenchSmokeTest, AddressesAndStartsArePrintedBesideTheirBars) {
  for (const auto& [bench, bars] : {std::pair("ipam_bench", 4u), std::pair("start_bench", 3u)}) {
    const Output output = RunBench(bench);
    EXPECT_EQ(output.exit_code, 0);
    EXPECT_THAT(output.others, testing::IsEmpty());
    size_t with_bar = 0;
    for (const json& figure : Figures(output)) {
      EXPECT_TRUE(figure.contains("value")) << figure;
      with_bar += figure.contains("bar") && figure.contains("met");
    }
    EXPECT_EQ(with_bar, bars) << bench;
  }
}

TEST_F(BenchSmokeTest, TheRealAgentStartsAnswersAndServesPods) {
  const Output output = RunBench("agent_bench");
  EXPECT_EQ(output.exit_code, 0);
  EXPECT_THAT(output.others, testing::IsEmpty());
  size_t with_bar = 0;
  for (const json& figure : Figures(output)) {
    EXPECT_TRUE(figure.contains("value")) << figure;
    with_bar += figure.contains("bar") && figure.contains("met");
  }
  EXPECT_EQ(with_bar, 10u);
}

TEST_F(BenchSmokeTest, TheGuardFindsNothingOnAnUntouchedNode) {
  const Output output = RunBench("guard_bench");
  EXPECT_EQ(output.exit_code, 0);
  EXPECT_EQ(Figures(output).size(), 4u);
}

}  // namespace
}  // namespace ripstop::bench
