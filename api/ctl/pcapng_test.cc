// SPDX-License-Identifier: Apache-2.0
//
// What is written is read back by a reader of its own, from the text of the draft: blocks by
// their lengths, options by theirs.
#include "api/ctl/pcapng.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <sstream>
#include <vector>

namespace ripstop::ctl {
namespace {

using testing::ElementsAre;

struct Block {
  uint32_t type = 0;
  std::string body;
};

template <typename T>
T At(const std::string& bytes, size_t offset) {
  T value;
  EXPECT_LE(offset + sizeof(value), bytes.size());
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

std::vector<Block> Blocks(const std::string& file) {
  std::vector<Block> blocks;
  for (size_t at = 0; at < file.size();) {
    const auto length = At<uint32_t>(file, at + 4);
    EXPECT_EQ(length % 4, 0u);
    EXPECT_EQ(At<uint32_t>(file, at + length - 4), length);
    if (length < 12 || at + length > file.size()) {
      ADD_FAILURE() << "block of " << length << " bytes at " << at;
      break;
    }
    blocks.push_back({At<uint32_t>(file, at), file.substr(at + 8, length - 12)});
    at += length;
  }
  return blocks;
}

std::multimap<uint16_t, std::string> Options(const std::string& body, size_t at) {
  std::multimap<uint16_t, std::string> options;
  while (at < body.size()) {
    const auto code = At<uint16_t>(body, at), length = At<uint16_t>(body, at + 2);
    if (code == 0) {
      EXPECT_EQ(length, 0);
      EXPECT_EQ(at + 4, body.size()) << "something follows the end of options";
      return options;
    }
    options.emplace(code, body.substr(at + 4, length));
    at += 4 + (length + 3) / 4 * 4;
  }
  ADD_FAILURE() << "options without an end";
  return options;
}

std::string Option(const std::multimap<uint16_t, std::string>& options, uint16_t code) {
  const auto found = options.find(code);
  return found == options.end() ? "(none)" : found->second;
}

PcapngWriter::Packet Packet(const std::string& interface, const std::string& data) {
  PcapngWriter::Packet packet;
  packet.interface = interface;
  packet.time_ns = 1'700'000'000'123'456'789;
  packet.length = 1500;
  packet.data = data;
  packet.comment = "Drop policy-egress";
  return packet;
}

TEST(PcapngTest, EachInterfaceIsDescribedOnceAndBeforeItsPackets) {
  std::ostringstream out;
  PcapngWriter writer(out, 64, "a test");
  const std::string data = "seventeen bytes..";
  writer.Write(Packet("cali1 from_workload", data));
  writer.Write(Packet("eth0 to_host", data));
  writer.Write(Packet("cali1 from_workload", data));
  PcapngWriter::Packet headless = Packet("eth0 to_host", data);
  headless.link = PcapngWriter::LinkType::kRawIp;
  writer.Write(headless);
  const std::vector<Block> blocks = Blocks(out.str());
  std::vector<uint32_t> types, links, ids;
  for (const Block& block : blocks) {
    types.push_back(block.type);
    if (block.type == 1) links.push_back(At<uint16_t>(block.body, 0));
    if (block.type == 6) ids.push_back(At<uint32_t>(block.body, 0));
  }
  EXPECT_THAT(types, ElementsAre(0x0a0d0d0a, 1, 6, 1, 6, 6, 1, 6));
  EXPECT_THAT(links, ElementsAre(1, 1, 101));
  EXPECT_THAT(ids, ElementsAre(0, 1, 0, 2));
  EXPECT_EQ(At<uint32_t>(blocks[0].body, 0), 0x1a2b3c4du);
  EXPECT_EQ(At<uint16_t>(blocks[0].body, 4), 1);
  EXPECT_EQ(At<int64_t>(blocks[0].body, 8), -1);
  EXPECT_EQ(Option(Options(blocks[0].body, 16), 4), "a test");
  EXPECT_EQ(At<uint32_t>(blocks[1].body, 4), 64u);
  const auto described = Options(blocks[1].body, 8);
  EXPECT_EQ(Option(described, 2), "cali1 from_workload");
  EXPECT_EQ(Option(described, 9), std::string(1, 9));  // nanoseconds
}

TEST(PcapngTest, APacketKeepsTimeLengthBytesAndComment) {
  std::ostringstream out;
  PcapngWriter writer(out, 64, "a test");
  std::string data(17, '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(200 + i);
  PcapngWriter::Packet packet = Packet("eth0", data);
  packet.inbound = false;
  writer.Write(packet);
  const std::string body = Blocks(out.str()).at(2).body;
  const uint64_t time = uint64_t{At<uint32_t>(body, 4)} << 32 | At<uint32_t>(body, 8);
  EXPECT_EQ(time, 1'700'000'000'123'456'789u);
  EXPECT_EQ(At<uint32_t>(body, 12), 17u);
  EXPECT_EQ(At<uint32_t>(body, 16), 1500u);
  EXPECT_EQ(body.substr(20, 17), data);
  const auto options = Options(body, 20 + 20);
  EXPECT_EQ(Option(options, 1), "Drop policy-egress");
  EXPECT_EQ(At<uint32_t>(Option(options, 2), 0), 2u);  // outbound
}

TEST(PcapngTest, NoMoreIsKeptThanWasSaid) {
  std::ostringstream out;
  PcapngWriter writer(out, 64, "a test");
  PcapngWriter::Packet packet = Packet("eth0", std::string(300, 'x'));
  packet.length = 10;  // shorter than what there is: nobody's, but no reader may choke on it
  packet.comment = std::string(100000, 'c');
  writer.Write(packet);
  const std::string body = Blocks(out.str()).at(2).body;
  EXPECT_EQ(At<uint32_t>(body, 12), 64u);
  EXPECT_EQ(At<uint32_t>(body, 16), 64u);
  EXPECT_EQ(Option(Options(body, 20 + 64), 1).size(), 65532u);
}

TEST(PcapngTest, WhatWasLostIsInTheStatistics) {
  std::ostringstream out;
  PcapngWriter writer(out, 64, "a test");
  writer.WriteLost(7, 1);  // of no interface nothing can be said
  EXPECT_EQ(Blocks(out.str()).size(), 1u);
  writer.Write(Packet("eth0", "x"));
  writer.WriteLost(7, 1);
  const Block block = Blocks(out.str()).back();
  EXPECT_EQ(block.type, 5u);
  EXPECT_EQ(At<uint64_t>(Option(Options(block.body, 12), 7), 0), 7u);
}

}  // namespace
}  // namespace ripstop::ctl
