// SPDX-License-Identifier: Apache-2.0
//
// Any text as an address and as a CIDR: what is accepted is written in one form that reads
// back as the same, and no host bit survives.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "policy/address.h"

using ripstop::policy::Address;
using ripstop::policy::Cidr;

namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto address = Address::Parse(text);
  const auto cidr = Cidr::Parse(text);
  if (address.ok()) {
    const auto again = Address::Parse(address->ToString());
    Check(again.ok() && *again == *address);
    Check(again->is_v4() == address->is_v4());
    // A bare address is a CIDR of itself alone.
    Check(cidr.ok() && cidr->bits == 128 && cidr->address == *address);
  }
  if (!cidr.ok()) return 0;
  const auto again = Cidr::Parse(cidr->ToString());
  Check(again.ok() && *again == *cidr);
  Check(cidr->bits <= 128 && Cidr::Of(cidr->address, cidr->bits) == *cidr);
  Check(cidr->Contains(cidr->address) && cidr->Contains(*cidr));
  Check(cidr->family_bits() >= 0 && cidr->family_bits() <= (cidr->is_v4() ? 32 : 128));
  // The last address is inside, the one with the last bit of the prefix turned is not.
  Address last = cidr->address, other = cidr->address;
  for (int bit = cidr->bits; bit < 128; ++bit) last.bytes[bit / 8] |= 0x80 >> (bit % 8);
  Check(last.is_v4() != cidr->is_v4() || cidr->Contains(last));
  if (cidr->bits == 0) return 0;
  other.bytes[(cidr->bits - 1) / 8] ^= 0x80 >> ((cidr->bits - 1) % 8);
  Check(!cidr->Contains(other));
  // A CIDR holds what its halves hold, and its halves nothing else.
  const Cidr wider = Cidr::Of(cidr->address, cidr->bits - 1);
  if (wider.is_v4() == cidr->is_v4()) Check(wider.Contains(*cidr) && !cidr->Contains(wider));
  return 0;
}
