// SPDX-License-Identifier: Apache-2.0
//
// Group B: state. Fragments, errors, segments out of the blue, floods, and what outlives the
// verdict or the pod that it was given for.
#include <signal.h>

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "e2e/attacks/shot.h"
#include "e2e/lab/live_flow.h"
#include "policy/status_macros.h"

namespace ripstop::attacks {
namespace {

using absl::StrCat;

constexpr uint16_t kEcho = 7002;  // where bob's server answers datagrams

uint32_t NextId() {
  static uint32_t id = 20000;
  return ++id;
}

Bytes Filled(size_t size, const Bytes& marker) {
  Bytes out(size - marker.size(), 'x');
  Append(out, marker);
  return out;
}

// What mallory sends, and bob must not be given.
absl::StatusOr<Shot> AtBob(Ground& ground, const Variant& v, std::string name, std::string reason,
                           const Bytes& marker, Bytes packet, const std::string& counted_at) {
  const std::string bob = ground.Victim(v.path);
  ASSIGN_OR_RETURN(Arrived arrived, Captured(ground, bob, marker));
  ASSIGN_OR_RETURN(const Mac mac, ground.HostMac(kMallory));
  return Shot{std::move(name),
              std::move(reason),
              std::move(arrived),
              [&ground, mac, packet = std::move(packet)] {
                return SendPackets(ground, kMallory, "eth0", mac, {packet});
              },
              1,
              counted_at};
}

// --- B1, B2: fragments.

absl::StatusOr<std::vector<Shot>> FragmentsWithoutTheirFirst(Ground& ground, const Variant& v) {
  const Address from = ground.Address(kMallory, v.family),
                to = ground.Address(ground.Victim(v.path), v.family);
  const uint32_t id = NextId();
  const std::string there = ground.NodeOf(v.path);
  std::vector<Shot> shots;
  const auto add = [&](std::string name, std::string reason, const std::string& counted_at,
                       uint16_t offset) -> absl::Status {
    const Bytes marker = Marker();
    const Bytes body = offset != 0 ? Filled(24, marker)
                                   : UdpBody(from, to, 40000, kClosedPort, Filled(24, marker));
    ASSIGN_OR_RETURN(Shot shot,
                     AtBob(ground, v, std::move(name), std::move(reason), marker,
                           Fragment(from, to, kUdp, id, offset, offset != 64, body), counted_at));
    shots.push_back(std::move(shot));
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(add("a later fragment first", "fragment-unknown", "node1", 32));
  RETURN_IF_ERROR(add("the first, to a denied port", "policy-ingress", there, 0));
  // Where the sender's own policy admits the first, only the receiver's node knows better.
  RETURN_IF_ERROR(add("a later one of a denied first", "fragment-unknown", there, 64));
  return shots;
}

absl::StatusOr<std::vector<Shot>> FragmentsThatCutTheHeader(Ground& ground, const Variant& v) {
  const Address from = ground.Address(kMallory, v.family),
                to = ground.Address(ground.Victim(v.path), v.family);
  std::vector<Shot> shots;
  const Bytes tcp = TcpBody(from, to, 40000, kOpenPort, kSyn, 1, 0, {});
  const auto add = [&](std::string name, uint16_t offset, bool more, const Bytes& body,
                       const Bytes& marker) -> absl::Status {
    ASSIGN_OR_RETURN(Shot shot,
                     AtBob(ground, v, std::move(name), "fragment-overlap", marker,
                           Fragment(from, to, kTcp, NextId(), offset, more, body), "node1"));
    shots.push_back(std::move(shot));
    return absl::OkStatus();
  };
  // Its sixteen bytes are ports, numbers and length; the flags would come with the next.
  const Bytes tiny = Marker();
  RETURN_IF_ERROR(add("a first of 16 bytes", 0, true, tiny, tiny));
  Bytes marker = Marker();
  RETURN_IF_ERROR(add("one over the flags", 8, false, Filled(24, marker), marker));
  marker = Marker();
  RETURN_IF_ERROR(add("one over the checksum", 16, false, Filled(24, marker), marker));
  return shots;
}

// --- B3: a flood of fragments.

constexpr int kFragments = 100000;

// Fragments in the memory of a namespace: "FRAG: inuse N memory M".
absl::StatusOr<int> FragmentsHeld(Ground& ground, const std::string& pod, int family) {
  ASSIGN_OR_RETURN(const std::string text,
                   ground.Read(pod, family == 4 ? "grep FRAG: /proc/net/sockstat"
                                                : "grep FRAG6: /proc/net/sockstat6"));
  const std::vector<std::string> words = absl::StrSplit(text, ' ');
  int held = 0;
  if (words.size() < 3 || !absl::SimpleAtoi(words[2], &held)) return absl::DataLossError(text);
  return held;
}

absl::Status FloodWithFragments(Ground& ground, const Variant& v, uint16_t port) {
  const Address from = ground.Address(kMallory, v.family),
                to = ground.Address(ground.Victim(v.path), v.family);
  ASSIGN_OR_RETURN(const Mac mac, ground.HostMac(kMallory));
  const Bytes body = UdpBody(from, to, 40000, port, Bytes(16, 'x'));
  std::vector<Bytes> packets;
  packets.reserve(kFragments);
  // IPv4 has 65536 numbers; from two protocols' worth of them come all.
  for (int i = 0; i < kFragments; ++i) {
    packets.push_back(Fragment(from, to, kUdp, i, 0, true, body));
  }
  return SendPackets(ground, kMallory, "eth0", mac, packets);
}

absl::Status FloodFillsBob(Ground& ground, const Variant& v) {
  RETURN_IF_ERROR(FloodWithFragments(ground, v, kClosedPort));
  absl::StatusOr<int> held = 0;
  if (Await([&] {
        held = FragmentsHeld(ground, ground.Victim(v.path), v.family);
        return !held.ok() || *held > 1000;
      })) {
    return held.status();
  }
  return absl::FailedPreconditionError(StrCat("bob holds only ", *held, " fragments"));
}

// A datagram of alice in two pieces, to bob's open port.
absl::Status PiecesArrive(Ground& ground, const Variant& v) {
  const std::string bob = ground.Victim(v.path);
  const Address from = ground.Address(kAlice, v.family), to = ground.Address(bob, v.family);
  const Bytes marker = Marker();
  ASSIGN_OR_RETURN(Arrived arrived, Delivered(ground, bob, "", 7010, marker));
  const Bytes udp = UdpBody(from, to, 40000, 7010, Filled(64, marker));
  const uint32_t id = NextId();
  ASSIGN_OR_RETURN(const Mac mac, ground.HostMac(kAlice));
  RETURN_IF_ERROR(
      SendPackets(ground, kAlice, "eth0", mac,
                  {Fragment(from, to, kUdp, id, 0, true, Bytes(udp.begin(), udp.begin() + 32)),
                   Fragment(from, to, kUdp, id, 32, false, Bytes(udp.begin() + 32, udp.end()))}));
  if (Await(arrived)) return absl::OkStatus();
  return absl::InternalError("alice's datagram in two pieces did not arrive");
}

absl::StatusOr<Failed> FloodCostsNobody(Ground& ground, const Variant& v) {
  const std::string bob = ground.Victim(v.path);
  ASSIGN_OR_RETURN(const lab::LiveFlow live,
                   lab::LiveFlow::Start(ground.lab(), {kAlice, bob, "UDP", kEcho, v.family}, {}));
  RETURN_IF_ERROR(live.WaitFor("connected").status());
  ASSIGN_OR_RETURN(const Ground::Drops before, ground.DropsNow());
  const std::pair<std::string, std::string> denied = {ground.NodeOf(v.path), "policy-ingress"};
  RETURN_IF_ERROR(FloodWithFragments(ground, v, kClosedPort));
  Ground::Drops expected = before, after;
  expected[denied] += kFragments;
  absl::Status asked;
  Await([&] {
    auto now = ground.DropsNow();
    asked = now.status();
    if (now.ok()) after = *std::move(now);
    return !asked.ok() || after[denied] >= expected[denied];
  });
  RETURN_IF_ERROR(asked);
  if (after != expected) {
    return absl::InternalError(StrCat("of ", kFragments, " fragments ",
                                      after[denied] - expected[denied] + kFragments,
                                      " were counted as policy-ingress"));
  }
  ASSIGN_OR_RETURN(const int held, FragmentsHeld(ground, bob, v.family));
  if (held != 0) return absl::InternalError(StrCat("bob holds ", held, " fragments"));
  RETURN_IF_ERROR(PiecesArrive(ground, v));
  // And to a port that bob opens: his memory is then his to bound, other packets are not hurt.
  RETURN_IF_ERROR(FloodWithFragments(ground, v, kOpenPort));
  RETURN_IF_ERROR(live.WaitForMore(50));
  ASSIGN_OR_RETURN(const auto end, live.Finish());
  if (end.value("lost", -1) != 0) {
    return absl::InternalError(StrCat("alice's flow lost packets: ", end.dump()));
  }
  return Failed{"dropped: policy-ingress; alice loses nothing", {{"fragments", "policy-ingress"}}};
}

// --- B4: errors about packets that nobody sent, and about one that somebody did.

constexpr uint16_t kNarrow = 1300;
constexpr uint16_t kAsking = 41000;

// "fragmentation needed" (RFC 1191) or "packet too big" (RFC 4443 section 3.2).
Bytes TooBig(const Address& from, const Address& to, const Bytes& quoted) {
  const bool v4 = from.is_v4();
  Bytes rest = {0, 0, uint8_t(kNarrow >> 8), uint8_t(kNarrow & 0xff)};
  Append(rest, quoted);
  return Icmp(from, to, v4 ? 3 : 2, v4 ? 4 : 0, rest);
}

Arrived PathIsNarrow(Ground& ground, const Variant& v) {
  return Printed(ground, ground.Victim(v.path),
                 StrCat("ip route get ", ground.AddressText(kMallory, v.family)),
                 StrCat("mtu ", kNarrow));
}

absl::Status ForgetPaths(Ground& ground, const Variant& v) {
  return ground.Shell(ground.Victim(v.path), {"ip route flush cache", "ip -6 route flush cache"});
}

absl::StatusOr<std::vector<Shot>> ForgedErrors(Ground& ground, const Variant& v) {
  const Address mallory = ground.Address(kMallory, v.family),
                bob = ground.Address(ground.Victim(v.path), v.family);
  RETURN_IF_ERROR(ForgetPaths(ground, v));
  // An echo reply that bob never sent: his kernel believes it without asking a socket.
  const Bytes quoted = Icmp(bob, mallory, v.family == 4 ? 0 : 129, 0, {0, 9, 0, 9, 1, 2, 3, 4});
  ASSIGN_OR_RETURN(Shot shot, AtBob(ground, v, "too big, of no packet", "icmp-unrelated", {},
                                    TooBig(mallory, bob, quoted), "node1"));
  shot.arrived = PathIsNarrow(ground, v);
  return std::vector<Shot>{std::move(shot)};
}

absl::Status RealErrorIsHeard(Ground& ground, const Variant& v) {
  RETURN_IF_ERROR(ForgetPaths(ground, v));
  const Address mallory = ground.Address(kMallory, v.family),
                bob = ground.Address(ground.Victim(v.path), v.family);
  ASSIGN_OR_RETURN(const Mac mac, ground.HostMac(kMallory));
  const Bytes marker = Marker();
  // bob's server answers with what it was sent.
  ASSIGN_OR_RETURN(Arrived answered, Captured(ground, kMallory, marker));
  RETURN_IF_ERROR(
      SendPackets(ground, kMallory, "eth0", mac, {Udp(mallory, bob, kAsking, kEcho, marker)}));
  if (!Await(answered)) return absl::InternalError("bob does not answer");
  RETURN_IF_ERROR(
      SendPackets(ground, kMallory, "eth0", mac,
                  {TooBig(mallory, bob, Udp(bob, mallory, kEcho, kAsking, Bytes(32, 'x')))}));
  if (!Await(PathIsNarrow(ground, v))) return absl::InternalError("a real error was not heard");
  return ForgetPaths(ground, v);
}

// The shots, and on both grounds besides what must pass.
Attack WithHonest(Attack attack, std::function<absl::Status(Ground&, const Variant&)> honest,
                  std::string passes) {
  const auto control = attack.control;
  attack.control = [=](Ground& ground, const Variant& v) -> absl::Status {
    RETURN_IF_ERROR(control(ground, v));
    return honest(ground, v);
  };
  const auto defence = attack.defence;
  attack.defence = [=](Ground& ground, const Variant& v) -> absl::StatusOr<Failed> {
    ASSIGN_OR_RETURN(Failed failed, defence(ground, v));
    RETURN_IF_ERROR(honest(ground, v));
    failed.how += "; " + passes;
    return failed;
  };
  return attack;
}

// --- B6: segments of connections that there are not.

absl::StatusOr<std::vector<Shot>> StraySegments(Ground& ground, const Variant& v) {
  const Address from = ground.Address(kMallory, v.family),
                to = ground.Address(ground.Victim(v.path), v.family);
  struct Kind {
    const char* name;
    uint8_t flags;
    const char* reason;
  };
  std::vector<Shot> shots;
  for (const Kind& kind :
       {Kind{"ACK", kAck, "no-flow"}, Kind{"SYN ACK", kSyn | kAck, "no-flow"},
        Kind{"FIN ACK", kFin | kAck, "no-flow"}, Kind{"RST", kRst, "no-flow"},
        Kind{"SYN FIN", kSyn | kFin, "bad-tcp-flags"}, Kind{"no flag", 0, "bad-tcp-flags"}}) {
    const Bytes marker = Marker();
    ASSIGN_OR_RETURN(
        Shot shot, AtBob(ground, v, kind.name, kind.reason, marker,
                         Tcp(from, to, 40001, kOpenPort, kind.flags, 1000, 2000, marker), "node1"));
    shots.push_back(std::move(shot));
  }
  return shots;
}

// --- B9: what was allowed when it began.

constexpr char kDenyAlice[] = R"(
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: deny-alice, namespace: attack}
spec:
  order: 1
  selector: app == 'bob'
  types: [Ingress]
  ingress:
  - {action: Deny, source: {selector: app == 'alice'}}
)";

absl::Status StreamGoesOn(Ground& ground, const Variant& v) {
  for (const char* protocol : {"TCP", "UDP"}) {
    const uint16_t port = *protocol == 'T' ? 7001 : kEcho;
    ASSIGN_OR_RETURN(
        const lab::LiveFlow live,
        lab::LiveFlow::Start(ground.lab(),
                             {kAlice, ground.Victim(v.path), protocol, port, v.family}, {}));
    RETURN_IF_ERROR(live.WaitFor("connected").status());
    RETURN_IF_ERROR(live.WaitForMore(100));
    ASSIGN_OR_RETURN(const auto end, live.Finish());
    if (end.value("cut", true)) return absl::FailedPreconditionError("it was cut by itself");
  }
  return absl::OkStatus();
}

// What was dropped meanwhile for other reasons; "": nothing.
absl::StatusOr<std::string> CutStream(Ground& ground, const Variant& v, const char* protocol) {
  const uint16_t port = *protocol == 'T' ? 7001 : kEcho;
  ASSIGN_OR_RETURN(
      const lab::LiveFlow live,
      lab::LiveFlow::Start(ground.lab(), {kAlice, ground.Victim(v.path), protocol, port, v.family},
                           {}));
  RETURN_IF_ERROR(live.WaitFor("connected").status());
  ASSIGN_OR_RETURN(Ground::Drops before, ground.DropsNow());
  RETURN_IF_ERROR(ground.lab().Apply(kDenyAlice));
  const absl::Status cut = live.WaitFor("cut").status();
  absl::StatusOr<Ground::Drops> after = ground.DropsNow();
  RETURN_IF_ERROR(ground.lab().Delete(kDenyAlice));
  RETURN_IF_ERROR(cut);
  RETURN_IF_ERROR(after.status());
  RETURN_IF_ERROR(live.WaitFor("restored").status());
  const std::pair<std::string, std::string> denied = {ground.NodeOf(v.path), "policy-ingress"};
  if ((*after)[denied] <= before[denied]) {
    return absl::InternalError(StrCat(protocol, ": cut, and not counted as policy-ingress"));
  }
  (*after)[denied] = before[denied];
  std::string others;
  for (const auto& [place, packets] : *after) {
    if (packets != before[place]) absl::StrAppend(&others, " ", place.second, " at ", place.first);
  }
  return others;
}

absl::StatusOr<Failed> StreamIsCut(Ground& ground, const Variant& v) {
  for (const char* protocol : {"TCP", "UDP"}) {
    // On a slow machine something of an earlier row may still be on its way; the stream's own
    // packets would be dropped for another reason each time.
    std::string others = "?";
    for (int i = 0; i < 3 && !others.empty(); ++i) {
      ASSIGN_OR_RETURN(others, CutStream(ground, v, protocol));
    }
    if (!others.empty())
      return absl::InternalError(StrCat(protocol, ": other reasons rose too:", others));
  }
  return Failed{"cut: policy-ingress", {{"a stream", "policy-ingress"}}};
}

// --- B10: an address whose next holder is another.

constexpr char kDave[] = R"(
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: dave, namespace: attack}
spec: {podSelector: {matchLabels: {app: dave}}, policyTypes: [Ingress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: erin, namespace: attack}
spec:
  podSelector: {matchLabels: {app: erin}}
  policyTypes: [Ingress]
  ingress: [{from: [{podSelector: {matchLabels: {app: carol}}}]}]
)";

// carol was asked and answered; dave has her address the moment she is gone. The shots: the
// flow to her goes on, and what only she may ask is asked by dave of erin, on his node.
absl::StatusOr<std::vector<Shot>> NextHolder(Ground& ground, const Variant& v) {
  if (ground.guarded()) RETURN_IF_ERROR(ground.lab().Apply(kDave));
  const std::string node = ground.NodeOf(v.path);
  const std::vector<lab::Port> ports = {{"echo", kEcho, "UDP"}};
  lab::Pod carol{"carol", "attack", node, "", {{"app", "carol"}}, ports};
  lab::Pod dave{"dave", "attack", node, "", {{"app", "dave"}}, ports};
  lab::Pod erin{"erin", "attack", node, "", {{"app", "erin"}}, ports};
  RETURN_IF_ERROR(ground.lab().AddPod(carol));
  RETURN_IF_ERROR(ground.lab().AddPod(erin));
  const Address mallory = ground.Address(kMallory, v.family),
                held = ground.Address(carol.key(), v.family),
                asked = ground.Address(erin.key(), v.family);
  ASSIGN_OR_RETURN(const Mac mac, ground.HostMac(kMallory));
  const auto converse = [&](const std::string& from, const Address& source, const Address& to,
                            const Mac& by) -> absl::Status {
    const Bytes marker = Marker();
    ASSIGN_OR_RETURN(Arrived answered, Captured(ground, from, marker));
    const Bytes packet = Udp(source, to, kAsking, kEcho, marker);
    // Until routes to a new pod are there.
    if (Await([&] { return SendPackets(ground, from, "eth0", by, {packet}).ok() && answered(); })) {
      return absl::OkStatus();
    }
    return absl::InternalError(StrCat(from, " is not answered"));
  };
  RETURN_IF_ERROR(converse(kMallory, mallory, held, mac));
  {
    ASSIGN_OR_RETURN(const Mac by, ground.HostMac(carol.key()));
    RETURN_IF_ERROR(converse(carol.key(), held, asked, by));
  }
  for (int family : {4, 6}) dave.ips.push_back(ground.AddressText(carol.key(), family));
  RETURN_IF_ERROR(ground.lab().RemovePod(carol.key()));
  RETURN_IF_ERROR(ground.lab().AddPod(dave));
  if (ground.AddressText(dave.key(), v.family) != dave.ips[v.family == 6]) {
    return absl::InternalError("dave has another address");
  }
  std::vector<Shot> shots;
  Bytes marker = Marker();
  ASSIGN_OR_RETURN(Arrived at_dave, Captured(ground, dave.key(), marker));
  const Bytes goes_on = Udp(mallory, held, kAsking, kEcho, marker);
  shots.push_back(
      {"an old flow", "policy-ingress", at_dave,
       [&ground, mac, goes_on] { return SendPackets(ground, kMallory, "eth0", mac, {goes_on}); }, 1,
       node});
  marker = Marker();
  ASSIGN_OR_RETURN(const Mac by, ground.HostMac(dave.key()));
  ASSIGN_OR_RETURN(Arrived at_erin, Captured(ground, erin.key(), marker));
  const Bytes as_carol = Udp(held, asked, kAsking, kEcho, marker);
  shots.push_back({"an old identity", "policy-ingress", at_erin,
                   [&ground, by, as_carol, key = dave.key()] {
                     return SendPackets(ground, key, "eth0", by, {as_carol});
                   },
                   1, node});
  return shots;
}

Attack ReusedAddress() {
  Attack attack =
      Shots("B10", "an address is reused the moment its pod is gone", Everywhere(), NextHolder);
  const auto clear = [](Ground& ground) -> absl::Status {
    for (const char* pod : {"attack/carol", "attack/dave", "attack/erin"}) {
      if (!ground.lab().state().pods.contains(pod)) continue;
      RETURN_IF_ERROR(ground.lab().RemovePod(pod));
    }
    return absl::OkStatus();
  };
  const auto control = attack.control;
  attack.control = [=](Ground& ground, const Variant& v) -> absl::Status {
    const absl::Status status = control(ground, v);
    RETURN_IF_ERROR(clear(ground));
    return status;
  };
  const auto defence = attack.defence;
  attack.defence = [=](Ground& ground, const Variant& v) -> absl::StatusOr<Failed> {
    auto how = defence(ground, v);
    RETURN_IF_ERROR(clear(ground));
    return how;
  };
  return attack;
}

}  // namespace

std::vector<Attack> GroupB() {
  Attack stray =
      Shots("B6", "segments of no connection, resets of a live one", Everywhere(), StraySegments);
  stray.commands = {{"loader_packet_test",
                     "FlowTest.ResetsAndFinsOfNumbersThatTheirSenderIsNotAtShortenNothing",
                     "FlowTest.AResetOnlyShortensTheFlowUntilItGoesOn"}};
  return {
      Shots("B1", "later fragments without an admitted first", Everywhere(),
            FragmentsWithoutTheirFirst),
      Shots("B2", "fragments that cut or overwrite the header", Everywhere(),
            FragmentsThatCutTheHeader),
      {"B3", "a flood of 100,000 fragments", Everywhere(), FloodFillsBob, FloodCostsNobody},
      WithHonest(
          Shots("B4", "ICMP errors about packets that nobody sent", Everywhere(), ForgedErrors),
          RealErrorIsHeard, "a real one is heard"),
      std::move(stray),
      {"B7",
       "a flood of new flows from one pod",
       {},
       {},
       {},
       {{"dataplane_flood_test", "*NeitherTakesTheAnswersOfOtherPodsNorTheirRoom*",
         "*ControlWithoutLimitsTheTableIsFull*"}}},
      {"B9", "a stream goes on after its policy says no", Everywhere(), StreamGoesOn, StreamIsCut},
      ReusedAddress(),
      {"B11",
       "the table of flows is full",
       {},
       {},
       {},
       {{"loader_packet_test",
         "FlowTest.WhenNoneOfTheLatestCanMakeRoomTheNewOneIsDenied:"
         "FlowTest.APodHasNoMoreFlowsThanItsShare:FlowTest.FlowsThatFindTheTableFull*",
         "FlowTest.AnUnansweredFlowMakesRoomForALaterOneOfItsPodAndOfNoOther"}}},
  };
}

}  // namespace ripstop::attacks
