// SPDX-License-Identifier: Apache-2.0
//
// FelixConfigurations on an agent that runs.
#include "agent/base/logging.h"
#include "agent/daemon/testing_agent.h"

namespace ripstop::agent {
namespace {

using testing::Contains;
using testing::HasSubstr;

constexpr uint64_t kSecond = 1'000'000'000;

class AgentFelixTest : public AgentTest {
 protected:
  void SetUp() override {
    AgentTest::SetUp();
    if (!IsSkipped()) MakeStore();
  }
  void TearDown() override { EXPECT_TRUE(SetLogLevel(kUsualLogLevel).ok()); }

  void Say(const std::string& name, const std::string& spec) {
    Put(absl::StrCat(
        "{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {name: ", name,
        "}, spec: ", spec, "}"));
  }
  void Withdraw(const std::string& name) {
    ASSERT_TRUE(
        Store()
            ->Txn({{api::Mutation::Type::kDelete, {api::kKindFelixConfiguration, "", name}, ""}})
            .ok());
  }
  // Seconds; 0: the datapath's own.
  static uint64_t UdpTimeout(RunningAgent& agent) {
    return agent.Datapath([](const FakeDataplane& datapath) {
      return datapath.timeouts.empty() ? UINT64_MAX : datapath.timeouts.back().udp_ns / kSecond;
    });
  }
  static ::testing::AssertionResult UntilUdpTimeout(RunningAgent& agent, uint64_t seconds) {
    return agent.Until([&](const v1::StatusReply&) { return UdpTimeout(agent) == seconds; });
  }
  static ::testing::AssertionResult UntilLevel(RunningAgent& agent,
                                               spdlog::level::level_enum level) {
    return agent.Until(
        [&](const v1::StatusReply&) { return spdlog::default_logger_raw()->level() == level; });
  }
};

TEST_F(AgentFelixTest, EachDocumentActsWithoutARestartAndItsEndGivesBackWhatWas) {
  RunningAgent agent(options_, false);
  ASSERT_TRUE(agent.UntilReady());
  EXPECT_TRUE(UntilUdpTimeout(agent, 0));
  Say("default", "{bpfConntrackTimeouts: {udpTimeout: 7s}, logSeverityScreen: Error}");
  EXPECT_TRUE(UntilUdpTimeout(agent, 7));
  EXPECT_TRUE(UntilLevel(agent, spdlog::level::err));
  Say("node.node2", "{bpfConntrackTimeouts: {udpTimeout: 8s}}");
  Say("node.node1", "{bpfConntrackTimeouts: {udpTimeout: 9s}, logSeverityScreen: Warning}");
  EXPECT_TRUE(UntilUdpTimeout(agent, 9));
  EXPECT_TRUE(UntilLevel(agent, spdlog::level::warn));
  Withdraw("node.node1");
  EXPECT_TRUE(UntilUdpTimeout(agent, 7));
  EXPECT_TRUE(UntilLevel(agent, spdlog::level::err));
  Withdraw("default");
  EXPECT_TRUE(UntilUdpTimeout(agent, 0));
  EXPECT_TRUE(UntilLevel(agent, spdlog::level::info));
  EXPECT_EQ(agent.Commits(), 1) << "no table was made anew";
}

TEST_F(AgentFelixTest, WhetherUnknownConnectionsAreAnsweredIsAnOption) {
  for (const bool resets : {true, false}) {
    options_.tcp_mid_stream = resets ? TcpMidStream::kReset : TcpMidStream::kDrop;
    RunningAgent agent(options_, false);
    ASSERT_TRUE(agent.UntilReady());
    EXPECT_EQ(agent.Datapath([](const FakeDataplane& fake) { return fake.settings.reset_unknown; }),
              resets);
  }
}

TEST_F(AgentFelixTest, WhatIsDeniedIsAnsweredWhileADocumentSaysSo) {
  RunningAgent agent(options_, false);
  ASSERT_TRUE(agent.UntilReady());
  const auto answers = [&](bool DatapathSettings::* what, bool wanted) {
    return agent.Until([&](const v1::StatusReply&) {
      return agent.Datapath([&](const FakeDataplane& fake) { return fake.settings.*what; }) ==
             wanted;
    });
  };
  EXPECT_TRUE(answers(&DatapathSettings::reset_unknown, true));
  EXPECT_TRUE(answers(&DatapathSettings::reject_denied, false));
  Say("default", "{iptablesFilterDenyAction: Reject}");
  EXPECT_TRUE(answers(&DatapathSettings::reject_denied, true));
  Say("node.node1", "{iptablesFilterDenyAction: Drop}");
  EXPECT_TRUE(answers(&DatapathSettings::reject_denied, false));
  Withdraw("default");
  Say("node.node1", "{nftablesFilterDenyAction: Reject}");
  EXPECT_TRUE(answers(&DatapathSettings::reject_denied, true));
  EXPECT_EQ(agent.Commits(), 1) << "no table was made anew";
}

TEST_F(AgentFelixTest, OneThatCannotBeReadIsNamedAndItsFormerMeaningStaysAlsoForTheNextAgent) {
  const auto named = [](const v1::StatusReply& status) {
    return absl::StrContains(absl::StrJoin(status.set_aside(), "; "),
                             "FelixConfiguration default: spec.bpfConntrackTimeouts.udpTimeout: "
                             "\"soon\" is not a duration");
  };
  {
    RunningAgent agent(options_, false);
    ASSERT_TRUE(agent.UntilReady());
    Say("default", "{bpfConntrackTimeouts: {udpTimeout: 7s}}");
    ASSERT_TRUE(UntilUdpTimeout(agent, 7));
    Say("default", "{bpfConntrackTimeouts: {udpTimeout: soon}}");
    EXPECT_TRUE(agent.Until(named));
    EXPECT_EQ(UdpTimeout(agent), 7u);
    EXPECT_TRUE(agent.Status().ready()) << "one bad object costs only itself";
  }
  RunningAgent agent(options_, true);
  ASSERT_TRUE(agent.UntilReady());
  EXPECT_TRUE(agent.Until(named));
  EXPECT_TRUE(UntilUdpTimeout(agent, 7));
  Say("default", "{bpfConntrackTimeouts: {udpTimeout: 5s}}");
  EXPECT_TRUE(UntilUdpTimeout(agent, 5));
  EXPECT_TRUE(agent.Until([&](const v1::StatusReply& status) { return !named(status); }));
}

// What apply refuses and somebody stored all the same does not take the rest with it.
TEST_F(AgentFelixTest, ARefusedFieldIsNamedAndTheOthersAct) {
  Say("default", "{wireguardEnabled: true, bpfConntrackTimeouts: {udpTimeout: 7s}}");
  RunningAgent agent(options_, false);
  ASSERT_TRUE(agent.UntilReady());
  EXPECT_TRUE(UntilUdpTimeout(agent, 7));
  EXPECT_THAT(agent.Status().set_aside(), Contains(HasSubstr("spec.wireguardEnabled is refused")));
}

TEST_F(AgentFelixTest, AnOptionOfTheAgentComesBeforeTheDocuments) {
  options_.log_level = "warn";
  ASSERT_TRUE(SetLogLevel(options_.log_level).ok());
  Say("default", "{logSeverityScreen: Error, bpfConntrackTimeouts: {udpTimeout: 7s}}");
  RunningAgent agent(options_, false);
  ASSERT_TRUE(agent.UntilReady());
  ASSERT_TRUE(UntilUdpTimeout(agent, 7)) << "so the document has been read";
  EXPECT_EQ(spdlog::default_logger_raw()->level(), spdlog::level::warn);
  EXPECT_THAT(
      agent.Status().unheeded(),
      Contains("FelixConfiguration: spec.logSeverityScreen does not act on this node, whose "
               "agent has --log-level warn"));
}

}  // namespace
}  // namespace ripstop::agent
