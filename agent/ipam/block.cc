// SPDX-License-Identifier: Apache-2.0
#include "agent/ipam/block.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

constexpr int kAddressBits = 128;
constexpr int kBlockBitsMax = 16;  // 65536 addresses: one store value stays below a megabyte

uint32_t SizeOf(const policy::Cidr& cidr) { return 1u << (kAddressBits - cidr.bits); }

std::string Describe(const ripstop::ipam::v1::IPAMAllocation& allocation) {
  if (allocation.pod_name().empty()) return absl::StrCat("handle ", allocation.handle());
  return absl::StrCat("pod ", allocation.pod_namespace(), "/", allocation.pod_name(), " on node ",
                      allocation.node());
}

}  // namespace

api::ResourceKey Block::KeyFor(const policy::Cidr& cidr) {
  std::string name = cidr.ToString();
  for (char& c : name) {
    if (c == '.' || c == ':' || c == '/') c = '-';
  }
  return {.kind = kIpamBlockKind, .ns = "", .name = std::move(name)};
}

policy::Address Block::At(uint32_t ordinal) const {
  policy::Address address = cidr_.address;
  for (int i = 15; i >= 12; --i) {  // the block's bits are zero there, so or-ing adds
    address.bytes[i] |= static_cast<uint8_t>(ordinal >> (8 * (15 - i)));
  }
  return address;
}

std::optional<uint32_t> Block::OrdinalOf(const policy::Address& address) const {
  if (!cidr_.Contains(address)) return std::nullopt;
  uint32_t low = 0;
  for (int i = 12; i < 16; ++i) low = low << 8 | address.bytes[i];
  return low & (SizeOf(cidr_) - 1);
}

Block Block::Make(const policy::Cidr& cidr, const std::string& affinity,
                  const std::vector<policy::Address>& reserved) {
  Block block;
  block.cidr_ = cidr;
  block.proto_.set_cidr(cidr.ToString());
  block.proto_.set_affinity(affinity);
  for (uint32_t ordinal = 0; ordinal < SizeOf(cidr); ++ordinal) {
    const bool kept =
        std::find(reserved.begin(), reserved.end(), block.At(ordinal)) != reserved.end();
    if (!kept) block.proto_.add_free(ordinal);
  }
  return block;
}

absl::StatusOr<Block> Block::Decode(const api::StoredResource& stored) {
  Block block;
  const std::string name = absl::StrCat(stored.key.kind, " ", stored.key.name);
  if (!block.proto_.ParseFromString(stored.value)) {
    return absl::DataLossError(absl::StrCat(name, " is not an IPAM block"));
  }
  const absl::StatusOr<policy::Cidr> cidr = policy::Cidr::Parse(block.proto_.cidr());
  if (!cidr.ok() || kAddressBits - cidr->bits > kBlockBitsMax) {
    return absl::DataLossError(absl::StrCat(name, ": bad CIDR '", block.proto_.cidr(), "'"));
  }
  block.cidr_ = *cidr;
  std::set<uint32_t> seen;
  bool good = true;
  for (const uint32_t ordinal : block.proto_.free()) good = good && seen.insert(ordinal).second;
  for (const auto& allocation : block.proto_.allocations()) {
    good = good && seen.insert(allocation.ordinal()).second;
  }
  if (!good || (!seen.empty() && *seen.rbegin() >= SizeOf(*cidr))) {
    return absl::DataLossError(absl::StrCat(name, ": an address is listed twice or outside"));
  }
  return block;
}

Allocation Block::Add(uint32_t ordinal, const Owner& owner, const std::string& node) {
  proto_.set_sequence(proto_.sequence() + 1);
  auto* made = proto_.add_allocations();
  made->set_ordinal(ordinal);
  made->set_handle(owner.handle);
  made->set_sequence(proto_.sequence());
  made->set_node(node);
  made->set_pod_namespace(owner.pod_namespace);
  made->set_pod_name(owner.pod_name);
  std::sort(proto_.mutable_allocations()->begin(), proto_.mutable_allocations()->end(),
            [](const auto& a, const auto& b) { return a.ordinal() < b.ordinal(); });
  return {.address = At(ordinal),
          .block = cidr_,
          .handle = owner.handle,
          .sequence = proto_.sequence()};
}

absl::StatusOr<Allocation> Block::Allocate(const Owner& owner, const std::string& node) {
  if (proto_.free().empty()) {
    return absl::ResourceExhaustedError(absl::StrCat("block ", cidr_.ToString(), " is full"));
  }
  const uint32_t ordinal = proto_.free(0);
  proto_.mutable_free()->erase(proto_.mutable_free()->begin());
  return Add(ordinal, owner, node);
}

absl::StatusOr<Allocation> Block::AllocateThis(const policy::Address& address, const Owner& owner,
                                               const std::string& node) {
  const std::optional<uint32_t> ordinal = OrdinalOf(address);
  if (!ordinal.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("address ", address.ToString(), " is not in block ", cidr_.ToString()));
  }
  for (const auto& allocation : proto_.allocations()) {
    if (allocation.ordinal() != *ordinal) continue;
    return absl::AlreadyExistsError(
        absl::StrCat("address ", address.ToString(), " is in use by ", Describe(allocation)));
  }
  auto* free = proto_.mutable_free();
  const auto it = std::find(free->begin(), free->end(), *ordinal);
  if (it == free->end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("address ", address.ToString(), " is reserved in its pool"));
  }
  free->erase(it);
  return Add(*ordinal, owner, node);
}

bool Block::Release(const Allocation& allocation) {
  const std::optional<uint32_t> ordinal = OrdinalOf(allocation.address);
  auto* all = proto_.mutable_allocations();
  for (int i = 0; i < all->size(); ++i) {
    const auto& present = all->Get(i);
    if (present.ordinal() != ordinal || present.handle() != allocation.handle ||
        present.sequence() != allocation.sequence) {
      continue;
    }
    all->DeleteSubrange(i, 1);
    proto_.add_free(*ordinal);
    return true;
  }
  return false;
}

std::vector<Allocation> Block::AllocationsOf(const std::string& node) const {
  std::vector<Allocation> found;
  for (const auto& allocation : proto_.allocations()) {
    if (!node.empty() && allocation.node() != node) continue;
    found.push_back({.address = At(allocation.ordinal()),
                     .block = cidr_,
                     .handle = allocation.handle(),
                     .sequence = allocation.sequence()});
  }
  return found;
}

std::vector<std::pair<policy::Address, std::string>> Block::Borrowed() const {
  std::vector<std::pair<policy::Address, std::string>> borrowed;
  for (const auto& allocation : proto_.allocations()) {
    if (allocation.node() != affinity()) {
      borrowed.emplace_back(At(allocation.ordinal()), allocation.node());
    }
  }
  return borrowed;
}

}  // namespace ripstop::agent
