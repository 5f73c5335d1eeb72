// SPDX-License-Identifier: Apache-2.0
//
// projectcalico.org/v3: nodes, pools, and what Calico's IPAM keeps.
#include "api/fields/rows.h"

namespace ripstop::api {
namespace {

constexpr char kNoIpip[] = "pods are not tunnelled by IPIP; use vxlanMode";
constexpr char kNoInterfaces[] = "rules know the addresses of spec.bgp, spec.addresses and tunnels";
constexpr char kNoWireguard[] = "nothing is encrypted by WireGuard";

constexpr Row kNode[] = {
    {"spec.bgp.asNumber"},
    {"spec.bgp.ipv4Address"},
    {"spec.bgp.ipv6Address"},
    {"spec.bgp.ipv4IPIPTunnelAddr", kActs, "known as an address of the node"},
    {"spec.bgp.routeReflectorClusterID"},
    {"spec.bgp.interfaceName", kActs, "a note of whoever found the address"},
    {"spec.ipv4VXLANTunnelAddr", kActs, "known as an address of the node"},
    {"spec.ipv6VXLANTunnelAddr", kActs, "known as an address of the node"},
    {"spec.vxlanTunnelMACAddr", kKept, "each node's tunnel has a MAC made from its name"},
    {"spec.vxlanTunnelMACAddrV6", kKept, "each node's tunnel has a MAC made from its name"},
    {"spec.orchRefs[].nodeName", kActs, "a note: metadata.name is what counts"},
    {"spec.orchRefs[].orchestrator", kActs, "a note"},
    {"spec.wireguard.interfaceIPv4Address", kActs, "known as an address of the node"},
    {"spec.wireguard.interfaceIPv6Address", kActs, "known as an address of the node"},
    {"spec.interfaces[].name", kKept, kNoInterfaces},
    {"spec.interfaces[].addresses[]", kKept, kNoInterfaces},
    {"spec.addresses[].address"},
    {"spec.addresses[].type", kActs, "all types alike"},
};

// Without Workload it keeps pods out, which no row can say of one value.
constexpr char kNoOtherUse[] =
    "a pool without Workload gives pods no address, but it gives none to anything else either";

constexpr Row kPool[] = {
    {"spec.cidr"},
    {"spec.blockSize"},
    {"spec.nodeSelector"},
    {"spec.disabled"},
    {"spec.disableBGPExport"},
    {"spec.vxlanMode"},
    {"spec.ipipMode", kKept, kNoIpip, "Never"},
    {"spec.natOutgoing", kActs,
     "TCP, UDP, echo; of SCTP the address only; protocols without ports: one pod per address"},
    {"spec.allowedUses[]", kKept, kNoOtherUse, "Workload|Tunnel"},
    {"spec.assignmentMode"},
    {"spec.namespaceSelector"},
};

constexpr char kOwnRecords[] =
    "each node's agent keeps such records itself, and Calico's would be read by nobody: an "
    "address that one of them says is taken could be given to a second pod; let pods be made "
    "anew, or keep that range out of the IPPools";

constexpr Row kBlock[] = {
    {"cidr"},
    {"affinity"},
    {"affinityClaimTime"},
    {"strictAffinity"},
    {"allocations[]"},
    {"unallocated[]"},
    {"attributes[].handle_id"},
    {"attributes[].secondary{}"},
    {"attributes[].alternateOwnerAttrs{}"},
    {"attributes[].releasedAt"},
    {"sequenceNumber"},
    {"sequenceNumberForAllocation{}"},
    {"deleted"},
};
constexpr Row kAffinity[] = {{"cidr"}, {"node"}, {"state"}, {"type"}, {"deleted"}};
constexpr Row kHandle[] = {{"handleID"}, {"block{}"}, {"deleted"}};
constexpr Row kReservation[] = {{"reservedCIDRs[]"}};

constexpr Row kBlockSpec[] = {{"spec", kRefused, kOwnRecords, "", kBlock}};
constexpr Row kAffinitySpec[] = {{"spec", kRefused, kOwnRecords, "", kAffinity}};
constexpr Row kHandleSpec[] = {{"spec", kRefused, kOwnRecords, "", kHandle}};

constexpr char kNotReserved[] =
    "addresses are not reserved yet, and pods would be given these; make IPPools that leave them "
    "out";
constexpr Row kReservationSpec[] = {{"spec", kRefused, kNotReserved, "", kReservation}};

constexpr Row kIpamConfiguration[] = {
    {"spec.strictAffinity", kKept,
     "a node whose blocks are full takes an address of another node's block", "false"},
    {"spec.autoAllocateBlocks", kKept, "nodes take the blocks that they need", "true"},
    {"spec.maxBlocksPerHost", kKept, "a node takes as many blocks as it needs", "0"},
    {"spec.ipCooldownSeconds", kKept,
     "a released address waits until the other free ones of its block have been given", "0"},
    {"spec.kubeVirtVMAddressPersistence", kKept, "a pod that is made anew has a new address",
     "Disabled"},
};

}  // namespace

std::vector<Kind> NetworkKinds() {
  return {
      {.api_version = kCalicoV3, .kind = "Node", .rows = {kNode}},
      {.api_version = kCalicoV3, .kind = "IPPool", .rows = {kPool, ConditionRows()}},
      {.api_version = kCalicoV3, .kind = "IPAMConfiguration", .rows = {kIpamConfiguration}},
      {.api_version = kCalicoV3,
       .kind = "IPReservation",
       .effect = kRefused,
       .why = kNotReserved,
       .rows = {kReservationSpec}},
      {.api_version = kCalicoV3,
       .kind = "IPAMBlock",
       .effect = kRefused,
       .why = kOwnRecords,
       .rows = {kBlockSpec}},
      {.api_version = kCalicoV3,
       .kind = "BlockAffinity",
       .effect = kRefused,
       .why = kOwnRecords,
       .rows = {kAffinitySpec}},
      {.api_version = kCalicoV3,
       .kind = "IPAMHandle",
       .effect = kRefused,
       .why = kOwnRecords,
       .rows = {kHandleSpec}},
  };
}

}  // namespace ripstop::api
