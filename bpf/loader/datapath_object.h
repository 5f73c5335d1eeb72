// SPDX-License-Identifier: Apache-2.0
//
// The loaded programs and their maps, pinned or private.
//
// With a pin directory (on a bpffs) the maps that are pinned there are reused, so
// flows, counters and the tables in force outlive the process; their sizes win over
// `sizes`, except for that of the flow table: where that differs, or its layout, a new one is made
// and AdoptFlows brings over what is in the old one. Other maps of another layout's version are
// unpinned once all is loaded; packets that would ask ours are denied until a generation is
// committed. Programs are loaded anew by each Load, and by nothing else (no reload).
#ifndef RIPSTOP_BPF_LOADER_DATAPATH_OBJECT_H_
#define RIPSTOP_BPF_LOADER_DATAPATH_OBJECT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "bpf/abi/flows.h"
#include "bpf/abi/marks.h"
#include "bpf/abi/state.h"
#include "bpf/abi/timeouts.h"
#include "bpf/loader/mapped_pages.h"
#include "bpf/loader/program_loader.h"
#include "policy/base/unique_fd.h"

struct datapath;

namespace ripstop::loader {

struct DatapathSizes {
  uint32_t flows = 262144;
  uint32_t account_flows = 0;      // of one local address, begun or received; 0: a quarter of all
  uint32_t account_half_open = 0;  // of them not answered; 0: 4096, half at most
  uint32_t fragments = 8192;
  uint32_t addresses = 16384;  // of a new generation; grows live
  uint32_t event_bytes = 1u << 20;
  uint32_t mark_numbers = MARK_NUMBER_MAX;  // local addresses that marks can name
};

struct ProgramStats {
  std::string name;
  uint32_t verified_instructions = 0;
  uint32_t translated_instructions = 0;
  uint32_t machine_bytes = 0;
};

class DatapathObject {
 public:
  // Errors:
  //   kPermissionDenied    CAP_BPF or CAP_NET_ADMIN is missing
  //   kFailedPrecondition  `pin_dir` is not on a bpffs, or holds maps of another layout
  //   kInternal            the verifier refused a program; the message holds its log
  // `unwanted`: names of programs that are left out, for who attaches nothing. The verifier works
  // a seventh of Load's time on each program that handles packets. Their descriptors are -1.
  static absl::StatusOr<std::unique_ptr<DatapathObject>> Load(
      const DatapathSizes& sizes, const std::string& pin_dir,
      absl::Span<const char* const> unwanted = {});
  ~DatapathObject();
  DatapathObject(const DatapathObject&) = delete;
  DatapathObject& operator=(const DatapathObject&) = delete;

  int from_workload() const;
  int to_workload() const;
  int from_host() const;
  int from_tunnel() const;
  int from_elsewhere() const;
  int to_host() const;
  int to_socket() const;
  int flow_sweep() const;
  int flow_reshape() const;
  int flow_end() const;
  int arena_used() const;
  // Descriptor of the program of that name; -1: there is none, or it was not wanted.
  int Program(std::string_view name) const;
  // Likewise of the map of that name.
  int Map(const char* name) const;

  int addresses() const;
  int arena() const;
  int hits() const;
  int flows() const;
  int accounts() const;
  int fragments() const;
  uint32_t flow_capacity() const;
  int vteps() const;
  int owners() const;
  int externals() const;
  int interfaces() const;
  int drops() const;
  int interface_drops() const;
  int events() const;
  int lost() const;
  int state_map() const;
  int epochs_map() const;

  // Mapped page of rs_state_v4.
  datapath_state* state() const { return static_cast<datapath_state*>(state_.base()); }
  // The epoch of a policy set, in the mapped pages of rs_epochs_v1. The kernel rounds the
  // elements of an array map up to eight bytes, so these words are not adjacent.
  uint32_t* epoch(uint32_t set_index) const {
    return static_cast<uint32_t*>(epochs_.base()) + size_t{set_index} * kEpochStrideWords;
  }
  int epochs() const;
  // Mapped pages of rs_accounts_v2: FLOW_ACCOUNTS of them.
  flow_account* flow_accounts() const { return static_cast<flow_account*>(accounts_.base()); }
  // Mapped pages of rs_senders_v1.
  uint8_t* senders() const { return static_cast<uint8_t*>(senders_.base()); }

  // How long flows may be quiet; all zero: as bpf/abi/flows.h has it. The next sweep goes by it.
  void SetTimeouts(const flow_timeouts& timeouts);
  flow_timeouts timeouts() const;

  // Loads of the one 64-bit word.
  active_generation active() const;
  void SetActive(active_generation active);

  std::vector<ProgramStats> Stats() const;

  // Removes all flows of which one end is among these, by one walk of all flows for each
  // FORGOTTEN_MAX of them; how many. One thread at a time.
  absl::StatusOr<uint32_t> ForgetFlows(const std::vector<ip_address>& addresses) const;

  // Copies the flows that a table of another size or layout holds, where Load has found one, and
  // which are not in the new one yet. Call it before programs of this object replace those
  // that use the old one, so that live flows are known to them, and again after, for the
  // flows that began meanwhile; then ForgetOldFlows. Returns how many had no room.
  // Nothing is done when there is no old table. Of a newer layout the beginning is taken, of an
  // older one what it had (abi/flows.h).
  absl::StatusOr<uint64_t> AdoptFlows() const;
  void ForgetOldFlows();

  // Pins again what is no longer pinned; how many maps that were. The maps live as long as
  // this process and the programs do, but the next process would not find them.
  //   kFailedPrecondition  the folder is on no bpffs any more; names it
  absl::StatusOr<uint32_t> RestorePins() const;

 private:
  static constexpr size_t kEpochStrideWords = 2;
  static constexpr char kFlowTables[] = "rs_flows_v";  // of any layout

  // A flow table that is not ours, pinned until its flows are adopted.
  struct OldFlows {
    std::string path;
    UniqueFd map;
    uint32_t value_bytes = 0;
  };

  DatapathObject() = default;
  absl::Status FindOldFlows(uint32_t wanted_size);
  absl::StatusOr<uint64_t> AdoptFrom(const OldFlows& old) const;
  void LimitAccounts(const DatapathSizes& sizes) const;
  datapath* skeleton_ = nullptr;  // its maps
  Programs programs_;
  std::string pin_dir_;
  std::vector<OldFlows> old_flows_;  // what is newer first
  MappedPages state_;
  MappedPages epochs_;
  MappedPages senders_;
  MappedPages accounts_;
  MappedPages timeouts_;
};

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_DATAPATH_OBJECT_H_
