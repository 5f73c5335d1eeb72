// SPDX-License-Identifier: Apache-2.0
#include "api/validate/damaged.h"

#include "api/validate/testing.h"

namespace ripstop::api {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr char kCluster[] = "policy.networking.k8s.io/v1alpha2";
constexpr char kKubernetes[] = "networking.k8s.io/v1";

// As apply says it of a document that cannot be read whole.
std::string Said(const std::string& text) {
  const Decoded decoded = DecodeText(text, "a.yaml");
  EXPECT_EQ(decoded.damaged.size(), 1u) << "control: " << ToString(decoded.problems);
  return decoded.damaged.empty() ? "" : ToString(ValidateDamaged(decoded.damaged[0]));
}

std::string OfClusterRule(const std::string& protocols) {
  return Said(Doc(kCluster, "ClusterNetworkPolicy",
                  absl::StrCat("{tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: "
                               "[{action: Accept, from: [{namespaces: {}}], protocols: [",
                               protocols, "]}]}")));
}

TEST(DamagedTest, ANumberForTheNameOfAPortLeadsToTheFieldOfNumbersAtOnce) {
  EXPECT_EQ(OfClusterRule("{destinationNamedPort: 8080}"),
            "a.yaml:4:149: ClusterNetworkPolicy p: spec.ingress[0].protocols[0]"
            ".destinationNamedPort: 8080 is not the name of a port; write tcp: {destinationPort: "
            "{number: 8080}}");
}

TEST(DamagedTest, WhatQuotesWouldNotMendIsNotSaidToWantThem) {
  const auto calico = [](const std::string& spec) {
    return Said(Doc(kCalico, "GlobalNetworkPolicy", spec));
  };
  for (const std::string& said :
       {calico("{ingress: [{action: Allow, source: {nets: [10]}}]}"),
        calico("{ingress: [{action: Allow, source: {selector: 0x1F}}]}"),
        calico("{ingress: [{action: yes}]}"), calico("{tier: 1_000}"),
        calico("{ingress: [{action: Allow, protocol: TCP, destination: {ports: [80.5]}}]}"),
        Said(Doc(kKubernetes, "NetworkPolicy",
                 "{podSelector: {matchLabels: {app: -3}}, policyTypes: [on]}"))}) {
    EXPECT_THAT(said, Not(HasSubstr("quote"))) << said;
    EXPECT_THAT(said, Not(HasSubstr("where a string is expected")));
    EXPECT_THAT(said, HasSubstr("; ")) << "a remedy";
  }
}

TEST(DamagedTest, WhatQuotesMendIsSaidToWantThem) {
  EXPECT_THAT(Said(Doc(kCalico, "GlobalNetworkPolicy", "{tier: 8080}")),
              HasSubstr("spec.tier: 8080 is a number where a string is expected; quote it: "
                        "\"8080\""));
  EXPECT_THAT(Said(Doc(kKubernetes, "NetworkPolicy", "{podSelector: {matchLabels: {app: 3}}}")),
              HasSubstr("spec.podSelector.matchLabels[app]: 3 is a number where a string is "
                        "expected; quote it: \"3\""));
  EXPECT_THAT(Said(Doc(kKubernetes, "NetworkPolicy",
                       "{podSelector: {}, ingress: [{ports: [{port: on}]}]}")),
              HasSubstr("or a string in quotes"));
}

TEST(DamagedTest, OneValueIsOneProblem) {
  const std::string said = OfClusterRule("{destinationNamedPort: 8080}, {destinationNamedPort: 1}");
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
}

}  // namespace
}  // namespace ripstop::api
