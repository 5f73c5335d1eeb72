// SPDX-License-Identifier: Apache-2.0
#include "api/resource.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "api/codec/reader.h"
#include "api/proto/felix.pb.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "nlohmann/json.hpp"

namespace ripstop::api {
namespace {

constexpr int kKeptDepthMax = 64;  // kDocumentDepthMax of the reader

// Most are asked about one kind many times in a row, and the search by name takes a lock.
const google::protobuf::FieldDescriptor* MetadataField(const google::protobuf::Message& message) {
  thread_local const google::protobuf::Descriptor* last = nullptr;
  thread_local const google::protobuf::FieldDescriptor* field = nullptr;
  const google::protobuf::Descriptor* kind = message.GetDescriptor();
  if (kind != last) {
    field = kind->FindFieldByName("metadata");
    last = kind;
  }
  return field;
}

// JSON that nests no deeper than a document may: what walks it may recurse.
bool IsTree(const std::string& text) {
  bool shallow = true;
  const auto look = [&shallow](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    shallow &= depth <= kKeptDepthMax;
    return shallow;
  };
  return !nlohmann::json::parse(text, look, false).is_discarded() && shallow;
}

// A FelixConfiguration that a version stored which kept the kind as a tree. What it kept without
// knowing it, nobody can read now.
absl::StatusOr<Resource> FromTree(const KindInfo& kind, const v1::KeptResource& kept) {
  const auto spec = nlohmann::json::parse(kept.spec().json(), nullptr, false);
  if (spec.is_discarded()) return absl::DataLossError("its spec is not JSON");
  const nlohmann::json document = {{"apiVersion", kind.api_version},
                                   {"kind", kind.kind},
                                   {"metadata", {{"name", kept.metadata().name()}}},
                                   {"spec", spec}};
  Decoded decoded = DecodeText(document.dump(), "");
  if (!decoded.problems.empty() || decoded.resources.size() != 1) {
    return absl::DataLossError(absl::StrCat("an earlier version kept what this one cannot read: ",
                                            ToString(decoded.problems), "; apply it anew"));
  }
  Resource resource = decoded.resources[0].Clone();
  resource.mutable_metadata() = kept.metadata();
  return resource;
}

}  // namespace

const v1::ObjectMeta& Resource::metadata() const {
  return static_cast<const v1::ObjectMeta&>(
      message_->GetReflection()->GetMessage(*message_, MetadataField(*message_)));
}

v1::ObjectMeta& Resource::mutable_metadata() {
  return static_cast<v1::ObjectMeta&>(
      *message_->GetReflection()->MutableMessage(message_.get(), MetadataField(*message_)));
}

int64_t Resource::revision() const {
  int64_t revision = 0;
  return absl::SimpleAtoi(metadata().resource_version(), &revision) ? revision : 0;
}

void Resource::set_revision(int64_t revision) {
  mutable_metadata().set_resource_version(absl::StrCat(revision));
}

ResourceKey Resource::key() const {
  return {kind_->store_kind, kind_->namespaced ? ns() : "", name()};
}

Resource Resource::Clone() const {
  std::shared_ptr<google::protobuf::Message> message = kind_->New();
  message->CopyFrom(*message_);
  Resource copy(kind_, std::move(message));
  copy.file = file;
  copy.line = line;
  copy.lines = lines;
  return copy;
}

int Resource::LineOf(std::string path) const {
  while (lines != nullptr && !path.empty()) {
    for (const auto& [field, line_of_field] : *lines)
      if (field == path) return line_of_field;
    const size_t cut = path.find_last_of(".[");
    path.resize(cut == std::string::npos ? 0 : cut);
  }
  return line;
}

std::string Serialize(const Resource& resource) {
  if (!resource.metadata().resource_version().empty()) {
    Resource copy = resource.Clone();
    copy.mutable_metadata().clear_resource_version();
    return Serialize(copy);
  }
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  resource.message().SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

absl::StatusOr<Resource> Deserialize(const StoredResource& stored,
                                     std::shared_ptr<google::protobuf::Arena> arena) {
  const auto named = [&](const std::string& what) {
    return absl::StrCat(stored.key.kind, " ", stored.key.ns, stored.key.ns.empty() ? "" : "/",
                        stored.key.name, ": ", what);
  };
  const KindInfo* kind = FindStoreKind(stored.key.kind);
  if (kind == nullptr) return absl::UnimplementedError(named("a kind this version does not know"));
  std::shared_ptr<google::protobuf::Message> message;
  if (arena == nullptr) {
    message = kind->New();
  } else {
    message = {arena, kind->prototype->New(arena.get())};
  }
  const bool parsed = message->ParseFromString(stored.value);
  const auto* kept = dynamic_cast<const v1::KeptResource*>(message.get());
  const bool whole = kept == nullptr || !kept->has_spec() || IsTree(kept->spec().json());
  if (!parsed || !whole) {
    return absl::DataLossError(named(absl::StrCat("the stored bytes are not a ", kind->kind)));
  }
  v1::KeptResource former;
  if (dynamic_cast<const v1::FelixConfiguration*>(message.get()) != nullptr &&
      former.ParseFromString(stored.value) && former.has_spec()) {
    auto read = FromTree(*kind, former);
    if (!read.ok()) return absl::DataLossError(named(std::string(read.status().message())));
    read->set_revision(stored.revision);
    return read;
  }
  Resource resource(kind, std::move(message));
  resource.set_revision(stored.revision);
  return resource;
}

}  // namespace ripstop::api
