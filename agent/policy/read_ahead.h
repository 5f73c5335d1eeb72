// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_POLICY_READ_AHEAD_H_
#define RIPSTOP_AGENT_POLICY_READ_AHEAD_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "api/convert/convert.h"
#include "api/resource.h"

namespace ripstop::agent {

// What a resource of the store says and means.
struct Reading {
  absl::StatusOr<api::Resource> resource;
  absl::StatusOr<std::vector<api::ModelObject>> model;  // of that
};

// Pure; any thread. `node`: whose agent reads. `arena`: see api::Deserialize.
Reading ReadStored(const api::StoredResource& stored, const std::string& node,
                   std::shared_ptr<google::protobuf::Arena> arena = nullptr);

// Readings of a piece of the store, made beside the loop: to decode and to convert is half of what
// a resource costs, and needs nothing of what is known. The messages share an arena: to free each
// field by itself took as long as to decode it. Plain value.
class ReadAhead {
 public:
  // Of those whose kind has documents. The piece outlives this and stays where it is.
  ReadAhead(const std::vector<const api::StoredResource*>& piece, const std::string& node);

  // Of this very object of the piece, once, to be used up; in the order of the piece, of which some
  // may be left out. Null: of another.
  Reading* Take(const api::StoredResource& stored);

 private:
  struct Item {
    const api::StoredResource* stored;
    Reading reading;
  };
  std::vector<Item> items_;
  size_t next_ = 0;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_POLICY_READ_AHEAD_H_
