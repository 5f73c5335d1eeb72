// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/tables_reader.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <numeric>
#include <optional>

#include "absl/strings/str_cat.h"
#include "bpf/loader/table_store.h"
#include "policy/status_macros.h"
#include "policy/tables/cidr_lookup.h"
#include "policy/tables/verdict_lookup.h"

namespace ripstop::loader {
namespace {

absl::StatusOr<UniqueFd> OpenInner(int outer, uint32_t index, const char* name) {
  uint32_t id = 0;
  if (bpf_map_lookup_elem(outer, &index, &id) != 0) {
    return absl::NotFoundError(absl::StrCat(name, " has no map at ", index));
  }
  UniqueFd fd(bpf_map_get_fd_by_id(id));
  if (!fd.ok()) return absl::ErrnoToStatus(errno, absl::StrCat("open map ", index, " of ", name));
  return fd;
}

// Lines of one chunk. A line that cannot be read is a bad policy set to the programs.
class ChunkReader {
 public:
  static absl::StatusOr<ChunkReader> Open(const DatapathObject& object, uint32_t chunk) {
    ASSIGN_OR_RETURN(UniqueFd fd, OpenInner(object.arena(), chunk, "rs_arena_v2"));
    return ChunkReader(std::move(fd));
  }
  absl::StatusOr<arena_line> Line(uint32_t line) const {
    arena_line out;
    if (bpf_map_lookup_elem(fd_.get(), &line, &out) != 0) {
      return absl::ErrnoToStatus(errno, absl::StrCat("arena line ", line));
    }
    return out;
  }
  absl::StatusOr<uint32_t> Half(uint32_t first_line, uint32_t index) const {
    ASSIGN_OR_RETURN(const arena_line line, Line(first_line + index / ARENA_LINE_HALVES));
    return line.halves[index % ARENA_LINE_HALVES];
  }

 private:
  explicit ChunkReader(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

uint32_t Block(uint8_t protocol) {
  switch (protocol) {
    case policy::kProtocolTcp: return L4_TCP;
    case policy::kProtocolUdp: return L4_UDP;
    case policy::kProtocolSctp: return L4_SCTP;
    case policy::kProtocolUdpLite: return L4_UDPLITE;
    case policy::kProtocolIcmp: return L4_ICMP;
    case policy::kProtocolIcmpV6: return L4_ICMPV6;
    default: return L4_OTHER;
  }
}

uint32_t L4Index(const policy::Packet& packet) {
  const uint32_t block = Block(packet.protocol);
  if (block == L4_OTHER) return L4_INDEX(block, packet.protocol);
  if (block == L4_ICMP || block == L4_ICMPV6) {
    return L4_INDEX(block, packet.icmp_type << 8 | packet.icmp_code);
  }
  return L4_INDEX(block, packet.destination_port);
}

struct KnownAddress {
  address_value value = {};
  uint32_t address_class = 0;
};

absl::StatusOr<KnownAddress> ReadAddress(const DatapathObject& object, active_generation active,
                                         const policy::Address& address) {
  KnownAddress known;
  ASSIGN_OR_RETURN(const UniqueFd addresses,
                   OpenInner(object.addresses(), active.slot, "rs_addresses_v2"));
  const address_key key = AddressKeyOf(address);
  if (bpf_map_lookup_elem(addresses.get(), &key, &known.value) == 0) {
    known.address_class = known.value.address_class;
    return known;
  }
  const auto read = [&](uint32_t handle, arena_line& line) {
    const auto chunk = ChunkReader::Open(object, ARENA_HANDLE_CHUNK(handle));
    const auto found = chunk.ok() ? chunk->Line(ARENA_HANDLE_LINE(handle)) : chunk.status();
    if (found.ok()) line = *found;
    return found.ok();
  };
  known.address_class = policy::LookUpCidrClass(address, active.l4_table, read);
  return known;
}

// The same walk as verdict_read in bpf/lib/verdict.h.
SideLookup ReadSide(const DatapathObject& object, uint32_t set,
                    const policy::PacketClasses& classes, drop_reason denied) {
  SideLookup side;
  side.set = set;
  side.address_class = classes.far;
  side.l4_class = classes.l4;
  side.reason = DROP_NO_POLICY_SET;
  if (set == 0) return side;
  if (classes.far == CIDR_NO_ROOM) return side;
  side.reason = DROP_BAD_POLICY_SET;
  std::map<uint32_t, ChunkReader> chunks;  // one, and those of bitmaps
  const policy::LineReader line = [&](uint32_t handle) -> std::optional<arena_line> {
    auto it = chunks.find(ARENA_HANDLE_CHUNK(handle));
    if (it == chunks.end()) {
      auto chunk = ChunkReader::Open(object, ARENA_HANDLE_CHUNK(handle));
      if (!chunk.ok()) return std::nullopt;
      it = chunks.emplace(ARENA_HANDLE_CHUNK(handle), *std::move(chunk)).first;
    }
    const auto read = it->second.Line(ARENA_HANDLE_LINE(handle));
    return read.ok() ? std::optional(*read) : std::nullopt;
  };
  const policy::VerdictLookup found = LookUpVerdict(line, set, classes);
  side.set_index = found.set_index;
  if (found.set_index != 0)
    side.epoch = __atomic_load_n(object.epoch(found.set_index), __ATOMIC_ACQUIRE);
  side.row = found.row;
  side.column = found.column;
  side.verdict = found.word;
  if (!found.read) return side;
  side.reason = side.verdict == 0              ? DROP_NO_VERDICT
                : side.verdict & VERDICT_ALLOW ? DROP_NONE
                                               : denied;
  return side;
}

}  // namespace

absl::StatusOr<PacketLookup> LookupInForce(const DatapathObject& object,
                                           const policy::Packet& packet) {
  const active_generation active = object.active();
  if (active.l4_table == 0) return absl::FailedPreconditionError("no policy tables are in force");
  PacketLookup lookup;
  lookup.slot = active.slot;
  ASSIGN_OR_RETURN(const KnownAddress source, ReadAddress(object, active, packet.source));
  ASSIGN_OR_RETURN(const KnownAddress destination, ReadAddress(object, active, packet.destination));
  lookup.source = source.value;
  lookup.destination = destination.value;

  ASSIGN_OR_RETURN(const ChunkReader l4,
                   ChunkReader::Open(object, ARENA_HANDLE_CHUNK(active.l4_table)));
  const uint32_t line = ARENA_HANDLE_LINE(active.l4_table);
  ASSIGN_OR_RETURN(const uint32_t l4_class, l4.Half(line, L4Index(packet)));
  uint32_t source_class = 0;
  if (policy::HasPorts(packet.protocol)) {
    ASSIGN_OR_RETURN(source_class,
                     l4.Half(line, L4_INDEX(Block(packet.protocol), packet.source_port)));
  }
  if (source.value.flags & ADDRESS_LOCAL_ENDPOINT) {
    lookup.egress =
        ReadSide(object, source.value.egress_set,
                 {destination.address_class, source.address_class, l4_class, source_class},
                 DROP_POLICY_EGRESS);
  }
  if (destination.value.flags & ADDRESS_LOCAL_ENDPOINT) {
    lookup.ingress =
        ReadSide(object, destination.value.ingress_set,
                 {source.address_class, destination.address_class, l4_class, source_class},
                 DROP_POLICY_INGRESS);
  }
  return lookup;
}

absl::StatusOr<std::map<uint32_t, rule_hits>> HitsInForce(const DatapathObject& object) {
  std::map<uint32_t, rule_hits> hits;
  const uint32_t slot = object.active().slot & 1;
  const int cpus = libbpf_num_possible_cpus();
  std::vector<rule_hits> per_cpu(cpus);
  for (uint32_t chunk = 0; chunk < HITS_CHUNKS_PER_SLOT; ++chunk) {
    auto inner = OpenInner(object.hits(), slot * HITS_CHUNKS_PER_SLOT + chunk, "rs_hits_v1");
    if (!inner.ok()) break;  // chunks are made in order
    for (uint32_t i = 0; i < HITS_CHUNK_RULES; ++i) {
      if (bpf_map_lookup_elem(inner->get(), &i, per_cpu.data()) != 0) {
        return absl::ErrnoToStatus(errno, absl::StrCat("hits of rule ", i));
      }
      rule_hits sum = {};
      for (const rule_hits& one : per_cpu) {
        sum.packets += one.packets;
        sum.bytes += one.bytes;
        sum.last_hit_ns = std::max(sum.last_hit_ns, one.last_hit_ns);
      }
      if (sum.packets != 0) hits.emplace(chunk * HITS_CHUNK_RULES + i, sum);
    }
  }
  return hits;
}

const char* DropReasonName(uint32_t reason) {
  switch (reason) {
#define X(id, name, description) \
  case DROP_##id: return name;
    DROP_REASONS(X)
#undef X
  }
  return "";
}

absl::StatusOr<std::vector<DropCount>> ReadDrops(const DatapathObject& object) {
  std::vector<DropCount> drops = {
#define X(id, name, description) {DROP_##id, name, description},
      DROP_REASONS(X)
#undef X
  };
  std::vector<drop_count> per_cpu(libbpf_num_possible_cpus());
  for (DropCount& drop : drops) {
    const uint32_t key = drop.reason;
    if (bpf_map_lookup_elem(object.drops(), &key, per_cpu.data()) != 0) {
      return absl::ErrnoToStatus(errno, absl::StrCat("drop counter ", drop.name));
    }
    for (const drop_count& one : per_cpu) {
      drop.packets += one.packets;
      drop.bytes += one.bytes;
    }
  }
  return drops;
}

absl::StatusOr<uint64_t> ReadLost(const DatapathObject& object, lost what) {
  std::vector<uint64_t> per_cpu(libbpf_num_possible_cpus());
  const uint32_t key = what;
  if (bpf_map_lookup_elem(object.lost(), &key, per_cpu.data()) != 0) {
    return absl::ErrnoToStatus(errno, "read rs_lost_v2");
  }
  return std::accumulate(per_cpu.begin(), per_cpu.end(), uint64_t{0});
}

}  // namespace ripstop::loader
