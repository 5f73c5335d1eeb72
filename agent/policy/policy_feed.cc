// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/policy_feed.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "api/convert/closed.h"
#include "spdlog/spdlog.h"

namespace ripstop::agent {
namespace {

// A name by which an object of one resource is found again in its next version.
std::string NameOf(const api::ModelObject& object) {
  struct Namer {
    std::string operator()(const policy::Tier& o) { return "tier " + o.name; }
    std::string operator()(const policy::Policy& o) {
      return absl::StrCat("policy ", static_cast<int>(o.key.kind), " ", o.key.ns, "/", o.key.name);
    }
    std::string operator()(const policy::Profile& o) { return "profile " + o.name; }
    std::string operator()(const policy::Endpoint& o) { return "endpoint " + o.id; }
    std::string operator()(const policy::NetworkSet& o) { return "set " + o.id; }
    std::string operator()(const policy::ServiceBackends& o) {
      return absl::StrCat("service ", o.service.ns, "/", o.service.name, " ", o.slice);
    }
    std::string operator()(const policy::Host& o) { return "host " + o.name; }
    std::string operator()(const policy::HostEndpoint& o) { return "host endpoint " + o.id; }
  };
  return std::visit(Namer{}, object);
}

bool IsPolicy(const api::ModelObject& object) {
  return std::holds_alternative<policy::Policy>(object);
}

// A line for each rule that fails closed. Rules of one name are parts of one that was written.
void AddDegraded(const std::string& object, const std::vector<policy::Rule>& rules,
                 const char* direction, std::vector<std::string>* lines) {
  for (size_t i = 0; i < rules.size(); ++i) {
    if (!rules[i].degraded || (i > 0 && rules[i - 1].degraded && !rules[i].name.empty() &&
                               rules[i - 1].name == rules[i].name)) {
      continue;
    }
    lines->push_back(absl::StrCat(
        object, ": ", direction, " rule ", i, rules[i].name.empty() ? "" : " (", rules[i].name,
        rules[i].name.empty() ? "" : ")",
        " has a field or peer that this version does not know; it ",
        rules[i].action == policy::Action::kDeny ? "denies whatever the rest of it matches"
                                                 : "matches nothing"));
  }
}

void AddDegraded(const std::string& object, const std::vector<api::ModelObject>& objects,
                 std::vector<std::string>* lines) {
  for (const api::ModelObject& one : objects) {
    if (const auto* p = std::get_if<policy::Policy>(&one)) {
      AddDegraded(object, p->ingress_rules, "ingress", lines);
      AddDegraded(object, p->egress_rules, "egress", lines);
    } else if (const auto* q = std::get_if<policy::Profile>(&one)) {
      AddDegraded(object, q->ingress_rules, "ingress", lines);
      AddDegraded(object, q->egress_rules, "egress", lines);
    }
  }
}

}  // namespace

void PolicyFeed::FeedInto(policy::Engine* engine) {
  engine_ = engine;
  for (const auto& [key, objects] : objects_) {
    for (const api::ModelObject& object : objects) {
      if (!std::holds_alternative<policy::Endpoint>(object)) api::PutObject(*engine_, object);
    }
  }
  for (const auto& [name, profile] : implied_) engine_->PutProfile(profile);
  join_.ForEach([&](const policy::Endpoint& endpoint) { engine_->PutEndpoint(endpoint); });
}

void PolicyFeed::FeedEndpoints() {
  for (const std::string& id : join_.TakeChanged()) {
    const std::optional<policy::Endpoint> endpoint = join_.Find(id);
    if (endpoint.has_value()) Imply(policy::LabelProfiles(endpoint->labels, endpoint->profiles));
    Feed([&](policy::Engine& engine) {
      if (endpoint.has_value()) {
        engine.PutEndpoint(*endpoint);
      } else {
        engine.RemoveEndpoint(id);
      }
    });
  }
}

void PolicyFeed::PutModel(const api::ModelObject& object) {
  if (const auto* policy = std::get_if<policy::Policy>(&object)) {
    if (policy->staged) return Stage(*policy);
    engine_->PutPolicy(*policy);
    return Restage(policy->key);
  }
  Feed([&](policy::Engine& engine) { api::PutObject(engine, object); });
}

void PolicyFeed::RemoveModel(const api::ModelObject& object) {
  if (const auto* policy = std::get_if<policy::Policy>(&object)) {
    if (policy->staged) return Unstage(*policy);
    engine_->RemovePolicy(policy->key);
    return Restage(policy->key);
  }
  Feed([&](policy::Engine& engine) { api::RemoveObject(engine, object); });
}

void PolicyFeed::Imply(const std::vector<std::string>& profiles) {
  for (const std::string& name : profiles) {
    if (seen_profiles_.contains(name) || implied_.contains(name)) continue;
    auto profile = api::ImpliedProfile(name);
    if (!profile.has_value()) continue;
    Feed([&](policy::Engine& engine) { engine.PutProfile(*profile); });
    implied_[name] = *std::move(profile);
  }
}

void PolicyFeed::PutRead(const api::ResourceKey& key, Reading& reading) {
  if (!reading.resource.ok()) return SetAside(key, reading.resource.status());
  PutConverted(*reading.resource, key, std::move(reading.model));
}

void PolicyFeed::Put(const api::Resource& resource) {
  PutConverted(resource, resource.key(), api::ToModel(resource, {.this_host = node_}));
}

void PolicyFeed::PutConverted(const api::Resource& resource, const api::ResourceKey& key,
                              absl::StatusOr<std::vector<api::ModelObject>> converted) {
  if (!converted.ok()) {
    SetAside(key, converted.status(), &resource);
    return;
  }
  set_aside_.erase(key);
  closed_.erase(key);
  Replace(resource, key, *std::move(converted));
}

// What the resource means is now this.
void PolicyFeed::Replace(const api::Resource& resource, const api::ResourceKey& key,
                         std::vector<api::ModelObject> objects) {
  if (api::EndpointJoin::Takes(key)) {
    for (api::ModelObject& object : objects) {
      join_.Put(resource, std::get<policy::Endpoint>(std::move(object)));
    }
    return FeedEndpoints();
  }
  // In place at once: the staged world asks for what is enforced now.
  std::vector<api::ModelObject>& current = objects_[key];
  const std::vector<api::ModelObject> before = std::exchange(current, std::move(objects));
  NoteDegraded(key, current);
  for (const api::ModelObject& old : before) {
    const bool kept = std::any_of(current.begin(), current.end(), [&](const auto& object) {
      return NameOf(object) == NameOf(old);
    });
    if (IsPolicy(old)) --policies_;
    if (!kept) RemoveModel(old);
  }
  for (const api::ModelObject& object : current) {
    if (IsPolicy(object)) ++policies_;
    if (const auto* profile = std::get_if<policy::Profile>(&object)) {
      seen_profiles_.insert(profile->name);
      implied_.erase(profile->name);
    }
    if (const auto* set = std::get_if<policy::NetworkSet>(&object)) Imply(set->profiles);
    if (const auto* host = std::get_if<policy::HostEndpoint>(&object)) Imply(host->profiles);
    PutModel(object);
  }
}

void PolicyFeed::Delete(const api::ResourceKey& key) {
  set_aside_.erase(key);
  closed_.erase(key);
  degraded_.erase(key);
  if (api::EndpointJoin::Takes(key)) {
    join_.Delete(key);
    return FeedEndpoints();
  }
  const auto it = objects_.find(key);
  if (it == objects_.end()) return;
  const std::vector<api::ModelObject> before = std::move(it->second);
  objects_.erase(it);
  for (const api::ModelObject& object : before) {
    if (IsPolicy(object)) --policies_;
    RemoveModel(object);
    // What runs on is as in a namespace without a document: its policies decide.
    if (const auto* profile = std::get_if<policy::Profile>(&object)) {
      seen_profiles_.erase(profile->name);
      Imply({profile->name});
    }
  }
}

void PolicyFeed::SetAside(const api::ResourceKey& key, const absl::Status& why,
                          const api::Resource* decoded) {
  std::string text(why.message());
  // What converts names the object by its kind's own word; the line does it by the store's.
  const std::string object = absl::StrCat(key.ns, key.ns.empty() ? "" : "/", key.name, ": ");
  const size_t at = text.find(object);
  if (at != std::string::npos && text.find(' ') + 1 == at) text.erase(0, at + object.size());
  if (const std::string denied = Close(key, decoded); !denied.empty())
    absl::StrAppend(&text, "; until it can be read, ", denied, " is denied");
  std::string& known = set_aside_[key];
  if (known == text) return;
  known = std::move(text);
  spdlog::warn("set aside: {}: {}", key.ToString(), known);
}

// Gives the closed meaning to what never had one; what that denies.
std::string PolicyFeed::Close(const api::ResourceKey& key, const api::Resource* decoded) {
  const bool known = objects_.contains(key) || join_.Knows(key);
  if (known && !closed_.contains(key)) return "";
  api::ClosedReading closed = api::ReadClosed(key, decoded);
  if (closed.document.has_value()) {
    auto objects = api::ToModel(*closed.document, {.this_host = node_});
    if (!objects.ok()) return "";
    closed.objects = *std::move(objects);
  }
  if (closed.objects.empty() && !closed_.contains(key)) return "";
  closed_.insert(key);
  Replace(closed.document.value_or(api::Resource()), key, std::move(closed.objects));
  return closed.denied;
}

void PolicyFeed::NoteDegraded(const api::ResourceKey& key,
                              const std::vector<api::ModelObject>& objects) {
  std::vector<std::string> lines;
  AddDegraded(key.ToString(), objects, &lines);
  if (lines.empty()) {
    degraded_.erase(key);
  } else if (degraded_.insert(key).second) {
    for (const std::string& line : lines) spdlog::warn("fails closed: {}", line);
  }
}

void PolicyFeed::Attach(const policy::Endpoint& endpoint, const policy::Attachment& attachment,
                        const std::string& pod, const std::string& uid) {
  join_.Attach(endpoint, attachment, pod, uid);
  std::erase_if(attached_, [&](const auto& one) { return one.second == endpoint.id; });
  attached_.insert_or_assign(attachment.ifindex, endpoint.id);
  FeedEndpoints();
}

bool PolicyFeed::Detach(const std::string& id) {
  const bool was_attached = join_.Detach(id);
  std::erase_if(attached_, [&](const auto& one) { return one.second == id; });
  FeedEndpoints();
  return was_attached;
}

std::optional<policy::Endpoint> PolicyFeed::OwnerOf(const policy::Address& address) const {
  return join_.Find(engine_->OwnerOf(address));
}

std::string PolicyFeed::DisplayName(const std::string& id) const {
  const auto endpoint = join_.Find(id);
  return endpoint.has_value() && !endpoint->name.empty() ? endpoint->name : id;
}

std::string PolicyFeed::NameAt(uint32_t ifindex) const {
  const auto found = attached_.find(ifindex);
  return found == attached_.end() ? "" : DisplayName(found->second);
}

std::vector<std::string> PolicyFeed::Conflicts() const {
  std::vector<std::string> lines;
  for (const policy::AddressConflict& conflict : engine_->Conflicts(kConflictsMax)) {
    std::vector<std::string> names;
    for (const std::string& id : conflict.claimants) names.push_back(DisplayName(id));
    std::sort(names.begin(), names.end());
    std::string line =
        absl::StrCat("address ", conflict.address.ToString(), " is claimed by ",
                     absl::StrJoin(names, " and "), conflict.owner.empty() ? "" : "; ");
    if (conflict.owner.empty()) {
      absl::StrAppend(&line, ": denied until all but one are gone");
    } else {
      absl::StrAppend(&line, DisplayName(conflict.owner), ", which is here and the newest, has it");
    }
    lines.push_back(std::move(line));
  }
  if (const size_t all = engine_->conflict_count(); all > kConflictsMax) {
    lines.push_back(
        absl::StrCat(all - kConflictsMax, " more addresses are claimed by several endpoints"));
  }
  return lines;
}

std::vector<std::string> PolicyFeed::set_aside() const {
  std::vector<std::string> lines;
  for (const auto& [key, why] : set_aside_)
    lines.push_back(absl::StrCat(key.ToString(), ": ", why));
  for (const api::ResourceKey& key : degraded_) {
    AddDegraded(key.ToString(), objects_.at(key), &lines);
  }
  return lines;
}

}  // namespace ripstop::agent
