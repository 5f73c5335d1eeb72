// SPDX-License-Identifier: Apache-2.0
//
// What YAML says without showing it. Each text either means what kubectl makes of it, or is
// refused where it stands, with what to write.
#include <array>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/codec/reader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::api {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

std::string Problems(const std::string& text) {
  return ToString(DecodeText(text, "f.yaml").problems);
}

v1::PolicySpec Spec(const std::string& text) {
  const Decoded decoded = DecodeText(text, "f.yaml");
  EXPECT_THAT(decoded.problems, IsEmpty()) << ToString(decoded.problems) << "\n" << text;
  if (decoded.resources.empty()) return {};
  const auto* policy = decoded.resources[0].As<v1::GlobalNetworkPolicy>();
  return policy == nullptr ? v1::PolicySpec() : policy->spec();
}

constexpr char kHead[] =
    "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: p}\n";

// The lines of `spec`, indented; spec begins in line 5.
std::string Policy(const std::string& spec) {
  std::string text = absl::StrCat(kHead, "spec:\n");
  for (size_t at = 0; at < spec.size();) {
    const size_t end = std::min(spec.find('\n', at), spec.size());
    absl::StrAppend(&text, "  ", spec.substr(at, end - at), "\n");
    at = end + 1;
  }
  return text;
}

struct Trap {
  const char* spec;
  const char* place;  // line and column
  const char* says;   // value and what is wrong
  const char* remedy;
};

class TrapTest : public testing::TestWithParam<Trap> {};

TEST_P(TrapTest, IsRefusedWithPlaceAndRemedy) {
  const Trap& trap = GetParam();
  const Decoded decoded = DecodeText(Policy(trap.spec), "f.yaml");
  EXPECT_THAT(decoded.resources, IsEmpty()) << trap.spec;
  EXPECT_THAT(ToString(decoded.problems), AllOf(HasSubstr(absl::StrCat("f.yaml:", trap.place)),
                                                HasSubstr(trap.says), HasSubstr(trap.remedy)))
      << trap.spec;
}

INSTANTIATE_TEST_SUITE_P(
    Tags, TrapTest,
    testing::Values(
        Trap{"selector: !has(x)", "5:13", "!has(x) begins with !", "quote it: \"!has(x)\""},
        Trap{"selector: ! has(x)", "5:13", "! has(x) begins with !", "quote it: \"! has(x)\""},
        Trap{"selector: &a ! has(x)", "5:13", "begins with !", "quote it"},
        Trap{"selector: !has(a) && has(b)", "5:22", "neither YAML nor JSON",
             "quote a value that begins with !"},
        Trap{"selector: !app == 'x'", "5:13", "!app == 'x' begins with !",
             "quote it: \"!app == 'x'\""},
        Trap{"selector: !(a == \"b\")", "5:13", "begins with !", "quote it: '!(a == \"b\")'"},
        Trap{"ingress: [{action: Allow, source: {selector: !has(x), notSelector: y == 'z'}}]",
             "5:48", "spec.ingress[0].source.selector: !has(x) begins", "quote"},
        Trap{"ingress:\n- action: Allow\n  source: {selector: !has(x)}", "7:31",
             "neither YAML nor JSON", "quote a value that begins with !"},
        Trap{"selector: !app in {'a'}", "5:13", "begins with !", "quote it: \"!app in {'a'}\""},
        Trap{"selector: !!int has(x)", "5:13", "!!int has(x) has the tag !!int, which it is not",
             "remove the tag"},
        Trap{"selector: !!binary aGFzKHgp", "5:13", "has the tag !!binary", "remove the tag"},
        Trap{"selector: !!timestamp 2001-01-01", "5:13", "!!timestamp", "remove the tag"},
        Trap{"order: !!float x", "5:10", "!!float", "remove the tag"},
        Trap{"ingress: !x [{action: Allow}]", "5:12", "is a YAML tag", "remove it"},
        Trap{"ingress: !!set {a}", "5:12", "is a YAML tag", "remove it"},
        Trap{"ingress: [!x {action: Allow}]", "5:13", "is a YAML tag", "remove it"},
        Trap{"!x selector: all()", "5:3", "begins with !", "quote it"}));

INSTANTIATE_TEST_SUITE_P(
    AliasesAndMerges, TrapTest,
    testing::Values(
        Trap{"selector: *a", "5:13", "*a is an alias of no anchor", "quote it if it is text"},
        Trap{"selector: *.example.com", "5:14", "neither YAML nor JSON", "begins with *"},
        Trap{"ingress: &a [{action: Allow}, *a]", "5:33", "*a is an alias of what is around it",
             "cannot contain itself"},
        Trap{"ingress:\n- action: Deny\n  <<: {action: Allow}", "7:5",
             "<< stands below `action` and sets it too", "write << before"},
        Trap{"ingress:\n- <<: {action: Allow}\n  <<: {protocol: TCP}", "7:5", "<< appears twice",
             "with a list"},
        Trap{"ingress:\n- <<: Allow", "6:5", "<< merges what is not a map", "alias of a map"},
        Trap{"ingress:\n- <<: [{action: Allow}, 1]", "6:5", "<< merges what is not a map", ""}));

INSTANTIATE_TEST_SUITE_P(
    Keys, TrapTest,
    testing::Values(Trap{"selector: a\nselector: b", "6:3", "appears twice", "keep one"},
                    Trap{"\"selector\": a\nselector: b", "6:3", "appears twice", "keep one"},
                    Trap{": x", "5:3", "neither YAML nor JSON", ""},
                    Trap{"? {a: 1}\n: x", "5:5", "is not the name of a field", "`name: value`"},
                    Trap{"\"\": x", "5:3", "is not the name of a field", ""},
                    Trap{"order: 1\nOrder: 2", "6:3", "is an unknown field", "`order`"}));

INSTANTIATE_TEST_SUITE_P(
    Scalars, TrapTest,
    testing::Values(
        Trap{"selector: y", "5:13", "is a boolean where a string", "quote it: \"y\""},
        Trap{"selector: No", "5:13", "is a boolean where a string", "quote it"},
        Trap{"selector: 0x1F", "5:13", "is a number where a string", "quote it"},
        Trap{"selector: 0o17", "5:13", "is a number where a string", "quote it"},
        Trap{"selector: 010", "5:13", "is a number where a string", "quote it"},
        Trap{"selector: 1_000", "5:13", "is a number where a string", "quote it"},
        Trap{"selector: -1_000", "5:13", "is a number where a string", "quote it"},
        Trap{"selector: .inf", "5:13", "is a number where a string", "quote it"},
        Trap{"doNotTrack: yes", "5:15", "is not a boolean", "true or false"},
        Trap{"doNotTrack: tRUE", "5:15", "is not a boolean", "true or false"},
        Trap{"order: .inf", "5:10", "is not a number", "such as 100"},
        Trap{"order: .nan", "5:10", "is not a number", "such as 100"},
        Trap{"order: 1e999", "5:10", "is not a number", "such as 100"},
        Trap{"order: 1_000", "5:10", "is not a number", "such as 100"},
        Trap{"order: \"1\"", "5:10", "is not a number", "such as 100"},
        Trap{"ingress: [{action: Allow, ipVersion: 04}]", "5:40", "is not a whole number", ""},
        Trap{"ingress: [{action: Allow, ipVersion: 0x4}]", "5:40", "is not a whole number", ""},
        Trap{"ingress: [{action: Allow, ipVersion: 4e0}]", "5:40", "is not a whole number", ""},
        Trap{"ingress: [{action: Allow, ipVersion: 4.0}]", "5:40", "is not a whole number", ""},
        Trap{"ingress: [{action: Allow, destination: {ports: [1e2]}}]", "5:51",
             "is neither a whole number", ""},
        Trap{"ingress: [{action: Allow, destination: {ports: [8_0]}}]", "5:51",
             "is neither a whole number", ""},
        Trap{"ingress: [null]", "5:13", "is an empty item", "remove it"},
        Trap{"ingress: [{action: Allow}, ~]", "5:30", "is an empty item", "remove it"},
        Trap{"types: [Ingress, ]\ningress: Allow", "6:12", "is not a list", "[Allow]"}));

INSTANTIATE_TEST_SUITE_P(
    Form, TrapTest,
    testing::Values(
        Trap{"ingress: [{action: Allow}", "", "", "close the bracket"},
        Trap{"selector: \"has(x)", "", "", "close the quotes"},
        Trap{"selector: \"app\" == 'x'", "5:", "neither YAML nor JSON", "quotes"},
        Trap{"selector: a: b", "5:14", "neither YAML nor JSON", "quote a value that has a colon"},
        Trap{"selector: @x", "5:13", "neither YAML nor JSON", "quote a value that begins"},
        Trap{"selector: `x`", "5:13", "neither YAML nor JSON", "quote a value that begins"},
        Trap{"ingress:\n\t- action: Allow", "6:", "neither YAML nor JSON", "YAML takes no tab"},
        Trap{"ingress: [{action: Allow}]]", "5:29", "neither YAML nor JSON", ""},
        Trap{"ingress: [{action: Allow}] x", "5:30", "neither YAML nor JSON", ""},
        Trap{"ingress: [,]", "", "neither YAML nor JSON", "close the bracket"},
        Trap{"selector: a\rtier: b", "5:14", "is a carriage return without", "\\n"},
        Trap{"selector: a\xe2\x80\xa8tier: b", "5:14", "is an invisible line end", "\\n"},
        Trap{"# no\xc2\x85selector: a", "5:7", "is an invisible line end", "\\n"},
        Trap{"selector: a\x01", "5:14", "is a control character", "remove it"},
        Trap{"selector: \xc3\xa9\x7f", "5:14", "is a control character", "remove it"},
        Trap{"# \xff\nselector: a", "5:5", "is not UTF-8", "save the file as UTF-8"},
        Trap{"selector: \xed\xa0\x80", "5:13", "is not UTF-8", "save the file as UTF-8"},
        Trap{"selector: a\n\xef\xbb\xbforder: 1", "6:", "", "byte order mark"}));

TEST(YamlTest, ANulByteIsRefused) {
  EXPECT_THAT(Problems(Policy(std::string("selector: a\0b", 13))),
              HasSubstr("f.yaml:5:14: is a control character"));
}

// Same meaning as kubectl gives them.
TEST(YamlTest, WhatKubectlTakesMeansTheSameHere) {
  EXPECT_EQ(Spec(Policy("selector: '!has(x)'")).selector(), "!has(x)");
  EXPECT_EQ(Spec(Policy("selector: !!str has(x)")).selector(), "has(x)");
  EXPECT_EQ(Spec(Policy("selector: !!str 12")).selector(), "12");
  EXPECT_EQ(Spec(Policy("selector: &a \"! x\"")).selector(), "! x");
  EXPECT_EQ(Spec(Policy("selector: &a has(x)")).selector(), "has(x)");
  EXPECT_EQ(Spec(Policy("selector: a == 'b'\n  && has(c)")).selector(), "a == 'b' && has(c)");
  EXPECT_EQ(Spec(Policy("selector: >-\n  a == 'b'\n  && has(c)")).selector(), "a == 'b' && has(c)");
  EXPECT_EQ(Spec(Policy("selector: a#b # c")).selector(), "a#b");
  EXPECT_EQ(Spec(Policy("selector: nULL")).selector(), "nULL");
  EXPECT_EQ(Spec(Policy("selector: ~\ntier: null")).selector(), "");
  EXPECT_EQ(Spec(Policy("order: !!int \"5\"")).order(), 5);
  EXPECT_EQ(Spec(Policy("order: !!float 5")).order(), 5);
  EXPECT_EQ(Spec(Policy("order: 1e2")).order(), 100);
  EXPECT_EQ(Spec(Policy("ingress: !!seq [!!map {action: Deny}]")).ingress(0).action(), "Deny");
  EXPECT_EQ(Spec(Policy("? selector\n: has(x)")).selector(), "has(x)");
  EXPECT_EQ(Spec("%YAML 1.1\n---\n" + Policy("selector: has(x)")).selector(), "has(x)");
  EXPECT_EQ(Spec(Policy("selector: has(x)\r")).selector(), "has(x)") << "\\r\\n";
  // As written: a newline at the end of a block is part of the value, and no selector.
  EXPECT_EQ(Spec(Policy("selector: |\n  has(x)")).selector(), "has(x)\n");
}

TEST(YamlTest, MergeKeysBringWhatIsNotWrittenBelowThem) {
  EXPECT_THAT(Problems(Policy("\"<<\": {selector: all()}")),
              HasSubstr("spec.<<: a map is an unknown field"))
      << "in quotes it is a name like any other";
  const v1::PolicySpec merged = Spec(Policy(R"(ingress:
- &tcp {action: Allow, protocol: TCP}
- &far {action: Deny, source: {nets: [192.0.2.0/24]}}
- <<: *tcp
  action: Deny
- <<: [*tcp, *far]
- <<: {<<: *far, protocol: UDP})"));
  ASSERT_EQ(merged.ingress_size(), 5);
  EXPECT_EQ(merged.ingress(2).action(), "Deny");
  EXPECT_EQ(merged.ingress(2).protocol().text(), "TCP");
  EXPECT_EQ(merged.ingress(3).action(), "Allow") << "the first of several counts";
  EXPECT_EQ(merged.ingress(3).source().nets().items(0), "192.0.2.0/24");
  EXPECT_EQ(merged.ingress(4).action(), "Deny");
  EXPECT_EQ(merged.ingress(4).protocol().text(), "UDP");
}

TEST(YamlTest, EachDocumentMayBeginWithAByteOrderMark) {
  const std::string mark = "\xef\xbb\xbf", a = Policy("selector: a"), b = Policy("selector: b");
  for (const std::string& text : {mark + a + "---\n" + mark + b, mark + a + mark + "---\n" + b,
                                  mark + "---\n" + a + "---\n" + mark + "# x\n" + b}) {
    EXPECT_THAT(Problems(text), IsEmpty());
    EXPECT_THAT(DecodeText(text, "f").resources, SizeIs(2));
  }
}

TEST(YamlTest, OneBrokenDocumentDoesNotHideTheOthers) {
  const Decoded decoded = DecodeText(
      Policy("selector: [") + "---\n" + Policy("selector: a") + "---\n" + Policy("selectr: a"),
      "f.yaml");
  EXPECT_THAT(decoded.resources, SizeIs(1));
  EXPECT_THAT(decoded.problems, SizeIs(2));
  EXPECT_THAT(ToString(decoded.problems), HasSubstr("f.yaml:17:3: GlobalNetworkPolicy p: "));
}

TEST(YamlTest, WhatCouldBeReadOfADamagedDocumentIsThere) {
  const Decoded decoded = DecodeText(Policy("selectr: a\norder: 5\nselector: !x y"), "f.yaml");
  EXPECT_THAT(decoded.resources, IsEmpty());
  ASSERT_THAT(decoded.damaged, SizeIs(1));
  EXPECT_THAT(decoded.damaged[0].problems, SizeIs(2));
  EXPECT_EQ(decoded.damaged[0].resource.As<v1::GlobalNetworkPolicy>()->spec().order(), 5);
}

TEST(YamlTest, EmptyDocumentsSayNothing) {
  for (const char* text : {"", "---\n", "---\n---\n", "# x\n", "--- # x\n...\n", "~\n", "null"}) {
    EXPECT_THAT(Problems(text), IsEmpty()) << text;
    EXPECT_THAT(DecodeText(text, "f").resources, IsEmpty()) << text;
  }
}

TEST(YamlTest, ASecondDocumentNeedsAMarker) {
  EXPECT_THAT(Problems("{a: 1}\nb: 2\n"), HasSubstr("write ---"));
  EXPECT_THAT(Problems("- a\nb: c\n"), Not(IsEmpty()));
  EXPECT_THAT(Problems("{apiVersion: v1, kind: Namespace, metadata: {name: a}} x"), Not(IsEmpty()));
}

TEST(YamlTest, JsonEscapesBeyondTheBasicPlaneAreRead) {
  const Decoded decoded = DecodeText(
      R"({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns", "annotations":
 {"a": "\ud83d\ude00", "b": "\\ud83d\\ude00", "c": "\u00e9\/"}}})",
      "f.json");
  ASSERT_THAT(decoded.resources, SizeIs(1)) << ToString(decoded.problems);
  const auto& annotations = decoded.resources[0].metadata().annotations();
  EXPECT_EQ(annotations.at("a"), "😀");
  EXPECT_EQ(annotations.at("b"), "\\ud83d\\ude00");
  EXPECT_EQ(annotations.at("c"), "é/");
  // What JSON may hold as it is and YAML may not.
  const std::string raw = "\x7f\xe2\x80\xa8\xef\xbb\xbf";
  const Decoded other = DecodeText(
      absl::StrCat(R"({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns",)",
                   R"( "annotations": {"a": ")", raw, "\"}}}"),
      "f.json");
  ASSERT_THAT(other.resources, SizeIs(1)) << ToString(other.problems);
  EXPECT_EQ(other.resources[0].metadata().annotations().at("a"), raw);
}

TEST(YamlTest, BillionsOfAliasesAndDeepNestingEndEarly) {
  std::string laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string last = absl::StrCat("*a", i - 1);
    absl::StrAppend(&laughs, "a", i, ": &a", i, " [", last);
    for (int k = 0; k < 9; ++k) absl::StrAppend(&laughs, ", ", last);
    laughs += "]\n";
  }
  EXPECT_THAT(Problems(Policy(laughs + "types: *a11")), Not(IsEmpty()));
  std::string merges = "m0: &m0 {k0: 1}\n";
  for (int i = 1; i < 3000; ++i) {
    absl::StrAppend(&merges, "m", i, ": &m", i, " {<<: *m", i - 1, ", k", i, ": 1}\n");
  }
  EXPECT_THAT(Problems(merges), HasSubstr("is beyond the limit of 4000000 values"));
  EXPECT_THAT(Problems("a: " + std::string(1'000'000, '[')),
              HasSubstr("is nested deeper than 128"));
  EXPECT_THAT(Problems(std::string(100'000, '{')), Not(IsEmpty()));
}

TEST(YamlTest, ListsOfDocumentsAreReadAsCalicoctlReadsThem) {
  const Decoded decoded = DecodeText(
      "- {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n"
      "- apiVersion: v1\n  kind: Namespace\n  metadata: {name: b}\n",
      "f.yaml");
  EXPECT_THAT(decoded.problems, IsEmpty()) << ToString(decoded.problems);
  ASSERT_THAT(decoded.resources, SizeIs(2));
  EXPECT_EQ(decoded.resources[1].line, 2);
  EXPECT_THAT(Problems("apiVersion: v1\nkind: List\n"), HasSubstr("items: "));
  EXPECT_THAT(Problems("apiVersion: projectcalico.org/v3\nkind: BlockList\n"),
              HasSubstr("is not a kind known here"))
      << "a kind that ends in List is not an empty list";
}

TEST(DocumentKindTest, DocumentsOfOthersAreLeftAsideByName) {
  const Decoded decoded = DecodeText(
      "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\n"
      "spec: {a: !vault x}\n---\n"
      "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}\n---\n"
      "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: i}}\n---\n"
      "{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: s}}\n---\n"
      "{apiVersion: apps/v1, kind: DeploymentList, items: []}\n",
      "f.yaml");
  EXPECT_THAT(decoded.problems, IsEmpty()) << ToString(decoded.problems);
  EXPECT_EQ(ToString(decoded.left_aside),
            "f.yaml:1: Deployment shop/web: is left aside: Ripstop reads no Deployment of apps/v1\n"
            "f.yaml:6: ConfigMap c: is left aside: Ripstop reads no ConfigMap of v1\n"
            "f.yaml:8: Ingress i: is left aside: Ripstop reads no Ingress of networking.k8s.io/v1\n"
            "f.yaml:10: Service s: is left aside: Ripstop reads no Service of "
            "serving.knative.dev/v1\n"
            "f.yaml:12: DeploymentList: is left aside: Ripstop reads no DeploymentList of "
            "apps/v1");
}

TEST(DocumentKindTest, WhatWasMeantForRipstopIsNotLeftAside) {
  for (const auto& [api_version, kind, remedy] : std::vector<std::array<const char*, 3>>{
           {"networking.k8s.io/v1", "NetworkPolcy", "did you mean `NetworkPolicy`?"},
           {"projectcalico.org/v3", "Deployment", "kinds known here"},
           {"extensions/v1beta1", "NetworkPolicy", "networking.k8s.io/v1 instead of extensions"},
           {"crd.projectcalico.org/v1", "IPPool", "projectcalico.org/v3 instead of crd."},
           {"projectcalico.or/v3", "IPPool", "write apiVersion: projectcalico.org/v3"},
           {"networking.k8.io/v1", "NetworkPolicy", "write apiVersion: "},
           {"projectcalico.org/v4", "Tier", "write apiVersion: projectcalico.org/v3"},
           {"v1", "Servce", "did you mean `Service`?"},
           {"v1", "NetworkPolicy", "write apiVersion: projectcalico.org/v3 or networking"},
           {"policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy", "ClusterNetworkPolicy of"},
       }) {
    const Decoded decoded =
        DecodeText(absl::StrCat("apiVersion: ", api_version, "\nkind: ", kind, "\n"), "f");
    EXPECT_THAT(decoded.left_aside, IsEmpty()) << kind;
    EXPECT_THAT(ToString(decoded.problems), HasSubstr(remedy)) << kind;
  }
}

TEST(DocumentKindTest, WhatIsKeptIsReadAndWhatIsRefusedIsNotForeign) {
  const std::string head = "apiVersion: projectcalico.org/v3\n";
  const Decoded kept = DecodeText(head + "kind: ClusterInformation\nmetadata: {name: d}\n", "f");
  EXPECT_THAT(kept.resources, SizeIs(1)) << ToString(kept.problems);
  for (const char* text :
       {"kind: IPReservation\n", "kind: IPReservationList\nitems: [{metadata: {name: r}}]\n"}) {
    const Decoded refused = DecodeText(head + text, "f");
    EXPECT_THAT(refused.left_aside, IsEmpty()) << text;
    EXPECT_THAT(ToString(refused.problems), HasSubstr("is refused; addresses are not reserved"))
        << text;
  }
}

// What is kept as a tree is read by the same rules.
TEST(KeptTreeTest, TrapsAreRefusedAndMergesDone) {
  const auto kept = [](const std::string& spec) {
    return DecodeText(absl::StrCat("apiVersion: projectcalico.org/v3\nkind: ClusterInformation\n"
                                   "metadata: {name: d}\nspec:\n",
                                   spec),
                      "f.yaml");
  };
  for (const auto& [spec, says] : std::vector<std::array<const char*, 2>>{
           {"  a: !has(x)\n", "f.yaml:5:6: ClusterInformation d: spec.a: !has(x) begins with !"},
           {"  a: [1, ! b]\n", "spec.a[1]: "},
           {"  a: {!b c: 1}\n", "spec.a key: "},
           {"  a: 1\n  a: 2\n", "f.yaml:6:3: ClusterInformation d: spec.a: a appears twice"},
           {"  a: y\n", "is a boolean to some and a word to others"},
           {"  a: 0x1f\n", "is not a number that is read alike everywhere"},
           {"  a: *b\n", "spec.a: "},
       }) {
    const Decoded decoded = kept(spec);
    EXPECT_THAT(decoded.resources, IsEmpty()) << spec;
    EXPECT_THAT(ToString(decoded.problems), HasSubstr(says)) << spec;
  }
  const Decoded merged = kept("  a: &a {v: 1, w: [True, \"1\"]}\n  b: {<<: *a, z: null}\n");
  ASSERT_THAT(merged.resources, SizeIs(1)) << ToString(merged.problems);
  EXPECT_EQ(merged.resources[0].As<v1::KeptResource>()->spec().json(),
            R"({"a":{"v":1,"w":[true,"1"]},"b":{"v":1,"w":[true,"1"]}})");
}

}  // namespace
}  // namespace ripstop::api
