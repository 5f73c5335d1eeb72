// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/packet_trace.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bpf/loader/datapath_object.h"
#include "bpf/traced.skel.h"
#include "policy/status_macros.h"

namespace ripstop::loader {
namespace {

constexpr const char* kHookNames[TRACE_HOOKS] = {"from_workload",  "from_host",   "from_tunnel",
                                                 "from_elsewhere", "to_workload", "to_host"};
constexpr size_t kTakenMax = 1024;

uint64_t MonotonicNs() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

absl::Status Failed(int error, const char* what) {
  return absl::ErrnoToStatus(error, absl::StrCat("trace: ", what));
}

}  // namespace

const char* TraceHookName(uint32_t hook) {
  return hook < TRACE_HOOKS ? kHookNames[hook] : "unknown hook";
}

absl::StatusOr<std::shared_ptr<TracedPrograms>> TracedPrograms::Load(const DatapathObject& object) {
  const LibbpfMessages messages;
  auto made = std::shared_ptr<TracedPrograms>(new TracedPrograms());
  made->skeleton_ = traced__open();
  if (made->skeleton_ == nullptr) {
    return absl::ErrnoToStatus(errno, absl::StrCat("open the traced object: ", messages.text()));
  }
  bpf_map* map;
  bpf_object__for_each_map(map, made->skeleton_->obj) {
    const int same = object.Map(bpf_map__name(map));
    if (same < 0) continue;  // its own
    if (int error = bpf_map__reuse_fd(map, same); error != 0) {
      return absl::ErrnoToStatus(-error, absl::StrCat("use map ", bpf_map__name(map)));
    }
  }
  if (int error = traced__load(made->skeleton_); error != 0)
    return LoadFailed(error, messages.text());
  constexpr size_t kBytes = sizeof(trace_slot) * TRACE_SLOTS;
  void* base = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                    bpf_map__fd(made->skeleton_->maps.trace_slots), 0);
  if (base == MAP_FAILED) return Failed(errno, "map the slots");
  made->slots_ = MappedPages(base, kBytes);
  return made;
}

TracedPrograms::~TracedPrograms() { traced__destroy(skeleton_); }

int TracedPrograms::Program(std::string_view name) const {
  const bpf_program* program =
      bpf_object__find_program_by_name(skeleton_->obj, std::string(name).c_str());
  return program == nullptr ? -1 : bpf_program__fd(program);
}

absl::StatusOr<uint32_t> TracedPrograms::TakeSlot() {
  const std::lock_guard lock(mutex_);
  const auto free = std::find(used_.begin(), used_.end(), false);
  if (free == used_.end()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("trace: ", TRACE_SLOTS, " traces run already; wait until one has ended"));
  }
  *free = true;
  return static_cast<uint32_t>(free - used_.begin());
}

void TracedPrograms::FreeSlot(uint32_t index) {
  __atomic_store_n(&slot(index)->until_ns, 0, __ATOMIC_RELEASE);
  bpf_map_delete_elem(bpf_map__fd(skeleton_->maps.trace_rings), &index);
  const std::lock_guard lock(mutex_);
  used_[index] = false;
}

absl::StatusOr<std::unique_ptr<PacketTrace>> TracedPrograms::Begin(const trace_filter& filter) {
  ASSIGN_OR_RETURN(const uint32_t index, TakeSlot());
  auto trace = std::unique_ptr<PacketTrace>(new PacketTrace(shared_from_this(), index));
  RETURN_IF_ERROR(trace->Open(filter));
  return trace;
}

absl::Status PacketTrace::Open(const trace_filter& filter) {
  map_.reset(bpf_map_create(BPF_MAP_TYPE_RINGBUF, "trace_ring", 0, 0, TRACE_RING_BYTES, nullptr));
  if (!map_.ok()) return Failed(errno, "make a ring buffer");
  ring_ = ring_buffer__new(map_.get(), OnRecord, this, nullptr);
  if (ring_ == nullptr) return Failed(errno, "open the ring buffer");
  const int fd = map_.get();
  if (bpf_map_update_elem(bpf_map__fd(programs_->skeleton_->maps.trace_rings), &index_, &fd,
                          BPF_ANY) != 0) {
    return Failed(errno, "place the ring buffer");
  }
  trace_slot* slot = programs_->slot(index_);
  slot->filter = filter;
  slot->lost = 0;
  Renew();
  return absl::OkStatus();
}

PacketTrace::~PacketTrace() {
  programs_->FreeSlot(index_);
  ring_buffer__free(ring_);
}

void PacketTrace::Renew() {
  __atomic_store_n(&programs_->slot(index_)->until_ns, MonotonicNs() + TRACE_LEASE_NS,
                   __ATOMIC_RELEASE);
}

int PacketTrace::OnRecord(void* context, void* data, size_t bytes) {
  auto& taken = static_cast<PacketTrace*>(context)->taken_;
  TracedPacket packet;
  if (bytes < sizeof(packet.record)) return 0;
  std::memcpy(&packet.record, data, sizeof(packet.record));
  const auto* const after = static_cast<const uint8_t*>(data) + sizeof(packet.record);
  const size_t captured = std::min<size_t>(packet.record.captured, bytes - sizeof(packet.record));
  packet.bytes.assign(after, after + captured);
  taken.push_back(std::move(packet));
  // Any but zero ends this turn; the record is taken all the same.
  return taken.size() < kTakenMax ? 0 : -ECANCELED;
}

absl::StatusOr<std::vector<TracedPacket>> PacketTrace::Take(absl::Duration timeout) {
  if (MonotonicNs() >= __atomic_load_n(&programs_->slot(index_)->until_ns, __ATOMIC_ACQUIRE)) {
    return absl::DeadlineExceededError("trace: its reader was away for too long");
  }
  Renew();
  // What the last turn left is there, though nothing new wakes this one.
  int error = ring_buffer__consume(ring_);
  if (error >= 0 && taken_.empty())
    error = ring_buffer__poll(ring_, static_cast<int>(absl::ToInt64Milliseconds(timeout)));
  if (error < 0 && error != -ECANCELED && error != -EINTR)
    return Failed(-error, "read the ring buffer");
  return std::exchange(taken_, {});
}

uint64_t PacketTrace::lost() const {
  return __atomic_load_n(&programs_->slot(index_)->lost, __ATOMIC_RELAXED);
}

}  // namespace ripstop::loader
