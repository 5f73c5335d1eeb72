// SPDX-License-Identifier: Apache-2.0
#include "api/convert/endpoint_join.h"

#include <algorithm>
#include <string_view>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "api/convert/converters.h"

namespace ripstop::api {
namespace {

constexpr char kPodPrefix[] = "Pod ";

std::string NameOf(const ResourceKey& key) { return absl::StrCat(key.ns, "/", key.name); }

// The other way; neither part has a slash.
ResourceKey KeyOfWorkload(const std::string& name) {
  const size_t slash = name.find('/');
  return {kKindWorkloadEndpoint, name.substr(0, slash), name.substr(slash + 1)};
}

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
  if (key.kind != kKindPod) return workloads_.Find(NameOf(key)) != nullptr;
  const PodEntry* pod = pods_.Find(NameOf(key));
  return pod != nullptr && pod->facts != nullptr;
}

void EndpointJoin::Delete(const ResourceKey& key) {
  if (key.kind == kKindPod) return DeletePod(NameOf(key));
  if (Workload* workload = workloads_.Find(NameOf(key))) DeleteWorkload(*workload);
}

// ---- what is said ----

size_t EndpointJoin::TraitsHash::operator()(const std::shared_ptr<const Traits>& traits) const {
  size_t hash = absl::HashOf(traits->labels, traits->profiles, traits->active);
  for (const policy::NamedPort& port : traits->ports) {
    hash = absl::HashOf(hash, port.name, port.protocol, port.port);
  }
  return hash;
}

EndpointJoin::Said EndpointJoin::Keep(policy::Endpoint endpoint, const std::string& pod) {
  if (traits_.size() >= traits_looked_through_) {
    absl::erase_if(traits_, [](const auto& traits) { return traits.use_count() == 1; });
    traits_looked_through_ = std::max(size_t{1024}, 2 * traits_.size());
  }
  Said said;
  if (endpoint.name != pod) said.name = std::move(endpoint.name);
  said.addresses.assign(endpoint.addresses.begin(), endpoint.addresses.end());
  Traits traits{std::move(endpoint.labels), std::move(endpoint.profiles), std::move(endpoint.ports),
                endpoint.active};
  said.traits = *traits_.insert(std::make_shared<const Traits>(std::move(traits))).first;
  return said;
}

policy::Endpoint EndpointJoin::Spell(const Said& said, const std::string& id,
                                     const std::string& pod) {
  policy::Endpoint endpoint;
  endpoint.id = id;
  endpoint.labels = said.traits->labels;
  endpoint.profiles = said.traits->profiles;
  endpoint.addresses.assign(said.addresses.begin(), said.addresses.end());
  endpoint.ports = said.traits->ports;
  endpoint.active = said.traits->active;
  endpoint.name = said.name.empty() ? pod : said.name;
  return endpoint;
}

// ---- Pods ----

EndpointJoin::PodEntry* EndpointJoin::NamePod(const std::string& name) {
  PodEntry& pod = pods_.Make(name);
  ++pod.named;
  return &pod;
}

void EndpointJoin::UnnamePod(PodEntry* pod) {
  --pod->named;
  DropIfUnused(pod);
}

void EndpointJoin::DropIfUnused(PodEntry* pod) {
  if (pod->facts != nullptr || !pod->endpoints.empty() || pod->named > 0) return;
  pods_.Erase(pod->key);
}

void EndpointJoin::PutPod(const Resource& resource, policy::Endpoint endpoint) {
  PodEntry& pod = pods_.Make(NameOf(resource.key()));
  auto facts = std::make_shared<PodFacts>();
  facts->uid = resource.metadata().uid();
  facts->said = Keep(std::move(endpoint), pod.key);
  pod.facts = facts;
  changed_.insert(PodId(pod.key));
  for (Entry* entry : pod.endpoints) {
    if (!MaySpeakOf(*facts, *entry)) continue;
    entry->facts = facts;
    changed_.insert(entry->key);
  }
}

void EndpointJoin::DeletePod(const std::string& name) {
  PodEntry* const pod = pods_.Find(name);
  if (pod == nullptr || pod->facts == nullptr) return;
  const auto facts = std::exchange(pod->facts, nullptr);
  changed_.insert(PodId(name));
  for (Entry* entry : pod->endpoints) {
    if (entry->facts != facts || BothKnown(*facts, *entry)) continue;
    entry->facts = nullptr;
    changed_.insert(entry->key);
  }
  DropIfUnused(pod);
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
  const std::string& ns = document->metadata().namespace_();
  const std::string name = absl::StrCat(ns, "/", document->metadata().name());
  if (Workload* known = workloads_.Find(name);
      known != nullptr && known->entry->key != endpoint.id) {
    DeleteWorkload(*known);
  }
  Workload& workload = workloads_.Make(name);
  workload.revision = resource.revision();
  workload.here = !node_.empty() && spec.node() == node_;
  const auto& annotations = document->metadata().annotations();
  const auto uid = annotations.find(kPodUidAnnotation);
  workload.uid = uid == annotations.end() ? "" : uid->second;
  workload.container = endpoint.id == WorkloadId(spec.node(), spec.container_id(), spec.endpoint());
  PodEntry* const before =
      std::exchange(workload.pod, NamePod(absl::StrCat(ns, "/", WorkloadName(*document))));
  if (workload.entry == nullptr) {
    workload.entry = &entries_.Make(endpoint.id);
    workload.entry->workloads.push_back(&workload);
  }
  workload.said = Keep(std::move(endpoint), workload.pod->key);
  Settle(*workload.entry);
  if (before != nullptr) UnnamePod(before);
}

void EndpointJoin::DeleteWorkload(Workload& workload) {
  Entry& entry = *workload.entry;
  PodEntry* const pod = workload.pod;
  entry.workloads.erase(std::find(entry.workloads.begin(), entry.workloads.end(), &workload));
  workloads_.Erase(workload.key);
  Settle(entry);
  UnnamePod(pod);
}

void EndpointJoin::Attach(policy::Endpoint endpoint, const policy::Attachment& attachment,
                          const std::string& pod, const std::string& uid) {
  Entry& entry = entries_.Make(endpoint.id);
  PodEntry* const before = entry.own == nullptr ? nullptr : entry.own->pod;
  attached_ += entry.own == nullptr;
  entry.own = std::make_unique<Own>(Own{std::move(endpoint), attachment, NamePod(pod), uid});
  Settle(entry);
  if (before != nullptr) UnnamePod(before);
}

bool EndpointJoin::Detach(const std::string& id) {
  Entry* const entry = entries_.Find(id);
  if (entry == nullptr || entry->own == nullptr) return false;
  PodEntry* const pod = entry->own->pod;
  entry->own = nullptr;
  --attached_;
  Settle(*entry);
  UnnamePod(pod);
  return true;
}

// Of an attachment only what is written for the same pod; of several the newest.
const EndpointJoin::Workload* EndpointJoin::Speaker(const Entry& entry) {
  const Workload* chosen = nullptr;
  for (const Workload* workload : entry.workloads) {
    if (entry.own == nullptr ? IsGone(*workload) : workload->pod != entry.own->pod) continue;
    if (chosen == nullptr || workload->revision > chosen->revision) chosen = workload;
  }
  return chosen;
}

void EndpointJoin::Settle(Entry& entry) {
  changed_.insert(entry.key);
  const Workload* speaker = Speaker(entry);
  PodEntry* const now = entry.own != nullptr ? entry.own->pod
                        : speaker != nullptr ? speaker->pod
                                             : nullptr;
  PodEntry* const before = std::exchange(entry.pod, now);
  if (before != now && before != nullptr) {
    entry.facts = nullptr;
    before->endpoints.erase(std::find(before->endpoints.begin(), before->endpoints.end(), &entry));
    if (before->facts != nullptr) changed_.insert(PodId(before->key));
    DropIfUnused(before);
  }
  if (now != nullptr) {
    if (before != now) now->endpoints.push_back(&entry);
    if (entry.facts != nullptr && !MaySpeakOf(*entry.facts, entry)) entry.facts = nullptr;
    if (now->facts != nullptr && MaySpeakOf(*now->facts, entry)) entry.facts = now->facts;
    if (now->facts != nullptr) changed_.insert(PodId(now->key));
  }
  if (entry.own == nullptr && entry.workloads.empty()) entries_.Erase(entry.key);
}

// ---- the answer ----

std::optional<policy::Endpoint> EndpointJoin::Joined(const Entry& entry) {
  if (entry.pod == nullptr) return std::nullopt;
  const Workload* speaker = Speaker(entry);
  policy::Endpoint joined =
      speaker != nullptr ? Spell(speaker->said, entry.key, speaker->pod->key) : entry.own->endpoint;
  if (entry.own != nullptr) {
    joined.addresses = entry.own->endpoint.addresses;
    joined.local = entry.own->attachment;
  }
  if (entry.facts != nullptr) {
    const Traits& pod = *entry.facts->said.traits;
    joined.labels = pod.labels;
    joined.profiles = pod.profiles;
    joined.active = pod.active;
    if (!pod.ports.empty()) joined.ports = pod.ports;
  }
  return joined;
}

std::optional<policy::Endpoint> EndpointJoin::Alone(const PodEntry& pod) {
  if (pod.facts == nullptr) return std::nullopt;
  for (const Entry* entry : pod.endpoints) {
    if (entry->facts == pod.facts) return std::nullopt;
  }
  return Spell(pod.facts->said, PodId(pod.key), pod.key);
}

std::optional<policy::Endpoint> EndpointJoin::Find(const std::string& id) const {
  if (absl::StartsWith(id, kPodPrefix)) {
    const PodEntry* pod = pods_.Find(std::string_view(id).substr(sizeof(kPodPrefix) - 1));
    return pod == nullptr ? std::nullopt : Alone(*pod);
  }
  const Entry* entry = entries_.Find(id);
  return entry == nullptr ? std::nullopt : Joined(*entry);
}

void EndpointJoin::ForEach(const std::function<void(const policy::Endpoint&)>& f) const {
  entries_.ForEach([&](const Entry& entry) {
    if (const auto joined = Joined(entry)) f(*joined);
  });
  pods_.ForEach([&](const PodEntry& pod) {
    if (const auto alone = Alone(pod)) f(*alone);
  });
}

std::vector<policy::Endpoint> EndpointJoin::Named(const std::string& name) const {
  // "namespace/pod/interface" is of pod "namespace/pod".
  const size_t first = name.find('/');
  const size_t second = first == std::string::npos ? first : name.find('/', first + 1);
  const PodEntry* pod = pods_.Find(std::string_view(name).substr(0, second));
  if (pod == nullptr) return {};
  using Rank = std::tuple<bool, uint32_t, int64_t>;  // attached, interface, revision
  std::vector<std::pair<Rank, policy::Endpoint>> found;
  for (const Entry* entry : pod->endpoints) {
    auto joined = Joined(*entry);
    if (!joined.has_value()) continue;
    const Workload* speaker = Speaker(*entry);
    const Rank rank{entry->own != nullptr,
                    entry->own != nullptr ? entry->own->attachment.ifindex : 0,
                    speaker != nullptr ? speaker->revision : 0};
    found.emplace_back(rank, *std::move(joined));
  }
  if (auto alone = Alone(*pod)) found.emplace_back(Rank{}, *std::move(alone));
  const auto is_called_so = [&](const auto& item) { return item.second.name == name; };
  if (second != std::string::npos || std::any_of(found.begin(), found.end(), is_called_so)) {
    std::erase_if(found, [&](const auto& item) { return !is_called_so(item); });
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return std::tie(b.first, a.second.id) < std::tie(a.first, b.second.id);
  });
  std::vector<policy::Endpoint> endpoints;
  for (auto& [rank, endpoint] : found) endpoints.push_back(std::move(endpoint));
  return endpoints;
}

std::vector<ResourceKey> EndpointJoin::WorkloadsOf(const std::string& id) const {
  std::vector<ResourceKey> keys;
  const Entry* entry = entries_.Find(id);
  if (entry == nullptr) return keys;
  for (const Workload* workload : entry->workloads) keys.push_back(KeyOfWorkload(workload->key));
  return keys;
}

std::vector<EndpointJoin::Unattached> EndpointJoin::unattached() const {
  std::vector<Unattached> result;
  workloads_.ForEach([&](const Workload& workload) {
    if (!IsGone(workload) || workload.entry->own != nullptr) return;
    // "… NODE/CONTAINER/INTERFACE"
    const std::string& id = workload.entry->key;
    const size_t interface = id.rfind('/'), container = id.rfind('/', interface - 1);
    result.push_back({KeyOfWorkload(workload.key),
                      id.substr(container + 1, interface - container - 1), id.substr(interface + 1),
                      workload.pod->key});
  });
  std::sort(result.begin(), result.end(),
            [](const Unattached& a, const Unattached& b) { return a.key < b.key; });
  return result;
}

}  // namespace ripstop::api
