// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/read_ahead.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "api/kinds.h"

namespace ripstop::agent {

Reading ReadStored(const api::StoredResource& stored, const std::string& node,
                   std::shared_ptr<google::protobuf::Arena> arena) {
  absl::StatusOr<api::Resource> resource = api::Deserialize(stored, std::move(arena));
  if (resource.ok() && resource->key() != stored.key) {
    resource = absl::DataLossError(
        absl::StrCat("the stored document is that of ", resource->key().ToString()));
  }
  if (!resource.ok()) {
    absl::Status why = resource.status();
    return {std::move(resource), std::move(why)};
  }
  auto model = api::ToModel(*resource, {.this_host = node});
  return {std::move(resource), std::move(model)};
}

ReadAhead::ReadAhead(const std::vector<const api::StoredResource*>& piece,
                     const std::string& node) {
  items_.reserve(piece.size());
  const auto arena = std::make_shared<google::protobuf::Arena>();
  for (const api::StoredResource* stored : piece) {
    if (api::FindStoreKind(stored->key.kind) == nullptr) continue;
    items_.push_back({stored, ReadStored(*stored, node, arena)});
  }
}

Reading* ReadAhead::Take(const api::StoredResource& stored) {
  for (size_t i = next_; i < items_.size(); ++i) {
    if (items_[i].stored != &stored) continue;
    next_ = i + 1;
    return &items_[i].reading;
  }
  return nullptr;
}

}  // namespace ripstop::agent
