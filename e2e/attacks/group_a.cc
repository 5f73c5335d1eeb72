// SPDX-License-Identifier: Apache-2.0
//
// Group A: forged packets. What a pod, or an outsider of the rack, claims to be.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "e2e/attacks/shot.h"
#include "policy/status_macros.h"

namespace ripstop::attacks {
namespace {

using absl::StrCat;

constexpr Mac kEvilMac = {2, 0x66, 0x66, 0x66, 0x66, 0x66};

// Of a socket on a node: of two that share one, only the last is given datagrams.
uint16_t NextPort() {
  static uint16_t port = 9000;
  return ++port;
}

Address Parse(const std::string& text) { return *Address::Parse(text); }

Bytes Octets(const Address& address) {
  return Bytes(address.bytes.begin() + (address.is_v4() ? 12 : 0), address.bytes.end());
}

// A MAC that no other shot of this process claims to have.
Mac NextMac() {
  static uint8_t count = 0;
  Mac mac = kEvilMac;
  mac[5] = ++count;
  return mac;
}

std::string Text(const Mac& mac) {
  return absl::StrFormat("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
                         mac[5]);
}

// Fires packets out of mallory, to her node's MAC unless told.
absl::StatusOr<std::function<absl::Status()>> FromMallory(Ground& ground,
                                                          std::vector<Bytes> packets) {
  ASSIGN_OR_RETURN(const Mac mac, ground.HostMac(kMallory));
  return [&ground, mac, packets = std::move(packets)] {
    return SendPackets(ground, kMallory, "eth0", mac, packets);
  };
}

// One packet with a marker out of mallory, and where it must not come.
absl::StatusOr<Shot> Packet(Ground& ground, std::string name, std::string reason,
                            absl::StatusOr<Arrived> arrived, Bytes packet) {
  RETURN_IF_ERROR(arrived.status());
  ASSIGN_OR_RETURN(auto fire, FromMallory(ground, {std::move(packet)}));
  return Shot{std::move(name), std::move(reason), *std::move(arrived), std::move(fire)};
}

// --- A1: neighbour discovery. A router advertisement for a prefix of its own, a forged
// solicitation, and what a forwarding node does not obey and must not be given either.

Bytes LinkLayerOption(uint8_t type, const Mac& mac) {
  Bytes option = {type, 1};
  option.insert(option.end(), mac.begin(), mac.end());
  return option;
}

// RFC 4861 section 4.2, with a prefix that is on-link and autonomous.
Bytes RouterAdvertisement(const Address& from, const Address& to, const Address& prefix) {
  // Lifetime 0: no default route, so that the control leaves the plain ground its own.
  Bytes rest = {64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  rest.insert(rest.end(), {3, 4, 64, 0xc0, 0, 0, 7, 8, 0, 0, 7, 8, 0, 0, 0, 0});
  Append(rest, Octets(prefix));
  return Icmp(from, to, 134, 0, rest);
}

absl::StatusOr<std::vector<Shot>> Discovery(Ground& ground, const Variant&) {
  ASSIGN_OR_RETURN(const std::string link, ground.HostLink(kMallory));
  const Address liar = Parse("fe80::66:66"), all = Parse("ff02::1");
  std::vector<Shot> shots;
  static int count = 0;
  for (bool multicast : {true, false}) {
    const std::string prefix = StrCat("2001:db8:ba", ++count, "::");
    ASSIGN_OR_RETURN(
        Shot shot,
        Packet(ground, "router advertisement", "neighbor-discovery",
               Printed(ground, "node1", "ip -6 route show", prefix + "/64 dev " + link), {}));
    ASSIGN_OR_RETURN(const Mac host, ground.HostMac(kMallory));
    const Mac mac = multicast ? Mac{0x33, 0x33, 0, 0, 0, 1} : host;
    const Bytes packet = RouterAdvertisement(liar, all, Parse(prefix));
    shot.fire = [&ground, mac, packet] {
      return SendPackets(ground, kMallory, "eth0", mac, {packet});
    };
    shots.push_back(std::move(shot));
  }
  // Raw sockets are given what the kernel receives, before it obeys.
  struct Message {
    const char* name;
    uint8_t type;
  };
  for (const Message& message : {Message{"redirect", 137}, Message{"router solicitation", 133},
                                 Message{"neighbour advertisement", 136}}) {
    const Bytes marker = Marker();
    Bytes rest(message.type == 133 ? 4 : message.type == 136 ? 20 : 36);
    Append(rest, {14, 3, 0, 0, 0, 0, 0, 0});  // a nonce option, RFC 3971 section 5.3.2
    Append(rest, marker);
    ASSIGN_OR_RETURN(Shot shot,
                     Packet(ground, message.name, "neighbor-discovery",
                            DeliveredRaw(ground, "node1", 6, policy::kProtocolIcmpV6, marker),
                            Icmp(liar, all, message.type, 0, rest)));
    shots.push_back(std::move(shot));
  }
  return shots;
}

// --- A2: the address of another pod.

absl::StatusOr<std::vector<Shot>> SpoofedSource(Ground& ground, const Variant& v) {
  const std::string bob = ground.Victim(v.path);
  const Address to = ground.Address(bob, v.family);
  std::vector<Shot> shots;
  for (const std::string source : {kAlice, kOutside}) {
    const Address from = ground.Address(source, v.family);
    for (const char* kind : {"UDP", "TCP SYN", "echo"}) {
      const Bytes marker = Marker();
      const Bytes packet = *kind == 'U'   ? Udp(from, to, 40000, kOpenPort, marker)
                           : *kind == 'T' ? Tcp(from, to, 40000, kOpenPort, kSyn, 1, 0, marker)
                                          : Icmp(from, to, v.family == 4 ? 8 : 128, 0, [&] {
                                              Bytes rest = {0, 1, 0, 1};
                                              Append(rest, marker);
                                              return rest;
                                            }());
      ASSIGN_OR_RETURN(Shot shot, Packet(ground, StrCat(kind, " as ", source), "spoofed",
                                         Captured(ground, bob, marker), packet));
      shots.push_back(std::move(shot));
    }
  }
  return shots;
}

// --- A3: addresses of the link. Learned, they would take alice's packets to mallory.

Bytes Arp(uint16_t operation, const Mac& sender_mac, const Address& sender, const Address& target) {
  Bytes out = {0, 1, 8, 0, 6, 4, 0, uint8_t(operation)};
  out.insert(out.end(), sender_mac.begin(), sender_mac.end());
  Append(out, Octets(sender));
  out.insert(out.end(), 6, 0);
  Append(out, Octets(target));
  return out;
}

absl::StatusOr<std::vector<Shot>> ForgedNeighbours(Ground& ground, const Variant& v) {
  ASSIGN_OR_RETURN(const std::string link, ground.HostLink(kMallory));
  ASSIGN_OR_RETURN(const Mac host, ground.HostMac(kMallory));
  const Address alice = ground.Address(kAlice, v.family);
  const std::string known = StrCat("ip -", v.family, " neigh show dev ", link);
  std::vector<Shot> shots;
  const auto learned = [&](const Mac& mac) {
    return Printed(ground, "node1", known, "lladdr " + Text(mac));
  };
  if (v.family == 4) {
    // About different pods: what the node has learned it holds to for a second.
    const Address bob2 = ground.Address(ground.Victim(Path::kNative), 4);
    const Address bob3 = ground.Address(ground.Victim(Path::kVxlan), 4);
    const auto arp = [&](const char* name, uint16_t operation, const Address& sender,
                         const Address& target, const Mac& to) {
      const Mac lie = NextMac();
      const Bytes frame = Ethernet(to, lie, 0x0806, Arp(operation, lie, sender, target));
      shots.push_back({name, "arp", learned(lie),
                       [&ground, frame] { return SendFrame(ground, kMallory, "eth0", frame); }});
    };
    arp("forged ARP request", 1, alice, Parse("169.254.1.1"), kBroadcastMac);
    arp("forged ARP reply", 2, bob2, Parse("169.254.1.1"), host);
    arp("gratuitous ARP", 2, bob3, bob3, kBroadcastMac);
  } else {
    const Address all = Parse("ff02::1");
    const Mac lie = NextMac();
    Bytes rest = {0x20, 0, 0, 0};  // override
    Append(rest, Octets(alice));
    Append(rest, LinkLayerOption(2, lie));
    ASSIGN_OR_RETURN(Shot advertised,
                     Packet(ground, "forged neighbour advertisement", "neighbor-discovery",
                            learned(lie), Icmp(alice, all, 136, 0, rest)));
    shots.push_back(std::move(advertised));
    ASSIGN_OR_RETURN(const std::string route, ground.Read(kMallory, "ip -6 route show default"));
    const std::string gateway = route.substr(12, route.find(' ', 12) - 12);  // "default via "
    const Mac other = NextMac();
    rest = {0, 0, 0, 0};
    Append(rest, Octets(Parse(gateway)));
    Append(rest, LinkLayerOption(1, other));
    ASSIGN_OR_RETURN(Shot solicited,
                     Packet(ground, "forged neighbour solicitation", "neighbor-discovery",
                            learned(other), Icmp(alice, Parse(gateway), 135, 0, rest)));
    shots.push_back(std::move(solicited));
  }
  const Bytes marker = Marker();
  const Address from = ground.Address(kMallory, v.family), to = ground.Address("node1", v.family);
  const uint16_t port = NextPort();
  const Bytes packet = Udp(from, to, 40000, port, marker);
  ASSIGN_OR_RETURN(Arrived arrived, Delivered(ground, "node1", "", port, marker));
  shots.push_back({"broadcast frame", "not-for-us", arrived, [&ground, packet] {
                     return SendPackets(ground, kMallory, "eth0", kBroadcastMac, {packet});
                   }});
  return shots;
}

// --- A4, A5: VXLAN of somebody who is no node, with a packet from alice inside; other tunnels.

absl::StatusOr<Bytes> TunnelPayload(Ground& ground, const Variant& v, const Bytes& marker) {
  ASSIGN_OR_RETURN(const Mac mac,
                   ground.MacOf(ground.NodeOf(v.path), TunnelDevice(ground.guarded())));
  return Vxlan(kVni, mac,
               Udp(ground.Address(kAlice, v.family),
                   ground.Address(ground.Victim(v.path), v.family), 40000, kOpenPort, marker));
}

absl::StatusOr<std::vector<Shot>> TunnelFromPod(Ground& ground, const Variant& v) {
  const Address from = ground.Address(kMallory, v.family);
  const Address to = ground.Address(ground.NodeOf(v.path), v.family);
  std::vector<Shot> shots;
  const Bytes marker = Marker();
  ASSIGN_OR_RETURN(const Bytes payload, TunnelPayload(ground, v, marker));
  ASSIGN_OR_RETURN(Shot shot, Packet(ground, "VXLAN", "vxlan-from-workload",
                                     Captured(ground, ground.Victim(v.path), marker),
                                     Udp(from, to, 40000, kTunnelPort, payload)));
  shots.push_back(std::move(shot));
  // What else a node may take out of its wrapping; raw sockets see it there.
  struct Wrapping {
    const char* name;
    uint8_t protocol;
  };
  for (const Wrapping& other : {Wrapping{"IPIP", 4}, Wrapping{"6in4", 41}, Wrapping{"GRE", 47}}) {
    const Bytes inner = Marker();
    ASSIGN_OR_RETURN(Shot wrapped, Packet(ground, other.name, "tunnel-from-workload",
                                          DeliveredRaw(ground, ground.NodeOf(v.path), v.family,
                                                       other.protocol, inner),
                                          Ip(from, to, other.protocol, inner)));
    shots.push_back(std::move(wrapped));
  }
  return shots;
}

absl::StatusOr<Shot> TunnelFromOutside(Ground& ground, const Variant& v) {
  const Bytes marker = Marker();
  ASSIGN_OR_RETURN(const Bytes payload, TunnelPayload(ground, v, marker));
  ASSIGN_OR_RETURN(Arrived arrived, Captured(ground, ground.Victim(v.path), marker));
  // Nodes of the guarded ground have a tunnel of one family; x uses it.
  const int outer = ground.guarded() ? 4 : v.family;
  const std::string from = ground.AddressText(kOutside, outer),
                    to = ground.AddressText(ground.NodeOf(v.path), outer);
  const std::string netns = ground.NetnsPath(kOutside);
  return Shot{"VXLAN of our network",
              "vxlan-foreign",
              std::move(arrived),
              [=]() -> absl::Status {
                ASSIGN_OR_RETURN(const UniqueFd fd, agent::OpenNetns(netns));
                return agent::testing::SendUdp(fd.get(), from, to, kTunnelPort, payload);
              },
              1,
              ground.NodeOf(v.path)};
}

// Somebody else's network on the same port of the node: it arrives on both grounds.
absl::Status AnotherNetworkArrives(Ground& ground, const Variant& v) {
  const std::string node = ground.NodeOf(v.path);
  RETURN_IF_ERROR(ground.Shell(
      node, {"(ip link show other >/dev/null 2>&1 || ip link add other address 02:00:00:00:00:99 "
             "type vxlan id 99 dstport 4789 nolearning local " +
                 ground.AddressText(node, 4) + ")",
             "ip link set other up", "ip addr replace 10.99.0.1/24 dev other",
             "ip -6 addr replace fd00:99::1/64 dev other nodad",
             "echo 0 >/proc/sys/net/ipv4/conf/other/rp_filter"}));
  const Bytes marker = Marker();
  const Address from = Parse(v.family == 4 ? "10.99.0.2" : "fd00:99::2"),
                to = Parse(v.family == 4 ? "10.99.0.1" : "fd00:99::1");
  const uint16_t port = NextPort();
  ASSIGN_OR_RETURN(Arrived arrived, Delivered(ground, node, "", port, marker));
  ASSIGN_OR_RETURN(const UniqueFd fd, agent::OpenNetns(ground.NetnsPath(kOutside)));
  RETURN_IF_ERROR(agent::testing::SendUdp(
      fd.get(), ground.AddressText(kOutside, 4), ground.AddressText(node, 4), kTunnelPort,
      Vxlan(99, {2, 0, 0, 0, 0, 0x99}, Udp(from, to, 40000, port, marker))));
  if (Await(arrived)) return absl::OkStatus();
  return absl::InternalError("VXLAN of another network did not arrive");
}

Attack TunnelOfOutsiders() {
  Attack attack = Shots("A5", "an outsider sends VXLAN of our network, and of another", Across(),
                        [](Ground& ground, const Variant& v) -> absl::StatusOr<std::vector<Shot>> {
                          ASSIGN_OR_RETURN(Shot shot, TunnelFromOutside(ground, v));
                          return std::vector<Shot>{std::move(shot)};
                        });
  const auto control = attack.control;
  attack.control = [control](Ground& ground, const Variant& v) -> absl::Status {
    RETURN_IF_ERROR(control(ground, v));
    return AnotherNetworkArrives(ground, v);
  };
  const auto defence = attack.defence;
  attack.defence = [defence](Ground& ground, const Variant& v) -> absl::StatusOr<Failed> {
    RETURN_IF_ERROR(AnotherNetworkArrives(ground, v));
    ASSIGN_OR_RETURN(Failed failed, defence(ground, v));
    failed.how += "; the other network is untouched";
    return failed;
  };
  return attack;
}

// --- A7: the loopback addresses of the node, with route_localnet.

absl::StatusOr<std::vector<Shot>> Loopback(Ground& ground, const Variant&) {
  std::vector<Shot> shots;
  const Address to = Parse("127.0.0.1");
  for (const char* who : {kMallory, kOutside}) {
    const Bytes marker = Marker();
    const uint16_t port = NextPort();
    const Bytes packet = Udp(ground.Address(who, 4), to, 40000, port, marker);
    ASSIGN_OR_RETURN(const Mac mac,
                     who == kMallory ? ground.HostMac(kMallory) : ground.MacOf("node1", "eth0"));
    ASSIGN_OR_RETURN(Arrived arrived, Delivered(ground, "node1", "127.0.0.1", port, marker));
    shots.push_back({StrCat("from ", who), "martian", arrived, [&ground, who, mac, packet] {
                       return SendPackets(ground, who, "eth0", mac, {packet});
                     }});
  }
  return shots;
}

// --- A8: DHCP toward the node: as a client that looks for a server there, and as a server
// whose answer a client there would take (CVE-2024-3661).

absl::StatusOr<std::vector<Shot>> Dhcp(Ground& ground, const Variant& v) {
  ASSIGN_OR_RETURN(const std::string link, ground.HostLink(kMallory));
  ASSIGN_OR_RETURN(const Mac host, ground.HostMac(kMallory));
  const Address pod = ground.Address(kMallory, v.family), node = ground.Address("node1", v.family);
  std::vector<Shot> shots;
  const auto add = [&](std::string name, std::string reason, const Address& from, const Address& to,
                       uint16_t from_port, uint16_t port, const Mac& mac) -> absl::Status {
    const Bytes marker = Marker();
    ASSIGN_OR_RETURN(Arrived arrived, Delivered(ground, "node1", "", port, marker));
    const Bytes packet = Udp(from, to, from_port, port, marker);
    shots.push_back({std::move(name), std::move(reason), arrived, [&ground, mac, packet] {
                       return SendPackets(ground, kMallory, "eth0", mac, {packet});
                     }});
    return absl::OkStatus();
  };
  if (v.family == 4) {
    RETURN_IF_ERROR(add("discover", "not-for-us", Parse("0.0.0.0"), Parse("255.255.255.255"), 68,
                        67, kBroadcastMac));
    RETURN_IF_ERROR(add("request to the node", "dhcp-from-workload", pod, node, 68, 67, host));
    RETURN_IF_ERROR(add("offer by broadcast", "not-for-us", pod, Parse("255.255.255.255"), 67, 68,
                        kBroadcastMac));
    RETURN_IF_ERROR(add("offer to the node", "dhcp-from-workload", pod, node, 67, 68, host));
  } else {
    // Servers' own group is ff02::1:2; a node is in the one of all nodes without saying so to
    // the pod, which would be counted beside the attack.
    RETURN_IF_ERROR(add("solicit", "not-for-us", Parse("fe80::66:66"), Parse("ff02::1"), 546, 547,
                        {0x33, 0x33, 0, 0, 0, 1}));
    RETURN_IF_ERROR(add("request to the node", "dhcp-from-workload", pod, node, 546, 547, host));
    RETURN_IF_ERROR(add("advertise to the node", "dhcp-from-workload", pod, node, 547, 546, host));
  }
  return shots;
}

// --- A9: addresses that no honest packet of a pod has.

absl::StatusOr<std::vector<Shot>> Martians(Ground& ground, const Variant& v) {
  ASSIGN_OR_RETURN(const std::string link, ground.HostLink(kMallory));
  const std::string bob = ground.Victim(v.path);
  const Address pod = ground.Address(kMallory, v.family), to = ground.Address(bob, v.family);
  std::vector<Shot> shots;
  const auto at_bob = [&](std::string name, std::string reason,
                          const Address& from) -> absl::Status {
    const Bytes marker = Marker();
    ASSIGN_OR_RETURN(
        Shot shot, Packet(ground, std::move(name), std::move(reason), Captured(ground, bob, marker),
                          Udp(from, to, 40000, kOpenPort, marker)));
    shots.push_back(std::move(shot));
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(at_bob("source = destination", "spoofed", to));
  RETURN_IF_ERROR(at_bob("source = a node", "spoofed",
                         ground.Address(v.path == Path::kNative ? "node3" : "node2", v.family)));
  if (v.family == 4) RETURN_IF_ERROR(at_bob("source in 240/4", "spoofed", Parse("240.9.9.9")));
  if (v.path != Path::kSame) return shots;
  const Bytes own = Marker();
  ASSIGN_OR_RETURN(Shot to_itself,
                   Packet(ground, "source = destination = its own", "martian",
                          Captured(ground, kMallory, own), Udp(pod, pod, 40000, kOpenPort, own)));
  shots.push_back(std::move(to_itself));
  // At the node itself, on addresses that it was given for this.
  struct Target {
    const char* name;
    const char* address;
    bool group;
  };
  const std::vector<Target> targets = v.family == 4
                                          ? std::vector<Target>{{"multicast", "224.0.0.1", true},
                                                                {"0/8", "0.1.2.3", false},
                                                                {"240/4", "240.1.2.3", false}}
                                          : std::vector<Target>{{"multicast", "ff02::1", true}};
  // A group of IPv4 leads to no socket of IPv6.
  const std::string any = v.family == 4 ? "0.0.0.0" : "";
  for (const Target& target : targets) {
    if (!target.group) {
      RETURN_IF_ERROR(ground.Shell("node1", {StrCat("ip addr replace ", target.address,
                                                    v.family == 4 ? "/32" : "/128", " dev lo")}));
    }
    const Bytes marker = Marker();
    const uint16_t port = NextPort();
    ASSIGN_OR_RETURN(Shot shot, Packet(ground, target.name, "martian",
                                       Delivered(ground, "node1", any, port, marker),
                                       Udp(pod, Parse(target.address), 40000, port, marker)));
    shots.push_back(std::move(shot));
  }
  // Addresses of the link or the site that an outsider has, by a route of the node: metadata
  // services and the node's own are not meant.
  const std::string beyond = v.family == 4 ? "169.254.7.7" : "fec0::77";
  const std::string length = v.family == 4 ? "/32" : "/128";
  RETURN_IF_ERROR(ground.Shell(kOutside, {StrCat("ip addr replace ", beyond, length, " dev lo")}));
  RETURN_IF_ERROR(ground.Shell("node1", {StrCat("ip -", v.family, " route replace ", beyond, length,
                                                " via ", ground.AddressText(kOutside, v.family))}));
  const Bytes marker = Marker();
  ASSIGN_OR_RETURN(Shot linked, Packet(ground, v.family == 4 ? "169.254/16" : "fec0::/10",
                                       "martian", Captured(ground, kOutside, marker),
                                       Udp(pod, Parse(beyond), 40000, kOpenPort, marker)));
  shots.push_back(std::move(linked));
  return shots;
}

// --- A10: headers that say what is not so, past a router that looks at none of it.

absl::StatusOr<std::vector<Shot>> BadHeaders(Ground& ground, const Variant& v) {
  const std::string bob = ground.Victim(v.path);
  const Address from = ground.Address(kMallory, v.family), to = ground.Address(bob, v.family);
  std::vector<Shot> shots;
  const auto add = [&](std::string name, std::string reason, const Bytes& marker,
                       Bytes packet) -> absl::Status {
    ASSIGN_OR_RETURN(Shot shot, Packet(ground, std::move(name), std::move(reason),
                                       Captured(ground, bob, marker), std::move(packet)));
    shots.push_back(std::move(shot));
    return absl::OkStatus();
  };
  const size_t header = v.family == 4 ? 20 : 40;
  Bytes marker = Marker();
  Bytes packet = Udp(from, to, 40000, kOpenPort, marker);
  packet[header + 4] = 0x40;  // UDP length: 16384 and more
  RETURN_IF_ERROR(add("UDP length beyond the packet", "bad-length", marker, packet));
  marker = Marker();
  packet = Tcp(from, to, 40000, kOpenPort, kSyn, 1, 0, marker);
  packet[header + 12] = 4 << 4;
  RETURN_IF_ERROR(add("TCP data offset 4", "bad-length", marker, packet));
  marker = Marker();
  packet = Tcp(from, to, 40000, kOpenPort, kSyn, 1, 0, marker);
  packet[header + 12] = 15 << 4;
  RETURN_IF_ERROR(add("TCP data offset 15 of 36 bytes", "bad-length", marker, packet));
  // Too short to hold a marker with its header, so the marker is what there is of one.
  marker = Marker();
  RETURN_IF_ERROR(add("TCP of 16 bytes", "truncated", marker, Ip(from, to, kTcp, marker)));
  if (v.family == 6) return shots;
  // Loose source route whose list is used up: who receives it would answer along it.
  marker = Marker();
  const Bytes body = UdpBody(from, to, 40000, kOpenPort, marker);
  packet = Ip(from, to, kUdp, body);
  packet[0] = 0x47;
  packet[3] += 8;
  const Bytes option = {0x83, 7, 8, 192, 0, 2, 60, 0};
  packet.insert(packet.begin() + 20, option.begin(), option.end());
  packet[10] = packet[11] = 0;
  const uint16_t sum = agent::testing::OnesSum(Bytes(packet.begin(), packet.begin() + 28));
  packet[10] = sum >> 8;
  packet[11] = sum & 0xff;
  RETURN_IF_ERROR(add("loose source route", "source-route", marker, packet));
  return shots;
}

// --- A11: chains of extension headers.

absl::StatusOr<std::vector<Shot>> Extensions(Ground& ground, const Variant& v) {
  const std::string bob = ground.Victim(v.path);
  const Address from = ground.Address(kMallory, 6), to = ground.Address(bob, 6);
  std::vector<Shot> shots;
  const auto add = [&](std::string name, std::string reason, uint8_t first, const Bytes& chain,
                       const Bytes& marker) -> absl::Status {
    Bytes body = chain;
    Append(body, UdpBody(from, to, 40000, kOpenPort, marker));
    ASSIGN_OR_RETURN(Shot shot, Packet(ground, std::move(name), std::move(reason),
                                       Captured(ground, bob, marker), Ip(from, to, first, body)));
    shots.push_back(std::move(shot));
    return absl::OkStatus();
  };
  constexpr uint8_t kRouting = 43, kDestinationOptions = 60;
  Bytes route = {kUdp, 2, 0, 0, 0, 0, 0, 0};  // type 0, nothing left
  Append(route, Octets(ground.Address(kOutside, 6)));
  RETURN_IF_ERROR(add("routing header of type 0", "source-route", kRouting, route, Marker()));
  for (int length : {9, 16}) {
    Bytes chain;
    for (int i = 0; i < length; ++i) {
      Append(chain, {i + 1 < length ? kDestinationOptions : kUdp, 0, 1, 4, 0, 0, 0, 0});
    }
    RETURN_IF_ERROR(add(StrCat("a chain of ", length), "extension-headers", kDestinationOptions,
                        chain, Marker()));
  }
  return shots;
}

}  // namespace

std::vector<Attack> GroupA() {
  std::vector<Variant> v6;
  for (Path path : {Path::kSame, Path::kNative, Path::kVxlan}) v6.push_back({6, path});
  return {
      Shots("A1", "router advertisements, redirects and other discovery", OnNode(6), Discovery),
      Shots("A2", "the address of another pod, or of an outsider", Everywhere(), SpoofedSource),
      Shots("A3", "forged ARP and neighbours, broadcast frames", OnNode(), ForgedNeighbours),
      Shots("A4", "a pod sends VXLAN or another tunnel to a node", Everywhere(), TunnelFromPod),
      TunnelOfOutsiders(),
      Shots("A7", "127.0.0.1 of the node, from a pod and from outside", OnNode(4), Loopback),
      Shots("A8", "DHCP of a pod, as client and as server", OnNode(), Dhcp),
      Shots("A9", "addresses that are never routed", Everywhere(), Martians),
      Shots("A10", "lengths and options that lie", Everywhere(), BadHeaders),
      Shots("A11", "extension headers beyond the parser", v6, Extensions),
  };
}

}  // namespace ripstop::attacks
