// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/host_drops.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "bpf/host_drops.skel.h"
#include "bpf/loader/datapath_object.h"
#include "policy/status_macros.h"

namespace ripstop::loader {
namespace {

constexpr char kPrefix[] = "SKB_DROP_REASON_";

absl::Status Refused(int error, const char* verb, const std::string& messages) {
  const std::string what = absl::StrCat("the host's drops: ", verb, ": ", std::strerror(error));
  if (error == EPERM || error == EACCES) {
    return absl::PermissionDeniedError(
        absl::StrCat(what, "; needs CAP_BPF and CAP_PERFMON: ", messages));
  }
  return absl::InternalError(absl::StrCat(what, ": ", messages));
}

absl::StatusOr<std::map<uint32_t, std::string>> ReasonNames() {
  btf* const types = btf__load_vmlinux_btf();
  if (types == nullptr) {
    return absl::UnimplementedError(
        "the host's drops: this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)");
  }
  std::map<uint32_t, std::string> names;
  if (const int id = btf__find_by_name_kind(types, "skb_drop_reason", BTF_KIND_ENUM); id > 0) {
    const btf_type* const type = btf__type_by_id(types, static_cast<uint32_t>(id));
    const struct btf_enum* const values = btf_enum(type);
    for (int i = 0; i < btf_vlen(type); ++i) {
      const absl::string_view name = btf__name_by_offset(types, values[i].name_off);
      names.emplace(static_cast<uint32_t>(values[i].val), absl::StripPrefix(name, kPrefix));
    }
  }
  btf__free(types);
  if (names.empty())
    return absl::UnimplementedError("the host's drops: this kernel names no reasons (before 5.17)");
  return names;
}

uint32_t Numbered(const std::map<uint32_t, std::string>& names, const char* name) {
  for (const auto& [number, known] : names) {
    if (known == name) return number;
  }
  return ~0u;  // this kernel has none: nothing is of it
}

}  // namespace

// The usual ones; the kernel says more in include/net/dropreason-core.h.
std::string HostDropDescription(const std::string& name) {
  static const std::map<std::string, const char*> kKnown = {
      {"NOT_SPECIFIED",
       "The kernel does not say why. Much of it is no loss: packets that it has answered itself, "
       "or "
       "has a copy of."},
      {"NO_SOCKET",
       "Nobody listens at that port; the sender is told. Where policy keeps pods from this host's "
       "ports, drops of our own show so too."},
      {"SOCKET_CLOSE", "Its socket has just been closed."},
      {"QUEUE_PURGE",
       "A socket or device was closed with packets in its queues, as some connections end; usually "
       "no loss."},
      {"SOCKET_FILTER", "A filter that the process set on its socket."},
      {"SOCKET_RCVBUFF",
       "The process reads too slowly: its socket's buffer is full. A larger one: "
       "net.core.rmem_max and SO_RCVBUF."},
      {"SOCKET_BACKLOG", "The process reads too slowly: its socket's backlog is full."},
      {"PROTO_MEM", "Sockets use all the memory that they may: net.ipv4.tcp_mem, udp_mem."},
      {"TCP_LISTEN_OVERFLOW",
       "The process accepts too slowly: its queue of new connections is full. A longer one: "
       "net.core.somaxconn and the program's own backlog."},
      {"TCP_OLD_DATA", "What had arrived already, sent again: harmless."},
      {"TCP_OLD_ACK", "An answer that is overtaken: harmless."},
      {"TCP_OVERWINDOW", "Beyond what the receiver had asked for."},
      {"TCP_RESET", "A reset that ended its connection: harmless."},
      {"TCP_CSUM", "The TCP checksum is wrong: something on the way changes packets."},
      {"UDP_CSUM", "The UDP checksum is wrong: something on the way changes packets."},
      {"IP_CSUM", "The IP checksum is wrong: something on the way changes packets."},
      {"NETFILTER_DROP",
       "A rule of the host's netfilter (nft list ruleset, iptables-save), not of ours."},
      {"IP_RPFILTER",
       "Reverse path: no route back to the source by that interface (net.ipv4.conf.*.rp_filter)."},
      {"IP_OUTNOROUTES", "No route to the destination: `ip route get`, `ripstopctl node status`."},
      {"IP_INNOROUTES", "No route to the destination: `ip route get`, `ripstopctl node status`."},
      {"IP_INADDRERRORS",
       "The destination cannot be reached by the routing table, or forwarding is off "
       "(net.ipv4.ip_forward)."},
      {"IP_LOCALNET", "A loopback address on a wire."},
      {"IP_INVALID_SOURCE", "A source that no host can have."},
      {"NEIGH_FAILED", "The next hop does not answer ARP or neighbour discovery."},
      {"NEIGH_QUEUEFULL", "Too many packets wait for the next hop's MAC address."},
      {"NEIGH_DEAD", "The next hop's entry has just gone."},
      {"PKT_TOO_BIG", "Larger than the path takes, and may not be split; the sender is told."},
      {"TC_INGRESS", "Another program or filter on the interface, not ours (tc filter show)."},
      {"TC_EGRESS", "Another program or filter on the interface, not ours (tc filter show)."},
      {"XDP", "An XDP program on the interface, not ours."},
      {"QDISC_DROP",
       "A queueing discipline of the interface: it is full, or limits the pod's bandwidth."},
      {"QDISC_OVERLIMIT", "A queueing discipline of the interface is full."},
      {"CPU_BACKLOG", "This CPU receives faster than it works (net.core.netdev_max_backlog)."},
      {"DEV_READY", "The interface is down, or going."},
      {"FULL_RING", "The queue of a tap or veth is full: the receiver is too slow."},
      {"NOMEM", "The kernel has no memory."},
      {"OTHERHOST", "A frame for another machine's MAC address."},
      {"UNHANDLED_PROTO", "Nobody takes packets of that protocol on that interface."},
      {"FRAG_REASM_TIMEOUT", "Not all fragments of the packet came."},
      {"SECURITY_HOOK", "A security module (SELinux, AppArmor, Smack)."},
      {"BPF_CGROUP_EGRESS", "A BPF program of the pod's cgroup, not ours."},
  };
  const auto known = kKnown.find(name);
  return known == kKnown.end() ? "" : known->second;
}

absl::StatusOr<std::unique_ptr<HostDrops>> HostDrops::Begin(const DatapathObject& object) {
  const LibbpfMessages messages;
  auto made = std::unique_ptr<HostDrops>(new HostDrops());
  ASSIGN_OR_RETURN(made->names_, ReasonNames());
  struct stat own = {};
  if (stat("/proc/thread-self/ns/net", &own) != 0)
    return absl::ErrnoToStatus(errno, "the host's drops: /proc/thread-self/ns/net");
  made->skeleton_ = host_drops__open();
  if (made->skeleton_ == nullptr) return Refused(errno, "open the object", messages.text());
  auto& constants = *made->skeleton_->rodata;
  constants.tc_ingress_reason = Numbered(made->names_, "TC_INGRESS");
  constants.tc_egress_reason = Numbered(made->names_, "TC_EGRESS");
  constants.own_namespace = static_cast<uint32_t>(own.st_ino);
  bpf_map* map;
  bpf_object__for_each_map(map, made->skeleton_->obj) {
    const int same = object.Map(bpf_map__name(map));
    if (same < 0) continue;  // its own
    if (int error = bpf_map__reuse_fd(map, same); error != 0)
      return Refused(-error, absl::StrCat("use map ", bpf_map__name(map)).c_str(), "");
  }
  if (int error = host_drops__load(made->skeleton_); error != 0)
    return Refused(-error, "load", messages.text());
  if (int error = host_drops__attach(made->skeleton_); error != 0)
    return Refused(-error, "attach to kfree_skb", messages.text());
  return made;
}

HostDrops::~HostDrops() { host_drops__destroy(skeleton_); }

absl::StatusOr<std::vector<HostDrop>> HostDrops::Read() const {
  const int counts = bpf_map__fd(skeleton_->maps.host_drops);
  const int cpus = libbpf_num_possible_cpus();
  if (cpus < 0) return absl::ErrnoToStatus(-cpus, "count the CPUs");
  std::vector<HostDrop> drops;
  host_drop_key key, next;
  std::vector<host_drop_count> of_cpus(static_cast<size_t>(cpus));
  const host_drop_key* before = nullptr;
  for (; bpf_map_get_next_key(counts, before, &next) == 0; before = &key) {
    key = next;
    if (bpf_map_lookup_elem(counts, &key, of_cpus.data()) != 0)
      return absl::ErrnoToStatus(errno, "read the host's drops");
    HostDrop drop;
    const auto name = names_.find(key.reason);
    drop.name = name != names_.end()
                    ? name->second
                    : absl::StrCat("subsystem ", key.reason >> 16, " reason ", key.reason & 0xffff);
    drop.description = HostDropDescription(drop.name);
    drop.place = static_cast<host_drop_place>(key.place);
    for (const host_drop_count& count : of_cpus) {
      drop.packets += count.packets;
      drop.bytes += count.bytes;
    }
    drops.push_back(std::move(drop));
  }
  std::sort(drops.begin(), drops.end(), [](const HostDrop& a, const HostDrop& b) {
    return a.packets != b.packets ? a.packets > b.packets : a.name < b.name;
  });
  return drops;
}

}  // namespace ripstop::loader
