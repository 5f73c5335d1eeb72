// SPDX-License-Identifier: Apache-2.0
#include "api/convert/endpoint_join.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "api/convert/converters.h"

namespace ripstop::api {
namespace {

constexpr char kPodPrefix[] = "Pod ";

std::string NameOf(const ResourceKey& key) { return absl::StrCat(key.ns, "/", key.name); }

}  // namespace

std::string WorkloadId(const std::string& node, const std::string& container_id,
                       const std::string& interface_name) {
  return absl::StrCat("container ", node, "/", container_id, "/", interface_name);
}

std::string PodId(const std::string& pod) { return absl::StrCat(kPodPrefix, pod); }

bool EndpointJoin::Takes(const ResourceKey& key) {
  return key.kind == kKindPod || key.kind == kKindWorkloadEndpoint;
}

void EndpointJoin::Put(const Resource& resource, policy::Endpoint endpoint) {
  if (resource.kind().store_kind == kKindPod) {
    PutPod(resource, std::move(endpoint));
  } else {
    PutWorkload(resource, std::move(endpoint));
  }
}

bool EndpointJoin::Knows(const ResourceKey& key) const {
  if (key.kind != kKindPod) return workloads_.contains(key);
  const auto pod = pods_.find(NameOf(key));
  return pod != pods_.end() && pod->second.facts != nullptr;
}

void EndpointJoin::Delete(const ResourceKey& key) {
  if (key.kind == kKindPod) return DeletePod(NameOf(key));
  if (const auto it = workloads_.find(key); it != workloads_.end()) DeleteWorkload(it);
}

// ---- Pods ----

void EndpointJoin::PutPod(const Resource& resource, policy::Endpoint endpoint) {
  const std::string name = NameOf(resource.key());
  auto facts = std::make_shared<PodFacts>();
  facts->uid = resource.metadata().uid();
  facts->endpoint = std::move(endpoint);
  PodEntry& pod = pods_[name];
  pod.facts = facts;
  changed_.insert(PodId(name));
  for (const std::string& id : pod.endpoints) {
    Entry& entry = *entries_.at(id);
    if (!MaySpeakOf(*facts, entry)) continue;
    entry.facts = facts;
    changed_.insert(id);
  }
}

void EndpointJoin::DeletePod(const std::string& name) {
  const auto it = pods_.find(name);
  if (it == pods_.end() || it->second.facts == nullptr) return;
  const auto facts = std::exchange(it->second.facts, nullptr);
  changed_.insert(PodId(name));
  for (const std::string& id : it->second.endpoints) {
    Entry& entry = *entries_.at(id);
    if (entry.facts != facts || BothKnown(*facts, entry)) continue;
    entry.facts = nullptr;
    changed_.insert(id);
  }
  if (it->second.endpoints.empty()) pods_.erase(it);
}

bool EndpointJoin::BothKnown(const PodFacts& facts, const Entry& entry) {
  return !facts.uid.empty() && !UidOf(entry).empty();
}

bool EndpointJoin::MaySpeakOf(const PodFacts& facts, const Entry& entry) {
  return !BothKnown(facts, entry) || facts.uid == UidOf(entry);
}

const std::string& EndpointJoin::UidOf(const Entry& entry) {
  static const auto& unknown = *new std::string();
  if (entry.own != nullptr) return entry.own->uid;
  const Workload* speaker = Speaker(entry);
  return speaker == nullptr ? unknown : speaker->uid;
}

// ---- WorkloadEndpoints and attachments ----

void EndpointJoin::PutWorkload(const Resource& resource, policy::Endpoint endpoint) {
  const auto* document = resource.As<v1::WorkloadEndpoint>();
  const v1::WorkloadEndpointSpec& spec = document->spec();
  const ResourceKey key = resource.key();
  if (const auto known = workloads_.find(key);
      known != workloads_.end() && known->second.endpoint.id != endpoint.id) {
    DeleteWorkload(known);
  }
  const auto [it, fresh] = workloads_.try_emplace(key);
  Workload& workload = it->second;
  workload.revision = resource.revision();
  workload.here = !node_.empty() && spec.node() == node_;
  workload.pod = absl::StrCat(key.ns, "/", WorkloadName(*document));
  const auto& annotations = resource.metadata().annotations();
  const auto uid = annotations.find(kPodUidAnnotation);
  workload.uid = uid == annotations.end() ? "" : uid->second;
  const bool container =
      endpoint.id == WorkloadId(spec.node(), spec.container_id(), spec.endpoint());
  workload.container_id = container ? spec.container_id() : "";
  workload.interface_name = container ? spec.endpoint() : "";
  workload.endpoint = std::move(endpoint);
  const std::string& id = workload.endpoint.id;
  std::unique_ptr<Entry>& entry = entries_[id];
  if (entry == nullptr) entry = std::make_unique<Entry>();
  if (fresh) entry->workloads.push_back(&*it);
  Settle(id);
}

void EndpointJoin::DeleteWorkload(Workloads::iterator it) {
  const std::string id = it->second.endpoint.id;
  auto& workloads = entries_.at(id)->workloads;
  workloads.erase(std::find(workloads.begin(), workloads.end(), &*it));
  workloads_.erase(it);
  Settle(id);
}

void EndpointJoin::Attach(policy::Endpoint endpoint, const policy::Attachment& attachment,
                          const std::string& pod, const std::string& uid) {
  const std::string id = endpoint.id;
  std::unique_ptr<Entry>& entry = entries_[id];
  if (entry == nullptr) entry = std::make_unique<Entry>();
  attached_ += entry->own == nullptr;
  entry->own = std::make_unique<Own>(Own{std::move(endpoint), attachment, pod, uid});
  Settle(id);
}

bool EndpointJoin::Detach(const std::string& id) {
  const auto it = entries_.find(id);
  if (it == entries_.end() || it->second->own == nullptr) return false;
  it->second->own = nullptr;
  --attached_;
  Settle(id);
  return true;
}

// Of an attachment only what is written for the same pod; of several the newest.
const EndpointJoin::Workload* EndpointJoin::Speaker(const Entry& entry) {
  const Workload* chosen = nullptr;
  for (const auto* item : entry.workloads) {
    const Workload& workload = item->second;
    if (entry.own == nullptr ? IsGone(workload) : workload.pod != entry.own->pod) continue;
    if (chosen == nullptr || workload.revision > chosen->revision) chosen = &workload;
  }
  return chosen;
}

void EndpointJoin::Settle(const std::string& id) {
  const auto it = entries_.find(id);
  Entry& entry = *it->second;
  changed_.insert(id);
  const Workload* speaker = Speaker(entry);
  const std::string now = entry.own != nullptr ? entry.own->pod
                          : speaker != nullptr ? speaker->pod
                                               : "";
  const std::string before = std::exchange(entry.pod, now);
  if (before != now && !before.empty()) {
    entry.facts = nullptr;
    const auto old = pods_.find(before);
    old->second.endpoints.erase(id);
    if (old->second.facts != nullptr) changed_.insert(PodId(before));
    if (old->second.endpoints.empty() && old->second.facts == nullptr) pods_.erase(old);
  }
  if (!now.empty()) {
    PodEntry& pod = pods_[now];
    pod.endpoints.insert(id);
    if (entry.facts != nullptr && !MaySpeakOf(*entry.facts, entry)) entry.facts = nullptr;
    if (pod.facts != nullptr && MaySpeakOf(*pod.facts, entry)) entry.facts = pod.facts;
    if (pod.facts != nullptr) changed_.insert(PodId(now));
  }
  if (entry.own == nullptr && entry.workloads.empty()) entries_.erase(it);
}

// ---- the answer ----

std::optional<policy::Endpoint> EndpointJoin::Joined(const Entry& entry) const {
  if (entry.pod.empty()) return std::nullopt;
  const Workload* speaker = Speaker(entry);
  policy::Endpoint joined = speaker != nullptr ? speaker->endpoint : entry.own->endpoint;
  if (entry.own != nullptr) {
    joined.addresses = entry.own->endpoint.addresses;
    joined.local = entry.own->attachment;
  }
  if (entry.facts != nullptr) {
    const policy::Endpoint& pod = entry.facts->endpoint;
    joined.labels = pod.labels;
    joined.profiles = pod.profiles;
    joined.active = pod.active;
    if (!pod.ports.empty()) joined.ports = pod.ports;
  }
  return joined;
}

std::optional<policy::Endpoint> EndpointJoin::Alone(const PodEntry& pod) const {
  if (pod.facts == nullptr) return std::nullopt;
  for (const std::string& id : pod.endpoints) {
    if (entries_.at(id)->facts == pod.facts) return std::nullopt;
  }
  return pod.facts->endpoint;
}

std::optional<policy::Endpoint> EndpointJoin::Find(const std::string& id) const {
  if (absl::StartsWith(id, kPodPrefix)) {
    const auto pod = pods_.find(id.substr(sizeof(kPodPrefix) - 1));
    return pod == pods_.end() ? std::nullopt : Alone(pod->second);
  }
  const auto entry = entries_.find(id);
  return entry == entries_.end() ? std::nullopt : Joined(*entry->second);
}

void EndpointJoin::ForEach(const std::function<void(const policy::Endpoint&)>& f) const {
  for (const auto& [id, entry] : entries_) {
    if (const auto joined = Joined(*entry)) f(*joined);
  }
  for (const auto& [name, pod] : pods_) {
    if (const auto alone = Alone(pod)) f(*alone);
  }
}

std::vector<policy::Endpoint> EndpointJoin::Named(const std::string& name) const {
  // "namespace/pod/interface" is of pod "namespace/pod".
  const size_t first = name.find('/');
  const size_t second = first == std::string::npos ? first : name.find('/', first + 1);
  const auto pod = pods_.find(name.substr(0, second));
  if (pod == pods_.end()) return {};
  using Rank = std::tuple<bool, uint32_t, int64_t>;  // attached, interface, revision
  std::vector<std::pair<Rank, policy::Endpoint>> found;
  for (const std::string& id : pod->second.endpoints) {
    const Entry& entry = *entries_.at(id);
    auto joined = Joined(entry);
    if (!joined.has_value()) continue;
    const Workload* speaker = Speaker(entry);
    const Rank rank{entry.own != nullptr, entry.own != nullptr ? entry.own->attachment.ifindex : 0,
                    speaker != nullptr ? speaker->revision : 0};
    found.emplace_back(rank, *std::move(joined));
  }
  if (auto alone = Alone(pod->second)) found.emplace_back(Rank{}, *std::move(alone));
  const auto is_called_so = [&](const auto& item) { return item.second.name == name; };
  if (second != std::string::npos || std::any_of(found.begin(), found.end(), is_called_so)) {
    std::erase_if(found, [&](const auto& item) { return !is_called_so(item); });
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<policy::Endpoint> endpoints;
  for (auto& [rank, endpoint] : found) endpoints.push_back(std::move(endpoint));
  return endpoints;
}

std::vector<ResourceKey> EndpointJoin::WorkloadsOf(const std::string& id) const {
  std::vector<ResourceKey> keys;
  if (const auto entry = entries_.find(id); entry != entries_.end()) {
    for (const auto* item : entry->second->workloads) keys.push_back(item->first);
  }
  return keys;
}

std::vector<EndpointJoin::Unattached> EndpointJoin::unattached() const {
  std::vector<Unattached> result;
  for (const auto& [key, workload] : workloads_) {
    if (!IsGone(workload) || entries_.at(workload.endpoint.id)->own != nullptr) continue;
    result.push_back({key, workload.container_id, workload.interface_name, workload.pod});
  }
  return result;
}

}  // namespace ripstop::api
