// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "api/ctl/testing.h"
#include "api/store/open.h"

namespace ripstop::ctl {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kCart[] = R"(apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: allow-cart, namespace: shop}
spec:
  order: 10
  selector: app == 'cart'
  ingress:
  - action: Allow
)";

constexpr char kKubernetes[] = R"(apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec:
  podSelector: {matchLabels: {app: cart}}
)";

constexpr char kPool[] = R"({"apiVersion": "projectcalico.org/v3", "kind": "IPPool",
 "metadata": {"name": "pods"}, "spec": {"cidr": "192.0.2.0/24"}})";

// What `get -o yaml` shows, which carries the revision.
std::string With(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

using ResourceCommandsTest = CtlTest;

TEST_F(ResourceCommandsTest, ApplySaysCreatedConfiguredUnchanged) {
  const std::string file = File("cart.yaml", kCart);
  EXPECT_EQ(Ctl({"apply", "-f", file}), kExitOk) << err_;
  EXPECT_EQ(out_, "networkpolicy shop/allow-cart created\n");
  EXPECT_EQ(Ctl({"apply", "-f", file}), kExitOk);
  EXPECT_EQ(out_, "networkpolicy shop/allow-cart unchanged\n");
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, With(kCart, "10", "20")), kExitOk);
  EXPECT_EQ(out_, "networkpolicy shop/allow-cart configured\n");
}

TEST_F(ResourceCommandsTest, UnchangedDocumentsWriteNothing) {
  Ctl({"apply", "-f", "-"}, kCart);
  Ctl({"get", "np", "allow-cart", "-n", "shop", "-o", "yaml"});
  const std::string before = out_;
  Ctl({"apply", "-f", "-"}, kCart);
  Ctl({"get", "np", "allow-cart", "-n", "shop", "-o", "yaml"});
  EXPECT_EQ(out_, before);  // the same resourceVersion
}

TEST_F(ResourceCommandsTest, NothingIsAppliedWhenOneDocumentIsInvalid) {
  File("d/a.yaml", kCart);
  const std::string bad = File("d/b.yaml", With(kCart, "order: 10", "ordre: 10"));
  EXPECT_EQ(Ctl({"apply", "-f", folder_ + "/d"}), kExitError);
  EXPECT_THAT(err_, HasSubstr(bad + ":5:3: "));
  EXPECT_THAT(err_, HasSubstr("spec.ordre"));
  EXPECT_THAT(err_, HasSubstr("nothing was changed"));
  EXPECT_EQ(out_, "");
  EXPECT_EQ(Ctl({"get", "np", "-A"}), kExitUnreachable);  // not even a store was made
}

TEST_F(ResourceCommandsTest, FolderIsReadInOrderAndOtherFilesIgnored) {
  File("d/1.json", kPool);
  File("d/2.yml", kCart);
  File("d/README.md", "# not a document");
  EXPECT_EQ(Ctl({"apply", "-f", folder_ + "/d"}), kExitOk) << err_;
  EXPECT_EQ(out_, "ippool pods created\nnetworkpolicy shop/allow-cart created\n");
  EXPECT_EQ(Ctl({"apply", "-f", folder_ + "/none"}), kExitError);
  EXPECT_THAT(err_, HasSubstr("cannot read " + folder_ + "/none"));
}

TEST_F(ResourceCommandsTest, SameResourceTwiceIsRefusedWithBothPlaces) {
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, std::string(kCart) + "---\n" + kCart), kExitError);
  EXPECT_THAT(err_, HasSubstr("<stdin>"));
  EXPECT_THAT(err_, HasSubstr("already defined at <stdin>:1"));
}

TEST_F(ResourceCommandsTest, CreateRefusesWhatExistsAndThenCreatesNothing) {
  EXPECT_EQ(Ctl({"create", "-f", "-"}, kCart), kExitOk);
  EXPECT_EQ(Ctl({"create", "-f", "-"}, std::string(kPool) + "\n---\n" + kCart), kExitConflict);
  EXPECT_THAT(err_, HasSubstr("networkpolicy shop/allow-cart already exists"));
  EXPECT_EQ(Ctl({"get", "ippool", "pods"}), kExitNotFound);
  EXPECT_EQ(Ctl({"create", "--skip-exists", "-f", "-"}, kCart), kExitOk);
}

TEST_F(ResourceCommandsTest, ReplaceWantsWhatExists) {
  EXPECT_EQ(Ctl({"replace", "-f", "-"}, kCart), kExitNotFound);
  Ctl({"create", "-f", "-"}, kCart);
  EXPECT_EQ(Ctl({"replace", "-f", "-"}, kCart), kExitOk);
  EXPECT_EQ(out_, "networkpolicy shop/allow-cart replaced\n");
}

TEST_F(ResourceCommandsTest, StaleResourceVersionIsAConflict) {
  Ctl({"apply", "-f", "-"}, kCart);
  ASSERT_EQ(Ctl({"get", "np", "allow-cart", "-n", "shop", "-o", "yaml"}), kExitOk);
  const std::string read = out_;
  EXPECT_EQ(Ctl({"replace", "-f", "-"}, With(read, "order: 10", "order: 11")), kExitOk) << err_;
  EXPECT_EQ(Ctl({"replace", "-f", "-"}, With(read, "order: 10", "order: 12")), kExitConflict);
  EXPECT_THAT(err_, HasSubstr("metadata.resourceVersion is 1, the store has 2"));
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, With(read, "order: 10", "order: 12")), kExitConflict);
  Ctl({"get", "np", "-n", "shop", "-o", "yaml"});
  EXPECT_THAT(out_, HasSubstr("order: 11"));
}

TEST_F(ResourceCommandsTest, WhatGetPrintsAppliesUnchanged) {
  Ctl({"apply", "-f", "-"}, std::string(kCart) + "---\n" + kKubernetes + "---\n" + kPool);
  for (const char* format : {"yaml", "json"}) {
    ASSERT_EQ(Ctl({"get", "np,knp,ippool", "-A", "-o", format}), kExitOk);
    EXPECT_EQ(Ctl({"apply", "-f", "-"}, out_), kExitOk) << err_;
    EXPECT_THAT(out_, Not(HasSubstr("configured")));
    EXPECT_THAT(out_, HasSubstr("ippool pods unchanged"));
  }
}

TEST_F(ResourceCommandsTest, BareNetworkPolicyShowsBothKinds) {
  Ctl({"apply", "-f", "-"}, std::string(kCart) + "---\n" + kKubernetes);
  EXPECT_EQ(Ctl({"get", "networkpolicies", "-n", "shop", "-o", "name"}), kExitOk);
  EXPECT_EQ(out_,
            "networkpolicy.projectcalico.org/allow-cart\n"
            "networkpolicy.networking.k8s.io/deny\n");
  EXPECT_EQ(Ctl({"get", "networkpolicy.networking.k8s.io", "-n", "shop"}), kExitOk);
  EXPECT_EQ(out_, "NAME   POD-SELECTOR\ndeny   app=cart\n");
  EXPECT_EQ(Ctl({"get", "networkpolicy/deny", "-n", "shop", "-o", "name"}), kExitOk);
  EXPECT_EQ(out_, "networkpolicy.networking.k8s.io/deny\n");
}

TEST_F(ResourceCommandsTest, NamespaceDefaultsToDefault) {
  Ctl({"apply", "-f", "-"}, kCart);
  EXPECT_EQ(Ctl({"get", "np"}), kExitOk);
  EXPECT_THAT(err_, HasSubstr("No resources found"));
  EXPECT_EQ(Ctl({"get", "NetworkPolicy", "-A"}), kExitOk);
  EXPECT_EQ(out_,
            "NAMESPACE   NAME         TIER      ORDER\nshop        allow-cart   default   10\n");
  EXPECT_EQ(Ctl({"apply", "-n", "shop", "-f", "-"}, With(kCart, ", namespace: shop", "")), kExitOk);
  EXPECT_EQ(out_, "networkpolicy shop/allow-cart unchanged\n");
}

TEST_F(ResourceCommandsTest, GetNamesWhatItDoesNotFind) {
  Ctl({"apply", "-f", "-"}, kPool);
  EXPECT_EQ(Ctl({"get", "ippools", "pods", "other"}), kExitNotFound);
  EXPECT_THAT(out_, HasSubstr("pods   192.0.2.0/24"));
  EXPECT_THAT(err_, HasSubstr("ippool other not found"));
  EXPECT_EQ(Ctl({"get", "ipool"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("did you mean ippool"));
}

TEST_F(ResourceCommandsTest, BuiltInTiersAreShownInOrderAndCannotGo) {
  Ctl({"apply", "-f", "-"},
      "{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: security}, "
      "spec: {order: 100}}");
  EXPECT_EQ(Ctl({"get", "tiers", "-o", "name"}), kExitOk);
  EXPECT_EQ(out_,
            "tier.projectcalico.org/security\ntier.projectcalico.org/kube-admin\n"
            "tier.projectcalico.org/default\ntier.projectcalico.org/kube-baseline\n");
  EXPECT_EQ(Ctl({"delete", "tier", "default"}), kExitNotFound);
  EXPECT_THAT(err_, HasSubstr("built in"));
}

TEST_F(ResourceCommandsTest, TierMustExistBeforeItsPoliciesAndOutliveThem) {
  const std::string policy = With(kCart, "order: 10", "order: 10\n  tier: security");
  const std::string named = With(policy, "allow-cart", "security.allow-cart");
  const std::string tier =
      "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: security}\nspec: {order: "
      "1}\n";
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, named), kExitError);
  EXPECT_THAT(err_, HasSubstr("spec.tier: \"security\" does not exist"));
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, named + "---\n" + tier), kExitOk) << err_;
  EXPECT_EQ(Ctl({"delete", "tier", "security"}), kExitConflict);
  EXPECT_THAT(err_, HasSubstr("still has networkpolicy shop/security.allow-cart"));
  EXPECT_EQ(Ctl({"delete", "-f", "-"}, named + "---\n" + tier), kExitOk) << err_;
}

TEST_F(ResourceCommandsTest, TierOfAStagedPolicyMustExistToo) {
  const std::string staged =
      "{apiVersion: projectcalico.org/v3, kind: StagedGlobalNetworkPolicy, metadata: {name: "
      "draft}, "
      "spec: {tier: security}}\n";
  const std::string tier =
      "{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: security}, spec: {order: "
      "1}}\n";
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, staged), kExitError);
  EXPECT_THAT(err_, HasSubstr("spec.tier: \"security\" does not exist; apply that Tier first"));
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, staged + "---\n" + tier), kExitOk) << err_;
  EXPECT_EQ(Ctl({"delete", "tier", "security"}), kExitConflict);
}

TEST_F(ResourceCommandsTest,
       DamagedResourceIsNamedAndTheOthersAreShownAndItCanBeReplacedOrDeleted) {
  Ctl({"apply", "-f", "-"}, kCart);
  const auto damage = [&] {
    const auto store = api::OpenStore(store_);
    ASSERT_TRUE(store.ok()) << store.status();
    ASSERT_TRUE(
        (*store)
            ->Txn({{api::Mutation::Type::kPut, {"NetworkPolicy", "shop", "broken"}, "\xff", 0}})
            .ok());
  };
  damage();
  EXPECT_NE(Ctl({"get", "np", "-n", "shop"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("allow-cart"));
  EXPECT_THAT(err_,
              HasSubstr("NetworkPolicy shop/broken: the stored bytes are not a NetworkPolicy"));
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, With(kCart, "allow-cart", "broken")), kExitOk) << err_;
  EXPECT_EQ(Ctl({"get", "np", "broken", "-n", "shop"}), kExitOk) << err_;
  damage();
  EXPECT_EQ(Ctl({"delete", "np", "broken", "-n", "shop"}), kExitOk) << err_;
  EXPECT_EQ(Ctl({"get", "np", "-n", "shop"}), kExitOk) << err_;
}

TEST_F(ResourceCommandsTest, DeleteByNameAndFileAndWhatIsMissing) {
  Ctl({"apply", "-f", "-"}, std::string(kCart) + "---\n" + kKubernetes + "---\n" + kPool);
  EXPECT_EQ(Ctl({"delete", "networkpolicy", "deny", "gone", "-n", "shop"}), kExitNotFound);
  EXPECT_EQ(out_, "networkpolicy.networking.k8s.io shop/deny deleted\n");
  EXPECT_THAT(err_, HasSubstr("networkpolicy shop/gone not found"));
  EXPECT_EQ(Ctl({"delete", "ippool/pods"}), kExitOk);
  EXPECT_EQ(Ctl({"delete", "-f", "-"}, kCart), kExitOk);
  EXPECT_EQ(Ctl({"delete", "-f", "-"}, kCart), kExitNotFound);
  EXPECT_EQ(Ctl({"delete", "-f", "-", "--ignore-not-found"}, kCart), kExitOk);
  EXPECT_EQ(Ctl({"delete"}), kExitUsage);
  EXPECT_EQ(Ctl({"delete", "ippool"}), kExitError);
}

TEST_F(ResourceCommandsTest, NameOfTwoKindsIsNotDeletedByGuess) {
  Ctl({"apply", "-f", "-"},
      With(kCart, "allow-cart", "same") + "---\n" + With(kKubernetes, "deny", "same"));
  EXPECT_EQ(Ctl({"delete", "networkpolicy", "same", "-n", "shop"}), kExitError);
  EXPECT_THAT(err_, HasSubstr("say which"));
  EXPECT_EQ(Ctl({"delete", "networkpolicy.projectcalico.org", "same", "-n", "shop"}), kExitOk);
}

TEST_F(ResourceCommandsTest, DryRunWritesNothing) {
  Ctl({"apply", "-f", "-"}, kPool);
  EXPECT_EQ(Ctl({"apply", "--dry-run", "-f", "-"}, kCart), kExitOk);
  EXPECT_EQ(out_, "networkpolicy shop/allow-cart created (dry run)\n");
  EXPECT_EQ(Ctl({"get", "np", "allow-cart", "-n", "shop"}), kExitNotFound);
}

TEST_F(ResourceCommandsTest, ValidateNeedsNoStore) {
  EXPECT_EQ(Ctl({"validate", "-f", "-"}, std::string(kCart) + "---\n" + kPool), kExitOk);
  EXPECT_EQ(out_, "2 documents are valid\n");
  EXPECT_EQ(Ctl({"validate", "-f", "-"}, "apiVersion: v1\nkind: Nothing\n"), kExitError);
  EXPECT_EQ(Ctl({"validate"}), kExitUsage);
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/store.db"));
}

TEST_F(ResourceCommandsTest, WhatValidateFindsIsNotCalledUnchanged) {
  EXPECT_EQ(Ctl({"validate", "-f", "-"}, With(kCart, "order: 10", "ordre: 10")), kExitError);
  EXPECT_THAT(err_, HasSubstr("Error: 1 problem\n"));
  EXPECT_THAT(err_, Not(HasSubstr("changed")));
}

TEST_F(ResourceCommandsTest, OneUnknownFieldDoesNotHideTheOtherProblems) {
  EXPECT_EQ(Ctl({"validate", "-f", "-"}, R"(apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: p}
spec:
  ordre: 1
  selector: app = 'x'
  egress:
  - acton: Deny
  - action: Permit
    destination: {nets: [10.0.0.0/33], ports: 80}
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pool}
spec: {cidr: 192.0.2.0/33}
)"),
            kExitError);
  EXPECT_EQ(err_,
            "<stdin>:5:3: GlobalNetworkPolicy p: spec.ordre: 1 is an unknown field; did you mean "
            "`order`?\n"
            "<stdin>:6: GlobalNetworkPolicy p: spec.selector: \"app = 'x'\" is not a selector; "
            "selector, position 5: found \"=\"; write == to compare\n"
            "<stdin>:8:5: GlobalNetworkPolicy p: spec.egress[0].acton: Deny is an unknown field; "
            "did you mean `action`?\n"
            "<stdin>:9: GlobalNetworkPolicy p: spec.egress[1].action: \"Permit\" is not a value "
            "known here; write one of Allow, Deny, Log, Pass\n"
            "<stdin>:10:47: GlobalNetworkPolicy p: spec.egress[1].destination.ports: 80 is not a "
            "list; write [80]\n"
            "<stdin>:10: GlobalNetworkPolicy p: spec.egress[1].destination.nets[0]: "
            "\"10.0.0.0/33\" is not a CIDR; write an address and a prefix length, such as "
            "192.0.2.0/24 or 2001:db8::/32\n"
            "<stdin>:15: IPPool pool: spec.cidr: \"192.0.2.0/33\" is not a CIDR; write an address "
            "and a prefix length, such as 192.0.2.0/24 or 2001:db8::/32\n"
            "Error: 7 problems\n");
}

constexpr char kDeployment[] = R"(apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
)";

TEST_F(ResourceCommandsTest, DocumentsOfOthersAreLeftAsideAndStrictRefusesThem) {
  const std::string both = std::string(kDeployment) + "---\n" + kCart;
  EXPECT_EQ(Ctl({"apply", "--strict", "-f", "-"}, both), kExitError);
  EXPECT_THAT(err_, HasSubstr("<stdin>:1: Deployment shop/web: is left aside: Ripstop reads no "
                              "Deployment of apps/v1; remove it, or leave out --strict"));
  EXPECT_EQ(Ctl({"get", "np", "-A"}), kExitUnreachable) << "nothing was written";
  EXPECT_EQ(Ctl({"validate", "-f", "-"}, both), kExitOk);
  EXPECT_EQ(out_, "1 document is valid\n");
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, both), kExitOk);
  EXPECT_EQ(out_, "networkpolicy shop/allow-cart created\n");
  EXPECT_EQ(err_,
            "Warning: <stdin>:1: Deployment shop/web: is left aside: Ripstop reads no Deployment "
            "of apps/v1\n");
  EXPECT_EQ(Ctl({"delete", "-f", "-"}, both), kExitOk);
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, kDeployment), kExitError);
  EXPECT_THAT(err_, HasSubstr("no document of a kind that Ripstop reads"));
}

TEST_F(ResourceCommandsTest, AbsentStoreIsUnreachableAndUnknownSchemeSaysSo) {
  EXPECT_EQ(Ctl({"get", "nodes"}), kExitUnreachable);
  EXPECT_THAT(err_, HasSubstr(folder_ + "/store.db"));
  EXPECT_THAT(err_, HasSubstr("RIPSTOP_STORE"));
  store_ = "carrier-pigeon://x";
  EXPECT_EQ(Ctl({"get", "nodes"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("sqlite:///PATH"));
}

TEST_F(ResourceCommandsTest, TenThousandDocumentsApplyInOneTransaction) {
  std::string text;
  for (int i = 0; i < 10'000; ++i)
    text += "---\napiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: s" +
            std::to_string(i) + "}\nspec: {nets: [198.51.100.0/24]}\n";
  ASSERT_EQ(Ctl({"apply", "-f", "-"}, text), kExitOk) << err_;
  ASSERT_EQ(Ctl({"apply", "-f", "-"}, text), kExitOk) << err_;
  EXPECT_THAT(out_, HasSubstr("globalnetworkset s9999 unchanged"));
}

}  // namespace
}  // namespace ripstop::ctl
