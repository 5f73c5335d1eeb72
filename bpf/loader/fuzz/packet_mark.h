// SPDX-License-Identifier: Apache-2.0
//
// The field of a packet's mark by which programs tell each other whose it is (bpf/abi/marks.h).
#ifndef RIPSTOP_BPF_LOADER_FUZZ_PACKET_MARK_H_
#define RIPSTOP_BPF_LOADER_FUZZ_PACKET_MARK_H_

#include <cstdint>

#include "policy/address.h"

namespace ripstop::loader::fuzz {

// Twelve bits: two of kind, ten of number.
inline constexpr uint32_t kMarkMask = 0x0fff0000, kMarkShift = 16;
inline constexpr uint16_t kSendersMax = 64;  // more numbers than the node ever gives

enum class MarkKind : uint8_t { kSent = 0, kAnswer = 1, kJudged = 2, kNone = 3 };

struct Mark {
  MarkKind kind = MarkKind::kSent;
  uint16_t number = 0;
};

inline Mark ReadMark(uint32_t word) {
  const uint32_t field = (word & kMarkMask) >> kMarkShift;
  return {static_cast<MarkKind>(field >> 10), static_cast<uint16_t>(field & 0x3ff)};
}

// Number 0 takes the mark away. Bits beside the field are somebody else's.
inline uint32_t WithMark(uint32_t word, const Mark& mark) {
  const uint32_t field = static_cast<uint32_t>(mark.kind) << 10 | mark.number;
  return (word & ~kMarkMask) | (mark.number != 0 ? field << kMarkShift : 0);
}

// Whose a number is.
struct Sender {
  policy::Address address;
  uint32_t ifindex = 0;
};

}  // namespace ripstop::loader::fuzz

#endif  // RIPSTOP_BPF_LOADER_FUZZ_PACKET_MARK_H_
