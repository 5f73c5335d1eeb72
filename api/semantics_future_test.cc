// SPDX-License-Identifier: Apache-2.0
//
// What a writer of a later version, or one that validated nothing, may have put into the
// store: fields without a name here, selectors at every limit, numbers that are none. What
// is not understood fails closed, or the whole object is refused and so set aside.
#include <cmath>
#include <functional>

#include "api/semantics_testing.h"
#include "gmock/gmock.h"

namespace ripstop::api {
namespace {

using google::protobuf::Message;
using ::testing::HasSubstr;

const char kWeb[] = "shop/web", kCart[] = "shop/cart";

// A field that no message has.
void AddFutureField(Message* message) {
  message->GetReflection()->MutableUnknownFields(message)->AddVarint(19'000, 1);
}

class SemanticsFutureTest : public SemanticsTest {
 protected:
  // The document as `edit` leaves it, by way of the store's bytes.
  template <typename T>
  static Resource Stored(const std::string& text, const std::function<void(T*)>& edit) {
    Decoded decoded = DecodeText(text, "f.yaml");
    EXPECT_EQ(decoded.resources.size(), 1u) << ToString(decoded.problems) << text;
    Resource resource = decoded.resources.at(0);
    edit(resource.MutableAs<T>());
    const auto back = Deserialize({resource.key(), Serialize(resource), 1, 1});
    EXPECT_TRUE(back.ok()) << back.status();
    return *back;
  }
  template <typename T>
  void PutEdited(const std::string& text, const std::function<void(T*)>& edit) {
    const auto objects = ToModel(Stored<T>(text, edit));
    ASSERT_TRUE(objects.ok()) << objects.status();
    for (const ModelObject& object : *objects) Put(object);
  }
  template <typename T>
  std::string Refusal(const std::string& text, const std::function<void(T*)>& edit) {
    const auto objects = ToModel(Stored<T>(text, edit));
    EXPECT_FALSE(objects.ok()) << text;
    return std::string(objects.status().message());
  }
  static std::string Document(const char* api, const char* kind, const std::string& spec) {
    return absl::Substitute(
        "{apiVersion: $0, kind: $1, metadata: {name: p, namespace: shop}, spec: $2}", api, kind,
        spec);
  }
  static std::string Kubernetes(const std::string& spec) {
    return Document("networking.k8s.io/v1", "NetworkPolicy", spec);
  }
  static std::string Cluster(const std::string& spec) {
    return absl::Substitute(
        "{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata:"
        " {name: p}, spec: $0}",
        spec);
  }
};

TEST_F(SemanticsFutureTest, ARuleWithAnUnknownFieldFailsClosedByItsAction) {
  const auto with = [&](const std::string& action,
                        const std::function<Message*(v1::Rule*)>& where) {
    PutEdited<v1::NetworkPolicy>(
        Document(
            "projectcalico.org/v3", "NetworkPolicy",
            absl::Substitute("{ingress: [{action: $0, source: {selector: \"app == 'cart'\"}, "
                             "destination: {ports:"
                             " [80]}, protocol: TCP, icmp: {}, metadata: {annotations: {name: x}}},"
                             " {action: Allow}]}",
                             action)),
        [&](v1::NetworkPolicy* p) {
          v1::Rule* rule = p->mutable_spec()->mutable_ingress(0);
          rule->clear_icmp();
          AddFutureField(where(rule));
        });
  };
  const std::vector<std::function<Message*(v1::Rule*)>> places = {
      [](v1::Rule* r) { return r; }, [](v1::Rule* r) { return r->mutable_source(); },
      [](v1::Rule* r) { return r->mutable_destination()->mutable_ports(); },
      [](v1::Rule* r) { return r->mutable_destination()->mutable_ports()->mutable_items(0); }};
  for (const auto& place : places) {
    with("Deny", place);
    In(kDenied, kWeb, kCart);
    In(kAllowed, kWeb, "shop/db");
    with("Pass", place);
    In(kDenied, kWeb, kCart);  // what it would skip may be a Deny
    with("Log", place);
    In(kAllowed, kWeb, kCart);
    EXPECT_FALSE(logged_);
    with("Allow", place);
    In(kAllowed, kWeb, kCart);
    EXPECT_THAT(decided_by_, HasSubstr("rule 1")) << "the first matches nothing";
  }
  with("Allow", [](v1::Rule* r) { return r->mutable_metadata(); });
  In(kAllowed, kWeb, kCart);
  EXPECT_THAT(decided_by_, HasSubstr("rule 0"))
      << "what is said about a rule does not change what it matches";
}

TEST_F(SemanticsFutureTest, APolicyWithAnUnknownFieldAdmitsNothing) {
  PutEdited<v1::NetworkPolicy>(
      Document("projectcalico.org/v3", "NetworkPolicy", "{ingress: [{action: Allow}]}"),
      [](v1::NetworkPolicy* p) { AddFutureField(p->mutable_spec()); });
  In(kDenied, kWeb, kCart);
  Remove(Document("projectcalico.org/v3", "NetworkPolicy", "{}"));
  PutEdited<v1::KubernetesNetworkPolicy>(
      Kubernetes("{podSelector: {}, ingress: [{}]}"),
      [](v1::KubernetesNetworkPolicy* p) { AddFutureField(p->mutable_spec()); });
  In(kDenied, kWeb, kCart);
  Policy("p", "{podSelector: {}, ingress: [{}]}");
  In(kAllowed, kWeb, kCart);
  PutEdited<v1::ClusterNetworkPolicy>(
      Cluster("{tier: Admin, priority: 1, subject: {pods: {}}, ingress: [{action: Pass, from: "
              "[{pods: {}}]}]}"),
      [](v1::ClusterNetworkPolicy* p) { AddFutureField(p->mutable_spec()); });
  In(kDenied, kWeb, kCart);
}

TEST_F(SemanticsFutureTest, AKubernetesRuleWithAnUnknownFieldAdmitsNothingAndItsNeighboursStand) {
  using Policy = v1::KubernetesNetworkPolicy;
  using Rule = v1::KubernetesIngressRule;
  const std::vector<std::function<Message*(Rule*)>> places = {
      [](Rule* r) { return r; }, [](Rule* r) { return r->mutable_from(0); },
      [](Rule* r) { return r->mutable_from(0)->mutable_pod_selector(); },
      [](Rule* r) { return r->mutable_ports(0); }};
  for (const auto& place : places) {
    PutEdited<Policy>(
        Kubernetes(
            "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: cart}}}], ports:"
            " [{port: 80}]}, {from: [{podSelector: {matchLabels: {app: db}}}]}]}"),
        [&](Policy* p) { AddFutureField(place(p->mutable_spec()->mutable_ingress(0))); });
    In(kDenied, kWeb, kCart);
    In(kAllowed, kWeb, "shop/db");
  }
  EXPECT_THAT(
      Refusal<Policy>(Kubernetes("{podSelector: {}}"),
                      [](Policy* p) { AddFutureField(p->mutable_spec()->mutable_pod_selector()); }),
      HasSubstr("NetworkPolicy shop/p: spec.podSelector: has a field that is not known here"));
}

TEST_F(SemanticsFutureTest, AClusterPolicysRuleWithAnUnknownFieldFailsClosedByItsAction) {
  using Policy = v1::ClusterNetworkPolicy;
  using Rule = v1::ClusterPolicyIngressRule;
  const std::vector<std::function<Message*(Rule*)>> places = {
      [](Rule* r) { return r; }, [](Rule* r) { return r->mutable_from()->mutable_items(0); },
      [](Rule* r) { return r->mutable_from()->mutable_items(0)->mutable_pods(); },
      [](Rule* r) { return r->mutable_protocols()->mutable_items(0); },
      [](Rule* r) { return r->mutable_protocols()->mutable_items(0)->mutable_tcp(); }};
  SemanticsTest::Policy("np", "{podSelector: {}}");
  for (const auto& place : places) {
    for (const char* action : {"Accept", "Deny", "Pass"}) {
      PutEdited<Policy>(
          Cluster(absl::Substitute(
              "{tier: Admin, priority: 1, subject: {pods: {}}, ingress: [{action: $0,"
              " from: [{pods: {podSelector: {matchLabels: {app: cart}}}}], protocols:"
              " [{tcp: {}}]}, {action: Accept, from: [{pods: {}}]}]}",
              action)),
          [&](Policy* p) { AddFutureField(place(p->mutable_spec()->mutable_ingress(0))); });
      In(std::string(action) == "Accept", kWeb, kCart);
    }
  }
  EXPECT_THAT(
      Refusal<Policy>(Cluster("{tier: Admin, priority: 1, subject: {pods: {}}}"),
                      [](Policy* p) { AddFutureField(p->mutable_spec()->mutable_subject()); }),
      HasSubstr("spec.subject: has a field that is not known here"));
}

TEST_F(SemanticsFutureTest, AnOrderThatIsNoNumberIsRefused) {
  for (const double order : {std::nan(""), double{INFINITY}, -double{INFINITY}}) {
    EXPECT_THAT(Refusal<v1::GlobalNetworkPolicy>(
                    Document("projectcalico.org/v3", "GlobalNetworkPolicy", "{}"),
                    [&](v1::GlobalNetworkPolicy* p) { p->mutable_spec()->set_order(order); }),
                HasSubstr("spec.order: "));
    EXPECT_THAT(Refusal<v1::Tier>(Document("projectcalico.org/v3", "Tier", "{}"),
                                  [&](v1::Tier* t) { t->mutable_spec()->set_order(order); }),
                HasSubstr("spec.order: "));
  }
}

TEST_F(SemanticsFutureTest, ABuiltInTierThatWouldBeMovedOrOpenedIsRefused) {
  for (const char* spec : {"{order: 5}", "{defaultAction: Pass}"}) {
    EXPECT_THAT(
        Refusal<v1::Tier>(
            absl::Substitute("{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name:"
                             " default}, spec: $0}",
                             spec),
            [](v1::Tier*) {}),
        HasSubstr("cannot change for a built-in tier"));
  }
}

TEST_F(SemanticsFutureTest, SelectorsAtTheLimitsAreFollowedWhateverConversionPutsAroundThem) {
  const std::string deep = std::string(policy::kWrittenSelector.depth, '(') + "app == 'web'" +
                           std::string(policy::kWrittenSelector.depth, ')');
  std::string longest = "app == 'web'";
  longest += std::string(policy::kWrittenSelector.length - longest.size(), ' ');
  for (const std::string& text : {deep, longest}) {
    Calico("NetworkPolicy", "p", absl::StrCat("{selector: \"", text, "\"}"));
    In(kDenied, kWeb, kCart);
    In(kAllowed, "shop/db", kCart);
    Calico("NetworkPolicy", "p",
           absl::StrCat("{selector: \"app == 'db'\", ingress: [{action: Allow, source: {selector:"
                        " \"",
                        text, "\", namespaceSelector: all()}}]}"));
    In(kAllowed, "shop/db", kWeb);
    In(kDenied, "shop/db", kCart);
  }
  const auto refused = [&](const std::string& text) {
    return Refusal<v1::NetworkPolicy>(Document("projectcalico.org/v3", "NetworkPolicy",
                                               absl::StrCat("{selector: \"", text, "\"}")),
                                      [](v1::NetworkPolicy*) {});
  };
  EXPECT_THAT(refused("(" + deep + ")"), HasSubstr("at most 128 may be nested"));
  EXPECT_THAT(refused(longest + " "), HasSubstr("selector has 65537 bytes; at most 65536"));
}

TEST_F(SemanticsFutureTest, ALabelSelectorOfThousandsOfValuesIsolates) {
  std::string values = "web";
  for (int i = 0; i < 8000; ++i) absl::StrAppend(&values, ", a-value-of-some-length-", i);
  Policy("p", absl::StrCat("{podSelector: {matchExpressions: [{key: app, operator: In, values: [",
                           values, "]}]}}"));
  In(kDenied, kWeb, kCart);
  In(kAllowed, "shop/db", kCart);
  Policy("p", absl::StrCat("{podSelector: {matchLabels: {app: db}}, ingress: [{from: "
                           "[{podSelector: {matchExpressions:"
                           " [{key: app, operator: NotIn, values: [",
                           values, "]}]}}]}]}"));
  In(kAllowed, "shop/db", kCart);
  In(kDenied, "shop/db", kWeb);
}

TEST_F(SemanticsFutureTest, WhileTwoRunningPodsShareAnAddressItIsNeithers) {
  In(kAllowed, kWeb, kCart);
  Pod("shop", "batch", 100);
  In(kDenied, kWeb, kCart);  // though no policy selects anybody
  Out(kDenied, kWeb, kCart, kProtocolTcp, 80);
  Policy("p",
         "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: cart}}}, "
         "{ipBlock: {cidr: 0.0.0.0/0}}, {ipBlock: {cidr: \"::/0\"}}]}]}");
  In(kDenied, kWeb, kCart);
  Pod("shop", "batch", 100, "{}", "Failed");
  In(kAllowed, kWeb, kCart);
  Pod("shop", "cart", 100, "{}", "Failed");
  Pod("shop", "batch", 100);
  Policy("p", "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: cart}}}]}]}");
  In(kDenied, kWeb, kCart);
}

TEST_F(SemanticsFutureTest, OfTwoRunningPodsOfThisNodeWithOneAddressTheNewerHasIt) {
  local_["shop/next"] = 13;
  Policy("p", "{podSelector: {matchLabels: {app: web}}}");
  In(kDenied, kWeb, kCart);
  Pod("shop", "next", 1);
  In(kAllowed, "shop/next", kCart);
  Pod("shop", "web", 1, "{}", "Running");  // said once more, which makes it no newer
  In(kAllowed, "shop/next", kCart);
  Pod("shop", "next", 1, "{}", "Succeeded");
  In(kDenied, kWeb, kCart);
}

}  // namespace
}  // namespace ripstop::api
