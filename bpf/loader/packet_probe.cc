// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/packet_probe.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "bpf/abi/owners.h"
#include "bpf/loader/datapath_object.h"
#include "bpf/loader/frame.h"
#include "bpf/loader/probe_programs.h"
#include "bpf/loader/tables_reader.h"
#include "policy/base/unique_fd.h"
#include "policy/status_macros.h"

namespace ripstop::loader {
namespace {

constexpr uint32_t kLoopback = 1;
constexpr uint8_t kAck = 0x10;
constexpr char kFromWorkload[] = "from_workload";
constexpr char kToWorkload[] = "to_workload";
constexpr char kFromHost[] = "from_host";
constexpr char kFromTunnel[] = "from_tunnel";

bool IsLocal(const address_value& value) { return (value.flags & ADDRESS_LOCAL_ENDPOINT) != 0; }

ip_address Key(const policy::Address& address) {
  ip_address key;
  std::memcpy(&key, address.bytes.data(), sizeof(key));
  return key;
}

// To the interface's own address, else it is nobody's here.
absl::Status AddressFrame(uint32_t ifindex, Frame& frame) {
  if (ifindex == kLoopback) return absl::OkStatus();
  ifreq request = {};
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.ok() || if_indextoname(ifindex, request.ifr_name) == nullptr ||
      ioctl(fd.get(), SIOCGIFHWADDR, &request) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("probe: MAC address of interface ", ifindex));
  }
  std::memcpy(frame.data(), request.ifr_hwaddr.sa_data, 6);
  return absl::OkStatus();
}

owner_value OwnerOf(const DatapathObject& object, const policy::Address& address) {
  owner_key key = {.bits = 128, .address = Key(address)};
  owner_value value = {};
  if (bpf_map_lookup_elem(object.owners(), &key, &value) != 0) return {};
  return value;
}

// The node by whose tunnel such a packet comes; 0: it comes natively. As bpf/lib/arrival.h has it.
uint32_t TunnelNode(const DatapathObject& object, const policy::Packet& packet) {
  const owner_value owner = OwnerOf(object, packet.source);
  const owner_value receiver = OwnerOf(object, packet.destination);
  if (owner.node == 0 || owner.node == OWNER_THIS_NODE || (owner.flags & OWNER_HOST) != 0 ||
      receiver.node != OWNER_THIS_NODE)
    return 0;
  const uint32_t tunnel =
      (owner.flags & OWNER_ACROSS) != 0 ? OWNER_TUNNEL_ACROSS : OWNER_TUNNEL_NEAR;
  return (receiver.flags & tunnel) != 0 ? owner.node : 0;
}

std::optional<flow_value> FlowOf(const DatapathObject& object, const flow_key& key) {
  flow_value value;
  if (bpf_map_lookup_elem(object.flows(), &key, &value) != 0 ||
      FLOW_LIFE_STATE(value.life) == FLOW_DEAD)
    return std::nullopt;
  return value;
}

bool IsCurrent(const DatapathObject& object, const flow_value& flow) {
  return std::all_of(std::begin(flow.side), std::end(flow.side), [&](const flow_side& side) {
    return side.set_index == 0 ||
           (side.set_index < EPOCHS_MAX &&
            __atomic_load_n(object.epoch(side.set_index), __ATOMIC_RELAXED) == side.epoch);
  });
}

class Prober {
 public:
  Prober(const DatapathObject& object, const policy::Packet& packet)
      : object_(object), packet_(packet) {
    spec_.packet = packet;
    if (packet.protocol == policy::kProtocolIcmp || packet.protocol == policy::kProtocolIcmpV6)
      spec_.icmp_id = packet.source_port;
    key_ = FlowKeyOf(spec_);
    known_ = FlowOf(object, key_);
    // Of a connection that there is a segment; else a SYN would be judged as another one.
    if (known_.has_value()) spec_.tcp_flags = kAck;
  }

  absl::StatusOr<std::vector<ProbeStage>> Go() {
    ASSIGN_OR_RETURN(const PacketLookup lookup, LookupInForce(object_, packet_));
    const bool from_pod = IsLocal(lookup.source), to_pod = IsLocal(lookup.destination);
    if (!from_pod && !to_pod) return std::vector<ProbeStage>();
    const bool from_host = !from_pod && (lookup.source.flags & ADDRESS_THIS_HOST) != 0;
    ProbePrograms::Run first;
    first.program = from_pod ? kFromWorkload : from_host ? kToWorkload : kFromHost;
    first.ifindex = from_pod    ? lookup.source.ifindex
                    : from_host ? lookup.destination.ifindex
                                : kLoopback;
    if (!from_pod && !from_host) {
      first.ingress_ifindex = kLoopback;
      first.tunnel_node = TunnelNode(object_, packet_);
      if (first.tunnel_node != 0) first.program = kFromTunnel;
    }
    ASSIGN_OR_RETURN(programs_, ProbePrograms::Load(object_, {first.program, kToWorkload}));
    if (known_.has_value()) RETURN_IF_ERROR(programs_->AddFlow(key_, *known_));
    RETURN_IF_ERROR(Pass(first));
    // By the host's stack to the receiver's interface, if nothing there translates it.
    if (to_pod && first.program != kToWorkload && stages_.back().reason == DROP_NONE &&
        (stages_.back().action == TC_ACT_OK || stages_.back().action == TC_ACT_UNSPEC)) {
      ProbePrograms::Run next;
      next.program = kToWorkload;
      next.ifindex = lookup.destination.ifindex;
      next.ingress_ifindex = first.ifindex;
      next.mark = mark_;
      RETURN_IF_ERROR(Pass(next));
    }
    return std::move(stages_);
  }

 private:
  absl::Status Pass(ProbePrograms::Run run) {
    run.frame = MakeFrame(spec_);
    RETURN_IF_ERROR(AddressFrame(run.ifindex, run.frame));
    ProbeStage stage;
    stage.program = run.program;
    stage.ifindex = run.ifindex;
    stage.tunnel_node = run.tunnel_node;
    stage.length = static_cast<uint32_t>(run.frame.size());
    const bool had_flow = programs_->HasFlow(key_);
    if (had_flow && known_.has_value()) {
      stage.flow = known_;
      stage.flow_current = IsCurrent(object_, *known_);
    }
    ASSIGN_OR_RETURN(const ProbePrograms::Outcome outcome, programs_->Test(run));
    stage.action = outcome.action;
    stage.reason = outcome.reason;
    stage.egress_word = outcome.egress_word;
    stage.ingress_word = outcome.ingress_word;
    stage.begins_flow = !had_flow && programs_->HasFlow(key_);
    mark_ = outcome.mark;
    if (!outcome.walk.empty()) RETURN_IF_ERROR(ReadWalk(outcome.walk, stage));
    stages_.push_back(std::move(stage));
    return absl::OkStatus();
  }

  template <typename T>
  absl::Status Read(const std::vector<uint8_t>& walk, const char* member, T* ret) const {
    ASSIGN_OR_RETURN(const uint32_t offset, programs_->OffsetOf(member));
    if (offset + sizeof(T) > walk.size())
      return absl::InternalError(absl::StrCat("probe: ", member, " lies outside of walk"));
    std::memcpy(ret, walk.data() + offset, sizeof(T));
    return absl::OkStatus();
  }

  absl::Status ReadWalk(const std::vector<uint8_t>& walk, ProbeStage& stage) const {
    uint8_t family = 0;
    uint16_t source_port = 0, destination_port = 0;
    RETURN_IF_ERROR(Read(walk, "p.family", &family));
    stage.parsed = family != 0;
    RETURN_IF_ERROR(Read(walk, "p.source", &stage.packet.source.bytes));
    RETURN_IF_ERROR(Read(walk, "p.destination", &stage.packet.destination.bytes));
    RETURN_IF_ERROR(Read(walk, "p.protocol", &stage.packet.protocol));
    RETURN_IF_ERROR(Read(walk, "p.source_port", &source_port));
    RETURN_IF_ERROR(Read(walk, "p.destination_port", &destination_port));
    RETURN_IF_ERROR(Read(walk, "p.icmp_type", &stage.packet.icmp_type));
    RETURN_IF_ERROR(Read(walk, "p.icmp_code", &stage.packet.icmp_code));
    RETURN_IF_ERROR(Read(walk, "p.tcp_flags", &stage.tcp_flags));
    stage.packet.source_port = ntohs(source_port);
    stage.packet.destination_port = ntohs(destination_port);
    address_value source, destination;
    RETURN_IF_ERROR(Read(walk, "source", &source));
    RETURN_IF_ERROR(Read(walk, "destination", &destination));
    // Both are blank before the run, and of whoever was looked up something is set.
    const address_value blank = {};
    if (std::memcmp(&source, &blank, sizeof(blank)) != 0) stage.source = source;
    if (std::memcmp(&destination, &blank, sizeof(blank)) != 0) stage.destination = destination;
    return absl::OkStatus();
  }

  const DatapathObject& object_;
  const policy::Packet packet_;
  FrameSpec spec_;
  flow_key key_ = {};
  std::optional<flow_value> known_;
  std::unique_ptr<ProbePrograms> programs_;
  std::vector<ProbeStage> stages_;
  uint32_t mark_ = 0;
};

}  // namespace

absl::StatusOr<std::vector<ProbeStage>> ProbePacket(const DatapathObject& object,
                                                    const policy::Packet& packet) {
  return Prober(object, packet).Go();
}

}  // namespace ripstop::loader
