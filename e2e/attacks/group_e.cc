// SPDX-License-Identifier: Apache-2.0
//
// Group E: routes. What takes them away, and what must come of it.
#include <signal.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/base/netns.h"
#include "agent/base/testing/probe.h"
#include "e2e/attacks/shot.h"
#include "e2e/lab/live_flow.h"
#include "policy/status_macros.h"

namespace ripstop::attacks {
namespace {

using absl::StrCat;

absl::StatusOr<lab::LiveFlow> AliceToBob(Ground& ground, const Variant& v) {
  ASSIGN_OR_RETURN(lab::LiveFlow live,
                   lab::LiveFlow::Start(
                       ground.lab(), {kAlice, ground.Victim(v.path), "UDP", 7002, v.family}, {}));
  RETURN_IF_ERROR(live.WaitFor("connected").status());
  return live;
}

absl::StatusOr<int> Lost(const lab::LiveFlow& live) {
  RETURN_IF_ERROR(live.WaitForMore(50));
  ASSIGN_OR_RETURN(const auto end, live.Finish());
  return end.value("lost", -1);
}

// The control of whatever takes a route away: on the plain ground nobody brings it back.
absl::Status FlowDiesWithItsRoute(Ground& ground, const Variant& v) {
  ASSIGN_OR_RETURN(const lab::LiveFlow live, AliceToBob(ground, v));
  const std::string bob = ground.AddressText(ground.Victim(v.path), v.family);
  const std::string ip = StrCat("ip -", v.family, " route ");
  // Plain routes to local pods are of their addresses, others of nets.
  std::string gone = StrCat(ip, "add blackhole ", bob), back = StrCat(ip, "del blackhole ", bob);
  if (v.path == Path::kSame) {
    ASSIGN_OR_RETURN(const std::string link, ground.HostLink(ground.Victim(v.path)));
    gone = StrCat(ip, "del ", bob, " dev ", link);
    back = StrCat(ip, "add ", bob, " dev ", link);
  }
  RETURN_IF_ERROR(ground.Shell("node1", {gone}));
  const absl::Status cut = live.WaitFor("cut").status();
  RETURN_IF_ERROR(ground.Shell("node1", {back}));
  RETURN_IF_ERROR(cut);
  return live.WaitFor("restored").status();
}

// --- E1, E2: BIRD.

absl::StatusOr<lab::ProcessId> BirdOf(Ground& ground, const std::string& node) {
  for (const lab::ProcessId& process : lab::ProcessesInNetns(ground.lab().NetnsOf(node).value())) {
    std::ifstream file(StrCat("/proc/", process.pid, "/comm"));
    std::string name;
    if (std::getline(file, name) && name == "bird") return process;
  }
  return absl::NotFoundError(StrCat("no BIRD on ", node));
}

// Another BIRD than `old` runs on the node, and all its sessions are established.
absl::Status BirdIsBack(Ground& ground, const std::string& node, const lab::ProcessId& old) {
  std::string last;
  const bool back = Await([&] {
    const auto bird = BirdOf(ground, node);
    const auto status = ground.lab().AgentStatus(node);
    if (!bird.ok() || bird->pid == old.pid || !status.ok()) return false;
    // Past its recovery too: while it waits, the end of another BIRD is one fault too many.
    if (status->bgp().empty() || !status->ready()) return false;
    for (const auto& session : status->bgp()) {
      last = StrCat(session.peer_address(), " ", session.state());
      if (session.state() != "Established") return false;
    }
    return true;
  });
  return back ? absl::OkStatus() : absl::DeadlineExceededError(StrCat("BIRD is not back: ", last));
}

absl::Status EndBird(Ground& ground, const std::string& node, int signal) {
  ASSIGN_OR_RETURN(const lab::ProcessId bird, BirdOf(ground, node));
  RETURN_IF_ERROR(lab::Stop(bird, signal, absl::Seconds(30)));
  return BirdIsBack(ground, node, bird);
}

absl::StatusOr<Failed> OutlivesBird(Ground& ground, const Variant& v) {
  ASSIGN_OR_RETURN(const lab::LiveFlow live, AliceToBob(ground, v));
  for (const std::string& node : {std::string("node1"), ground.NodeOf(v.path)}) {
    RETURN_IF_ERROR(EndBird(ground, node, SIGKILL));
  }
  ASSIGN_OR_RETURN(const int lost, Lost(live));
  if (lost != 0) return absl::InternalError(StrCat(lost, " packets lost"));
  return Failed{"no packet lost, sessions are back", {}};
}

absl::StatusOr<Failed> RecoversFromEndedBird(Ground& ground, const Variant& v) {
  ASSIGN_OR_RETURN(const lab::LiveFlow live, AliceToBob(ground, v));
  const std::string node = ground.NodeOf(v.path);
  // Again while the first one's successor has hardly begun, then in order, which withdraws.
  ASSIGN_OR_RETURN(const lab::ProcessId first, BirdOf(ground, node));
  RETURN_IF_ERROR(lab::Stop(first, SIGKILL, absl::Seconds(30)));
  if (!Await([&] {
        const auto next = BirdOf(ground, node);
        return next.ok() && next->pid != first.pid;
      })) {
    return absl::InternalError("nobody starts BIRD again");
  }
  RETURN_IF_ERROR(EndBird(ground, node, SIGKILL));
  RETURN_IF_ERROR(EndBird(ground, node, SIGTERM));
  RETURN_IF_ERROR(live.WaitForMore(100));
  ASSIGN_OR_RETURN(const auto end, live.Finish());
  const int sent = end.value("sent", 0), lost = end.value("lost", 0);
  if (lost >= sent) return absl::InternalError("nothing passes any more");
  // Said for the worst variant alone: how long BIRD takes is not the row's to judge.
  if (v.path == Path::kVxlan && lost != 0) {
    return absl::InternalError(StrCat("VXLAN routes are the agent's, and ", lost, " were lost"));
  }
  return Failed{v.path == Path::kVxlan ? "no packet lost by VXLAN"
                                       : "recovers; native loses while BIRD was told to end",
                {}};
}

// --- E4: addresses that a pod asks for.

lab::Pod Claimant() {
  lab::Pod pod;
  pod.ns = "attack";
  pod.name = "claimant";
  pod.node = "node1";
  pod.labels = {{"app", "claimant"}};
  return pod;
}

// A host that does what it is asked routes alice's packets to mallory.
absl::Status ClaimIsBelieved(Ground& ground, const Variant& v) {
  ASSIGN_OR_RETURN(const std::string mallory, ground.HostLink(kMallory));
  ASSIGN_OR_RETURN(const std::string alice, ground.HostLink(kAlice));
  const std::string route =
      StrCat("ip -", v.family, " route replace ", ground.AddressText(kAlice, v.family), " dev ");
  RETURN_IF_ERROR(
      ground.Shell(kMallory, {StrCat("ip addr add ", ground.AddressText(kAlice, v.family),
                                     v.family == 4 ? "/32 dev eth0" : "/128 dev eth0 nodad")}));
  RETURN_IF_ERROR(ground.Shell("node1", {route + mallory}));
  const Bytes marker = Marker();
  const std::string bob = ground.Victim(v.path);
  ASSIGN_OR_RETURN(Arrived arrived, Captured(ground, kMallory, marker));
  ASSIGN_OR_RETURN(const Mac mac, ground.HostMac(bob));
  RETURN_IF_ERROR(SendPackets(ground, bob, "eth0", mac,
                              {Udp(ground.Address(bob, v.family), ground.Address(kAlice, v.family),
                                   40000, kOpenPort, marker)}));
  const bool stolen = Await(arrived);
  RETURN_IF_ERROR(ground.Shell("node1", {route + alice}));
  RETURN_IF_ERROR(
      ground.Shell(kMallory, {StrCat("ip addr del ", ground.AddressText(kAlice, v.family),
                                     v.family == 4 ? "/32 dev eth0" : "/128 dev eth0")}));
  return stolen ? absl::OkStatus() : absl::FailedPreconditionError("nothing came to mallory");
}

absl::StatusOr<Failed> ClaimIsRefused(Ground& ground, const Variant& v) {
  lab::Pod pod = Claimant();
  // One that is free is given: it is not the asking that is refused.
  RETURN_IF_ERROR(ground.lab().AddPod(pod));
  const std::string free = ground.AddressText(pod.key(), v.family);
  RETURN_IF_ERROR(ground.lab().RemovePod(pod.key()));
  pod.ips = {free};
  RETURN_IF_ERROR(ground.lab().AddPod(pod));
  const bool given = ground.AddressText(pod.key(), v.family) == free;
  RETURN_IF_ERROR(ground.lab().RemovePod(pod.key()));
  if (!given) return absl::InternalError("a free address is not given to who asks");
  const std::string bob = ground.Victim(v.path);
  for (const std::string& claim :
       {ground.AddressText(kAlice, v.family), ground.AddressText(bob, v.family),
        ground.AddressText("node1", v.family), ground.AddressText("node2", v.family),
        ground.AddressText(kOutside, v.family),
        std::string(v.family == 4 ? "127.0.0.1" : "fe80::1")}) {
    pod.ips = {claim};
    const bool refused = !ground.lab().AddPod(pod).ok();
    RETURN_IF_ERROR(ground.lab().RemovePod(pod.key()));
    if (!refused) return absl::InternalError(StrCat(claim, " was given"));
  }
  ASSIGN_OR_RETURN(const lab::LiveFlow live, AliceToBob(ground, v));
  RETURN_IF_ERROR(Lost(live).status());
  return Failed{"refused; alice keeps hers", {}};
}

// --- E6: no default route. A host that answers for the gateway by proxy ARP stops answering.

absl::Status ProxyArpEnds(Ground& ground, const Variant&) {
  const std::vector<std::string> pods = {kMallory, kAlice, "attack/bob1"};
  std::vector<std::string> begin, end;
  for (const std::string& pod : pods) {
    ASSIGN_OR_RETURN(const std::string link, ground.HostLink(pod));
    const std::string settings = StrCat("/proc/sys/net/ipv4/conf/", link, "/proxy_arp");
    // With its last address a link loses its routes.
    for (const std::string& line :
         {StrCat("ip addr del 169.254.1.1/32 dev ", link), StrCat("echo 1 >", settings),
          StrCat("echo 0 >/proc/sys/net/ipv4/neigh/", link, "/proxy_delay"),
          StrCat("ip route replace ", ground.AddressText(pod, 4), " dev ", link)}) {
      begin.push_back(line);
    }
    end.push_back(StrCat("ip addr add 169.254.1.1/32 dev ", link));
    end.push_back(StrCat("echo 0 >", settings));
  }
  const auto asks = [&]() -> absl::StatusOr<bool> {
    RETURN_IF_ERROR(ground.Shell(kAlice, {"ip neigh flush dev eth0"}));
    ASSIGN_OR_RETURN(
        auto results,
        lab::Measure(ground.lab(), {{kAlice, "attack/bob1", "TCP", 7001, 4}}, absl::Seconds(3)));
    return results[0].reached();
  };
  RETURN_IF_ERROR(ground.Shell("node1", begin));
  const auto before = asks();
  RETURN_IF_ERROR(ground.Shell("node1", {"ip route del default"}));
  const auto after = asks();
  RETURN_IF_ERROR(ground.Shell("node1", {"ip route add default via 192.0.2.1"}));
  RETURN_IF_ERROR(ground.Shell("node1", end));
  RETURN_IF_ERROR(before.status());
  RETURN_IF_ERROR(after.status());
  if (!*before) return absl::FailedPreconditionError("proxy ARP never worked");
  if (*after) return absl::FailedPreconditionError("it works without a default route too");
  return absl::OkStatus();
}

absl::StatusOr<Failed> WorksWithoutDefault(Ground& ground, const Variant& v) {
  ASSIGN_OR_RETURN(const lab::LiveFlow live, AliceToBob(ground, v));
  RETURN_IF_ERROR(ground.Shell("node1", {"ip route del default", "ip -6 route del default"}));
  std::vector<lab::Flow> flows = {{kAlice, ground.Victim(v.path), "TCP", 7001, v.family},
                                  {ground.Victim(v.path), kAlice, "TCP", 7001, v.family}};
  const auto results = lab::Measure(ground.lab(), flows, absl::Seconds(20));
  // A pod that comes meanwhile works as well.
  const absl::Status added = ground.lab().AddPod(Claimant());
  const absl::Status removed = added.ok() ? ground.lab().RemovePod(Claimant().key()) : added;
  RETURN_IF_ERROR(ground.Shell("node1", {"ip route add default via 192.0.2.1",
                                         "ip -6 route add default via 2001:db8:1::1"}));
  RETURN_IF_ERROR(results.status());
  RETURN_IF_ERROR(removed);
  for (const lab::FlowResult& result : *results) {
    if (!result.reached()) {
      return absl::InternalError(StrCat(result.flow.ToString(), ": ", result.result));
    }
  }
  ASSIGN_OR_RETURN(const int lost, Lost(live));
  if (lost != 0) return absl::InternalError(StrCat(lost, " packets lost"));
  return Failed{"pods work, no packet lost", {}};
}

// --- E8: others take away what is the agent's.

absl::StatusOr<Failed> RouteComesBack(Ground& ground, const Variant& v) {
  ASSIGN_OR_RETURN(const lab::LiveFlow live, AliceToBob(ground, v));
  const std::string bob = ground.AddressText(ground.Victim(v.path), v.family);
  const std::string ip = StrCat("ip -", v.family, " route ");
  // The prefix that leads there.
  ASSIGN_OR_RETURN(const std::string match, ground.Read("node1", StrCat(ip, "get fibmatch ", bob)));
  const std::string prefix = match.substr(0, match.find(' '));
  RETURN_IF_ERROR(ground.Shell("node1", {StrCat(ip, "del ", prefix)}));
  if (!Await([&] {
        const auto now = ground.Read("node1", StrCat(ip, "show exact ", prefix));
        return now.ok() && absl::StrContains(*now, " dev ");
      })) {
    return absl::InternalError(StrCat("the route of ", prefix, " did not come back"));
  }
  RETURN_IF_ERROR(live.WaitForMore(100));
  ASSIGN_OR_RETURN(const auto end, live.Finish());
  if (end.value("lost", 0) >= end.value("sent", 0)) return absl::InternalError("nothing passes");
  return Failed{"the route comes back", {}};
}

// --- E9: a packet that does not fit into the tunnel.

// What mallory's kernel knows of the path after a datagram of that size that must not be cut.
struct Sending {
  bool arrived = false;
  std::string path;  // as `ip route get` prints it
};

absl::StatusOr<Sending> SendWhole(Ground& ground, const Variant& v, size_t size,
                                  const std::function<bool(const Sending&)>& enough) {
  const std::string bob = ground.Victim(v.path), address = ground.AddressText(bob, v.family);
  Bytes payload = Marker();
  ASSIGN_OR_RETURN(Arrived arrived, Captured(ground, bob, payload));
  payload.resize(size, 'x');
  ASSIGN_OR_RETURN(const UniqueFd netns, agent::OpenNetns(ground.NetnsPath(kMallory)));
  UniqueFd socket;
  RETURN_IF_ERROR(
      agent::ProbeSocket(netns.get(), ground.AddressText(kMallory, v.family), 0, &socket));
  const int always = IPV6_PMTUDISC_DO;
  setsockopt(socket.get(), IPPROTO_IPV6, IPV6_MTU_DISCOVER, &always, sizeof(always));
  socklen_t length = 0;
  const sockaddr_storage to = agent::ProbeAddress(address, kOpenPort, &length);
  if (sendto(socket.get(), payload.data(), payload.size(), 0,
             reinterpret_cast<const sockaddr*>(&to), length) < 0) {
    return absl::ErrnoToStatus(errno, StrCat("a datagram of ", size, " bytes to ", address));
  }
  Sending sending;
  Await([&] {
    sending.arrived = arrived();
    sending.path =
        ground.Read(kMallory, StrCat("ip -", v.family, " route get ", address)).value_or("");
    return enough(sending);
  });
  return sending;
}

bool Arrives(const Sending& sending) { return sending.arrived; }

// Through a tunnel on a host that says nothing, big packets vanish.
absl::Status BigPacketsVanish(Ground& ground, const Variant& v) {
  const std::string address = ground.AddressText(ground.Victim(v.path), v.family);
  const std::string ip = StrCat("ip -", v.family, " route ");
  const std::string device = StrCat("vx", v.family);
  ASSIGN_OR_RETURN(const Mac mac, ground.MacOf("node3", device));
  std::string mac_text;
  for (uint8_t byte : mac) {
    mac_text += StrCat(mac_text.empty() ? "" : ":", absl::Hex(byte, absl::kZeroPad2));
  }
  const std::string far = ground.AddressText("node3", v.family);
  const char* drop =
      v.family == 4 ? "icmp type destination-unreachable" : "icmpv6 type packet-too-big";
  RETURN_IF_ERROR(ground.Shell(
      "node1", {StrCat("ip link set ", device, " mtu 1430"),
                StrCat("bridge fdb replace ", mac_text, " dev ", device, " dst ", far),
                StrCat("ip -", v.family, " neigh replace ", far, " lladdr ", mac_text, " dev ",
                       device, " nud permanent"),
                StrCat(ip, "add ", address, " via ", far, " dev ", device, " onlink"),
                StrCat("nft 'table inet silent { chain out { type filter hook output priority 0; ",
                       drop, " counter drop; }; }'")}));
  const auto small = SendWhole(ground, v, 100, Arrives);
  // The error was made, and is lost.
  const auto big = SendWhole(ground, v, 1440, [&](const Sending&) {
    const auto rules = ground.Read("node1", "nft list table inet silent");
    return rules.ok() && !absl::StrContains(*rules, "packets 0 ");
  });
  RETURN_IF_ERROR(ground.Shell(
      "node1", {"nft delete table inet silent", StrCat(ip, "del ", address, " dev ", device),
                StrCat("ip link set ", device, " mtu 1430")}));
  RETURN_IF_ERROR(small.status());
  RETURN_IF_ERROR(big.status());
  if (!small->arrived) return absl::FailedPreconditionError("the tunnel does not work");
  if (big->arrived || absl::StrContains(big->path, "mtu")) {
    return absl::FailedPreconditionError("big packets do not vanish");
  }
  return absl::OkStatus();
}

absl::StatusOr<Failed> BigPacketsAreAnswered(Ground& ground, const Variant& v) {
  // A pod that believes in the rack's MTU.
  ASSIGN_OR_RETURN(const std::string links, ground.Read(kMallory, "ip -j link show dev eth0"));
  const int mtu = nlohmann::json::parse(links)[0].at("mtu");
  ASSIGN_OR_RETURN(const std::string host, ground.HostLink(kMallory));
  RETURN_IF_ERROR(ground.Shell("node1", {StrCat("ip link set ", host, " mtu 1500")}));
  RETURN_IF_ERROR(ground.Shell(kMallory, {"ip link set eth0 mtu 1500"}));
  const auto big = SendWhole(ground, v, 1440, [](const Sending& sending) {
    return sending.arrived || absl::StrContains(sending.path, " mtu ");
  });
  const auto fits = SendWhole(ground, v, 1300, Arrives);
  RETURN_IF_ERROR(ground.Shell(kMallory, {StrCat("ip link set eth0 mtu ", mtu),
                                          StrCat("ip -", v.family, " route flush cache")}));
  RETURN_IF_ERROR(ground.Shell("node1", {StrCat("ip link set ", host, " mtu ", mtu)}));
  RETURN_IF_ERROR(big.status());
  RETURN_IF_ERROR(fits.status());
  if (big->arrived || !absl::StrContains(big->path, " mtu ")) {
    return absl::InternalError(StrCat("no MTU was learned: ", big->path));
  }
  if (!fits->arrived) return absl::InternalError("what fits does not pass");
  return Failed{"too big reaches the pod, and it learns the MTU", {}};
}

}  // namespace

std::vector<Attack> GroupE() {
  const std::vector<Variant> near = {
      {4, Path::kSame}, {4, Path::kNative}, {6, Path::kSame}, {6, Path::kNative}};
  const std::vector<Variant> tunnel = {{4, Path::kVxlan}, {6, Path::kVxlan}};
  return {
      {"E1", "BIRD is killed", Across(), FlowDiesWithItsRoute, OutlivesBird},
      {"E2", "BIRD is killed twice, and told to end", Across(), FlowDiesWithItsRoute,
       RecoversFromEndedBird},
      {"E4", "a pod asks for an address of somebody else", Everywhere(), ClaimIsBelieved,
       ClaimIsRefused},
      {"E6", "the node has no default route", near, ProxyArpEnds, WorksWithoutDefault},
      {"E8",
       "others delete routes, links, settings and programs",
       Everywhere(),
       FlowDiesWithItsRoute,
       RouteComesBack,
       {{"scenario_tampering_test", "Tampering.LinksAndSettingsArePutBack",
         "Tampering.LinksAndSettingsArePutBack"},
        {"scenario_tampering_test", "Tampering.DetachedProgramsArePutBackAndCounted",
         "Tampering.DetachedProgramsArePutBackAndCounted"}}},
      {"E9", "packets that do not fit into the tunnel", tunnel, BigPacketsVanish,
       BigPacketsAreAnswered},
  };
}

}  // namespace ripstop::attacks
