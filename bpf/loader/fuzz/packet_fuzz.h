// SPDX-License-Identifier: Apache-2.0
//
// Packets through the model and the programs, one after the other, until the two differ.
#ifndef RIPSTOP_BPF_LOADER_FUZZ_PACKET_FUZZ_H_
#define RIPSTOP_BPF_LOADER_FUZZ_PACKET_FUZZ_H_

#include <array>
#include <map>
#include <string>

#include "bpf/loader/fuzz/kernel_node.h"
#include "bpf/loader/fuzz/packet_generator.h"

namespace ripstop::loader::fuzz {

struct FuzzTotals {
  uint64_t packets = 0, worlds = 0, passed = 0, redirected = 0, answered = 0, changes = 0;
  uint64_t stale = 0;
  std::array<uint64_t, DROP_REASONS_MAX> drops{};
  std::map<std::string, uint64_t> kinds;
};
std::string Describe(const FuzzTotals& totals);

class PacketFuzz {
 public:
  // `node` outlives this.
  explicit PacketFuzz(KernelNode* node);

  // A world of `packets` packets. Empty: no difference; else both answers, and how to have that
  // packet again: each world depends on its seed alone.
  std::string World(uint64_t seed, uint64_t packets);
  const FuzzTotals& totals() const { return totals_; }
  // The programs get these settings, and the model none: the difference must be found.
  void Deceive(const NodeSettings& settings) { deceit_ = settings; }

 private:
  std::string Begin(uint64_t seed);
  std::string Change(bool forget);
  std::string Step(const PacketEvent& event, Outcome* ret_outcome);
  std::string Compare(const PacketEvent& event, const Outcome& want, Outcome got);
  std::string CompareFlow(const FlowName& name);
  std::string CompareAll();

  KernelNode& node_;
  Scene scene_;
  NodeModel model_;
  std::optional<NodeSettings> deceit_;
  FuzzTotals totals_;
  std::array<uint64_t, DROP_REASONS_MAX> counted_{};  // drops, as there should be
};

}  // namespace ripstop::loader::fuzz

#endif  // RIPSTOP_BPF_LOADER_FUZZ_PACKET_FUZZ_H_
