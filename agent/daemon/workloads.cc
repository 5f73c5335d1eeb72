// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/workloads.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "agent/daemon/workload_resource.h"
#include "api/convert/convert.h"
#include "policy/status_macros.h"
#include "spdlog/spdlog.h"

namespace ripstop::agent {
namespace {

std::string PodOf(const LocalEndpoint& endpoint) {
  return absl::StrCat(endpoint.pod_namespace, "/", endpoint.pod_name);
}

// For people: which of the pod's containers and interfaces it is about.
std::string Described(const LocalEndpoint& endpoint) {
  return absl::StrCat(PodOf(endpoint), " (", endpoint.handle(), ")");
}

}  // namespace

std::string Workloads::IdOf(const LocalEndpoint& endpoint) const {
  return api::WorkloadId(node_, endpoint.container_id, endpoint.interface_name);
}

absl::Status Workloads::Feed(const LocalEndpoint& endpoint) {
  ASSIGN_OR_RETURN(const auto objects,
                   api::ToModel(MakeWorkloadEndpoint(endpoint, node_), {.this_host = node_}));
  for (const api::ModelObject& object : objects) {
    if (const auto* model = std::get_if<policy::Endpoint>(&object)) {
      policy_->feed().Attach(*model, {endpoint.ifindex, endpoint.container_mac.bytes},
                             PodOf(endpoint), endpoint.pod_uid);
    }
  }
  return absl::OkStatus();
}

absl::Status Workloads::Admit(const LocalEndpoint& endpoint) {
  if (!policy_->committed()) {
    return absl::UnavailableError("the agent has not read all policy from the store yet");
  }
  return api::ToModel(MakeWorkloadEndpoint(endpoint, node_), {.this_host = node_}).status();
}

absl::Status Workloads::Prepare(const LocalEndpoint& endpoint) {
  RETURN_IF_ERROR(Feed(endpoint));
  RETURN_IF_ERROR(policy_->Flush());
  RETURN_IF_ERROR(dataplane_->AttachWorkload(endpoint.ifindex));
  return Publish(endpoint);
}

absl::Status Workloads::Check(const LocalEndpoint& endpoint) {
  RETURN_IF_ERROR(dataplane_->CheckWorkload(endpoint.ifindex));
  for (const policy::Address& address : endpoint.addresses()) {
    // A question to the maps in force: only what they say of the source counts.
    policy::Packet packet;
    packet.source = packet.destination = address;
    packet.protocol = policy::kProtocolTcp;
    ASSIGN_OR_RETURN(const loader::PacketLookup found, dataplane_->Lookup(packet));
    const bool here = (found.source.flags & ADDRESS_LOCAL_ENDPOINT) != 0;
    if (here && found.source.ifindex == endpoint.ifindex) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("address ", address.ToString(), " is ",
                     here ? absl::StrCat("that of interface ", found.source.ifindex)
                          : std::string("no endpoint's of this node"),
                     " in the policy tables, not that of interface ", endpoint.ifindex));
  }
  return absl::OkStatus();
}

void Workloads::Remove(const LocalEndpoint& endpoint) {
  const auto log = [&](const absl::Status& status) {
    if (!status.ok()) {
      spdlog::warn("{}: {}", Described(endpoint), std::string(status.message()));
    }
  };
  if (policy_->feed().Detach(IdOf(endpoint))) log(policy_->Flush());
  // Where the link could not be removed its programs stay: they know it no more and drop.
  if (endpoint.ifindex != 0) log(dataplane_->DetachWorkload(endpoint.ifindex));
}

absl::Status Workloads::Forget(const std::vector<policy::Address>& addresses) {
  return dataplane_->ForgetFlows(addresses).status();
}

absl::Status Workloads::Publish(const LocalEndpoint& endpoint) {
  const api::Resource resource = MakeWorkloadEndpoint(endpoint, node_);
  return store_->Txn({{api::Mutation::Type::kPut, resource.key(), api::Serialize(resource), 0}})
      .status();
}

absl::StatusOr<std::vector<api::Mutation>> Workloads::Withdrawal(const LocalEndpoint& endpoint) {
  std::set<api::ResourceKey> keys;
  if (!endpoint.pod_name.empty()) keys.insert(MakeWorkloadEndpoint(endpoint, node_).key());
  for (const api::ResourceKey& key : policy_->feed().endpoints().WorkloadsOf(IdOf(endpoint))) {
    keys.insert(key);
  }
  std::vector<api::Mutation> mutations;
  for (const api::ResourceKey& key : keys) {
    const auto stored = store_->Get(key);
    if (absl::IsNotFound(stored.status())) continue;
    if (!stored.ok()) return stored.status();
    const auto current = api::Deserialize(*stored);
    if (!current.ok()) {
      // Nobody can say whose it is: it is set aside, by name, until somebody deletes it.
      spdlog::warn("{} is left in the store: {}", key.ToString(), current.status().ToString());
      continue;
    }
    const auto* workload = current->As<api::v1::WorkloadEndpoint>();
    if (workload == nullptr || workload->spec().node() != node_ ||
        workload->spec().container_id() != endpoint.container_id ||
        workload->spec().endpoint() != endpoint.interface_name) {
      continue;
    }
    mutations.push_back({api::Mutation::Type::kDelete, key, "", stored->revision});
  }
  return mutations;
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
      spdlog::error("{}: {}", Described(endpoint), std::string(status.message()));
    }
  }
}

absl::Status Workloads::Republish(const std::vector<LocalEndpoint>& endpoints) {
  // An old sandbox and the new one of a pod have one name in the store, which is the new one's.
  std::map<api::ResourceKey, const LocalEndpoint*> newest;
  for (const LocalEndpoint& endpoint : endpoints) {
    const LocalEndpoint*& known = newest[MakeWorkloadEndpoint(endpoint, node_).key()];
    if (known == nullptr || known->ifindex < endpoint.ifindex) known = &endpoint;
  }
  absl::Status first;
  for (const auto& [key, endpoint] : newest) {
    const std::vector<api::ResourceKey> known =
        policy_->feed().endpoints().WorkloadsOf(IdOf(*endpoint));
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const absl::Status status = Publish(*endpoint);
    if (status.ok() || !first.ok()) continue;
    first = absl::Status(status.code(),
                         absl::StrCat(Described(*endpoint), ": ", std::string(status.message())));
  }
  return first;
}

std::vector<EndpointName> Workloads::Strays() const {
  std::vector<EndpointName> strays;
  for (const auto& stray : policy_->feed().endpoints().unattached()) {
    const size_t slash = stray.pod.find('/');
    strays.push_back({stray.container_id, stray.interface_name, stray.pod.substr(0, slash),
                      stray.pod.substr(slash + 1)});
  }
  return strays;
}

}  // namespace ripstop::agent
