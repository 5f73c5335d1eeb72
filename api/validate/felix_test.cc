// SPDX-License-Identifier: Apache-2.0
#include "api/proto/felix.pb.h"
#include "api/validate/testing.h"

namespace ripstop::api {
namespace {

using testing::HasSubstr;

std::string Felix(const std::string& spec, const std::string& name = "default") {
  return Problems(Doc(kCalico, "FelixConfiguration", spec, name));
}

TEST(FelixConfigurationTest, ItsNameSaysWhomItIsFor) {
  EXPECT_EQ(Felix("{ipv6Support: true}", "node.n1"), "");
  for (const char* name : {"cluster", "node.", "node"}) {
    EXPECT_THAT(Felix("{ipv6Support: true}", name), HasSubstr("metadata.name")) << name;
  }
  EXPECT_EQ(Felix("{ipv6Support: true}", "n1"),
            "metadata.name: \"n1\" is not a name that is looked at; write default, or node. and "
            "the name of a node");
}

TEST(FelixConfigurationTest, TimesOfFlowsAreAutoOrADurationThatCanBeTold) {
  for (const char* field : {"tcpSynSent", "tcpEstablished", "tcpFinsSeen", "tcpResetSeen",
                            "udpTimeout", "genericTimeout", "icmpTimeout"}) {
    const auto with = [&](const std::string& value) {
      return Felix(absl::StrCat("{bpfConntrackTimeouts: {", field, ": ", value, "}}"));
    };
    for (const char* good : {"Auto", "2s", "2h15m", "1.5h", "8760h", "3000ms"}) {
      EXPECT_EQ(with(good), "") << field << " " << good;
    }
    const std::string at = absl::StrCat("spec.bpfConntrackTimeouts.", field);
    for (const char* bad : {"1999ms", "'0'", "8761h", "-5s", "inf"}) {
      EXPECT_THAT(with(bad), HasSubstr(absl::StrCat(at, ": "))) << bad;
    }
    for (const char* bad : {"auto", "5", "5 s", "soon"}) {
      EXPECT_THAT(with(absl::StrCat("'", bad, "'")), HasSubstr("is not a duration")) << bad;
    }
  }
  EXPECT_EQ(Felix("{bpfConntrackTimeouts: {creationGracePeriod: 0s}}"), "");
}

TEST(FelixConfigurationTest, WordsAreTakenInTheSpellingThatFelixTakes) {
  for (const char* good : {"Debug", "debug", "WARNING", "Fatal"}) {
    EXPECT_EQ(Felix(absl::StrCat("{logSeverityScreen: ", good, "}")), "") << good;
  }
  EXPECT_THAT(Felix("{logSeverityScreen: Warn}"),
              HasSubstr("write one of Trace, Debug, Info, Warning"));
  EXPECT_EQ(Felix("{natOutgoingExclusions: IPPoolsAndHostIPs}"), "");
  EXPECT_THAT(Felix("{natOutgoingExclusions: ippoolsonly}"), HasSubstr("natOutgoingExclusions"));
  EXPECT_THAT(Felix("{nftablesMode: Sometimes}"),
              HasSubstr("write one of Disabled, Enabled, Auto"));
}

TEST(FelixConfigurationTest, NumbersAddressesAndPatternsHaveBounds) {
  const std::pair<const char*, const char*> bad[] = {
      {"{vxlanPort: 0}", "spec.vxlanPort: \"0\" is out of range; write 1 to 65535"},
      {"{vxlanVNI: 16777216}", "spec.vxlanVNI: \"16777216\" is out of range"},
      {"{vxlanMTU: 1279}", "spec.vxlanMTU: \"1279\" is out of range; write 1280 to 65535"},
      {"{vxlanMTUV6: 70000}", "spec.vxlanMTUV6"},
      {"{natPortRange: '9:1'}", "is not a range of ports"},
      {"{natPortRange: http}", "is not a range of ports"},
      {"{natOutgoingAddress: 203.0.113}", "spec.natOutgoingAddress"},
      {"{deviceRouteSourceAddress: '2001:db8::1'}", "is not IPv4"},
      {"{externalNodesList: [203.0.113.7, node7]}", "spec.externalNodesList[1]: \"node7\""},
      {"{failsafeInboundHostPorts: [{protocol: ICMP, port: 1}]}", "[0].protocol"},
      {"{failsafeInboundHostPorts: [{protocol: TCP}]}", "[0].port: is missing"},
      {"{failsafeOutboundHostPorts: [{protocol: TCP, port: 70000}]}", "[0].port: \"70000\""},
      {"{mtuIfacePattern: 'eth('}", "is not a regular expression"},
      {"{logActionRateLimit: 10/fortnight}", "is not a rate"},
      {"{logActionRateLimitBurst: 10000}", "spec.logActionRateLimitBurst"},
      {"{kubeNodePortRanges: ['30000:32767', 7:5]}", "spec.kubeNodePortRanges[1]"},
      {"{iptablesRefreshInterval: often}", "spec.iptablesRefreshInterval"},
      {"{nodeSelector: 'a =='}", "spec.nodeSelector"},
  };
  for (const auto& [spec, says] : bad) EXPECT_THAT(Felix(spec), HasSubstr(says)) << spec;
  EXPECT_EQ(Felix("{vxlanMTU: 0, vxlanPort: 65535, vxlanVNI: 1, natPortRange: 1000, "
                  "externalNodesList: [203.0.113.7, 198.51.100.0/24, '2001:db8::/64'], "
                  "mtuIfacePattern: '^((en|wl)[Pcopsvx].*|(eth).*)', logActionRateLimit: "
                  "9999/day, failsafeInboundHostPorts: []}"),
            "");
}

TEST(FelixConfigurationTest, AFieldThatIsNoneIsRefusedWithTheNearest) {
  const Decoded decoded =
      DecodeText(Doc(kCalico, "FelixConfiguration", "{vxlanPrt: 4789}", "default"), "");
  ASSERT_EQ(decoded.problems.size(), 1u);
  EXPECT_THAT(decoded.problems[0].ToString(), HasSubstr("vxlanPort"));
}

// What asks for protection that is not there stays refused; the values around it are another
// matter, for an agent that finds such a document in the store.
TEST(FelixConfigurationTest, WhatIsRefusedHasMeaningsToo) {
  const Decoded decoded = DecodeText(
      Doc(kCalico, "FelixConfiguration", "{wireguardEnabled: true, vxlanPort: 4790}", "default"),
      "");
  ASSERT_EQ(decoded.resources.size(), 1u);
  EXPECT_EQ(Validate(decoded.resources[0]).size(), 1u);
  EXPECT_TRUE(ValidateValues(decoded.resources[0]).empty());
}

// A version before this one kept the kind as a tree.
TEST(FelixConfigurationTest, WhatWasStoredAsATreeIsRead) {
  const auto stored = [](const std::string& spec) {
    v1::KeptResource kept;
    kept.mutable_metadata()->set_name("default");
    (*kept.mutable_metadata()->mutable_labels())["a"] = "b";
    kept.mutable_spec()->set_json(spec);
    return Deserialize({{kKindFelixConfiguration, "", "default"}, kept.SerializeAsString(), 7});
  };
  const auto read = stored(R"({"bpfConntrackTimeouts":{"udpTimeout":"5s"},"vxlanPort":4790})");
  ASSERT_TRUE(read.ok()) << read.status();
  const auto& felix = *read->As<v1::FelixConfiguration>();
  EXPECT_EQ(felix.spec().vxlan_port(), 4790);
  EXPECT_EQ(felix.spec().bpf_conntrack_timeouts().udp_timeout(), "5s");
  EXPECT_EQ(felix.metadata().labels().at("a"), "b");
  EXPECT_EQ(read->revision(), 7);
  const auto again = Deserialize({read->key(), Serialize(*read), 8});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->As<v1::FelixConfiguration>()->spec().vxlan_port(), 4790);

  const auto unknown = stored(R"({"futureField":1})");
  EXPECT_TRUE(absl::IsDataLoss(unknown.status())) << unknown.status();
  EXPECT_THAT(std::string(unknown.status().message()), HasSubstr("futureField"));
  EXPECT_TRUE(absl::IsDataLoss(stored("{").status()));
}

}  // namespace
}  // namespace ripstop::api
