// SPDX-License-Identifier: Apache-2.0
//
// Traces of live packets.
//
//   DatapathObject ─maps─▶ [TracedPrograms] ─Program()─▶ interfaces, while anybody traces
//                              │ Begin(filter)
//                              ▼
//                          [PacketTrace] ─Take()─▶ records
//
// The traced programs judge as the datapath's own do, being the same text over the same maps,
// and then tell of the packet (bpf/lib/trace.h). Who attaches them is not said here. Nothing is
// pinned. Any thread; a PacketTrace by one at a time.
#ifndef RIPSTOP_BPF_LOADER_PACKET_TRACE_H_
#define RIPSTOP_BPF_LOADER_PACKET_TRACE_H_

#include <array>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bpf/abi/trace.h"
#include "bpf/loader/mapped_pages.h"
#include "policy/base/unique_fd.h"

struct ring_buffer;
struct traced;

namespace ripstop::loader {

class DatapathObject;

const char* TraceHookName(uint32_t hook);  // enum trace_hook: "from_workload"

struct TracedPacket {
  trace_record record = {};
  std::vector<uint8_t> bytes;  // the first of the frame, as the program left it
};

class PacketTrace;

class TracedPrograms : public std::enable_shared_from_this<TracedPrograms> {
 public:
  // The verifier works on it for a second or two. `object` is only read, and must outlive this.
  //   those of DatapathObject::Load
  static absl::StatusOr<std::shared_ptr<TracedPrograms>> Load(const DatapathObject& object);
  ~TracedPrograms();
  TracedPrograms(const TracedPrograms&) = delete;
  TracedPrograms& operator=(const TracedPrograms&) = delete;

  // In the place of the datapath's program of that name; -1: of that there is none.
  int Program(std::string_view name) const;

  // From then on packets that fit are told of, where these programs are attached.
  //   kResourceExhausted  there are TRACE_SLOTS already
  absl::StatusOr<std::unique_ptr<PacketTrace>> Begin(const trace_filter& filter);

 private:
  friend class PacketTrace;
  TracedPrograms() = default;
  trace_slot* slot(uint32_t index) const { return static_cast<trace_slot*>(slots_.base()) + index; }
  absl::StatusOr<uint32_t> TakeSlot();
  void FreeSlot(uint32_t index);

  traced* skeleton_ = nullptr;
  MappedPages slots_;
  std::mutex mutex_;
  std::array<bool, TRACE_SLOTS> used_{};  // guarded by mutex_
};

class PacketTrace {
 public:
  ~PacketTrace();
  PacketTrace(const PacketTrace&) = delete;
  PacketTrace& operator=(const PacketTrace&) = delete;

  // Waits until there are some, or for `timeout`; then takes a thousand at most.
  //   kDeadlineExceeded  this was last called more than TRACE_LEASE_NS ago; packets have passed
  //                      meanwhile that nobody was told of
  absl::StatusOr<std::vector<TracedPacket>> Take(absl::Duration timeout);
  // Records that there was no room for, since the beginning.
  uint64_t lost() const;

 private:
  friend class TracedPrograms;
  PacketTrace(std::shared_ptr<TracedPrograms> programs, uint32_t index)
      : programs_(std::move(programs)), index_(index) {}
  absl::Status Open(const trace_filter& filter);
  void Renew();
  static int OnRecord(void* context, void* data, size_t bytes);

  const std::shared_ptr<TracedPrograms> programs_;
  const uint32_t index_;
  UniqueFd map_;
  ring_buffer* ring_ = nullptr;
  std::vector<TracedPacket> taken_;
};

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_PACKET_TRACE_H_
