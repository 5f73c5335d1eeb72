// SPDX-License-Identifier: Apache-2.0
//
// What `delete namespace` leaves of a namespace whose pods run.
#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "api/ctl/testing.h"

namespace ripstop::ctl {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr char kNamespace[] =
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: a}}\n---\n";
constexpr char kPolicies[] = R"(apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {}}
---
apiVersion: projectcalico.org/v3
kind: NetworkSet
metadata: {name: lan, namespace: shop}
spec: {nets: [192.0.2.0/24]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: everywhere}
spec: {selector: all()}
---
)";

std::string Endpoint(const std::string& ns) {
  return absl::StrCat(R"(apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {name: n1-k8s-web-eth0, namespace: )",
                      ns, R"(}
spec: {orchestrator: k8s, node: n1, pod: web, endpoint: eth0, ipNetworks: [198.51.100.1/32]}
---
)");
}

using NamespaceDeletionTest = CtlTest;

TEST_F(NamespaceDeletionTest, OfAnEmptyNamespaceSaysNothingMore) {
  ASSERT_EQ(Ctl({"apply", "-f", "-"}, std::string(kNamespace) + Endpoint("other")), kExitOk);
  EXPECT_EQ(Ctl({"delete", "ns", "shop"}), kExitOk);
  EXPECT_EQ(out_, "namespace shop deleted\n");
  EXPECT_THAT(err_, IsEmpty());
}

TEST_F(NamespaceDeletionTest, PodsAndPoliciesThatStayAreSaid) {
  ASSERT_EQ(Ctl({"apply", "-f", "-"}, kNamespace + Endpoint("shop") + kPolicies), kExitOk);
  EXPECT_EQ(Ctl({"delete", "ns", "shop"}), kExitOk) << err_;
  EXPECT_EQ(out_, "namespace shop deleted\n");
  EXPECT_EQ(err_,
            "Note: namespace shop: 1 pod runs on as in a namespace without a document: its labels "
            "are gone, and what no policy decides is allowed\n"
            "Note: namespace shop: networkpolicy.networking.k8s.io shop/deny, networkset shop/lan "
            "stay in force\n");
}

// CVE-2024-7598: policies deleted before the pods of their namespace left these open.
TEST_F(NamespaceDeletionTest, PoliciesNamedBesideTheNamespaceStayUntilItsPodsAreGone) {
  const std::string all = std::string(kNamespace) + kPolicies;
  ASSERT_EQ(Ctl({"apply", "-f", "-"}, all + Endpoint("shop")), kExitOk);
  EXPECT_EQ(Ctl({"delete", "-f", "-"}, all), kExitConflict);
  EXPECT_EQ(out_, "namespace shop deleted\nglobalnetworkpolicy everywhere deleted\n");
  EXPECT_THAT(err_, HasSubstr("Error: networkpolicy.networking.k8s.io shop/deny stays: 1 pod of "
                              "shop still run; delete it once they are gone"));
  EXPECT_THAT(err_, HasSubstr("Error: networkset shop/lan stays"));
  EXPECT_EQ(Ctl({"get", "knp", "deny", "-n", "shop"}), kExitOk);
  ASSERT_EQ(Ctl({"delete", "wep", "n1-k8s-web-eth0", "-n", "shop"}), kExitOk);
  EXPECT_EQ(Ctl({"delete", "--ignore-not-found", "-f", "-"}, all), kExitOk) << err_;
  EXPECT_EQ(Ctl({"get", "knp", "deny", "-n", "shop"}), kExitNotFound);
}

TEST_F(NamespaceDeletionTest, PodsThatHaveFinishedOrGoWithItKeepNothing) {
  const auto pod = [](const char* phase) {
    return absl::StrCat("apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: shop}\n",
                        "status: {phase: ", phase, "}\n---\n");
  };
  const std::string all = std::string(kNamespace) + kPolicies;
  ASSERT_EQ(Ctl({"apply", "-f", "-"}, all + pod("Succeeded")), kExitOk);
  EXPECT_EQ(Ctl({"delete", "-f", "-"}, all), kExitOk) << err_;
  ASSERT_EQ(Ctl({"apply", "-f", "-"}, all + pod("Running") + Endpoint("shop")), kExitOk);
  EXPECT_EQ(Ctl({"delete", "-f", "-"}, all + pod("Running") + Endpoint("shop")), kExitOk) << err_;
  EXPECT_THAT(err_, Not(HasSubstr("stay")));
}

}  // namespace
}  // namespace ripstop::ctl
