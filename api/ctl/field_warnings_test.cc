// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "api/ctl/testing.h"

namespace ripstop::ctl {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr char kPool[] = R"(apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pods}
spec:
  cidr: 10.65.0.0/16
  ipipMode: Always
  namespaceSelector: team == 'web'
)";
constexpr char kBgp[] = R"(apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {name: default}
spec:
  ipv4NormalRoutePriority: 100
  localWorkloadPeeringIPV4: 192.0.2.9
)";
constexpr char kKept[] = R"(apiVersion: projectcalico.org/v3
kind: KubeControllersConfiguration
metadata: {name: default}
spec:
  futureField: {a: [1, "1", 1.5]}
  logSeverityScreen: Info
)";
constexpr char kFelix[] = R"(apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec:
  bpfConntrackTimeouts: {udpTimeout: 5s}
  bpfLogLevel: Debug
  failsafeInboundHostPorts: []
  natPortRange: 32768:60999
)";
constexpr char kHostEndpoint[] = R"(apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: h, labels: {role: host}}
spec: {node: n1, interfaceName: eth0, expectedIPs: [192.0.2.1]}
)";
constexpr char kForward[] = R"(apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: g}
spec:
  selector: role == 'host'
  applyOnForward: true
  ingress: [{action: Allow}]
)";

using FieldWarningsTest = CtlTest;

TEST_F(FieldWarningsTest, ApplyNamesWhatNothingActsOnAndGoesOn) {
  const std::string file = File("pool.yaml", kPool);
  EXPECT_EQ(Ctl({"apply", "-f", file}), kExitOk);
  EXPECT_EQ(out_, "ippool pods created\n");
  EXPECT_EQ(err_, "Warning: " + file +
                      ":1: IPPool pods: nothing acts on spec.ipipMode (pods are not tunnelled by "
                      "IPIP; use vxlanMode)\n");
  EXPECT_EQ(Ctl({"validate", "-f", file}), kExitOk);
  EXPECT_THAT(err_, HasSubstr("spec.ipipMode"));
}

TEST_F(FieldWarningsTest, StrictRefusesItFieldByField) {
  const std::string file = File("pool.yaml", std::string(kPool) + "---\n" + kBgp);
  EXPECT_EQ(Ctl({"apply", "--strict", "-f", file}), kExitError);
  EXPECT_THAT(err_,
              AllOf(HasSubstr(":6: IPPool pods: spec.ipipMode: \"Always\" would be kept, and "
                              "nothing acts on it; pods are not tunnelled"),
                    HasSubstr(":13: BGPConfiguration default: spec.ipv4NormalRoutePriority: 100"),
                    HasSubstr(":14: BGPConfiguration default: spec.localWorkloadPeeringIPV4"),
                    Not(HasSubstr("namespaceSelector"))));
  EXPECT_NE(Ctl({"get", "ippool", "pods"}), kExitOk) << "nothing may be written";
  EXPECT_EQ(Ctl({"validate", "--strict", "-f", file}), kExitError);
}

TEST_F(FieldWarningsTest, DocumentsOfWhichAllActsGetNoWarning) {
  EXPECT_EQ(Ctl({"apply", "--strict", "-f", "-"},
                "{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: t}}"),
            kExitOk);
  EXPECT_THAT(err_, IsEmpty());
}

TEST_F(FieldWarningsTest, AKindThatNothingReadsIsKeptAndGivenBack) {
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, kKept), kExitOk) << err_;
  EXPECT_EQ(out_, "kubecontrollersconfiguration default created\n");
  EXPECT_THAT(
      err_, AllOf(HasSubstr("KubeControllersConfiguration default: nothing acts on this kind yet"),
                  HasSubstr("spec.futureField (not a field that is known here)")));
  EXPECT_EQ(Ctl({"get", "kubecontrollersconfig", "default", "-o", "yaml"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("spec:\n  futureField:\n    a:\n    - 1\n    - \"1\"\n    - 1.5\n"
                              "  logSeverityScreen: Info\n"));
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, kKept), kExitOk);
  EXPECT_EQ(out_, "kubecontrollersconfiguration default unchanged\n");
  EXPECT_EQ(Ctl({"get", "kubecontrollersconfigurations"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("default"));
  EXPECT_EQ(Ctl({"delete", "kubecontrollersconfiguration", "default"}), kExitOk);
  EXPECT_EQ(Ctl({"apply", "--strict", "-f", "-"}, kKept), kExitError);
}

TEST_F(FieldWarningsTest, AFelixConfigurationIsAppliedShownAndDeletedByCalicoctlsWords) {
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, kFelix), kExitOk) << err_;
  EXPECT_EQ(out_, "felixconfiguration default created\n");
  EXPECT_THAT(err_, AllOf(HasSubstr("FelixConfiguration default: nothing acts on spec.bpfLogLevel"),
                          Not(HasSubstr("natPortRange")), Not(HasSubstr("udpTimeout"))));
  for (const char* word : {"felixconfig", "felixconfigs", "felixconfiguration",
                           "felixconfigurations", "FelixConfiguration"}) {
    EXPECT_EQ(Ctl({"get", word, "default", "-o", "yaml"}), kExitOk) << word;
    EXPECT_THAT(out_, AllOf(HasSubstr("spec:\n  bpfConntrackTimeouts:\n    udpTimeout: 5s\n"),
                            HasSubstr("failsafeInboundHostPorts: []")));
  }
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, kFelix), kExitOk);
  EXPECT_EQ(out_, "felixconfiguration default unchanged\n");
  EXPECT_EQ(Ctl({"get", "felixconfig"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("default"));
  EXPECT_EQ(Ctl({"apply", "-f", "-"},
                "{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {name: "
                "default}, spec: {bpfConntrackTimeouts: {udpTimeout: 1s}}}"),
            kExitError);
  EXPECT_THAT(err_, HasSubstr("spec.bpfConntrackTimeouts.udpTimeout: \"1s\" is not 2s to 8760h"));
  EXPECT_EQ(Ctl({"apply", "-f", "-"},
                "{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {name: "
                "default}, spec: {defaultEndpointToHostAction: Drop}}"),
            kExitError);
  EXPECT_EQ(Ctl({"delete", "felixconfig", "default"}), kExitOk);
  EXPECT_EQ(Ctl({"apply", "--strict", "-f", "-"}, kFelix), kExitError);
  EXPECT_THAT(err_, HasSubstr("spec.bpfLogLevel: \"Debug\" would be kept"));
}

TEST_F(FieldWarningsTest, WhatWouldWeakenSecurityIsRefusedByEveryVerbThatWrites) {
  for (const char* verb : {"apply", "create", "replace", "validate"}) {
    EXPECT_EQ(Ctl({verb, "-f", "-"}, kHostEndpoint), kExitError) << verb;
    EXPECT_THAT(err_, HasSubstr("<stdin>:1: HostEndpoint h: kind: HostEndpoint is refused; no "
                                "policy is enforced at an interface of a host yet"));
    EXPECT_EQ(Ctl({verb, "-f", "-"}, kForward), kExitError) << verb;
    EXPECT_THAT(err_, HasSubstr("<stdin>:6: GlobalNetworkPolicy g: spec.applyOnForward: true is "
                                "refused; it is for interfaces of the host"));
  }
}

// One promise: all that was written acts.
TEST_F(FieldWarningsTest, StrictRefusesWhatIsLeftAsideAndWhatIsKeptInOneReading) {
  const std::string file =
      File("all.yaml", std::string(kPool) +
                           "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: "
                           "{name: web}\n---\n" +
                           kKept);
  EXPECT_EQ(Ctl({"apply", "--strict", "-f", file}), kExitError);
  EXPECT_THAT(err_, AllOf(HasSubstr(":6: IPPool pods: spec.ipipMode"),
                          HasSubstr(":9: Deployment web: is left aside"),
                          HasSubstr(":13: KubeControllersConfiguration default: kind"),
                          Not(HasSubstr("Warning"))));
  EXPECT_NE(Ctl({"get", "ippool", "pods"}), kExitOk) << "nothing may be written";
  EXPECT_EQ(Ctl({"apply", "-f", file}), kExitOk) << err_;
  EXPECT_EQ(out_, "ippool pods created\nkubecontrollersconfiguration default created\n");
  EXPECT_THAT(err_,
              AllOf(HasSubstr("Warning: " + file + ":1: IPPool pods: nothing acts on"),
                    HasSubstr("Warning: " + file + ":9: Deployment web: is left aside"),
                    HasSubstr("KubeControllersConfiguration default: nothing acts on this kind")));
}

TEST_F(FieldWarningsTest, KindsThatWouldDoHarmAreRefusedByNameAndForeignOnesAreNot) {
  EXPECT_EQ(Ctl({"apply", "-f", "-"},
                "{apiVersion: projectcalico.org/v3, kind: IPReservation, metadata: {name: r},"
                " spec: {reservedCIDRs: [192.0.2.0/30]}}"),
            kExitError);
  EXPECT_THAT(err_, HasSubstr("IPReservation is refused; addresses are not reserved yet"));
  EXPECT_THAT(err_, Not(HasSubstr("did you mean")));
  EXPECT_THAT(err_, Not(HasSubstr("left aside")));
}

TEST_F(FieldWarningsTest, EvaluateAnswersForWhatApplyRefusesAndSaysSo) {
  const std::string host = File("h.yaml", kHostEndpoint), policy = File("g.yaml", kForward);
  EXPECT_EQ(
      Ctl({"evaluate", "--engine", "reference", "-f", host, policy},
          R"({"hostEndpoint": "h", "from": "192.0.2.9", "to": "192.0.2.1", "protocol": "TCP",)"
          R"( "port": 22, "direction": "ingress"})"
          "\n"),
      kExitOk)
      << err_ << out_;
  EXPECT_THAT(err_, AllOf(HasSubstr("Note: "),
                          HasSubstr("HostEndpoint h: answered for here, but "
                                    "apply refuses it: the kind is refused"),
                          HasSubstr("GlobalNetworkPolicy g: answered for here")));
}

}  // namespace
}  // namespace ripstop::ctl
