// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <fstream>

#include "api/convert/testing.h"
#include "api/validate/validate.h"
#include "nlohmann/json.hpp"

namespace ripstop::api {
namespace {

TEST(EndpointTest, PodsCarryLabelsProfilesAddressesAndNamedPorts) {
  const auto pod = Model<policy::Endpoint>(R"({apiVersion: v1, kind: Pod,
    metadata: {name: cart, namespace: shop, labels: {a: b, projectcalico.org/namespace: forged}},
    spec: {serviceAccountName: sa, initContainers: [{ports: [{name: init, containerPort: 1}]}],
      containers: [{ports: [{name: http, containerPort: 80}, {containerPort: 81}]},
                   {ports: [{name: dns, containerPort: 53, protocol: UDP}]}]},
    status: {phase: Running, podIP: 192.0.2.1, podIPs: [{ip: 192.0.2.1}, {ip: "2001:db8::1"}]}})");
  EXPECT_EQ(pod.name, "shop/cart");
  EXPECT_EQ(pod.labels, (Labels{{"a", "b"},
                                {"pod:projectcalico.org/namespace", "forged"},
                                {"projectcalico.org/namespace", "shop"},
                                {"projectcalico.org/orchestrator", "k8s"},
                                {"projectcalico.org/serviceaccount", "sa"}}));
  EXPECT_THAT(pod.profiles, ElementsAre("kns.shop", "ksa.shop.sa"));
  EXPECT_THAT(pod.addresses, SizeIs(2));
  EXPECT_THAT(pod.ports,
              ElementsAre(policy::NamedPort{"http", 6, 80}, policy::NamedPort{"dns", 17, 53},
                          policy::NamedPort{"init", 6, 1}));
  EXPECT_TRUE(pod.active);
}

TEST(EndpointTest, FinishedAndHostNetworkPodsAreInactiveAndTerminatingOnesAreNot) {
  const auto active = [](const std::string& rest) {
    return Model<policy::Endpoint>(
               absl::StrCat("{apiVersion: v1, kind: Pod, metadata: {name: a", rest, "}"))
        .active;
  };
  EXPECT_FALSE(active("}, status: {phase: Succeeded}"));
  EXPECT_FALSE(active("}, status: {phase: Failed}"));
  EXPECT_FALSE(active("}, spec: {hostNetwork: true}, status: {phase: Running}"));
  EXPECT_TRUE(active("}, status: {phase: Pending}"));
  EXPECT_TRUE(active(", deletionTimestamp: \"2026-01-01T00:00:00Z\"}, status: {phase: Running}"));
}

TEST(EndpointTest, WorkloadEndpointsAreNamedByTheirPod) {
  const auto endpoint = Model<policy::Endpoint>(Doc(
      "projectcalico.org/v3", "WorkloadEndpoint",
      "{pod: cart, endpoint: eth0, orchestrator: cni, profiles: [x], ipNetworks: [192.0.2.1/32, "
      "\"2001:db8::1\"], ports: [{name: http, protocol: tcp, port: 80}]}"));
  EXPECT_EQ(endpoint.name, "shop/cart");
  EXPECT_EQ(endpoint.labels.at("projectcalico.org/orchestrator"), "cni");
  EXPECT_THAT(endpoint.profiles, ElementsAre("x"));
  EXPECT_THAT(endpoint.addresses, SizeIs(2));
  EXPECT_THAT(endpoint.ports, ElementsAre(policy::NamedPort{"http", 6, 80}));
}

TEST(EndpointTest, WhatAWorkloadEndpointIsFollowsItsContainerAndInterface) {
  const auto id = [](const std::string& node, const std::string& container,
                     const std::string& interface) {
    return Model<policy::Endpoint>(Doc("projectcalico.org/v3", "WorkloadEndpoint",
                                       absl::StrCat("{node: ", node, ", pod: cart, containerID: ",
                                                    container, ", endpoint: ", interface, "}")))
        .id;
  };
  const std::string known = id("n1", "c1", "eth0");
  EXPECT_EQ(known, id("n1", "c1", "eth0"));
  EXPECT_NE(known, id("n2", "c1", "eth0"));
  EXPECT_NE(known, id("n1", "c2", "eth0"));
  EXPECT_NE(known, id("n1", "c1", "net1"));
  EXPECT_EQ(id("n1", "c/x1", "eth0"), "WorkloadEndpoint shop/p") << "could be read in two ways";
  EXPECT_EQ(id("n1", "''", "eth0"), id("n2", "''", "eth0")) << "no container: by its own name";
}

TEST(OtherKindsTest, NamespacesAndServiceAccountsBecomeProfiles) {
  const auto ns = Model<policy::Profile>(
      "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: x}}}");
  EXPECT_EQ(ns.name, "kns.shop");
  EXPECT_EQ(ns.labels_to_apply, (Labels{{"pcns.kubernetes.io/metadata.name", "shop"},
                                        {"pcns.projectcalico.org/name", "shop"},
                                        {"pcns.team", "x"}}));
  EXPECT_EQ(ns.ingress_rules.at(0).action, Action::kAllow);
  EXPECT_EQ(ns.egress_rules.at(0).action, Action::kAllow);
  const auto sa = Model<policy::Profile>(
      "{apiVersion: v1, kind: ServiceAccount, metadata: {name: sa, namespace: shop, "
      "labels: {role: web}}}");
  EXPECT_EQ(sa.name, "ksa.shop.sa");
  EXPECT_EQ(sa.labels_to_apply.at("pcsa.role"), "web");
  EXPECT_THAT(sa.ingress_rules, IsEmpty());
}

TEST(OtherKindsTest, SetsTiersNodesAndSlices) {
  const auto set = Model<policy::NetworkSet>(
      Doc("projectcalico.org/v3", "NetworkSet", "{nets: [192.0.2.7/24, \"2001:db8::/32\"]}"));
  EXPECT_EQ(set.id, "shop/p");
  EXPECT_THAT(set.profiles, ElementsAre("kns.shop"));
  EXPECT_EQ(set.nets.at(0).ToString(), "192.0.2.0/24");
  const auto global =
      Model<policy::NetworkSet>(Doc("projectcalico.org/v3", "GlobalNetworkSet", "{}"));
  EXPECT_EQ(global.id, "p");
  EXPECT_THAT(global.labels, IsEmpty());
  const auto tier =
      Model<policy::Tier>(Doc("projectcalico.org/v3", "Tier", "{order: 5, defaultAction: Pass}"));
  EXPECT_EQ(tier.default_action, Action::kPass);
  EXPECT_EQ(tier.order, 5);
  const auto host = Model<policy::Host>(
      "{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: n1, labels: {zone: a, "
      "pcns.team: x, \"pod:app\": z}}, spec: {bgp: "
      "{ipv4Address: 192.0.2.1/24}, addresses: [{address: 192.0.2.1}, {address: 198.51.100.1}], "
      "ipv4VXLANTunnelAddr: 10.65.0.0}}");
  EXPECT_TRUE(host.this_host);
  EXPECT_THAT(host.addresses, SizeIs(3));
  EXPECT_EQ(host.labels, (policy::Labels{{"zone", "a"}, {"pcns.team", "x"}}))
      << "what documents say, but for what is no label";
  const auto slice = Model<policy::ServiceBackends>(R"({apiVersion: discovery.k8s.io/v1,
    kind: EndpointSlice, metadata: {name: cart-x, namespace: shop,
      labels: {kubernetes.io/service-name: cart}}, addressType: IPv4,
    endpoints: [{addresses: [192.0.2.1]}, {addresses: [192.0.2.2], conditions: {ready: false}}],
    ports: [{port: 80}, {port: 53, protocol: UDP}]})");
  EXPECT_EQ(slice.service, (policy::ServiceName{"shop", "cart"}));
  EXPECT_THAT(slice.addresses, SizeIs(2));
  EXPECT_THAT(slice.ports, SizeIs(2));
}

std::filesystem::path FindCyclonus() {
  std::filesystem::path folder = std::filesystem::path(RIPSTOP_SOURCE_DIR);
  return folder.parent_path() / "shared/testdata/cyclonus/cases.json";
}

TEST(CyclonusTest, EveryPolicyDecodesIsValidAndConverts) {
  const std::filesystem::path path = FindCyclonus();
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " not found";
  std::ifstream stream(path);
  const nlohmann::json data = nlohmann::json::parse(stream);
  int policies = 0;
  for (const auto& one : data["cases"]) {
    for (const auto& step : one["steps"]) {
      for (nlohmann::json document : step["policies"]) {
        // Some cases were recorded from typed objects, which say it nowhere.
        document["apiVersion"] = "networking.k8s.io/v1";
        document["kind"] = "NetworkPolicy";
        const Decoded decoded = DecodeText(document.dump(), one["description"]);
        ASSERT_THAT(decoded.problems, IsEmpty()) << ToString(decoded.problems);
        ASSERT_THAT(decoded.resources, SizeIs(1)) << document.dump();
        const std::vector<Problem> problems = Validate(decoded.resources[0]);
        EXPECT_THAT(problems, IsEmpty()) << ToString(problems) << document.dump();
        const auto objects = ToModel(decoded.resources[0]);
        ASSERT_TRUE(objects.ok()) << objects.status() << document.dump();
        ASSERT_THAT(*objects, SizeIs(1));
        const auto& policy = std::get<policy::Policy>((*objects)[0]);
        for (const auto& rules : {policy.ingress_rules, policy.egress_rules}) {
          for (const policy::Rule& rule : rules) EXPECT_FALSE(rule.degraded) << document.dump();
        }
        ++policies;
      }
    }
  }
  EXPECT_GT(policies, 100);
}

}  // namespace
}  // namespace ripstop::api
