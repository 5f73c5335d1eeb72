// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/workloads.h"

#include "absl/strings/str_cat.h"
#include "agent/daemon/workload_resource.h"
#include "api/convert/convert.h"
#include "policy/status_macros.h"
#include "spdlog/spdlog.h"

namespace ripstop::agent {
namespace {

std::string IdOf(const LocalEndpoint& endpoint) {
  return absl::StrCat(endpoint.pod_namespace, "/", endpoint.pod_name);
}

}  // namespace

absl::Status Workloads::Feed(const LocalEndpoint& endpoint) {
  ASSIGN_OR_RETURN(const auto objects,
                   api::ToModel(MakeWorkloadEndpoint(endpoint, node_), {.this_host = node_}));
  for (const api::ModelObject& object : objects) {
    if (const auto* model = std::get_if<policy::Endpoint>(&object)) {
      policy_->feed().Attach(*model, {endpoint.ifindex, endpoint.container_mac.bytes});
    }
  }
  return absl::OkStatus();
}

absl::Status Workloads::Prepare(const LocalEndpoint& endpoint) {
  if (!policy_->committed()) {
    return absl::UnavailableError("the agent has not read all policy from the store yet");
  }
  // Nothing that an earlier holder of these addresses was allowed may serve the new one.
  for (const policy::Address& address : endpoint.addresses()) {
    RETURN_IF_ERROR(dataplane_->ForgetFlows(address).status());
  }
  RETURN_IF_ERROR(Feed(endpoint));
  RETURN_IF_ERROR(policy_->Flush());
  RETURN_IF_ERROR(dataplane_->AttachWorkload(endpoint.ifindex));
  return Publish(endpoint);
}

void Workloads::Remove(const LocalEndpoint& endpoint) {
  policy_->feed().Detach(IdOf(endpoint));
  if (absl::Status status = policy_->Flush(); !status.ok()) {
    spdlog::error("{}: policy not removed: {}", IdOf(endpoint), std::string(status.message()));
  }
  for (const policy::Address& address : endpoint.addresses()) {
    if (auto forgotten = dataplane_->ForgetFlows(address); !forgotten.ok()) {
      spdlog::warn("{}: {}", IdOf(endpoint), std::string(forgotten.status().message()));
    }
  }
  if (absl::Status status = dataplane_->DetachWorkload(endpoint.ifindex); !status.ok()) {
    spdlog::warn("{}: {}", IdOf(endpoint), std::string(status.message()));
  }
  if (absl::Status status = Withdraw(endpoint); !status.ok()) {
    spdlog::warn("{}: {}", IdOf(endpoint), std::string(status.message()));
  }
}

absl::Status Workloads::Publish(const LocalEndpoint& endpoint) {
  const api::Resource resource = MakeWorkloadEndpoint(endpoint, node_);
  return store_->Txn({{api::Mutation::Type::kPut, resource.key(), api::Serialize(resource), 0}})
      .status();
}

absl::Status Workloads::Withdraw(const LocalEndpoint& endpoint) {
  const api::Resource resource = MakeWorkloadEndpoint(endpoint, node_);
  auto stored = store_->Get(resource.key());
  if (absl::IsNotFound(stored.status())) return absl::OkStatus();
  if (!stored.ok()) return stored.status();
  ASSIGN_OR_RETURN(const api::Resource current, api::Deserialize(*stored));
  // A pod of the same name may be running by now, under another container.
  if (current.As<api::v1::WorkloadEndpoint>()->spec().container_id() != endpoint.container_id) {
    return absl::OkStatus();
  }
  absl::Status status = store_->Delete(resource.key(), stored->revision).status();
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

absl::Status Workloads::Restore(const std::vector<LocalEndpoint>& endpoints) {
  for (const LocalEndpoint& endpoint : endpoints) {
    RETURN_IF_ERROR(Feed(endpoint));
    // Whatever became of them while no agent ran: with the tables of the last one, or without.
    if (absl::Status status = dataplane_->AttachWorkload(endpoint.ifindex); !status.ok()) {
      spdlog::error("{}: {}", IdOf(endpoint), std::string(status.message()));
    }
  }
  return absl::OkStatus();
}

void Workloads::Reattach(const std::vector<LocalEndpoint>& endpoints) {
  for (const LocalEndpoint& endpoint : endpoints) {
    if (absl::Status status = dataplane_->AttachWorkload(endpoint.ifindex); !status.ok()) {
      spdlog::error("{}: {}", IdOf(endpoint), std::string(status.message()));
    }
    const api::Resource resource = MakeWorkloadEndpoint(endpoint, node_);
    if (absl::IsNotFound(store_->Get(resource.key()).status())) {
      if (absl::Status status = Publish(endpoint); !status.ok()) {
        spdlog::warn("{}: {}", IdOf(endpoint), std::string(status.message()));
      }
    }
  }
}

}  // namespace ripstop::agent
