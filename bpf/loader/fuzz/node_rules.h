// SPDX-License-Identifier: Apache-2.0
//
// Addresses and packets that no pod may send to, or nobody may send from, as docs/drop-reasons.md
// names them, in prefixes (RFC 6890 and those it names).
#ifndef RIPSTOP_BPF_LOADER_FUZZ_NODE_RULES_H_
#define RIPSTOP_BPF_LOADER_FUZZ_NODE_RULES_H_

#include "bpf/loader/fuzz/reference_parser.h"

namespace ripstop::loader::fuzz {

bool IsMartian(const policy::Address& address);
// What a pod asks nobody for, besides.
bool IsUnroutable(const policy::Address& address);
bool IsToVxlanPort(const ParsedPacket& p);
// IPIP, 6in4 and GRE.
bool IsTunnelProtocol(uint8_t protocol);
bool IsDhcp(const ParsedPacket& p, bool to_node);
// Flags that no stack sends.
bool HasBadTcpFlags(const ParsedPacket& p);
// Whether a drop of it may be answered: no answers to answers, to pieces, past other headers.
bool IsAnswerable(const ParsedPacket& p);
// The frame as a router sends it on: TTL one less, and IPv4's checksum kept right.
Frame Forwarded(const Frame& frame, int family);

}  // namespace ripstop::loader::fuzz

#endif  // RIPSTOP_BPF_LOADER_FUZZ_NODE_RULES_H_
