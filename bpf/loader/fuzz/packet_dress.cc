// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "bpf/loader/fuzz/packet_generator.h"

namespace ripstop::loader::fuzz {
namespace {

constexpr uint32_t kEthernet = 14;
constexpr size_t kLongestFrame = 3300;  // a test run takes a page, with room for the kernel's own

}  // namespace

void PacketGenerator::Dress(FrameSpec& spec) {
  if (Chance(6)) spec.ttl = static_cast<uint8_t>(Below(3));
  if (Chance(15) && spec.packet.source.is_v4()) AddOptions(spec);
  if (Chance(22) && !spec.packet.source.is_v4()) AddExtensions(spec);
  if (Chance(18)) Divide(spec);
}

void PacketGenerator::AddOptions(FrameSpec& spec) {
  static const std::vector<std::vector<uint8_t>> kOptions = {
      {1},
      {148, 4, 0, 0},             // router alert
      {7, 7, 4, 0, 0, 0, 0},      // record route
      {68, 8, 5, 0, 0, 0, 0, 0},  // timestamp
      {130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0},
      {0},
  };
  static const std::vector<std::vector<uint8_t>> kBad = {
      {131, 7, 4, 192, 0, 2, 1}, {137, 3, 4}, {148}, {148, 1}, {148, 0, 0, 0}, {99, 39},
  };
  std::vector<uint8_t>& out = spec.ipv4_options;
  for (uint32_t i = 1 + Below(4); i > 0; --i) {
    const auto& option = Chance(88) ? One(kOptions) : One(kBad);
    if (out.size() + option.size() <= 40) out.insert(out.end(), option.begin(), option.end());
  }
  // Without the end of options that padding to words makes.
  if (Chance(50)) {
    while (out.size() % 4 != 0) out.insert(out.begin(), 1);
  }
  Count("IPv4 options");
}

void PacketGenerator::AddExtensions(FrameSpec& spec) {
  const uint32_t count = Chance(75) ? 1 + Below(3) : 6 + Below(5);
  for (uint32_t i = 0; i < count; ++i) {
    static constexpr uint8_t kTypes[] = {0, 60, 60, 43, 60, 135, 51};
    FrameSpec::Extension e{kTypes[Below(Chance(95) ? 5 : 7)], {}};
    const uint8_t units = static_cast<uint8_t>(Chance(85) ? 0 : Below(3));
    e.body.assign((units + 1) * 8 - 1, 0);
    e.body[0] = units;
    if (e.type == 43) e.body[1] = static_cast<uint8_t>(Chance(92) ? 2 + Below(4) : 0);
    if (e.type != 43 && e.body.size() >= 7) e.body[1] = 1, e.body[2] = 4;  // PadN
    if (Chance(3)) e.body[0] = static_cast<uint8_t>(random_());
    spec.extensions.push_back(e);
  }
  // A fragment header among them; what is behind it is part of what was divided.
  if (Chance(12)) {
    static constexpr uint8_t kOffset[] = {0, 1, 8, 9, 0, 0};
    const FrameSpec::Extension e{
        44, {0, 0, kOffset[Below(std::size(kOffset))], 0, 0, 0, static_cast<uint8_t>(Below(3))}};
    spec.extensions.insert(spec.extensions.begin() + Below(count + 1), e);
    Count("fragment header in a chain");
  }
  if (count > 8) Count("longer chain than is followed");
  Count("IPv6 extension headers");
}

// A fragment: the first, one that follows, one that is too small, one that reaches back.
void PacketGenerator::Divide(FrameSpec& spec) {
  spec.fragmented = true;
  spec.fragment_id = Below(3);
  spec.more_fragments = Chance(60);
  if (Chance(45)) {
    spec.more_fragments = Chance(90);
    if (Chance(12)) {
      spec.raw_transport.assign(1 + Below(20), 0);
      spec.payload.clear();
      Count("tiny first fragment");
    }
    Count("first fragment");
    return;
  }
  static constexpr uint16_t kOffsets[] = {8, 16, 24, 40, 1480, 1480, 65528, 65496, 32768};
  spec.fragment_offset = kOffsets[Below(std::size(kOffsets))];
  Count("later fragment");
}

// Segments in one piece, and BIG TCP, which says no length.
void PacketGenerator::Offload(PacketEvent& event) {
  if (!Chance(10)) return;
  static constexpr uint32_t kSizes[] = {1, 8, 536, 1200, 1440, 1448, 1460, 1461, 9000};
  event.gso_size = kSizes[Below(std::size(kSizes))];
  event.gso_segs = Below(10);
  Count("segments in one");
  if (!Chance(30)) return;
  const size_t length = event.frame[12] == 0x08 ? kEthernet + 2 : kEthernet + 4;
  event.frame[length] = event.frame[length + 1] = 0;
  Count("BIG TCP");
}

void PacketGenerator::BreakLength(PacketEvent& event) {
  const size_t at = kEthernet + (event.frame[12] == 0x08 ? 2 : 4);
  int length = event.frame[at] << 8 | event.frame[at + 1];
  length += Chance(70) ? static_cast<int>(Below(41)) - 20 : static_cast<int>(Below(65536));
  event.frame[at] = static_cast<uint8_t>(length >> 8);
  event.frame[at + 1] = static_cast<uint8_t>(length);
}

void PacketGenerator::Break(PacketEvent& event) {
  Frame& frame = event.frame;
  const uint32_t size = static_cast<uint32_t>(frame.size());
  Count("broken");
  switch (Below(8)) {
    case 0: frame.resize(kEthernet + Below(size - kEthernet + 1)); break;
    case 1: frame.resize(std::min<size_t>(size + Below(40), kLongestFrame)); break;
    case 2:
      if (size > kEthernet + 6) BreakLength(event);
      break;
    case 3: frame[kEthernet + Below(std::min(size - kEthernet, 80u))] ^= 1u << Below(8); break;
    case 4: frame[kEthernet + Below(std::min(size - kEthernet, 80u))] = random_(); break;
    case 5: frame[kEthernet] = static_cast<uint8_t>((Chance(50) ? 0x40 : 0x60) | Below(16)); break;
    case 6: {
      static constexpr uint16_t kTypes[] = {0x0800, 0x86dd, 0x0806, 0x8100, 0x88cc, 60, 0x8847};
      const uint16_t type = kTypes[Below(std::size(kTypes))];
      frame[12] = static_cast<uint8_t>(type >> 8);
      frame[13] = static_cast<uint8_t>(type);
      break;
    }
    default:
      // An address that is mapped, or that is of this machine only.
      if (size < kEthernet + 40) break;
      if (frame[12] == 0x08) {
        frame[kEthernet + (Chance(50) ? 12 : 16)] = 127;
      } else {
        const size_t at = kEthernet + (Chance(50) ? 8 : 24);
        std::fill_n(frame.begin() + static_cast<ptrdiff_t>(at), 10, 0);
        frame[at + 10] = frame[at + 11] = 0xff;
      }
  }
  // A test run takes no frame that ends within the fixed part of an IP header.
  const size_t header = frame[12] == 0x08 && frame[13] == 0      ? 20
                        : frame[12] == 0x86 && frame[13] == 0xdd ? 40
                                                                 : 0;
  frame.resize(std::max<size_t>(frame.size(), kEthernet + header));
}

}  // namespace ripstop::loader::fuzz
