// SPDX-License-Identifier: Apache-2.0
#include "api/ipam/block.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "policy/status_macros.h"

namespace ripstop::ipam {
namespace {

constexpr int kAddressBits = 128;

uint32_t SizeOf(const policy::Cidr& cidr) { return 1u << (kAddressBits - cidr.bits); }

}  // namespace

std::string Describe(const v1::IPAMAllocation& allocation) {
  if (allocation.pod_name().empty()) return absl::StrCat("handle ", allocation.handle());
  return absl::StrCat("pod ", allocation.pod_namespace(), "/", allocation.pod_name(), " on node ",
                      allocation.node());
}

std::string KeyName(const policy::Cidr& cidr) {
  return absl::StrReplaceAll(cidr.ToString(), {{".", "-"}, {":", "-"}, {"/", "-"}});
}

api::ResourceKey Block::KeyFor(const policy::Cidr& cidr) {
  return {.kind = kBlockKind, .ns = "", .name = KeyName(cidr)};
}

std::optional<policy::Cidr> Block::CidrOf(const api::ResourceKey& key) {
  const size_t last = key.name.rfind('-');
  if (key.kind != kBlockKind || last == std::string::npos) return std::nullopt;
  std::string address = key.name.substr(0, last);
  // Four parts, none of them empty: no IPv6 address is as short as that.
  const bool v4 = std::count(address.begin(), address.end(), '-') == 3 &&
                  address.find("--") == std::string::npos;
  std::replace(address.begin(), address.end(), '-', v4 ? '.' : ':');
  const auto cidr = policy::Cidr::Parse(absl::StrCat(address, "/", key.name.substr(last + 1)));
  if (!cidr.ok() || KeyFor(*cidr).name != key.name) return std::nullopt;
  return *cidr;
}

policy::Address AddressAt(const policy::Cidr& block, uint32_t ordinal) {
  policy::Address address = block.address;
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
                  const std::vector<policy::Address>& kept, uint64_t sequence) {
  Block block;
  block.cidr_ = cidr;
  block.proto_.set_cidr(cidr.ToString());
  block.proto_.set_affinity(affinity);
  block.proto_.set_sequence(sequence);
  for (uint32_t ordinal = 0; ordinal < SizeOf(cidr); ++ordinal) {
    if (std::find(kept.begin(), kept.end(), block.At(ordinal)) == kept.end()) {
      block.proto_.add_free(ordinal);
    }
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
  if (!cidr.ok() || kAddressBits - cidr->bits > kLargestBlockBits) {
    return absl::DataLossError(absl::StrCat(name, ": bad CIDR '", block.proto_.cidr(), "'"));
  }
  if (KeyName(*cidr) != stored.key.name) {
    return absl::DataLossError(absl::StrCat(name, " holds block ", cidr->ToString()));
  }
  block.cidr_ = *cidr;
  std::vector<bool> seen(SizeOf(*cidr));
  const auto once = [&seen](uint32_t ordinal) {
    if (ordinal >= seen.size() || seen[ordinal]) return false;
    seen[ordinal] = true;
    return true;
  };
  bool good = true;
  for (const uint32_t ordinal : block.proto_.free()) good = good && once(ordinal);
  for (const auto& allocation : block.proto_.allocations()) {
    good = good && once(allocation.ordinal());
  }
  if (!good) {
    return absl::DataLossError(absl::StrCat(name, ": an address is listed twice or outside"));
  }
  return block;
}

void Block::Add(const Taken& taken, uint64_t sequence, const Owner& owner,
                const std::string& node) {
  v1::IPAMAllocation made;
  made.set_ordinal(taken.ordinal);
  made.set_handle(owner.handle);
  made.set_sequence(sequence);
  made.set_node(node);
  made.set_pod_namespace(owner.pod_namespace);
  made.set_pod_name(owner.pod_name);
  made.set_kept_back(taken.kept_back);
  auto* all = proto_.mutable_allocations();
  *all->Add() = std::move(made);
  for (int i = all->size() - 1; i > 0 && all->Get(i).ordinal() < all->Get(i - 1).ordinal(); --i) {
    all->SwapElements(i, i - 1);
  }
}

Allocation Block::AddNext(const Taken& taken, const Owner& owner, const std::string& node) {
  proto_.set_sequence(proto_.sequence() + 1);
  Add(taken, proto_.sequence(), owner, node);
  return {.address = At(taken.ordinal),
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
  return AddNext({ordinal, false}, owner, node);
}

absl::StatusOr<Block::Taken> Block::Take(const policy::Address& address) {
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
  if (it == free->end()) return Taken{*ordinal, true};
  free->erase(it);
  return Taken{*ordinal, false};
}

absl::StatusOr<Allocation> Block::AllocateThis(const policy::Address& address, const Owner& owner,
                                               const std::string& node) {
  ASSIGN_OR_RETURN(const Taken taken, Take(address));
  return AddNext(taken, owner, node);
}

absl::Status Block::Restore(const Allocation& allocation, const Owner& owner,
                            const std::string& node) {
  const auto held = Held(allocation.handle, node, allocation.address);
  if (held.has_value() && held->sequence == allocation.sequence) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Taken taken, Take(allocation.address));
  Add(taken, allocation.sequence, owner, node);
  proto_.set_sequence(std::max(proto_.sequence(), allocation.sequence));
  return absl::OkStatus();
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
    if (!present.kept_back()) proto_.add_free(*ordinal);
    all->DeleteSubrange(i, 1);
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

std::optional<Allocation> Block::Held(const std::string& handle, const std::string& node,
                                      const std::optional<policy::Address>& address) const {
  for (const auto& allocation : proto_.allocations()) {
    if (allocation.handle() != handle || allocation.node() != node) continue;
    const policy::Address held = At(allocation.ordinal());
    if (address.has_value() && held != *address) continue;
    return Allocation{held, cidr_, handle, allocation.sequence()};
  }
  return std::nullopt;
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

}  // namespace ripstop::ipam
