/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Why a packet was dropped: the one enum behind counters, events, `ripstopctl
 * drops` and docs/drop-reasons.md (generated; drop_reasons_doc_test.cc).
 *
 * To add a reason: append a row here (numbers are part of the ABI, never
 * reorder), return it, reach it in a packet test, regenerate the document.
 */
#ifndef RIPSTOP_BPF_ABI_DROPS_H
#define RIPSTOP_BPF_ABI_DROPS_H

#include "bpf/abi/abi.h"

/* X(enumerator, name in counters and logs, what it means and what to do) */
/* clang-format off */
#define DROP_REASONS(X) \
	X(TRUNCATED, "truncated", \
	  "The packet ends inside a header that it announces. Its sender makes it so: look there, with `ripstopctl drops --last`.") \
	X(BAD_IP_HEADER, "bad-ip-header", \
	  "IP version or header length is impossible (IPv4 IHL below 5, version not that of the EtherType).") \
	X(BAD_LENGTH, "bad-length", \
	  "A length field contradicts the packet: IP total length, UDP length, TCP data offset or a fragment past 65535 bytes.") \
	X(ETHERTYPE, "ethertype", \
	  "A pod sent a frame that is neither IPv4 nor IPv6. Pods are routed; nothing else leaves them.") \
	X(ARP, "arp", \
	  "A pod sent ARP. Pods have permanent neighbour entries, so ARP is unnecessary and never learned from.") \
	X(NOT_FOR_US, "not-for-us", \
	  "A pod sent a frame to a MAC address other than its host side's (foreign, broadcast or multicast), or one came so by VXLAN.") \
	X(MAPPED_ADDRESS, "mapped-address", \
	  "An IPv6 packet carries an IPv4-mapped address (RFC 4291 section 2.5.5.2), which has no business on a wire and would alias IPv4 policy.") \
	X(EXTENSION_HEADERS, "extension-headers", \
	  "More IPv6 extension headers than the parser follows, so the transport header is unknown.") \
	X(SOURCE_ROUTE, "source-route", \
	  "An IPv6 type 0 routing header (RFC 5095) or an IPv4 source route option (RFC 7126).") \
	X(FRAGMENT_UNKNOWN, "fragment-unknown", \
	  "A later fragment whose first fragment was not seen or not allowed. Where the first one was denied, see that; else fragments come out of order: keep packets below the MTU.") \
	X(FRAGMENT_OVERLAP, "fragment-overlap", \
	  "A later fragment that would overwrite the transport header (RFC 3128), or a first fragment too short to hold it.") \
	X(SPOOFED, "spoofed", \
	  "The source address does not belong to the interface that the packet came from; or it is a pod's whose packets come by VXLAN, and this one did not. `ripstopctl drops --last` names pod and address; only an address that the pod was given passes.") \
	X(MARTIAN, "martian", \
	  "Source or destination can never be routed: loopback, unspecified, multicast, 0/8, 240/4, link-local, or source equal to destination. From a pod also to 169.254/16 (but for metadata services, NodeLocal DNS and this host's own addresses), fec0::/10, 100::/64, ::/96, and NAT64 or 6to4 of an IPv4 address that is not global. `ripstopctl drops --last` shows which.") \
	X(NEIGHBOR_DISCOVERY, "neighbor-discovery", \
	  "A pod sent a router solicitation or advertisement, neighbour message or redirect. The host learns nothing from pods.") \
	X(VXLAN_FROM_WORKLOAD, "vxlan-from-workload", \
	  "A pod sent UDP to the tunnel's port and not to another pod: a node could take it for VXLAN of this node. Between pods the port is free; elsewhere, use another one.") \
	X(VXLAN_FOREIGN, "vxlan-foreign", \
	  "VXLAN of our network that no node of the cluster sent, or that came in where no node is: by a group address, from a pod, from this host, at an interface that leads to none.") \
	X(NO_GENERATION, "no-generation", \
	  "No policy tables are in force yet: the agent has not finished its first calculation.") \
	X(UNKNOWN_ENDPOINT, "unknown-endpoint", \
	  "The packet is on its way into a pod's interface, but the destination is not an address of that pod.") \
	X(NO_POLICY_SET, "no-policy-set", \
	  "A local endpoint has no policy set in this direction: it is still being set up, or a table was full.") \
	X(BAD_POLICY_SET, "bad-policy-set", \
	  "The policy tables could not be read: a missing chunk, an unknown representation or an index out of range. A defect; please report it.") \
	X(NO_VERDICT, "no-verdict", \
	  "The verdict cell was never written. A defect; please report it.") \
	X(POLICY_EGRESS, "policy-egress", \
	  "The sender's egress policy denies it. `ripstopctl drops --last` names packet and rule, `ripstopctl why` the rule for any packet.") \
	X(POLICY_INGRESS, "policy-ingress", \
	  "The receiver's ingress policy denies it. `ripstopctl drops --last` names packet and rule, `ripstopctl why` the rule for any packet.") \
	X(NO_FLOW, "no-flow", \
	  "A TCP segment other than a SYN, or SCTP other than an INIT or HEARTBEAT, belongs to no known connection: it was quiet for longer than `bpfConntrackTimeouts` say, or never was one. TCP is answered with a reset where policy would let its sender connect.") \
	X(ICMP_UNRELATED, "icmp-unrelated", \
	  "An ICMP error quotes a packet of no known flow: one that is over, or one that never was. Harmless, unless they are many.") \
	X(BAD_TCP_FLAGS, "bad-tcp-flags", \
	  "TCP flags that no stack sends: SYN with FIN or RST, or no flag at all. Somebody scans; `ripstopctl drops --last` names who.") \
	X(FLOW_TABLE_FULL, "flow-table-full", \
	  "A new flow could not be recorded, so its replies could not be recognised: the flow table is full (`ripstopctl node status`). Start the agent with a larger --flow-table-entries; live flows are kept.") \
	X(VXLAN_SPOOFED, "vxlan-spoofed", \
	  "A node sent, by VXLAN, a packet whose source is another node's, or in a pool and nobody's.") \
	X(MULTICAST_LISTENER, "multicast-listener", \
	  "A pod's kernel reported the multicast groups that it listens to (RFC 3810), as each does by itself. Nobody forwards multicast to or from pods: harmless, and shown with `--all`.") \
	X(MARK_CHANGED, "mark-changed", \
	  "A pod's packet came out of the host's stack without the mark that it had gone in with: a netfilter rule of the host writes the same bits. `ripstopctl node status` names the mask; `--mark-mask` changes it.") \
	X(POD_FLOWS, "pod-flows", \
	  "The pod has as many flows as one address may have, begun by it or to it from elsewhere. `ripstopctl node status` shows how many that are; `--flow-table-entries` raises it.") \
	X(POD_HALF_OPEN, "pod-half-open", \
	  "As many of the pod's flows as may be wait for an answer, and none of the latest could be given up: it sends to who does not answer, or somebody floods it. Other pods are not affected.") \
	X(TUNNEL_FROM_WORKLOAD, "tunnel-from-workload", \
	  "A pod sent IPIP, 6in4 or GRE (protocols 4, 41, 47) and not to another pod: a node could take it out of its wrapping, past policy.") \
	X(DHCP_FROM_WORKLOAD, "dhcp-from-workload", \
	  "A pod sent DHCP to a node, or as a server of its own accord. Pods have their addresses from the agent, and no node is asked by them or told by them.") \
	X(NAT_PORTS, "nat-ports", \
	  "A pod of a pool with `natOutgoing` began a flow, and no port was found free towards that address and port: widen `natPortRange` of the FelixConfiguration, give the pods routes back instead, or let them keep their connections. Protocols without ports have room for one pod per address.") \
	X(NAT_ADDRESS, "nat-address", \
	  "A pod of a pool with `natOutgoing` sent a packet out at an interface, and the host has no address of that family to send it under: give the interface one, or set `natOutgoingAddress`.") \
	X(NAT_PROTOCOL, "nat-protocol", \
	  "A pod of a pool with `natOutgoing` sent what cannot be translated: ICMP other than echo and errors, DCCP, or AH, whose checksum covers addresses. Only pods with routes back can use these.")
/* clang-format on */

enum drop_reason {
	DROP_NONE = 0, /* not a drop */
#define X(id, name, description) DROP_##id,
	DROP_REASONS(X)
#undef X
	    DROP_REASONS_MAX,
};

/* What is dropped on a healthy node too, and shown only to who asks for all. */
#define DROP_IS_EXPECTED(reason) ((reason) == DROP_MULTICAST_LISTENER)

/* rs_drops_v1: per CPU, by reason. */
struct drop_count {
	__u64 packets;
	__u64 bytes;
};
ABI_ASSERT(sizeof(struct drop_count) == 16);

/* rs_interface_drops_v1: the same by interface and reason, while there is room; rs_drops_v1 has
 * all. The interface is the host's side of the pod whose policy denied the packet, or who sent
 * it, or whom it came for from elsewhere; where none of these is a pod's, the one that it came in
 * by.
 */
struct interface_drop_key {
	__u32 ifindex;
	__u32 reason;
};
ABI_ASSERT(sizeof(struct interface_drop_key) == 8);
#define INTERFACE_DROPS_MAX 16384

#endif
