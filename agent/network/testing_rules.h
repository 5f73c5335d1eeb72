// SPDX-License-Identifier: Apache-2.0
//
// A test on rules that the real kernel has, in a namespace of its own.
#ifndef RIPSTOP_AGENT_NETWORK_TESTING_RULES_H_
#define RIPSTOP_AGENT_NETWORK_TESTING_RULES_H_

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "agent/base/testing/test_netns.h"
#include "agent/netlink/filter_rules.h"
#include "policy/status_macros.h"

namespace ripstop::agent {

class RulesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto host = TestNetns::Create();
    if (absl::IsPermissionDenied(host.status())) GTEST_SKIP() << "needs CAP_SYS_ADMIN";
    ASSERT_TRUE(host.ok()) << host.status();
    host_.emplace(*std::move(host));
  }
  void Shell(const std::string& command) { ASSERT_EQ(host_->Shell(command), 0) << command; }
  void Nft(const std::string& text) { Shell("nft \"" + text + "\""); }
  // As the programs themselves made them on Debian 12, in testdata/.
  void LoadUfw() {
    Shell("iptables-nft-restore " FIREWALL_TESTDATA
          "/ufw.iptables && "
          "ip6tables-nft-restore " FIREWALL_TESTDATA "/ufw.ip6tables");
  }
  void LoadFirewalld() { Shell("nft -f " FIREWALL_TESTDATA "/firewalld.nft"); }
  void LoadDocker() { Shell("iptables-nft-restore " FIREWALL_TESTDATA "/docker.iptables"); }

  FilterRules Read() {
    FilterRules rules;
    const absl::Status read = host_->Run([&]() -> absl::Status {
      ASSIGN_OR_RETURN(rules, ReadFilterRules());
      return absl::OkStatus();
    });
    EXPECT_TRUE(read.ok()) << read;
    return rules;
  }

  std::optional<TestNetns> host_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_TESTING_RULES_H_
