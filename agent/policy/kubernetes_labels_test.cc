// SPDX-License-Identifier: Apache-2.0
//
// Labels under reserved keys through the agent's feed, where an endpoint is joined of its
// WorkloadEndpoint, its Pod and what CNI said (policy/labels.h).
#include "absl/strings/substitute.h"
#include "agent/base/testing/from_yaml.h"
#include "agent/dataplane/fake_dataplane.h"
#include "agent/policy/policy_plane.h"
#include "policy/tables/table_image.h"

namespace ripstop::agent {
namespace {

constexpr char kServer[] = "192.0.2.10";
constexpr char kClient[] = "192.0.2.20";

class KubernetesLabelsTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(plane_.Begin().ok());
    policy::Endpoint server;
    server.id = "c1/eth0";
    server.name = "shop/server";
    server.labels = {{"projectcalico.org/namespace", "shop"},
                     {"projectcalico.org/orchestrator", "k8s"}};
    server.profiles = {"kns.shop"};
    server.addresses = {*policy::Address::Parse(kServer)};
    plane_.feed().Attach(server, {7, {2, 0, 0, 0, 0, 7}}, "shop/server", "");
    Put("{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: shop}}}");
    Put("{apiVersion: v1, kind: Namespace, metadata: {name: guests, labels: {team: guests}}}");
    Pod("shop", "server", kServer, "app: server");
    plane_.OnWhole();
  }

  void Put(const std::string& yaml) { plane_.feed().Put(FromYaml(yaml)); }
  void Pod(const std::string& ns, const std::string& name, const std::string& address,
           const std::string& labels) {
    Put(
        absl::Substitute("{apiVersion: v1, kind: Pod, metadata: {name: $1, namespace: $0, labels: "
                         "{$3}}, status: {podIP: $2, phase: Running}}",
                         ns, name, address, labels));
  }
  void Workload(const std::string& ns, const std::string& pod, const std::string& address,
                const std::string& labels) {
    Put(absl::Substitute(
        "{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: n2-k8s-$1-eth0"
        ", namespace: $0, labels: {$3}}, spec: {orchestrator: k8s, node: n2, pod: $1, endpoint: "
        "eth0, profiles: [kns.$0], ipNetworks: [$2/32]}}",
        ns, pod, address, labels));
  }
  void Kubernetes(const std::string& spec) {
    Put(
        absl::StrCat("{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, "
                     "namespace: shop}, spec: ",
                     spec, "}"));
  }

  bool Allowed() {
    EXPECT_TRUE(plane_.Flush().ok());
    policy::TableImage image;
    image.Apply(dataplane_.written);
    image.set_l4_table(plane_.engine().l4_table());
    const policy::Packet packet{*policy::Address::Parse(kClient),
                                *policy::Address::Parse(kServer),
                                policy::kProtocolTcp,
                                40000,
                                80,
                                0,
                                0};
    const auto verdict = image.Verdict(policy::Direction::kIngress, packet);
    return verdict.has_value() && verdict->allow();
  }

  FakeDataplane dataplane_;
  PolicyPlane plane_{"node1", &dataplane_};
};

TEST_F(KubernetesLabelsTest, AnOwnLabelUnderAReservedKeyIsolatesThePodThatHasIt) {
  Kubernetes("{podSelector: {matchLabels: {pcns.team: x}}}");
  EXPECT_TRUE(Allowed()) << "nobody has it";
  Pod("shop", "server", kServer, "app: server, pcns.team: x");
  EXPECT_FALSE(Allowed());
  Kubernetes("{podSelector: {matchLabels: {pcns.team: shop}}}");
  EXPECT_TRUE(Allowed()) << "that is the namespace's";
}

TEST_F(KubernetesLabelsTest, APeerIsKnownByItsOwnLabelsInWhicheverDocument) {
  Kubernetes(
      "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: "
      "{projectcalico.org/namespace: x}}}]}]}");
  Workload("guests", "client", kClient, "app: client");
  EXPECT_FALSE(Allowed());
  Workload("guests", "client", kClient, "projectcalico.org/namespace: x");
  EXPECT_TRUE(Allowed());
  Pod("guests", "client", kClient, "app: client");
  EXPECT_FALSE(Allowed()) << "the Pod is newer";
  Pod("guests", "client", kClient, "projectcalico.org/namespace: x");
  EXPECT_TRUE(Allowed());
  Kubernetes(
      "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchExpressions: "
      "[{key: projectcalico.org/namespace, operator: DoesNotExist}]}}]}]}");
  EXPECT_FALSE(Allowed());
}

TEST_F(KubernetesLabelsTest, OurSelectorsSeeTheNamespaceWhateverThePodWrites) {
  Put("{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: q, namespace: "
      "shop}, spec: {ingress: [{action: Allow, source: {namespaceSelector: \"team == "
      "'shop'\"}}]}}");
  for (const char* label : {"pcns.team: shop", "projectcalico.org/namespace: shop",
                            "\"ns:pcns.team\": shop", "\"inherited:pcns.team\": shop"}) {
    Workload("guests", "client", kClient, label);
    EXPECT_FALSE(Allowed()) << label;
    Pod("guests", "client", kClient, label);
    EXPECT_FALSE(Allowed()) << label;
  }
  Put("{apiVersion: v1, kind: Namespace, metadata: {name: guests, labels: {team: shop}}}");
  EXPECT_TRUE(Allowed());
}

TEST_F(KubernetesLabelsTest, ANamespaceCountsWhetherOrNotItHasADocumentOrIsListedAsAProfile) {
  Kubernetes(
      "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: "
      "{kubernetes.io/metadata.name: nowhere}}}]}]}");
  Put("{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: w, namespace: "
      "nowhere}, spec: {orchestrator: k8s, node: n2, pod: client, endpoint: eth0, profiles: [], "
      "ipNetworks: [192.0.2.20/32]}}");
  EXPECT_TRUE(Allowed());
}

}  // namespace
}  // namespace ripstop::agent
