// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/resource_spool.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "policy/status_macros.h"

namespace ripstop::ctl {
namespace {

// What stands before namespace, name, tier and value of each.
struct Head {
  int64_t revision;
  uint32_t kind;  // in AllKinds
  uint32_t file;
  int32_t line;
  uint32_t bytes[4];
  uint32_t unused;
};
static_assert(sizeof(Head) == 40, "no bytes between the fields");

std::string TemporaryFolder() {
  const char* folder = std::getenv("TMPDIR");
  return folder == nullptr || *folder == 0 ? "/tmp" : folder;
}

}  // namespace

std::string TierOf(const api::Resource& resource) {
  const api::v1::PolicySpec* spec = nullptr;
  if (const auto* p = resource.As<api::v1::NetworkPolicy>()) spec = &p->spec();
  if (const auto* p = resource.As<api::v1::GlobalNetworkPolicy>()) spec = &p->spec();
  if (const auto* p = resource.As<api::v1::StagedNetworkPolicy>()) spec = &p->spec();
  if (const auto* p = resource.As<api::v1::StagedGlobalNetworkPolicy>()) spec = &p->spec();
  if (spec == nullptr) return "";
  return spec->tier().empty() ? "default" : spec->tier();
}

absl::StatusOr<api::Resource> SpooledResource::Parse() const {
  std::shared_ptr<google::protobuf::Message> message = kind->New();
  if (!message->ParseFromString(value))
    return absl::InternalError(absl::StrCat(file, ":", line, ": cannot be read back"));
  api::Resource resource(kind, std::move(message));
  if (revision != 0) resource.set_revision(revision);
  resource.file = file;
  resource.line = line;
  return resource;
}

ResourceSpool::~ResourceSpool() {
  if (file_ != nullptr) std::fclose(file_);
}

absl::Status ResourceSpool::Failed(const char* what) const {
  return absl::UnavailableError(absl::StrCat(
      "cannot keep the documents in ", TemporaryFolder(), " until all are checked: ", what, ": ",
      std::strerror(errno), " (TMPDIR names another folder)"));
}

absl::Status ResourceSpool::Write(std::string_view bytes) {
  if (file_ == nullptr && memory_.size() + bytes.size() <= memory_bytes_) {
    memory_.append(bytes);
    return absl::OkStatus();
  }
  if (file_ == nullptr) {
    std::string name = TemporaryFolder() + "/ripstopctl-XXXXXX";
    const int fd = mkostemp(name.data(), O_CLOEXEC);
    if (fd < 0) return Failed("make a file");
    unlink(name.c_str());
    file_ = fdopen(fd, "w+");
    if (file_ == nullptr) {
      close(fd);
      return Failed("open the file");
    }
    const std::string before = std::exchange(memory_, {});
    RETURN_IF_ERROR(Write(before));
  }
  return std::fwrite(bytes.data(), 1, bytes.size(), file_) == bytes.size() ? absl::OkStatus()
                                                                           : Failed("write");
}

absl::Status ResourceSpool::Read(char* bytes, size_t count) {
  if (file_ != nullptr) {
    errno = 0;
    return std::fread(bytes, 1, count, file_) == count ? absl::OkStatus() : Failed("read");
  }
  std::memcpy(bytes, memory_.data() + at_, count);
  at_ += count;
  return absl::OkStatus();
}

absl::Status ResourceSpool::Add(const api::Resource& resource) {
  if (files_.empty() || files_.back() != resource.file) files_.push_back(resource.file);
  const api::ResourceKey key = resource.key();
  const std::string tier = TierOf(resource), value = api::Serialize(resource);
  Head head = {.revision = resource.revision(),
               .kind = static_cast<uint32_t>(&resource.kind() - api::AllKinds().data()),
               .file = static_cast<uint32_t>(files_.size() - 1),
               .line = resource.line};
  const std::string* const texts[] = {&key.ns, &key.name, &tier, &value};
  for (int i = 0; i < 4; ++i) head.bytes[i] = static_cast<uint32_t>(texts[i]->size());
  RETURN_IF_ERROR(Write({reinterpret_cast<const char*>(&head), sizeof head}));
  for (const std::string* text : texts) RETURN_IF_ERROR(Write(*text));
  ++size_;
  bytes_ += value.size();
  has_revisions_ |= head.revision != 0;
  if (!tier.empty()) named_tiers_.insert(tier);
  if (resource.kind().store_kind == api::kKindTier) tiers_.insert(resource.name());
  const std::string& kind = resource.kind().store_kind;
  has_pools_or_nodes_ |= kind == api::kKindIPPool || kind == api::kKindNode;
  return absl::OkStatus();
}

absl::Status ResourceSpool::Rewind() {
  read_ = at_ = 0;
  if (file_ == nullptr) return absl::OkStatus();
  if (std::fflush(file_) != 0 || std::fseek(file_, 0, SEEK_SET) != 0) return Failed("write");
  return absl::OkStatus();
}

absl::StatusOr<bool> ResourceSpool::Next(SpooledResource* resource) {
  if (read_ == size_) return false;
  Head head;
  RETURN_IF_ERROR(Read(reinterpret_cast<char*>(&head), sizeof head));
  resource->kind = &api::AllKinds()[head.kind];
  resource->file = files_[head.file];
  resource->line = head.line;
  resource->revision = head.revision;
  resource->key.kind = resource->kind->store_kind;
  std::string* const texts[] = {&resource->key.ns, &resource->key.name, &resource->tier,
                                &resource->value};
  for (int i = 0; i < 4; ++i) {
    texts[i]->resize(head.bytes[i]);
    RETURN_IF_ERROR(Read(texts[i]->data(), head.bytes[i]));
  }
  ++read_;
  return true;
}

}  // namespace ripstop::ctl
