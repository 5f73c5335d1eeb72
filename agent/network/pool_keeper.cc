// SPDX-License-Identifier: Apache-2.0
#include "agent/network/pool_keeper.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "api/ipam/pools.h"
#include "api/resource.h"
#include "spdlog/spdlog.h"

namespace ripstop::agent {
namespace {

// Another node was faster, or the pool was made anew meanwhile: the watch will tell.
bool Raced(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsAborted(status) || absl::IsAlreadyExists(status);
}

}  // namespace

void PoolKeeper::Put(const api::v1::IPPool& pool, int64_t revision) {
  const std::string& name = pool.metadata().name();
  cluster_->pools[name] = pool;
  revisions_[name] = revision;
  vanished_.erase(name);
}

void PoolKeeper::Deleted(const std::string& name) {
  revisions_.erase(name);
  const auto it = cluster_->pools.find(name);
  if (it == cluster_->pools.end()) return;
  const auto cidr = ipam::CidrOf(it->second.spec());
  if (!cidr.has_value() || !cluster_->HasBlockIn(*cidr)) {
    cluster_->pools.erase(it);
    return;
  }
  if (!ipam::IsTerminating(it->second)) {
    it->second.mutable_metadata()->set_deletion_timestamp(
        absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone()));
  }
  vanished_.insert(name);
  spdlog::warn("IPPool {} was deleted with blocks of it in use; it is kept until they are gone",
               name);
}

// Whether a pool made since then holds these addresses.
bool PoolKeeper::Replaced(const std::string& name, const policy::Cidr& cidr) const {
  return std::any_of(cluster_->pools.begin(), cluster_->pools.end(), [&](const auto& item) {
    const auto other = ipam::CidrOf(item.second.spec());
    return item.first != name && !vanished_.contains(item.first) && other.has_value() &&
           (other->Contains(cidr) || cidr.Contains(*other));
  });
}

absl::Status PoolKeeper::Finish(const std::string& name) {
  if (vanished_.erase(name) > 0) {
    cluster_->pools.erase(name);
    return absl::OkStatus();
  }
  const absl::Status status =
      store_->Delete({api::kKindIPPool, "", name}, revisions_[name]).status();
  if (status.ok()) spdlog::info("IPPool {}: its last address is gone, and so is the pool", name);
  return Raced(status) ? absl::OkStatus() : status;
}

absl::Status PoolKeeper::PutBack(const std::string& name) {
  api::Resource pool = api::Resource::Make<api::v1::IPPool>();
  *pool.MutableAs<api::v1::IPPool>() = cluster_->pools.at(name);
  const absl::Status status = store_->Create(pool.key(), api::Serialize(pool)).status();
  return Raced(status) ? absl::OkStatus() : status;
}

absl::Status PoolKeeper::Settle(const std::function<bool(const policy::Cidr&)>& held_here) {
  std::vector<std::pair<std::string, policy::Cidr>> terminating;
  for (const auto& [name, pool] : cluster_->pools) {
    const auto cidr = ipam::CidrOf(pool.spec());
    if (ipam::IsTerminating(pool) && cidr.has_value()) terminating.emplace_back(name, *cidr);
  }
  absl::Status first;
  for (const auto& [name, cidr] : terminating) {
    absl::Status status;
    if (!cluster_->HasBlockIn(cidr) || (vanished_.contains(name) && Replaced(name, cidr))) {
      status = Finish(name);
    } else if (vanished_.contains(name) && held_here(cidr)) {
      status = PutBack(name);
    }
    if (first.ok()) first = status;
  }
  return first;
}

}  // namespace ripstop::agent
