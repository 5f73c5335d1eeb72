// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_BPF_LOADER_PROBE_PROGRAMS_H_
#define RIPSTOP_BPF_LOADER_PROBE_PROGRAMS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bpf/loader/entry_program.h"
#include "bpf/loader/frame.h"
#include "bpf/loader/packet_probe.h"
#include "policy/base/unique_fd.h"

struct datapath;

namespace ripstop::loader {

// The programs of a probe, with their own maps for what they write; see packet_probe.h.
class ProbePrograms {
 public:
  struct Run {
    const char* program = "";
    Frame frame;
    uint32_t ifindex = 1;
    uint32_t ingress_ifindex = 0;
    uint32_t mark = 0;
    uint32_t tunnel_node = 0;  // of from_tunnel
  };
  struct Outcome {
    int action = 0;
    drop_reason reason = DROP_NONE;
    uint32_t egress_word = 0, ingress_word = 0;
    uint32_t mark = 0;
    std::vector<uint8_t> walk;  // what the program noted; empty: it noted nothing
  };

  static absl::StatusOr<std::unique_ptr<ProbePrograms>> Load(
      const DatapathObject& object, const std::vector<const char*>& programs);
  ~ProbePrograms();
  ProbePrograms(const ProbePrograms&) = delete;
  ProbePrograms& operator=(const ProbePrograms&) = delete;

  absl::Status AddFlow(const flow_key& key, const flow_value& value);
  bool HasFlow(const flow_key& key) const;
  absl::StatusOr<Outcome> Test(const Run& run);

  // Of a member in what a program notes, struct walk: "p.source". From its types.
  //   kInternal  there is no such member
  absl::StatusOr<uint32_t> OffsetOf(const std::string& member) const;

 private:
  ProbePrograms() = default;
  absl::Status CopyAccounts(const DatapathObject& object) const;
  absl::Status CopyLatest(const DatapathObject& object, uint32_t account) const;
  absl::StatusOr<int> ProgramOf(const Run& run);
  std::vector<uint8_t> TakeWalk() const;

  datapath* skeleton_ = nullptr;
  EntryProgram entry_;
};

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_PROBE_PROGRAMS_H_
