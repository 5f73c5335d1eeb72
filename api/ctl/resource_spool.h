// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_API_CTL_RESOURCE_SPOOL_H_
#define RIPSTOP_API_CTL_RESOURCE_SPOOL_H_

#include <cstdint>
#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "api/resource.h"

namespace ripstop::ctl {

// A resource as the spool keeps it.
struct SpooledResource {
  const api::KindInfo* kind = nullptr;
  api::ResourceKey key;
  std::string file;
  int line = 0;
  int64_t revision = 0;  // metadata.resourceVersion as it was written; 0: none
  std::string tier;      // TierOf
  std::string value;     // Serialize

  // With file, line and revision, and without the lines of fields.
  absl::StatusOr<api::Resource> Parse() const;
};

// Resources in the order in which they were added, to be gone through more than once: what is
// checked first and written afterwards is the same, also when it came from a pipe or the file
// changes meanwhile. Beyond 16 MiB it is a file without a name in TMPDIR (/tmp).
class ResourceSpool {
 public:
  static constexpr size_t kMemoryBytes = 16 << 20;

  explicit ResourceSpool(size_t memory_bytes = kMemoryBytes) : memory_bytes_(memory_bytes) {}
  ~ResourceSpool();
  ResourceSpool(const ResourceSpool&) = delete;
  ResourceSpool& operator=(const ResourceSpool&) = delete;

  // kUnavailable when TMPDIR is full or cannot be written.
  absl::Status Add(const api::Resource& resource);

  // Next() begins with the first again. Nothing can be added from here on.
  absl::Status Rewind();
  // false at the end.
  absl::StatusOr<bool> Next(SpooledResource* resource);

  size_t size() const { return size_; }
  size_t bytes() const { return bytes_; }  // of all values
  bool has_revisions() const { return has_revisions_; }
  bool has_pools_or_nodes() const { return has_pools_or_nodes_; }
  // The Tiers among the resources, and the tiers that policies among them name.
  const std::set<std::string>& tiers() const { return tiers_; }
  const std::set<std::string>& named_tiers() const { return named_tiers_; }

 private:
  absl::Status Write(std::string_view bytes);
  absl::Status Read(char* bytes, size_t count);
  absl::Status Failed(const char* what) const;

  const size_t memory_bytes_;
  std::string memory_;
  size_t at_ = 0;  // in memory_
  std::FILE* file_ = nullptr;
  std::vector<std::string> files_;  // names, once each
  size_t size_ = 0, bytes_ = 0, read_ = 0;
  bool has_revisions_ = false;
  bool has_pools_or_nodes_ = false;
  std::set<std::string> tiers_, named_tiers_;
};

// The tier a policy names, or "" for what is no policy of projectcalico.org/v3.
std::string TierOf(const api::Resource& resource);

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_RESOURCE_SPOOL_H_
