// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/address_numbers.h"

#include <cstring>

#include "bpf/abi/flows.h"

namespace ripstop::loader {

void AddressNumbers::Load() {
  for (uint32_t number = 1; number <= MARK_NUMBER_MAX; ++number) {
    sender_value value;
    std::memcpy(&value, senders_ + number * kStride, sizeof(value));
    if (value.ifindex == 0) continue;
    if (number > max_) {  // of an agent whose marks had room for more
      std::memset(senders_ + number * kStride, 0, kStride);
      continue;
    }
    policy::Address address;
    std::memcpy(address.bytes.data(), &value.address, sizeof(value.address));
    if (entries_.size() <= number) entries_.resize(number + 1);
    entries_[number].address = address;
    numbers_[address] = static_cast<uint16_t>(number);
  }
  // Until it is taken again; and what was nobody's between them.
  for (uint32_t number = 1; number < entries_.size(); ++number) {
    ReleaseNumber(static_cast<uint16_t>(number));
  }
  loaded_ = true;
}

// A program that reads meanwhile sees nobody, or all of it.
void AddressNumbers::Write(uint16_t number, const policy::Address& address, uint32_t ifindex) {
  auto* value = reinterpret_cast<sender_value*>(senders_ + number * kStride);
  if (std::memcmp(&value->address, address.bytes.data(), sizeof(value->address)) != 0) {
    __atomic_store_n(&value->ifindex, 0, __ATOMIC_SEQ_CST);
    std::memcpy(&value->address, address.bytes.data(), sizeof(value->address));
  }
  __atomic_store_n(&value->ifindex, ifindex, __ATOMIC_RELEASE);
}

void AddressNumbers::Begin() {
  if (!loaded_) Load();
  ++generation_;
}

void AddressNumbers::End() {
  for (uint32_t number = 1; number < entries_.size(); ++number) {
    const Entry& entry = entries_[number];
    if (entry.released == 0 && entry.generation != generation_) {
      ReleaseNumber(static_cast<uint16_t>(number));
    }
  }
  absl::erase_if(without_, [this](const auto& item) { return item.second != generation_; });
}

void AddressNumbers::ReleaseNumber(uint16_t number) {
  Entry& entry = entries_[number];
  if (entry.released != 0) return;
  entry.released = ++releases_;
  released_[entry.released] = number;
}

void AddressNumbers::Release(const policy::Address& address) {
  without_.erase(address);
  if (const auto it = numbers_.find(address); it != numbers_.end()) ReleaseNumber(it->second);
}

// A number that nobody uses, or 0: one that nobody ever had before the longest released, as long as
// such have an account of their own in the flow table.
uint16_t AddressNumbers::Free() {
  const bool low = entries_.size() < FLOW_ACCOUNT_NUMBERS || released_.empty();
  if (low && entries_.size() <= max_) {
    entries_.emplace_back();
    return static_cast<uint16_t>(entries_.size() - 1);
  }
  if (released_.empty()) return 0;
  const uint16_t number = released_.begin()->second;
  released_.erase(released_.begin());
  Entry& entry = entries_[number];
  if (const auto it = numbers_.find(entry.address); it != numbers_.end() && it->second == number) {
    numbers_.erase(it);
  }
  entry = {};
  return number;
}

uint16_t AddressNumbers::Take(const policy::Address& address, uint32_t ifindex) {
  auto it = numbers_.find(address);
  if (it == numbers_.end()) {
    const uint16_t free = Free();
    if (free == 0) {
      without_[address] = generation_;
      return 0;
    }
    without_.erase(address);
    it = numbers_.emplace(address, free).first;
  }
  const uint16_t number = it->second;
  Entry& entry = entries_[number];
  if (entry.released != 0) released_.erase(entry.released);
  entry = {address, 0, generation_};
  Write(number, address, ifindex);
  return number;
}

}  // namespace ripstop::loader
