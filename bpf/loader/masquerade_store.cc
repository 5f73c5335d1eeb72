// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/masquerade_store.h"

#include <bpf/bpf.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bpf/loader/map_access.h"
#include "policy/status_macros.h"

namespace ripstop::loader {
namespace {

constexpr char kPools[] = "rs_pools_v1";
constexpr char kExits[] = "rs_exits_v1";
constexpr char kSettings[] = "rs_nat_v1";

exit_value ValueOf(const Exit& exit) {
  exit_value value = {};
  if (exit.v4.has_value()) value.v4 = ToKey(*exit.v4);
  if (exit.v6.has_value()) value.v6 = ToKey(*exit.v6);
  return value;
}

bool IsPrime(uint32_t n) {
  for (uint32_t i = 2; i * i <= n; ++i) {
    if (n % i == 0) return false;
  }
  return n > 1;
}

// nat_settings.period: few ports are tried one by one.
uint32_t PeriodOf(uint32_t ports) {
  if (ports <= MASQUERADE_TRIES) return ports;
  while (!IsPrime(ports)) --ports;
  return ports;
}

}  // namespace

bool Masquerade::any() const {
  return std::any_of(pools.begin(), pools.end(), [](const auto& pool) { return pool.second; });
}

absl::Status MasqueradeStore::Load() {
  if (loaded_) return absl::OkStatus();
  pools_.clear();
  exits_.clear();
  RETURN_IF_ERROR((ForEach<owner_key, pool_value>(
      object_->Map(kPools), kPools, [this](const owner_key& key, const pool_value& value) {
        pools_[CidrOf(key)] = value.flags;
      })));
  RETURN_IF_ERROR((ForEach<uint32_t, exit_value>(
      object_->Map(kExits), kExits,
      [this](uint32_t ifindex, const exit_value& value) { exits_[ifindex] = value; })));
  loaded_ = true;
  return absl::OkStatus();
}

absl::Status MasqueradeStore::SetSettings(const Masquerade& wanted) {
  const uint32_t zero = 0;
  nat_settings before = {};
  if (bpf_map_lookup_elem(object_->Map(kSettings), &zero, &before) != 0)
    return absl::ErrnoToStatus(errno, absl::StrCat(kSettings, ": read"));
  nat_settings settings = before;
  // A restarted agent keeps it: the flows' ports are where the search finds them.
  if (settings.seed == 0 && getrandom(&settings.seed, sizeof(settings.seed), 0) < 0)
    return absl::ErrnoToStatus(errno, absl::StrCat(kSettings, ": random seed"));
  // Never fewer: flows that have another one go on.
  for (const auto& [ifindex, exit] : wanted.exits) {
    for (const auto& address : {exit.v4, exit.v6}) {
      if (address.has_value()) settings.addresses |= NAT_ADDRESS_BIT(ToKey(*address).words[3]);
    }
  }
  settings.first_port = wanted.first_port;
  settings.ports =
      wanted.last_port < wanted.first_port ? 0 : wanted.last_port - wanted.first_port + 1u;
  settings.period = PeriodOf(settings.ports);
  settings.flags = wanted.spares_nodes ? NAT_SPARES_NODES : 0;
  if (std::memcmp(&settings, &before, sizeof(settings)) == 0) return absl::OkStatus();
  if (bpf_map_update_elem(object_->Map(kSettings), &zero, &settings, BPF_ANY) == 0)
    return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat(kSettings, ": write"));
}

absl::Status MasqueradeStore::SetExits(const std::map<uint32_t, Exit>& wanted) {
  const int map = object_->Map(kExits);
  for (const auto& [ifindex, exit] : wanted) {
    const exit_value value = ValueOf(exit);
    const auto it = exits_.find(ifindex);
    if (it != exits_.end() && std::memcmp(&it->second, &value, sizeof(value)) == 0) continue;
    if (bpf_map_update_elem(map, &ifindex, &value, BPF_ANY) != 0)
      return WriteError(errno, kExits, absl::StrCat("interface ", ifindex));
    exits_[ifindex] = value;
  }
  for (auto it = exits_.begin(); it != exits_.end();) {
    if (wanted.contains(it->first)) {
      ++it;
      continue;
    }
    if (bpf_map_delete_elem(map, &it->first) != 0 && errno != ENOENT)
      return absl::ErrnoToStatus(errno, absl::StrCat(kExits, ": remove interface ", it->first));
    it = exits_.erase(it);
  }
  return absl::OkStatus();
}

// Wider ones first, so that no address is in no pool meanwhile.
absl::Status MasqueradeStore::SetPools(const std::map<policy::Cidr, bool>& wanted) {
  const int map = object_->Map(kPools);
  std::vector<policy::Cidr> changed;
  for (const auto& [prefix, masqueraded] : wanted) {
    const auto it = pools_.find(prefix);
    if (it == pools_.end() || it->second != (masqueraded ? POOL_MASQUERADED : 0))
      changed.push_back(prefix);
  }
  std::stable_sort(changed.begin(), changed.end(),
                   [](const auto& a, const auto& b) { return a.bits < b.bits; });
  for (const policy::Cidr& prefix : changed) {
    const owner_key key = KeyOf(prefix);
    const pool_value value = {.flags = wanted.at(prefix) ? POOL_MASQUERADED : 0};
    if (bpf_map_update_elem(map, &key, &value, BPF_ANY) != 0)
      return WriteError(errno, kPools, prefix.ToString());
    pools_[prefix] = value.flags;
  }
  for (auto it = pools_.begin(); it != pools_.end();) {
    if (wanted.contains(it->first)) {
      ++it;
      continue;
    }
    const owner_key key = KeyOf(it->first);
    if (bpf_map_delete_elem(map, &key) != 0 && errno != ENOENT)
      return absl::ErrnoToStatus(errno, absl::StrCat(kPools, ": remove ", it->first.ToString()));
    it = pools_.erase(it);
  }
  return absl::OkStatus();
}

absl::Status MasqueradeStore::Set(const Masquerade& wanted) {
  RETURN_IF_ERROR(Load());
  RETURN_IF_ERROR(SetSettings(wanted));
  RETURN_IF_ERROR(SetExits(wanted.exits));
  return SetPools(wanted.pools);
}

}  // namespace ripstop::loader
