// SPDX-License-Identifier: Apache-2.0
#include "agent/network/felix_settings.h"

#include <netinet/in.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/base/testing/from_yaml.h"
#include "api/fields/field_table.h"
#include "bpf/abi/flows.h"
#include "gmock/gmock.h"

namespace ripstop::agent {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr uint64_t kSecond = 1'000'000'000;

policy::Cidr Net(const char* text) { return *policy::Cidr::Parse(text); }

class FelixSettingsTest : public testing::Test {
 protected:
  void Say(const std::string& name, const std::string& spec) {
    cluster_.felix_configurations[name] = MessageFromYaml<api::v1::FelixConfiguration>(
        absl::StrCat("{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: "
                     "{name: ",
                     name, "}, spec: ", spec, "}"));
  }
  FelixSettings Settings() const { return FelixSettingsOf(cluster_, "n1"); }
  ClusterView cluster_;
};

TEST_F(FelixSettingsTest, WithoutDocumentsAllIsAsEver) {
  const FelixSettings settings = Settings();
  EXPECT_TRUE(settings == FelixSettings());
  EXPECT_EQ(settings.timeouts.udp_ns, 0u) << "the datapath's own";
  EXPECT_EQ(settings.tunnel.port, 4789);
  EXPECT_EQ(settings.tunnel.vni, 4096u);
  EXPECT_THAT(settings.failsafe_inbound, SizeIs(9));
  EXPECT_THAT(settings.failsafe_outbound, SizeIs(9));
}

TEST_F(FelixSettingsTest, ANodesDocumentCountsFieldByFieldOverTheClusters) {
  Say("default",
      "{vxlanPort: 8472, vxlanVNI: 77, logSeverityScreen: warning, bpfConntrackTimeouts: "
      "{udpTimeout: 5s, icmpTimeout: 3s}}");
  Say("node.n1", "{vxlanPort: 4790, bpfConntrackTimeouts: {udpTimeout: 1m}}");
  Say("node.n2", "{vxlanVNI: 1, logSeverityScreen: Debug}");
  const FelixSettings settings = Settings();
  EXPECT_EQ(settings.tunnel.port, 4790);
  EXPECT_EQ(settings.tunnel.vni, 77u);
  EXPECT_EQ(settings.log_level, "warn");
  EXPECT_EQ(settings.timeouts.udp_ns, 60 * kSecond);
  EXPECT_EQ(settings.timeouts.icmp_ns, 3 * kSecond);
  EXPECT_EQ(FelixSettingsOf(cluster_, "n2").tunnel.vni, 1u);
  cluster_.felix_configurations.clear();
  EXPECT_TRUE(Settings() == FelixSettings());
}

TEST_F(FelixSettingsTest, ANodesListReplacesTheClustersAlsoAnEmptyOne) {
  Say("default",
      "{externalNodesList: [192.0.2.9, 198.51.100.0/24], failsafeInboundHostPorts: [{protocol: "
      "tcp, port: 22, net: 192.0.2.0/24}]}");
  EXPECT_THAT(Settings().tunnel.external_nodes,
              ElementsAre(Net("192.0.2.9/32"), Net("198.51.100.0/24")));
  EXPECT_THAT(Settings().failsafe_inbound,
              ElementsAre(FailsafePort{IPPROTO_TCP, 22, Net("192.0.2.0/24")}));
  Say("node.n1", "{externalNodesList: ['2001:db8::9'], failsafeInboundHostPorts: []}");
  EXPECT_THAT(Settings().tunnel.external_nodes, ElementsAre(Net("2001:db8::9/128")));
  EXPECT_THAT(Settings().failsafe_inbound, IsEmpty()) << "none, and not the usual ones";
}

TEST_F(FelixSettingsTest, AutoIsTheDatapathsOwnTimeAlsoOverTheClusters) {
  Say("default", "{bpfConntrackTimeouts: {udpTimeout: 5s, tcpEstablished: 1h}}");
  Say("node.n1", "{bpfConntrackTimeouts: {udpTimeout: Auto}}");
  EXPECT_EQ(Settings().timeouts.udp_ns, 0u);
  EXPECT_EQ(Settings().timeouts.tcp_established_ns, 3600 * kSecond);
}

TEST_F(FelixSettingsTest, TheGracePeriodIsTheLeastThatAnyFlowMayBeQuiet) {
  Say("default", "{bpfConntrackTimeouts: {creationGracePeriod: 30s, udpTimeout: 5s}}");
  const flow_timeouts timeouts = Settings().timeouts;
  EXPECT_EQ(timeouts.udp_ns, 30 * kSecond);
  EXPECT_EQ(timeouts.icmp_ns, 30 * kSecond) << "over the datapath's own 5 s";
  EXPECT_EQ(timeouts.tcp_established_ns, 0u) << "that is longer anyway";
}

TEST_F(FelixSettingsTest, NoTimeIsShorterThanWhatCanBeTold) {
  Say("default", "{bpfConntrackTimeouts: {udpTimeout: 1ms, icmpTimeout: 99999999h}}");
  EXPECT_EQ(Settings().timeouts.udp_ns, 2 * kSecond);
  EXPECT_EQ(Settings().timeouts.icmp_ns, 8760 * 3600 * kSecond);
}

TEST_F(FelixSettingsTest, NatIsReadAndWhatNothingActsOnYetAllTheSame) {
  Say("default",
      "{natPortRange: '32768:65535', natOutgoingAddress: 203.0.113.7, natOutgoingExclusions: "
      "IPPoolsAndHostIPs, bpfDisableGROForIfaces: ^eth}");
  const FelixSettings settings = Settings();
  EXPECT_EQ(settings.nat.ports, (api::PortRange{32768, 65535}));
  EXPECT_EQ(settings.nat.address, *policy::Address::Parse("203.0.113.7"));
  EXPECT_EQ(settings.nat.exclusions, NatExclusions::kPoolsAndHosts);
  EXPECT_EQ(settings.gro_off_interfaces, "^eth");
}

// A row of the table that says "acts" promises that the value comes here.
TEST_F(FelixSettingsTest, EveryFieldThatActsMovesTheSettings) {
  const api::KindRow* table = api::FindKindRow("projectcalico.org/v3", "FelixConfiguration");
  ASSERT_NE(table, nullptr);
  const std::map<std::string, std::string> values = {
      {"externalNodesList[]", "[192.0.2.9]"},
      {"iptablesFilterDenyAction", "Reject"},
      {"logActionRateLimit", "7/minute"},
      {"logSeverityScreen", "Debug"},
      {"mtuIfacePattern", "^eth"},
      {"natOutgoingAddress", "203.0.113.7"},
      {"natOutgoingExclusions", "IPPoolsAndHostIPs"},
      {"natPortRange", "40000:40100"},
      {"nftablesFilterDenyAction", "Reject"},
      {"vxlanMTU", "1400"},
      {"vxlanMTUV6", "1400"},
      {"vxlanPort", "4790"},
      {"vxlanVNI", "5"},
  };
  int acting = 0;
  for (const api::FieldRow& row : table->fields) {
    if (row.effect != api::Effect::kActs || !absl::StartsWith(row.path, "spec.")) continue;
    const std::string path = row.path.substr(5);
    std::string spec;
    if (absl::StartsWith(path, "bpfConntrackTimeouts.")) {
      spec = absl::StrCat("{bpfConntrackTimeouts: {", path.substr(21), ": 77s}}");
    } else if (path == "logActionRateLimitBurst") {
      spec = "{logActionRateLimit: 7/minute, logActionRateLimitBurst: 9}";
    } else {
      ASSERT_TRUE(values.contains(path)) << path << " acts: give this test a value";
      spec = absl::StrCat("{", path.substr(0, path.find('[')), ": ", values.at(path), "}");
    }
    Say("default", spec);
    EXPECT_FALSE(Settings() == FelixSettings()) << path;
    ++acting;
  }
  EXPECT_GE(acting, 22);
}

}  // namespace
}  // namespace ripstop::agent
