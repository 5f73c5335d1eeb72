// SPDX-License-Identifier: Apache-2.0
//
// How messages of api/proto/cni.proto go over the plugin's socket, in both directions:
//
//   ┌────────┬──────────────────────┬─────────────────┐
//   │ "RSC1" │ length, 4 bytes, big │ message (proto) │
//   └────────┴──────────────────────┴─────────────────┘
//
// One CniCall from the plugin, one CniAnswer from the agent, and the connection ends.
#ifndef RIPSTOP_AGENT_CNI_WIRE_H_
#define RIPSTOP_AGENT_CNI_WIRE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ripstop::agent {

inline constexpr std::string_view kWireMagic = "RSC1";
inline constexpr size_t kWireHeader = 8;
// A GC that lists 10,000 attachments takes an eighth of it.
inline constexpr size_t kWireMessageMax = size_t{8} << 20;

// `message` with its header.
inline std::string WireFrame(const std::string& message) {
  const auto length = static_cast<uint32_t>(message.size());
  std::string frame(kWireMagic);
  for (int shift = 24; shift >= 0; shift -= 8) {
    frame.push_back(static_cast<char>(length >> shift & 0xff));
  }
  return frame + message;
}

// What the bytes that came so far are.
struct WireState {
  enum class Kind {
    kPart,   // more must come
    kWhole,  // a message of `length` bytes follows the header, and it is all there
    kBad,    // not this protocol, too long, or more than one message
  };
  Kind kind = Kind::kPart;
  size_t length = 0;
};

inline WireState ReadWire(std::string_view bytes) {
  using Kind = WireState::Kind;
  const std::string_view magic = bytes.substr(0, kWireMagic.size());
  if (magic != kWireMagic.substr(0, magic.size())) return {Kind::kBad, 0};
  if (bytes.size() < kWireHeader) return {Kind::kPart, 0};
  size_t length = 0;
  for (size_t i = kWireMagic.size(); i < kWireHeader; ++i) {
    length = length << 8 | static_cast<uint8_t>(bytes[i]);
  }
  if (length > kWireMessageMax || bytes.size() > kWireHeader + length) return {Kind::kBad, 0};
  return {bytes.size() == kWireHeader + length ? Kind::kWhole : Kind::kPart, length};
}

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_CNI_WIRE_H_
