// SPDX-License-Identifier: Apache-2.0
//
// Group C: policy that could be read two ways. On the plain ground there is none, and what is
// sent arrives.
#include "absl/strings/str_cat.h"
#include "e2e/attacks/shot.h"
#include "policy/status_macros.h"

namespace ripstop::attacks {
namespace {

using absl::StrCat;

constexpr uint16_t kProbe = 7050;  // open by bob's policy

absl::StatusOr<Shot> Datagram(Ground& ground, const Variant& v, const std::string& from,
                              const std::string& to, std::string name) {
  const Bytes marker = Marker();
  ASSIGN_OR_RETURN(Arrived arrived, Captured(ground, to, marker));
  ASSIGN_OR_RETURN(const Mac mac, ground.HostMac(from));
  static uint16_t port = 20000;  // a flow of its own
  const Bytes packet =
      Udp(ground.Address(from, v.family), ground.Address(to, v.family), ++port, kProbe, marker);
  return Shot{
      std::move(name),
      "policy-ingress",
      std::move(arrived),
      [&ground, from, mac, packet] { return SendPackets(ground, from, "eth0", mac, {packet}); },
      1,
      ground.NodeOf(v.path)};
}

// Fires new flows until one is denied, or until one passes: an edit is in force some time after
// the command has returned.
absl::Status Until(Ground& ground, const Variant& v, const std::string& from, const std::string& to,
                   bool denied) {
  ASSIGN_OR_RETURN(const Ground::Drops before, ground.DropsNow());
  absl::Status status;
  bool reached = false;
  Await([&] {
    const auto shot = Datagram(ground, v, from, to, "");
    status = shot.ok() ? shot->fire() : shot.status();
    if (!status.ok()) return true;
    bool arrived = false, counted = false;
    Await([&] {
      const auto now = ground.DropsNow();
      status = now.status();
      arrived = shot->arrived();
      counted = now.ok() && *now != before;
      return !status.ok() || arrived || counted;
    });
    reached = denied ? counted && !arrived : arrived;
    return reached || !status.ok();
  });
  RETURN_IF_ERROR(status);
  if (reached) return absl::OkStatus();
  return absl::DeadlineExceededError(
      StrCat(from, " to ", to, " is not ", denied ? "denied" : "allowed"));
}

// --- C2, C3: what policies say of mallory, as text with her address in it.

struct Case {
  std::string name;
  std::string documents;
  bool denied = true;
};

std::string BobPolicy(const std::string& name, int order, const std::string& rules,
                      const std::string& tier = "default") {
  return StrCat("---\napiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: ",
                tier == "default" ? "" : tier + ".", name,
                ", namespace: attack}\nspec: {tier: ", tier, ", order: ", order,
                ", selector: \"app == 'bob'\", types: [Ingress], ingress: [", rules, "]}\n");
}

absl::StatusOr<std::string> AsJson(Ground& ground, const std::string& documents) {
  RETURN_IF_ERROR(ground.lab().Apply(documents));
  std::string json;
  ASSIGN_OR_RETURN(const lab::Output listed,
                   ground.lab().Ctl({"get", "networkpolicy", "-n", "attack", "-o", "json"}));
  if (listed.exit_code != 0) return absl::InternalError(listed.err);
  return listed.out;
}

absl::StatusOr<Failed> TryCases(Ground& ground, const Variant& v, const std::vector<Case>& cases,
                                bool round_trip) {
  const std::string bob = ground.Victim(v.path);
  Failed failed{"dropped: policy-ingress", {}};
  for (const Case& one : cases) {
    RETURN_IF_ERROR(ground.lab().Apply(one.documents));
    const auto judge = [&]() -> absl::Status {
      // An allow is known to be in force by a deny behind it that is not.
      RETURN_IF_ERROR(Until(ground, v, kMallory, bob, one.denied));
      ASSIGN_OR_RETURN(const Shot shot, Datagram(ground, v, kMallory, bob, one.name));
      return one.denied ? MustBeDropped(ground, shot) : MustArrive(shot);
    };
    absl::Status status = judge();
    if (status.ok() && round_trip) {
      // Read back in the other form, written again: it says the same.
      const auto json = AsJson(ground, one.documents);
      status = json.status();
      if (status.ok()) status = ground.lab().Apply(*json);
      if (status.ok()) status = judge();
    }
    RETURN_IF_ERROR(ground.lab().Delete(one.documents));
    if (!status.ok()) return absl::InternalError(StrCat(one.name, ": ", status.message()));
    RETURN_IF_ERROR(Until(ground, v, kMallory, bob, false));
    if (one.denied) failed.reasons[one.name] = "policy-ingress";
  }
  return failed;
}

absl::StatusOr<Failed> OverlappingCidrs(Ground& ground, const Variant& v) {
  const std::string own = ground.AddressText(kMallory, v.family);
  const std::string net = v.family == 4 ? "10.65.0.0/16" : "fd00:10:65::/48";
  const auto rule = [](const char* action, const std::string& from) {
    return StrCat("{action: ", action, ", source: {nets: [\"", from, "\"]}}");
  };
  const std::string tier =
      "---\napiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: first}\n"
      "spec: {order: 1, defaultAction: Pass}\n";
  return TryCases(
      ground, v,
      {{"deny of an address before allow of its net",
        StrCat(BobPolicy("one", 1, rule("Deny", own)), BobPolicy("two", 2, rule("Allow", net)))},
       {"deny of a net before allow of an address in it",
        StrCat(BobPolicy("one", 1, rule("Deny", net)), BobPolicy("two", 2, rule("Allow", own)))},
       {"two rules of one policy",
        BobPolicy("one", 1, StrCat(rule("Deny", own), ", ", rule("Allow", net)))},
       {"deny of an earlier tier", StrCat(tier, BobPolicy("one", 9, rule("Deny", own), "first"),
                                          BobPolicy("two", 1, rule("Allow", own)))},
       {"allow of an address before deny of its net",
        StrCat(BobPolicy("one", 1, rule("Allow", own)), BobPolicy("two", 2, rule("Deny", net))),
        false}},
      false);
}

absl::StatusOr<Failed> MatchesNothing(Ground& ground, const Variant& v) {
  // Each allows nobody; the deny behind it is everybody's.
  const auto only = [](const std::string& source) {
    return BobPolicy("one", 1, StrCat("{action: Allow, source: ", source, "}, {action: Deny}"));
  };
  return TryCases(
      ground, v,
      {{"a selector that nobody has", only("{selector: \"app == 'nobody'\"}")},
       {"a namespace selector that none has", only("{namespaceSelector: \"team == 'none'\"}")},
       {"no net of a list", only("{nets: [\"203.0.113.7/32\"]}")},
       {"a network set without nets",
        StrCat("---\napiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: "
               "void, labels: {set: void}}\nspec: {nets: []}\n",
               only("{selector: \"set == 'void'\"}"))},
       {"a selector that she has", only("{selector: \"app == 'mallory'\"}"), false}},
      true);
}

// The policy's absence is the control: what it must stop arrives.
absl::Status WithoutPolicy(Ground& ground, const Variant& v) {
  ASSIGN_OR_RETURN(const Shot shot,
                   Datagram(ground, v, kMallory, ground.Victim(v.path), "datagram"));
  return MustArrive(shot);
}

// --- C5: labels that a pod gives itself.

absl::Status EnsurePod(Ground& ground, const std::string& ns, const std::string& name,
                       const std::string& node, std::map<std::string, std::string> labels) {
  if (ground.lab().state().pods.contains(ns + "/" + name)) return absl::OkStatus();
  lab::Pod pod;
  pod.ns = ns;
  pod.name = name;
  pod.node = node;
  pod.labels = std::move(labels);
  return ground.lab().AddPod(pod);
}

constexpr char kTrust[] = R"yaml(
apiVersion: v1
kind: Namespace
metadata: {name: trusted, labels: {team: trusted, kubernetes.io/metadata.name: trusted}}
---
apiVersion: v1
kind: Namespace
metadata: {name: stranger, labels: {kubernetes.io/metadata.name: stranger}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: trent, namespace: attack}
spec:
  podSelector: {matchLabels: {app: trent}}
  policyTypes: [Ingress]
  ingress:
  - from: [{namespaceSelector: {matchLabels: {team: trusted}}}]
  - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: trusted}}}]
  - from: [{podSelector: {matchExpressions: [{key: guest, operator: DoesNotExist}]}}]
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: trent, namespace: attack}
spec:
  selector: app == 'trent'
  types: [Ingress]
  ingress:
  - {action: Allow, source: {namespaceSelector: "team == 'trusted'"}}
  - {action: Allow, source: {namespaceSelector: "projectcalico.org/name == 'trusted'"}}
  - {action: Allow, source: {selector: "!has(guest)"}}
)yaml";

// eve is a guest of bob's own namespace and says that hers is the trusted one; mel, a
// stranger, has none of the labels that guests have.
absl::StatusOr<std::vector<Shot>> ReservedLabels(Ground& ground, const Variant& v) {
  const std::string node = ground.NodeOf(v.path);
  const std::string trent = StrCat("trent-", node);
  if (ground.guarded()) RETURN_IF_ERROR(ground.lab().Apply(kTrust));
  RETURN_IF_ERROR(EnsurePod(ground, "attack", trent, node, {{"app", "trent"}}));
  std::map<std::string, std::string> lies = {{"guest", "yes"},
                                             {"team", "trusted"},
                                             {"pcns.team", "trusted"},
                                             {"projectcalico.org/namespace", "trusted"},
                                             {"projectcalico.org/name", "trusted"},
                                             {"pcns.projectcalico.org/name", "trusted"},
                                             {"kubernetes.io/metadata.name", "trusted"}};
  RETURN_IF_ERROR(EnsurePod(ground, "attack", "eve", "node1", lies));
  RETURN_IF_ERROR(EnsurePod(ground, "stranger", "mel", "node1", {{"app", "mel"}}));
  RETURN_IF_ERROR(EnsurePod(ground, "trusted", "olga", "node1", {{"guest", "yes"}}));
  const std::string target = "attack/" + trent;
  // Both ways in are open to whom they are for, and known everywhere.
  RETURN_IF_ERROR(Until(ground, v, "trusted/olga", target, false));
  RETURN_IF_ERROR(Until(ground, v, kMallory, target, false));
  if (ground.guarded()) {
    RETURN_IF_ERROR(Until(ground, v, "attack/eve", target, true));
    RETURN_IF_ERROR(Until(ground, v, "stranger/mel", target, true));
  }
  ASSIGN_OR_RETURN(Shot eve, Datagram(ground, v, "attack/eve", target, "labels of a namespace"));
  ASSIGN_OR_RETURN(Shot mel, Datagram(ground, v, "stranger/mel", target, "the lack of a label"));
  return std::vector<Shot>{std::move(eve), std::move(mel)};
}

}  // namespace

std::vector<Attack> GroupC() {
  return {
      {"C1",
       "random policies: programs, tables and reference agree",
       {},
       {},
       {},
       {{"loader_kernel_property_test", "*ReferenceTablesAndProgramsAgree", "*Control*"}}},
      {"C2", "an allow that overlaps a deny", Everywhere(), WithoutPolicy, OverlappingCidrs},
      {"C3",
       "what matches nothing, read as everything",
       Everywhere(),
       WithoutPolicy,
       MatchesNothing,
       {{"policy_reference_test", "ReferenceTest.EmptyListsThatArePresentMatchNothing",
         "ReferenceTest.EmptyListsThatArePresentMatchNothing"},
        {"codec_test", "WriterTest.YamlAndJsonRoundTripEveryAwkwardString",
         "WriterTest.YamlAndJsonRoundTripEveryAwkwardString"}}},
      {"C4",
       "70,000 rules, extreme and equal orders",
       {},
       {},
       {},
       {{"policy_many_rules_test", "*", "*TheFirstThatMatchesDecidesBeyondSixteenBits"}}},
      Shots("C5", "a pod with labels of another namespace, or with none", Everywhere(),
            ReservedLabels),
      {"C6",
       "tables of policy and identities are full",
       {},
       {},
       {},
       {{"policy_engine_test", "TinyTables.WhatDoesNotFit*:FullArena.CidrsThatDoNotFit*",
         "BitVectorsTest.ASetTooLargeForADenseTableIsShown*"},
        {"loader_packet_test",
         "PacketTest.UnreadablePolicyDenies:PacketTest.AnAddressWhoseCidrCannotBeToldIsDenied:"
         "PacketTest.WithoutTablesInForceNothingPasses",
         "PacketTest.AllowedSynIsDeliveredAndNamesBothRules"}}},
      {"C8", "the same verdict by every path and in both families"},
  };
}

}  // namespace ripstop::attacks
