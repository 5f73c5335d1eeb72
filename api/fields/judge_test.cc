// SPDX-License-Identifier: Apache-2.0
#include "api/fields/judge.h"

#include "api/codec/reader.h"
#include "api/codec/writer.h"
#include "api/validate/testing.h"
#include "api/validate/validate.h"

namespace ripstop::api {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class JudgeTest : public testing::Test {
 protected:
  Resource Read(const std::string& text) {
    Decoded decoded = DecodeText(text, "a.yaml");
    EXPECT_THAT(decoded.problems, IsEmpty()) << ToString(decoded.problems);
    EXPECT_THAT(decoded.resources, SizeIs(1));
    return decoded.resources.empty() ? Resource() : decoded.resources[0];
  }
  FieldReport Inspect(const char* kind, const std::string& spec) {
    return InspectFields(Read(Doc(kCalico, kind, spec)));
  }
  std::string Kept(const char* kind, const std::string& spec) {
    const FieldReport report = Inspect(kind, spec);
    EXPECT_THAT(report.refused, IsEmpty()) << RefusedText(report);
    return KeptText(report);
  }
};

TEST_F(JudgeTest, WhatActsIsNotNamed) {
  EXPECT_TRUE(Inspect("IPPool", "{cidr: 10.65.0.0/16, vxlanMode: Always}").empty());
  EXPECT_TRUE(Inspect("IPPool", "{cidr: 10.65.0.0/16, namespaceSelector: team == 'web'}").empty());
  EXPECT_TRUE(Inspect("NetworkPolicy", "{selector: all(), ingress: [{action: Allow}]}").empty());
  EXPECT_TRUE(Inspect("Tier", "{order: 5}").empty());
}

TEST_F(JudgeTest, WhatNothingActsOnIsNamedWithWhatToDo) {
  EXPECT_EQ(
      Kept(
          "IPPool",
          "{cidr: 10.65.0.0/16, ipipMode: Always, natOutgoing: true, allowedUses: [LoadBalancer]}"),
      "nothing acts on spec.ipipMode (pods are not tunnelled by IPIP; use vxlanMode), "
      "spec.allowedUses (a pool without Workload gives pods no address, but it gives none to "
      "anything else either)");
  EXPECT_THAT(Kept("BGPConfiguration", "{serviceClusterIPs: [{cidr: 10.96.0.0/12}]}"),
              HasSubstr("spec.serviceClusterIPs[0].cidr"));
}

TEST_F(JudgeTest, AValueThatMeansWhatHappensAnywayIsNotNamed) {
  EXPECT_EQ(Kept("IPPool", "{cidr: 10.65.0.0/16, ipipMode: Never, natOutgoing: false}"), "");
  EXPECT_EQ(Kept("IPPool", "{cidr: 10.65.0.0/16, allowedUses: [Workload, Tunnel]}"), "");
  EXPECT_THAT(
      Kept("IPPool", "{cidr: 10.65.0.0/16, allowedUses: [LoadBalancer]}"),
      HasSubstr(
          "spec.allowedUses (a pool without Workload gives pods no address, but it gives none to "
          "anything else either)"));
}

TEST_F(JudgeTest, AListIsNamedOnceHoweverLongItIs) {
  const std::string text =
      Kept("BGPConfiguration", "{serviceExternalIPs: [{cidr: 192.0.2.0/24}, {cidr: 1.0.0.0/8}]}");
  EXPECT_THAT(text, HasSubstr("serviceExternalIPs[0]"));
  EXPECT_THAT(text, Not(HasSubstr("serviceExternalIPs[1]")));
}

TEST_F(JudgeTest, AnnotationsAreNamedByTheirKey) {
  const Resource pod = Read(
      "{apiVersion: v1, kind: Pod, metadata: {name: p, annotations: {a: b,"
      " kubernetes.io/ingress-bandwidth: 10M, cni.projectcalico.org/floatingIPs: '[]'}}}");
  EXPECT_EQ(KeptText(InspectFields(pod)),
            "nothing acts on metadata.annotations[cni.projectcalico.org/floatingIPs] (floating "
            "addresses are not translated)")
      << "bandwidth is the chained plugin's, whose limits act";
}

TEST_F(JudgeTest, WhatWouldWeakenSecurityIsRefused) {
  for (const char* field : {"preDNAT", "doNotTrack", "applyOnForward"}) {
    const FieldReport on =
        Inspect("GlobalNetworkPolicy", absl::StrCat("{", field, ": true, selector: all()}"));
    ASSERT_THAT(on.refused, SizeIs(1)) << field;
    EXPECT_EQ(on.refused[0].path, absl::StrCat("spec.", field));
    EXPECT_EQ(on.refused[0].effect, Effect::kOffline);
    EXPECT_TRUE(
        Inspect("GlobalNetworkPolicy", absl::StrCat("{", field, ": false}")).refused.empty());
  }
  const FieldReport host = Inspect("HostEndpoint", "{node: n1, interfaceName: eth0}");
  ASSERT_THAT(host.refused, SizeIs(1));
  EXPECT_EQ(host.refused[0].effect, Effect::kOffline);
  EXPECT_EQ(Inspect("FelixConfiguration", "{wireguardEnabled: true}").refused[0].path,
            "spec.wireguardEnabled");
  EXPECT_TRUE(Inspect("FelixConfiguration", "{wireguardEnabled: false}").refused.empty());
  EXPECT_EQ(Inspect("FelixConfiguration", "{defaultEndpointToHostAction: Drop}").refused.size(),
            1u);
  EXPECT_TRUE(
      Inspect("FelixConfiguration", "{defaultEndpointToHostAction: ACCEPT}").refused.empty());
  EXPECT_EQ(Inspect("KubeControllersConfiguration",
                    "{controllers: {node: {hostEndpoint: {autoCreate: Enabled}}}}")
                .refused[0]
                .path,
            "spec.controllers.node.hostEndpoint.autoCreate");
}

TEST_F(JudgeTest, ValidateRefusesWhatNeverMeansAnythingHereAndLeavesTheRestToEvaluate) {
  EXPECT_EQ(Problems(Doc(kCalico, "BGPPeer", "{peerIP: 192.0.2.1, asNumber: 1, filters: [f]}")),
            "spec.filters: [\"f\"] is refused; no filter is applied, and routes that it holds back "
            "would be told; remove it: IPPool disableBGPExport says which pools are not announced");
  EXPECT_EQ(Problems(Doc(kCalico, "FelixConfiguration", "{wireguardEnabled: true}", "default")),
            "spec.wireguardEnabled: true is refused; nothing is encrypted by WireGuard");
  EXPECT_EQ(Problems(Doc(kCalico, "HostEndpoint", "{node: n1, interfaceName: eth0}")), "");
}

TEST_F(JudgeTest, ARefusalIsAProblemWithTheLineOfTheField) {
  const Resource policy = Read(
      "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata:\n  name: p\n"
      "spec:\n  selector: all()\n  applyOnForward: true\n");
  const auto problems = FieldProblems(policy, InspectFields(policy), Effect::kOffline);
  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_THAT(problems[0].ToString(),
              HasSubstr("a.yaml:7: GlobalNetworkPolicy p: spec.applyOnForward: true is refused; "));
}

TEST_F(JudgeTest, AKindThatNothingReadsIsKeptAsItWasWritten) {
  const std::string text =
      "apiVersion: projectcalico.org/v3\nkind: KubeControllersConfiguration\nmetadata:\n  name: "
      "default\nspec:\n  controllers:\n    namespace:\n      reconcilerPeriod: 5m\n"
      "  futureField:\n    deep:\n    - 1\n    - 2.5\n    - true\n    - \"7\"\n"
      "    large: 9007199254740993\n  logSeverityScreen: Debug\n";
  const Resource kept = Read(text);
  EXPECT_EQ(ToYaml(kept), text);
  const auto again = Deserialize({kept.key(), Serialize(kept), 1});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_THAT(ToYaml(*again), HasSubstr("futureField:\n    deep:\n    - 1\n    - 2.5\n"));
  const std::string said = KeptText(InspectFields(kept));
  EXPECT_THAT(said, testing::StartsWith("nothing acts on this kind yet: "));
  EXPECT_THAT(said, HasSubstr("spec.logSeverityScreen"));
  EXPECT_THAT(said, HasSubstr("spec.futureField (not a field that is known here)"));
}

TEST_F(JudgeTest, OfFelixConfigurationsWhatNothingActsOnIsNamedFieldByField) {
  EXPECT_EQ(Kept("FelixConfiguration", "{logSeverityScreen: Debug, vxlanPort: 4790}"), "");
  EXPECT_EQ(Kept("FelixConfiguration", "{vxlanEnabled: true, vxlanPort: 4790}"),
            "nothing acts on spec.vxlanEnabled (the IPPools' vxlanMode says it)");
  EXPECT_EQ(Kept("FelixConfiguration", "{ipv6Support: true, nftablesFilterDenyAction: Reject}"),
            "");
}

TEST_F(JudgeTest, AMisspeltFieldOfAKeptKindIsNamedWithItsNearest) {
  EXPECT_THAT(Kept("KubeControllersConfiguration", "{logSeverityScren: Info}"),
              HasSubstr("spec.logSeverityScren (not a field that is known here; did you mean "
                        "`logSeverityScreen`?)"));
  EXPECT_THAT(Kept("BGPFilter", "{exportV4: [{action: Accept, cidr: 192.0.2.0/24}]}"),
              HasSubstr("spec.exportV4[0]"));
  EXPECT_THAT(Kept("BFDConfiguration", "{whatever: {it: says}}"),
              HasSubstr("nothing acts on this kind yet"));
}

TEST_F(JudgeTest, AKindThatWouldDoHarmIsRefusedByName) {
  for (const char* kind : {"IPAMBlock", "IPAMHandle", "BlockAffinity", "IPReservation"}) {
    const Decoded decoded = DecodeText(
        absl::StrCat("{apiVersion: projectcalico.org/v3, kind: ", kind, ", metadata: {name: a}}"),
        "");
    ASSERT_THAT(decoded.problems, SizeIs(1)) << kind;
    EXPECT_EQ(decoded.problems[0].what, "is refused");
    EXPECT_NE(decoded.problems[0].remedy, "");
  }
  EXPECT_THAT(DecodeText("{apiVersion: policy.networking.k8s.io/v1alpha1,"
                         " kind: AdminNetworkPolicy, metadata: {name: a}}",
                         "")
                  .problems[0]
                  .remedy,
              HasSubstr("ClusterNetworkPolicy"));
}

TEST_F(JudgeTest, TreesAreReadAsStrictlyAsOtherDocuments) {
  const auto what = [](const std::string& spec) {
    const Decoded decoded = DecodeText(Doc(kCalico, "ClusterInformation", spec), "");
    return decoded.problems.empty() ? "" : decoded.problems[0].ToString();
  };
  EXPECT_THAT(what("{a: yes}"), HasSubstr("spec.a: yes is a boolean to some"));
  EXPECT_THAT(what("{a: 0x10}"), HasSubstr("is not a number that is read alike everywhere"));
  EXPECT_THAT(what("{a: .inf}"), HasSubstr("is not a number"));
  EXPECT_THAT(what("{a: 1, a: 2}"), HasSubstr("appears twice"));
  EXPECT_THAT(what("[a]"), HasSubstr("is not a map"));
  EXPECT_EQ(what("{a: null, b: ~, c: 'yes'}"), "");
  EXPECT_NE(what("{a: " + std::string(100, '[') + std::string(100, ']') + "}"), "");
}

TEST_F(JudgeTest, AStoredTreeThatIsDamagedIsNotRead) {
  Resource kept = Read(Doc(kCalico, "ClusterInformation", "{a: 1}"));
  kept.MutableAs<v1::KeptResource>()->mutable_spec()->set_json("{\"a\":");
  const auto read = Deserialize({kept.key(), Serialize(kept), 1});
  EXPECT_TRUE(absl::IsDataLoss(read.status())) << read.status();
  kept.MutableAs<v1::KeptResource>()->mutable_spec()->set_json(
      absl::StrCat("{\"a\":", std::string(100000, '['), std::string(100000, ']'), "}"));
  const auto deep = Deserialize({kept.key(), Serialize(kept), 1});
  EXPECT_TRUE(absl::IsDataLoss(deep.status())) << deep.status();
}

}  // namespace
}  // namespace ripstop::api
