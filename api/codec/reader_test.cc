// SPDX-License-Identifier: Apache-2.0
#include "api/codec/reader.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "api/codec/writer.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"

namespace ripstop::api {
namespace {

using google::protobuf::util::MessageDifferencer;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::string Problems(std::string_view text) {
  return ToString(DecodeText(text, "f.yaml").problems);
}

Resource One(std::string_view text) {
  Decoded decoded = DecodeText(text, "f.yaml");
  EXPECT_THAT(decoded.problems, IsEmpty()) << ToString(decoded.problems);
  EXPECT_THAT(decoded.resources, SizeIs(1));
  return decoded.resources.empty() ? Resource::Make<v1::Tier>() : decoded.resources[0];
}

// A GlobalNetworkPolicy with `spec` in flow style.
std::string Policy(const std::string& spec) {
  return absl::StrCat("apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\n",
                      "metadata: {name: p}\nspec: ", spec, "\n");
}

TEST(ReaderTest, ReadsAPolicyAsUsersWriteIt) {
  const Resource resource = One(R"(
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: allow-cart
  namespace: shop
  creationTimestamp: null
  managedFields: [{manager: kubectl}]
spec:
  order: 0
  selector: app == 'cart'
  types: [Ingress]
  ingress:
  - action: Allow
    protocol: TCP
    notICMP: {type: 8}
    source:
      nets: [192.0.2.0/24]
      notNets: []
    destination:
      ports: [80, "90", 8000:8010, http]
  - action: Deny
    protocol: 6
)");
  const auto* policy = resource.As<v1::NetworkPolicy>();
  ASSERT_NE(policy, nullptr);
  EXPECT_EQ(resource.key(), (ResourceKey{kKindNetworkPolicy, "shop", "allow-cart"}));
  EXPECT_EQ(resource.line, 2);
  EXPECT_EQ(resource.LineOf("spec.ingress[0].source.nets[0]"), 18);
  EXPECT_EQ(resource.LineOf("spec.ingress[1].source.nets[0]"), 22) << "nearest around it";
  const v1::PolicySpec& spec = policy->spec();
  EXPECT_TRUE(spec.has_order());
  ASSERT_EQ(spec.ingress_size(), 2);
  EXPECT_EQ(spec.ingress(0).not_icmp().type(), 8);
  EXPECT_FALSE(spec.ingress(0).not_icmp().has_code());
  EXPECT_TRUE(spec.ingress(0).source().has_not_nets());
  EXPECT_FALSE(spec.ingress(0).destination().has_nets()) << "absent is not empty";
  const v1::PortList& ports = spec.ingress(0).destination().ports();
  EXPECT_EQ(ports.items(0).number(), 80);
  EXPECT_EQ(ports.items(1).text(), "90");
  EXPECT_EQ(ports.items(2).text(), "8000:8010");
  EXPECT_EQ(ports.items(3).text(), "http");
  EXPECT_EQ(spec.ingress(1).protocol().number(), 6);
}

TEST(ReaderTest, ReadsSeveralDocumentsListsAndJson) {
  const Decoded decoded = DecodeText(R"(
# nothing here
---
apiVersion: v1
kind: Namespace
metadata: {name: a}
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: b}}
- {apiVersion: v1, kind: NamespaceList, items: [{metadata: {name: c}}]}
---
{"apiVersion": "v1",
	"kind": "Namespace", "metadata": {"name": "d", "labels": {"a\/b": "\u00e9"}}}
)",
                                     "f.yaml");
  EXPECT_THAT(decoded.problems, IsEmpty()) << ToString(decoded.problems);
  std::vector<std::string> names;
  for (const Resource& resource : decoded.resources) names.push_back(resource.name());
  EXPECT_THAT(names, ElementsAre("a", "b", "c", "d"));
}

TEST(ReaderTest, EveryProblemIsReportedWithLinePathValueAndRemedy) {
  EXPECT_EQ(
      Problems(R"(apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata:
  name: web
  labels:
    tier: 2
    on: yes
spec:
  order: high
  selektor: all()
  types: Ingress
  doNotTrack: "true"
  ingress:
  - action: Allow
    source: [10.0.0.0/8]
    destination:
      ports: [1.5, {a: 1}]
    protocol: TCP
    protocol: UDP
)"),
      R"(f.yaml:6:11: GlobalNetworkPolicy web: metadata.labels[tier]: 2 is a number where a string is expected; quote it: "2"
f.yaml:7:5: GlobalNetworkPolicy web: metadata.labels key: on is a boolean where a string is expected; quote it: "on"
f.yaml:9:10: GlobalNetworkPolicy web: spec.order: high is not a number; write a number such as 100 or 0.5
f.yaml:10:3: GlobalNetworkPolicy web: spec.selektor: all() is an unknown field; did you mean `selector`?
f.yaml:11:10: GlobalNetworkPolicy web: spec.types: Ingress is not a list; write [Ingress]
f.yaml:12:15: GlobalNetworkPolicy web: spec.doNotTrack: "true" is not a boolean; write true or false, without quotes
f.yaml:15:13: GlobalNetworkPolicy web: spec.ingress[0].source: a list is not a map; write fields below it, each as `name: value`
f.yaml:17:15: GlobalNetworkPolicy web: spec.ingress[0].destination.ports[0]: 1.5 is neither a whole number nor a name; write a number such as 80, or a string in quotes
f.yaml:17:20: GlobalNetworkPolicy web: spec.ingress[0].destination.ports[1]: a map is neither a whole number nor a name; write a number such as 80, or a string in quotes
f.yaml:19:5: GlobalNetworkPolicy web: spec.ingress[0].protocol: protocol appears twice; keep one of the two)");
}

TEST(ReaderTest, AnItemOfAnAllowListThatIsNullIsRefusedNotReadAsEverything) {
  EXPECT_THAT(Problems("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
                       "metadata: {name: p}\nspec: {ingress: [{from: [null]}]}\n"),
              HasSubstr("spec.ingress[0].from[0]: null is an empty item"));
}

TEST(ReaderTest, QuotedScalarsStayStringsAndNumbersNeedNoQuotes) {
  const Resource resource = One(
      "apiVersion: v1\nkind: Namespace\nmetadata: {name: \"1\", labels: {a: \"true\", b: '0x10', "
      "c: \"null\", d: \"y\", e: 1.2.3, f: , g: 12:30}}\n");
  const auto& labels = resource.metadata().labels();
  EXPECT_EQ(labels.at("a"), "true");
  EXPECT_EQ(labels.at("b"), "0x10");
  EXPECT_EQ(labels.at("c"), "null");
  EXPECT_EQ(labels.at("d"), "y");
  EXPECT_EQ(labels.at("e"), "1.2.3");
  EXPECT_EQ(labels.at("f"), "");
  EXPECT_EQ(labels.at("g"), "12:30");
  for (const char* trap :
       {"1.10", "1e3", "0777", "0x1F", "1_000", ".5", "-3", "off", "True", "y", "N"}) {
    EXPECT_THAT(Problems(absl::StrCat("apiVersion: v1\nkind: Namespace\nmetadata: {name: x, "
                                      "labels: {a: ",
                                      trap, "}}\n")),
                HasSubstr(absl::StrCat("quote it: \"", trap, "\"")));
  }
}

TEST(ReaderTest, AsNumbersAreReadInBothForms) {
  for (const auto& [text, number] :
       std::vector<std::pair<std::string, uint32_t>>{{"64512", 64512},
                                                     {"\"64512\"", 64512},
                                                     {"1.10", 65546},
                                                     {"\"64086.59904\"", 4200000000}}) {
    const Resource resource =
        One(absl::StrCat("apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\n"
                         "metadata: {name: default}\nspec: {asNumber: ",
                         text, "}\n"));
    EXPECT_EQ(resource.As<v1::BGPConfiguration>()->spec().as_number(), number) << text;
  }
  EXPECT_THAT(Problems("apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\n"
                       "metadata: {name: default}\nspec: {asNumber: 4294967296}\n"),
              HasSubstr("is not an AS number"));
}

TEST(ReaderTest, UnknownKindsSayWhatIsNear) {
  EXPECT_EQ(Problems("apiVersion: v1\nkind: NetworkPolicy\n"),
            "f.yaml:2:7: kind: NetworkPolicy is not a kind known here; write apiVersion: "
            "projectcalico.org/v3 or networking.k8s.io/v1 instead of v1");
  EXPECT_THAT(Problems("apiVersion: projectcalico.org/v3\nkind: NetworkPolcy\n"),
              HasSubstr("did you mean `NetworkPolicy`?"));
  EXPECT_THAT(Problems("apiVersion: v1\nkind: Deployment\n"), HasSubstr("kinds known here"));
  EXPECT_THAT(Problems("metadata: {name: a}\n"), HasSubstr("without a kind"));
  EXPECT_THAT(Problems("just words\n"), HasSubstr("is not a document"));
}

TEST(ReaderTest, PodsAsServersReturnThemAreReadAndTheRestIgnored) {
  const Resource pod = One(R"({"apiVersion": "v1", "kind": "Pod",
 "metadata": {"name": "cart", "namespace": "shop", "ownerReferences": [{"uid": "1"}]},
 "spec": {"containers": [{"name": "c", "image": "i", "env": [{"name": "A"}],
   "ports": [{"name": "http", "containerPort": 8080}]}], "tolerations": []},
 "status": {"phase": "Running", "podIPs": [{"ip": "192.0.2.1"}], "qosClass": "Burstable"}})");
  EXPECT_EQ(pod.As<v1::Pod>()->spec().containers(0).ports(0).container_port(), 8080);
  EXPECT_EQ(pod.As<v1::Pod>()->status().pod_ips(0).ip(), "192.0.2.1");
  EXPECT_THAT(Problems("apiVersion: v1\nkind: Pod\nmetadata: {name: a, lables: {}}\n"),
              HasSubstr("metadata.lables: a map is an unknown field; did you mean `labels`?"));
}

TEST(ReaderTest, StatusOfAPolicyIsIgnoredAndOtherStrangersAreNot) {
  EXPECT_THAT(Problems("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
                       "metadata: {name: p}\nspec: {podSelector: {}}\nstatus: {conditions: []}\n"),
              IsEmpty());
  EXPECT_THAT(Problems("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
                       "metadata: {name: p}\nspec: {podSelector: {}, status: {}}\n"),
              HasSubstr("spec.status: a map is an unknown field"));
}

TEST(ReaderTest, AnchorBombsDepthAndBrokenTextAreProblems) {
  std::string bomb = "{ingress: [&r {action: Allow, source: {nets: [";
  for (int i = 0; i < 100; ++i) bomb += "192.0.2.1, ";
  bomb += "]}}";
  for (int i = 0; i < 100; ++i) bomb += ", *r";
  bomb += "]}";
  EXPECT_THAT(DecodeText(Policy(bomb), "f.yaml").problems, IsEmpty());
  EXPECT_THAT(ToString(DecodeText(Policy(bomb), "f.yaml", {.nodes_max = 5000}).problems),
              HasSubstr("is beyond the limit of 5000 values"));
  std::string deep = "{source: ";
  for (int i = 0; i < 5000; ++i) deep += "[";
  EXPECT_THAT(Problems(Policy(deep)), HasSubstr("is nested deeper than"));
  EXPECT_THAT(Problems("a: [1\nb: 2\n"), HasSubstr("is neither YAML nor JSON"));
  EXPECT_THAT(Problems("a: &a [*a]\n"), testing::Not(IsEmpty()));
}

TEST(ReaderTest, TextThatIsNotUtf8IsAProblemSinceTheStoreCouldNotGiveItBack) {
  for (const std::string bad :
       {"\xa6t", "\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x82"}) {
    EXPECT_THAT(Problems(Policy(absl::StrCat("{selector: \"a == '", bad, "'\"}"))),
                HasSubstr("is not UTF-8"));
    EXPECT_THAT(Problems(Policy(absl::StrCat("{egress: [{action: Allow, protocol: ", bad, "}]}"))),
                HasSubstr("is not UTF-8"));
  }
  EXPECT_THAT(Problems(Policy("{selector: \"a == 'é€😀'\"}")), IsEmpty());
}

TEST(ReaderTest, NamespacedDocumentsWithoutANamespaceTakeTheDefault) {
  const Decoded decoded =
      DecodeText("apiVersion: projectcalico.org/v3\nkind: NetworkSet\nmetadata: {name: s}\n",
                 "f.yaml", {.default_namespace = "shop"});
  ASSERT_THAT(decoded.resources, SizeIs(1));
  EXPECT_EQ(decoded.resources[0].ns(), "shop");
}

TEST(WriterTest, WritesWhatUsersWrite) {
  const std::string text = R"(apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata:
  name: web
  labels:
    a: "1"
    b: "true"
    c/d: x y
spec:
  order: 1.5
  selector: app == 'web' && has(x)
  ingress:
  - action: Allow
    protocol: TCP
    source:
      nets:
      - 192.0.2.0/24
    destination:
      ports:
      - 80
      - "8000:8010"
      - "90"
      - http
  - action: Deny
    source: {}
)";
  EXPECT_EQ(ToYaml(One(text)), text);
}

TEST(WriterTest, YamlAndJsonRoundTripEveryAwkwardString) {
  for (const std::string value : {"",
                                  " ",
                                  "a: b",
                                  "a #b",
                                  "#",
                                  "- x",
                                  "null",
                                  "~",
                                  "y",
                                  "No",
                                  "1e3",
                                  "0x1f",
                                  "12:30:45",
                                  "2026-01-01",
                                  "é",
                                  "tab\t",
                                  "new\nline",
                                  "quote\"'",
                                  "{a}",
                                  "[a]",
                                  "*a",
                                  "&a",
                                  "!a",
                                  "|",
                                  ">",
                                  "%",
                                  "@",
                                  "`",
                                  "a,b",
                                  "a:",
                                  ":a",
                                  "?",
                                  "? a",
                                  "...",
                                  "---",
                                  "\\",
                                  "=",
                                  "<<",
                                  ".",
                                  "0",
                                  "\x7f",
                                  "has(a) && b == \"c\"",
                                  "x: ",
                                  "a:b",
                                  "-",
                                  "+1",
                                  "1_0",
                                  "0b1",
                                  "0o7",
                                  ".inf",
                                  "\x01",
                                  "\xc2\x85",
                                  "\xe2\x80\xa8",
                                  "\xef\xbb\xbf",
                                  "\xef\xbf\xbf",
                                  "😀"}) {
    Resource resource = Resource::Make<v1::Namespace>();
    resource.mutable_metadata().set_name("ns");
    (*resource.mutable_metadata().mutable_annotations())["k"] = value;
    for (const std::string& text : {ToYaml(resource), ToJson(resource)}) {
      const Resource back = One(text);
      EXPECT_TRUE(MessageDifferencer::Equals(back.message(), resource.message())) << text;
    }
  }
}

TEST(WriterTest, EmptyAndAbsentListsAndMapsSurvive) {
  for (const char* text : {"{ingress: [{action: Allow, source: {nets: []}}]}",
                           "{ingress: [{action: Allow, source: {}, destination: {ports: []}}]}",
                           "{order: 0, doNotTrack: false}", "{}"}) {
    const Resource resource = One(Policy(text));
    const Resource back = One(ToYaml(resource));
    EXPECT_TRUE(MessageDifferencer::Equals(back.message(), resource.message())) << text;
  }
  const Resource k8s =
      One("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
          "metadata: {name: p, namespace: shop}\nspec: {podSelector: {}, ingress: "
          "[{}, {from: [{podSelector: {}}]}]}\n");
  EXPECT_TRUE(MessageDifferencer::Equals(One(ToYaml(k8s)).message(), k8s.message()));
}

TEST(WriterTest, SeveralResourcesReadBackAsSeveral) {
  const Decoded decoded = DecodeText(
      "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n"
      "apiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n",
      "f.yaml");
  EXPECT_THAT(DecodeText(ToYaml(decoded.resources), "g").resources, SizeIs(2));
  EXPECT_THAT(DecodeText(ToJson(decoded.resources), "g").resources, SizeIs(2));
}

TEST(ReaderTest, ATokenThatBeginsNothingIsAProblemAndNotAnEndlessLoop) {
  for (const char* text : {", a}}}", "n, a}}}", "}", "a: b\n---\n}", "]]", "a: 1\n}\n"}) {
    const Decoded decoded = DecodeText(text, "stray.yaml");
    EXPECT_FALSE(decoded.problems.empty()) << text;
    EXPECT_TRUE(decoded.resources.empty()) << text;
  }
}

}  // namespace
}  // namespace ripstop::api
