// SPDX-License-Identifier: Apache-2.0
//
// A resource: a kind, its message, and where it was read.
#ifndef RIPSTOP_API_RESOURCE_H_
#define RIPSTOP_API_RESOURCE_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "api/kinds.h"
#include "api/proto/resources.pb.h"
#include "api/store/store.h"
#include "google/protobuf/arena.h"
#include "google/protobuf/message.h"

namespace ripstop::api {

// Field paths and their lines, in the order of the text. Looked up only for a problem.
using LineMap = std::vector<std::pair<std::string, int>>;

// Copies share the message; Clone does not. Not synchronised.
class Resource {
 public:
  Resource() = default;
  Resource(const KindInfo* kind, std::shared_ptr<google::protobuf::Message> message)
      : kind_(kind), message_(std::move(message)) {}

  // An empty resource of the kind whose message is T: Resource::Make<v1::Tier>().
  template <typename T>
  static Resource Make() {
    for (const KindInfo& info : AllKinds()) {
      if (info.prototype->GetDescriptor() == T::descriptor()) return Resource(&info, info.New());
    }
    return Resource();
  }

  const KindInfo& kind() const { return *kind_; }
  const google::protobuf::Message& message() const { return *message_; }
  google::protobuf::Message& mutable_message() { return *message_; }

  // The message as its own type, or nullptr when it is of another kind.
  // Generated messages are final, so one look at the type will do: half a dozen kinds are asked for
  // of each resource of the store.
  template <typename T>
  const T* As() const {
    return Is<T>() ? static_cast<const T*>(message_.get()) : nullptr;
  }
  template <typename T>
  T* MutableAs() {
    return Is<T>() ? static_cast<T*>(message_.get()) : nullptr;
  }

  const v1::ObjectMeta& metadata() const;
  v1::ObjectMeta& mutable_metadata();
  const std::string& name() const { return metadata().name(); }
  const std::string& ns() const { return metadata().namespace_(); }
  // The store revision this resource was read at; 0 when it was not read from a store.
  int64_t revision() const;
  void set_revision(int64_t revision);

  ResourceKey key() const;

  Resource Clone() const;

  // Where it came from: "policies.yaml", 12. Empty and 0 for the store.
  std::string file;
  int line = 0;
  std::shared_ptr<const LineMap> lines;
  // The line of the field at `path`, or of the nearest field around it.
  int LineOf(std::string path) const;

 private:
  template <typename T>
  bool Is() const {
    return message_ != nullptr && message_->GetDescriptor() == T::descriptor();
  }

  const KindInfo* kind_ = nullptr;
  std::shared_ptr<google::protobuf::Message> message_;
};

// The value for Store::Create and Update: deterministic, so equal resources have equal
// bytes; the revision is left out.
std::string Serialize(const Resource& resource);

// Errors: kUnimplemented for a kind this version does not know, kDataLoss for bytes that
// are not that kind's message. Both name the key.
// `arena`: where the message is, for who reads many that go at once; it lives as long as they do.
absl::StatusOr<Resource> Deserialize(const StoredResource& stored,
                                     std::shared_ptr<google::protobuf::Arena> arena = nullptr);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_RESOURCE_H_
