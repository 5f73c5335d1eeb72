// SPDX-License-Identifier: Apache-2.0
//
// One packet at one program, and what becomes of it: what the model and the programs are asked.
#ifndef RIPSTOP_BPF_LOADER_FUZZ_PACKET_EVENT_H_
#define RIPSTOP_BPF_LOADER_FUZZ_PACKET_EVENT_H_

#include <cstdint>
#include <string>

#include "bpf/abi/drops.h"
#include "bpf/loader/frame.h"

namespace ripstop::loader::fuzz {

enum class Program { kFromWorkload, kToWorkload, kFromHost, kFromTunnel, kFromElsewhere, kToHost };
inline constexpr size_t kPrograms = 6;
const char* ToString(Program program);

struct PacketEvent {
  Program program = Program::kFromWorkload;
  Frame frame;
  uint32_t ifindex = 0;          // where the program runs
  uint32_t ingress_ifindex = 0;  // by which interface it came to the host; 0: made here
  uint32_t sender = 0;           // of from_tunnel: the number that from_host has left
  uint32_t gso_size = 0;
  uint32_t gso_segs = 0;
  uint32_t mark = 0;        // as it comes out of the stack
  bool redirected = false;  // to_host: it came past the stack, from a program of ours
};
std::string Describe(const PacketEvent& event);  // with the frame in hex

struct Outcome {
  int action = 0;  // TC_ACT_*
  drop_reason reason = DROP_NONE;
  uint32_t sender = 0;    // of from_host: the number of the node that it vouches for
  uint32_t mark = 0;      // as it goes on, or as it was
  Frame frame;            // likewise
  bool answered = false;  // dropped, and the sender is told: the frame is the answer
  bool routed = false;    // to another machine: the next hop may be in the frame already
};
std::string Describe(const Outcome& outcome);
Outcome Passed(const PacketEvent& event, int action = 0);  // TC_ACT_OK
Outcome Dropped(const PacketEvent& event, drop_reason reason);

const char* NameOfReason(uint32_t reason);

}  // namespace ripstop::loader::fuzz

#endif  // RIPSTOP_BPF_LOADER_FUZZ_PACKET_EVENT_H_
