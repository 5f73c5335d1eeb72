// SPDX-License-Identifier: Apache-2.0
//
// What the store says, as it comes in.
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/base/logging.h"
#include "agent/daemon/agent.h"
#include "api/validate/validate.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

constexpr absl::Duration kCompareAgain = absl::Seconds(1);

}  // namespace

std::function<void()> Agent::Prepare(const StoreReaderEvents::Piece& piece) {
  return
      [this, readings = std::make_shared<ReadAhead>(piece, options_.node)] { ahead_ = readings; };
}

void Agent::OnPiece() {
  ahead_.reset();
  policy_->FillAhead();
}

Agent::Keep Agent::OnPut(const api::StoredResource& stored) {
  if (stored.key.kind == ipam::kBlockKind) return NoteBlock(stored);
  const bool claims = stored.key.kind == ipam::kClaimsKind;
  if (claims || stored.key.kind == ipam::kNodeReleaseKind) return Keep::kFormer;
  Reading* read = ahead_ == nullptr ? nullptr : ahead_->Take(stored);
  std::optional<Reading> late;
  if (read == nullptr) read = &late.emplace(ReadStored(stored, options_.node));
  policy_->feed().PutRead(stored.key, *read);
  if (policy_->feed().IsSetAside(stored.key)) return Keep::kFormerElseThis;
  const api::Resource& resource = *read->resource;
  if (!IsReadable(resource)) return Keep::kFormerElseThis;
  network_changed_ |= NoteNetwork(resource);
  if (const auto* ns = resource.As<api::v1::Namespace>()) {
    const auto& labels = ns->metadata().labels();
    cluster_.namespaces[ns->metadata().name()] = {labels.begin(), labels.end()};
  }
  fields_.Put(resource);
  return Keep::kThis;
}

// What apply would have refused, and its former meaning stays.
bool Agent::IsReadable(const api::Resource& resource) {
  if (resource.As<api::v1::FelixConfiguration>() == nullptr) return true;
  const std::vector<api::Problem> problems = api::ValidateValues(resource);
  if (problems.empty()) return true;
  const std::string what = absl::StrJoin(problems, "; ", [](std::string* out, const auto& one) {
    absl::StrAppend(out, one.path, ": ", one.value, one.value.empty() ? "" : " ", one.what);
  });
  policy_->feed().SetAside(resource.key(), absl::InvalidArgumentError(what));
  return false;
}

// Whether the resource bears on routes, BGP or IPAM; keeps it in the view if so.
bool Agent::NoteNetwork(const api::Resource& resource) {
  const std::string& name = resource.name();
  if (const auto* node = resource.As<api::v1::Node>()) {
    cluster_.nodes[name] = *node;
    pools_changed_ = true;
  } else if (const auto* pool = resource.As<api::v1::IPPool>()) {
    pools_->Put(*pool, resource.revision());
    pools_changed_ = true;
  } else if (const auto* configuration = resource.As<api::v1::BGPConfiguration>()) {
    cluster_.bgp_configurations[name] = *configuration;
  } else if (const auto* peer = resource.As<api::v1::BGPPeer>()) {
    cluster_.bgp_peers[name] = *peer;
  } else if (const auto* felix = resource.As<api::v1::FelixConfiguration>()) {
    cluster_.felix_configurations[name] = *felix;
  } else {
    return false;
  }
  return true;
}

Agent::Keep Agent::NoteBlock(const api::StoredResource& stored) {
  const auto block = ipam_->Note(stored);
  if (!block.ok()) {
    policy_->feed().SetAside(stored.key, block.status());
    return Keep::kFormerElseThis;
  }
  if (policy_->feed().IsSetAside(stored.key)) policy_->feed().Delete(stored.key);
  hold_again_ |= !address_conflicts_.empty();
  BlockView view{block->cidr, block->affinity, block->borrowed};
  // Each allocation rewrites its block; only a new owner or borrower is news here.
  BlockView& known = cluster_.blocks[stored.key.name];
  if (known == view) return Keep::kFormer;
  known = std::move(view);
  network_changed_ = true;
  return Keep::kThis;
}

void Agent::OnDelete(const api::ResourceKey& key) {
  if (key.kind == ipam::kBlockKind) {
    network_changed_ |= cluster_.blocks.erase(key.name) > 0;
    if (const auto block = Block::CidrOf(key)) ipam_->Forget(*block);
    hold_again_ |= !address_conflicts_.empty();
    return policy_->feed().Delete(key);
  }
  if (key.kind == api::kKindNode) {
    network_changed_ |= cluster_.nodes.erase(key.name) > 0;
    pools_changed_ = true;
  }
  if (key.kind == api::kKindIPPool) {
    pools_->Deleted(key.name);
    network_changed_ = pools_changed_ = true;
  }
  if (key.kind == api::kKindNamespace) cluster_.namespaces.erase(key.name);
  if (key.kind == api::kKindBGPConfiguration) {
    network_changed_ |= cluster_.bgp_configurations.erase(key.name) > 0;
  }
  if (key.kind == api::kKindBGPPeer) network_changed_ |= cluster_.bgp_peers.erase(key.name) > 0;
  if (key.kind == api::kKindFelixConfiguration) {
    network_changed_ |= cluster_.felix_configurations.erase(key.name) > 0;
  }
  policy_->feed().Delete(key);
  fields_.Delete(key);
  republish_ |= key.kind == api::kKindWorkloadEndpoint;
}

bool Agent::OnWhole() {
  policy_->OnWhole();
  Settle();
  return policy_problem_.empty();
}

// Whatever was before: memory may be wrong about the store by now, and the store, put back
// from a copy, about what is here.
void Agent::OnSynced() {
  compared_ = false;
  Compare();
  spdlog::info("in sync with the store at revision {}: {} policies, {} local endpoints",
               store_plane_->revision(), policy_->feed().policies(),
               policy_->feed().local_endpoints());
}

// A store that others hold for a moment, as all do after it was put back, is asked again.
void Agent::Compare() {
  if (compared_ || !store_plane_->in_sync()) return;
  const absl::Status status = CompareOnce();
  LogUnlessOk(status);
  compared_ = status.ok();
  if (!compared_) loop_->AddTimer(kCompareAgain, absl::ZeroDuration(), [this] { Compare(); });
}

absl::Status Agent::CompareOnce() {
  RETURN_IF_ERROR(ipam_->Recheck());
  RETURN_IF_ERROR(SettleStored());
  RETURN_IF_ERROR(workloads_->Republish(endpoints_->endpoints()));
  endpoints_->ReleaseStrays(workloads_->Strays());
  return endpoints_->RetryReleases();
}

}  // namespace ripstop::agent
