// SPDX-License-Identifier: Apache-2.0
#include "api/ipam/block_summary.h"

#include <string_view>

#include "absl/strings/str_cat.h"
#include "api/ipam/block.h"
#include "api/proto/ipam.pb.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/wire_format_lite.h"

namespace ripstop::ipam {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

// Calls `field(number, bytes)` for each length-delimited field and `number(field, value)`
// for each varint; skips the rest. False: not a message.
template <typename Bytes, typename Number>
bool Walk(std::string_view message, Bytes bytes, Number number) {
  CodedInputStream input(reinterpret_cast<const uint8_t*>(message.data()),
                         static_cast<int>(message.size()));
  while (const uint32_t tag = input.ReadTag()) {
    const int field = WireFormatLite::GetTagFieldNumber(tag);
    switch (WireFormatLite::GetTagWireType(tag)) {
      case WireFormatLite::WIRETYPE_LENGTH_DELIMITED: {
        uint32_t length = 0;
        if (!input.ReadVarint32(&length)) return false;
        const size_t at = static_cast<size_t>(input.CurrentPosition());
        if (length > message.size() - at) return false;
        bytes(field, message.substr(at, length));
        input.Skip(static_cast<int>(length));
        break;
      }
      case WireFormatLite::WIRETYPE_VARINT: {
        uint64_t value = 0;
        if (!input.ReadVarint64(&value)) return false;
        number(field, value);
        break;
      }
      default:
        if (!WireFormatLite::SkipField(&input, tag)) return false;
    }
  }
  return input.ConsumedEntireMessage();
}

struct Use {
  uint64_t ordinal = 0;
  std::string_view node;
};

bool ReadUse(std::string_view message, Use* ret_use) {
  return Walk(
      message,
      [ret_use](int field, std::string_view bytes) {
        if (field == v1::IPAMAllocation::kNodeFieldNumber) ret_use->node = bytes;
      },
      [ret_use](int field, uint64_t value) {
        if (field == v1::IPAMAllocation::kOrdinalFieldNumber) ret_use->ordinal = value;
      });
}

}  // namespace

absl::StatusOr<BlockSummary> Summarize(const api::StoredResource& stored) {
  const auto bad = [&stored](const std::string& what) {
    return absl::DataLossError(absl::StrCat(stored.key.kind, " ", stored.key.name, what));
  };
  BlockSummary summary;
  std::string_view cidr, affinity;
  std::vector<std::string_view> allocations;
  const bool good = Walk(
      stored.value,
      [&](int field, std::string_view bytes) {
        switch (field) {
          case v1::IPAMBlock::kCidrFieldNumber: cidr = bytes; break;
          case v1::IPAMBlock::kAffinityFieldNumber: affinity = bytes; break;
          case v1::IPAMBlock::kAllocationsFieldNumber: allocations.push_back(bytes); break;
          case v1::IPAMBlock::kFreeFieldNumber: summary.has_free |= !bytes.empty(); break;
          default: break;
        }
      },
      [&](int field, uint64_t) {
        summary.has_free |= field == v1::IPAMBlock::kFreeFieldNumber;  // not packed
      });
  if (!good) return bad(" is not an IPAM block");
  const auto parsed = policy::Cidr::Parse(cidr);
  if (!parsed.ok()) return bad(absl::StrCat(": bad CIDR '", std::string(cidr), "'"));
  if (KeyName(*parsed) != stored.key.name)
    return bad(absl::StrCat(" holds block ", std::string(cidr)));
  summary.cidr = *parsed;
  summary.affinity = std::string(affinity);
  summary.used = static_cast<uint32_t>(allocations.size());
  for (const std::string_view message : allocations) {
    Use use;
    if (!ReadUse(message, &use)) return bad(" is not an IPAM block");
    if (use.node == affinity) continue;
    summary.borrowed.emplace_back(AddressAt(summary.cidr, static_cast<uint32_t>(use.ordinal)),
                                  std::string(use.node));
  }
  return summary;
}

}  // namespace ripstop::ipam
