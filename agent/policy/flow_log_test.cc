// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/flow_log.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::agent {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const absl::Time kNow = absl::FromUnixMillis(1'767'323'045'678);

FlowRecord Record() {
  FlowRecord record;
  record.time = kNow;
  record.endpoint = "shop/db";
  record.packet = {*policy::Address::Parse("192.0.2.1"), *policy::Address::Parse("192.0.2.2"),
                   policy::kProtocolTcp, 40000, 5432};
  record.rule = policy::RuleIdentity{.kind = policy::RuleIdentity::Kind::kRule,
                                     .tier = "default",
                                     .policy = {policy::PolicyKind::kNetworkPolicy, "shop", "db"},
                                     .rule_index = 1,
                                     .rule_name = "audit"};
  return record;
}

class FlowLogTest : public testing::Test {
 protected:
  FlowLogTest() {
    char name[] = "/tmp/ripstop-flow-log-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~FlowLogTest() override { fs::remove_all(folder_); }
  std::unique_ptr<FlowLog> Open(FlowLogOptions options) {
    options.file = file();
    auto log = FlowLog::Open(options);
    EXPECT_TRUE(log.ok()) << log.status();
    return *std::move(log);
  }
  std::string file() const { return folder_ + "/flows.log"; }
  std::vector<json> Lines() {
    std::vector<json> lines;
    std::ifstream in(file());
    for (std::string line; std::getline(in, line);) lines.push_back(json::parse(line));
    return lines;
  }
  std::string folder_;
};

TEST_F(FlowLogTest, ALineNamesTimeEndpointFlowVerdictAndRule) {
  const auto log = Open({});
  log->Write(Record(), kNow);
  FlowRecord ping = Record();
  ping.direction = policy::Direction::kEgress;
  ping.allow = true;
  ping.packet.protocol = policy::kProtocolIcmp;
  ping.packet.icmp_type = 8;
  ping.rule.reset();
  log->Write(ping, kNow);
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0], json::parse(R"json({"time":"2026-01-02T03:04:05.678Z","direction":"ingress",
    "endpoint":"shop/db","verdict":"Deny","protocol":"TCP","source":"192.0.2.1",
    "sourcePort":40000,"destination":"192.0.2.2","destinationPort":5432,"tier":"default",
    "policyKind":"NetworkPolicy","policy":"shop/db","rule":"ingress rule 1 (audit)",
    "ruleIndex":1,"ruleName":"audit"})json"));
  EXPECT_EQ(lines[1]["verdict"], "Allow");
  EXPECT_EQ(lines[1]["icmpType"], 8);
  EXPECT_FALSE(lines[1].contains("sourcePort"));
  EXPECT_EQ(lines[1]["rule"], "no longer in force");
}

TEST_F(FlowLogTest, ARateThatIsSetLaterCountsWhereTheOptionsSayNone) {
  const auto log = Open({});
  const auto write = [&](int times, absl::Duration at) {
    for (int i = 0; i < times; ++i) log->Write(Record(), kNow + at);
    return Lines().size();
  };
  log->SetRate(absl::Minutes(1), 3);
  EXPECT_EQ(write(10, absl::ZeroDuration()), 3u) << "the burst";
  EXPECT_EQ(write(10, absl::Seconds(59)), 3u);
  EXPECT_EQ(write(10, absl::Seconds(60)), 4u);
  EXPECT_EQ(write(10, absl::Minutes(60)), 7u) << "no more than the burst is saved up";
  log->SetRate(absl::ZeroDuration(), 0);
  EXPECT_EQ(write(10, absl::Minutes(61)), 17u) << "as it was";

  const auto fixed = Open({.lines_per_second = 2});
  fixed->SetRate(absl::Hours(1), 1);
  for (int i = 0; i < 10; ++i) fixed->Write(Record(), kNow);
  EXPECT_EQ(Lines().size(), 19u) << "the option comes first";
}

TEST_F(FlowLogTest, LinesOverTheRateAreCountedAndSaidOnce) {
  const auto log = Open({.lines_per_second = 3});
  for (int i = 0; i < 10; ++i) log->Write(Record(), kNow + absl::Milliseconds(i));
  EXPECT_EQ(Lines().size(), 3u);
  log->NotTold(2, true);
  log->NotTold(5, false);
  log->Tick(kNow + absl::Milliseconds(20));
  log->Tick(kNow + absl::Milliseconds(30));
  ASSERT_EQ(Lines().size(), 4u);
  EXPECT_EQ(Lines()[3]["leftOut"], 7 + 2);
  EXPECT_EQ(Lines()[3]["notTold"], 5);
  log->Write(Record(), kNow + absl::Seconds(1));
  EXPECT_EQ(Lines().size(), 5u) << "another second, another budget";
}

TEST_F(FlowLogTest, TheFileAndItsPredecessorStayWithinTheirSize) {
  const auto log = Open({.file_bytes = 4096, .lines_per_second = 1000});
  for (int i = 0; i < 900; ++i) log->Write(Record(), kNow);
  uint64_t bytes = 0, files = 0;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    bytes += entry.file_size();
    ++files;
  }
  EXPECT_EQ(files, 2u);
  EXPECT_LE(bytes, 2 * 4096u);
  EXPECT_FALSE(Lines().empty());
}

TEST_F(FlowLogTest, AFileThatCannotBeOpenedIsNamed) {
  const std::string parent = folder_ + "/plain";
  std::ofstream(parent) << "x";
  const auto log = FlowLog::Open({.file = parent + "/flows.log"});
  ASSERT_TRUE(absl::IsUnavailable(log.status())) << log.status();
  EXPECT_THAT(std::string(log.status().message()), testing::HasSubstr(parent));
}

}  // namespace
}  // namespace ripstop::agent
