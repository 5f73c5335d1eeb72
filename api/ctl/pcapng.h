// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_API_CTL_PCAPNG_H_
#define RIPSTOP_API_CTL_PCAPNG_H_

#include <cstdint>
#include <map>
#include <ostream>
#include <string>
#include <string_view>

namespace ripstop::ctl {

// Writes packets as Wireshark and tcpdump read them: pcapng (draft-ietf-opsawg-pcapng), one
// section, in this machine's byte order, times in nanoseconds.
//
//   section header │ interface description (each before its first packet) │ enhanced packet …
//
// What a packet's program said of it is the packet's comment. `out` is the caller's to check.
class PcapngWriter {
 public:
  enum class LinkType : uint16_t { kEthernet = 1, kRawIp = 101 };

  struct Packet {
    std::string interface;    // what the reader shows; packets of one name are of one interface
    std::string description;  // of the interface
    LinkType link = LinkType::kEthernet;
    int64_t time_ns = 0;  // Unix
    bool inbound = true;  // into this host
    uint32_t length = 0;  // on the wire; `data` may be less
    std::string_view data;
    std::string comment;
  };

  // `snap`: how much of a packet is kept, at most.
  PcapngWriter(std::ostream& out, uint32_t snap, const std::string& application);
  void Write(const Packet& packet);
  // Of all interfaces together, at the end: packets that could not be told of.
  void WriteLost(uint64_t lost, int64_t time_ns);

 private:
  uint32_t InterfaceOf(const Packet& packet);
  void WriteBlock(uint32_t type, const std::string& body);

  std::ostream& out_;
  const uint32_t snap_;
  std::map<std::pair<std::string, LinkType>, uint32_t> interfaces_;
};

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_PCAPNG_H_
