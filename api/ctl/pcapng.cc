// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/pcapng.h"

#include <algorithm>
#include <utility>

namespace ripstop::ctl {
namespace {

// Block types (draft-ietf-opsawg-pcapng-03 section 4).
constexpr uint32_t kSectionHeader = 0x0a0d0d0a;
constexpr uint32_t kInterfaceDescription = 1;
constexpr uint32_t kInterfaceStatistics = 5;
constexpr uint32_t kEnhancedPacket = 6;
constexpr uint32_t kByteOrder = 0x1a2b3c4d;
// Options.
constexpr uint16_t kComment = 1;
constexpr uint16_t kApplication = 4;  // of a section
constexpr uint16_t kName = 2;         // of an interface
constexpr uint16_t kDescription = 3;  // of an interface
constexpr uint16_t kResolution = 9;   // of an interface
constexpr uint16_t kPacketFlags = 2;  // of a packet
constexpr uint16_t kOsDropped = 7;    // of statistics
constexpr char kNanoseconds = 9;      // 10^-9
constexpr uint32_t kInbound = 1, kOutbound = 2;
constexpr size_t kOptionMax = 65532;

template <typename T>
void Append(std::string& to, T value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof(value));
}
void Pad(std::string& to) { to.append((4 - to.size() % 4) % 4, '\0'); }

void AppendOption(std::string& to, uint16_t code, std::string_view value) {
  value = value.substr(0, kOptionMax);
  Append(to, code);
  Append(to, static_cast<uint16_t>(value.size()));
  to.append(value);
  Pad(to);
}
template <typename T>
void AppendNumber(std::string& to, uint16_t code, T value) {
  AppendOption(to, code, {reinterpret_cast<const char*>(&value), sizeof(value)});
}
void EndOptions(std::string& to) { Append(to, uint32_t{0}); }

void AppendTime(std::string& to, int64_t ns) {
  Append(to, static_cast<uint32_t>(static_cast<uint64_t>(ns) >> 32));
  Append(to, static_cast<uint32_t>(ns));
}

}  // namespace

PcapngWriter::PcapngWriter(std::ostream& out, uint32_t snap, const std::string& application)
    : out_(out), snap_(snap) {
  std::string body;
  Append(body, kByteOrder);
  Append(body, uint16_t{1});  // version 1.0
  Append(body, uint16_t{0});
  Append(body, int64_t{-1});  // of unknown length
  AppendOption(body, kApplication, application);
  EndOptions(body);
  WriteBlock(kSectionHeader, body);
}

void PcapngWriter::WriteBlock(uint32_t type, const std::string& body) {
  const auto length = static_cast<uint32_t>(body.size() + 12);
  std::string block;
  Append(block, type);
  Append(block, length);
  block += body;
  Append(block, length);
  out_ << block;
}

uint32_t PcapngWriter::InterfaceOf(const Packet& packet) {
  const auto next = static_cast<uint32_t>(interfaces_.size());
  const auto [known, is_new] = interfaces_.try_emplace({packet.interface, packet.link}, next);
  if (!is_new) return known->second;
  std::string body;
  Append(body, static_cast<uint16_t>(packet.link));
  Append(body, uint16_t{0});
  Append(body, snap_);
  AppendOption(body, kName, packet.interface);
  if (!packet.description.empty()) AppendOption(body, kDescription, packet.description);
  AppendOption(body, kResolution, {&kNanoseconds, 1});
  EndOptions(body);
  WriteBlock(kInterfaceDescription, body);
  return next;
}

void PcapngWriter::Write(const Packet& packet) {
  const std::string_view data = packet.data.substr(0, snap_);
  std::string body;
  Append(body, InterfaceOf(packet));
  AppendTime(body, packet.time_ns);
  Append(body, static_cast<uint32_t>(data.size()));
  Append(body, std::max(packet.length, static_cast<uint32_t>(data.size())));
  body.append(data);
  Pad(body);
  if (!packet.comment.empty()) AppendOption(body, kComment, packet.comment);
  AppendNumber(body, kPacketFlags, packet.inbound ? kInbound : kOutbound);
  EndOptions(body);
  WriteBlock(kEnhancedPacket, body);
}

void PcapngWriter::WriteLost(uint64_t lost, int64_t time_ns) {
  if (interfaces_.empty()) return;  // statistics are of one
  std::string body;
  Append(body, uint32_t{0});
  AppendTime(body, time_ns);
  AppendOption(body, kComment, "of all interfaces together");
  AppendNumber(body, kOsDropped, lost);
  EndOptions(body);
  WriteBlock(kInterfaceStatistics, body);
}

}  // namespace ripstop::ctl
