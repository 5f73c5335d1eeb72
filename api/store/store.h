// SPDX-License-Identifier: Apache-2.0
//
// The store: resources by key, each with a revision, and a watch.
//
// One interface, chosen by URL (store/open.h): sqlite:///path here; etcd, Kubernetes and
// the API server implement the same. Values are opaque bytes to a backend: the binary
// protobuf of the resource's message (api/resource.h).
//
// Revisions are one counter for the whole store; each change takes the next. They only
// grow, and a watch resumes after any of them that is not compacted.
#ifndef RIPSTOP_API_STORE_STORE_H_
#define RIPSTOP_API_STORE_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ripstop::api {

struct ResourceKey {
  std::string kind;  // as in documents, with its group where kinds collide: see kinds.h
  std::string ns;    // empty for cluster-scoped kinds
  std::string name;
  auto operator<=>(const ResourceKey&) const = default;
  std::string ToString() const;  // "NetworkPolicy shop/allow-cart"
};

struct StoredResource {
  ResourceKey key;
  std::string value;
  int64_t revision = 0;  // of the last change to this resource
  int64_t create_revision = 0;
};

struct Listing {
  std::vector<StoredResource> items;  // by key
  int64_t revision = 0;               // of the store, at the moment of the list
};

// Empty fields match everything.
struct ResourceFilter {
  std::string kind;
  std::string ns;
};

struct WatchEvent {
  enum class Type {
    kPut,     // created or updated, also each item of the opening snapshot
    kDelete,  // `resource` holds the last value
    kSynced,  // the snapshot is complete; `revision` is its revision
  };
  Type type = Type::kPut;
  StoredResource resource;
  int64_t revision = 0;
};

// One step of a transaction.
struct Mutation {
  enum class Type {
    kCreate,  // kAlreadyExists when it is there
    kUpdate,  // kNotFound when it is not
    kPut,     // create or update
    kDelete,  // kNotFound when it is not there
  };
  Type type = Type::kPut;
  ResourceKey key;
  std::string value;              // not for kDelete
  int64_t expected_revision = 0;  // 0: whatever it is now; kUpdate, kPut and kDelete
};

// A stream of changes, in order of revision, none missed, none twice.
class Watch {
 public:
  virtual ~Watch() = default;
  // Readable when Next would return something. For epoll; level triggered.
  virtual int fd() const = 0;
  // Whatever is there now, without blocking; may be empty.
  //   kUnavailable   the store cannot be reached now; call again when fd is readable
  //   kOutOfRange    the revision to resume from is compacted, or the store was replaced:
  //                  open a new watch from 0
  virtual absl::StatusOr<std::vector<WatchEvent>> Next() = 0;
  // Of the store that it watches. Another store in its place ends the watch.
  virtual std::string identity() const { return ""; }
};

// Whether another writer held the store for as long as this call would wait: kUnavailable
// that a moment later may be gone.
bool IsStoreBusy(const absl::Status& status);
absl::Status StoreBusyError(std::string_view message);

// Errors everywhere: kNotFound, kAlreadyExists, kAborted (revision conflict; the message
// names both revisions), kUnavailable (cannot be reached; retry), kDataLoss.
class Store {
 public:
  virtual ~Store() = default;
  // What tells this store from every other: made with it, kept by its copies and backups.
  virtual absl::StatusOr<std::string> Identity() { return std::string(); }
  // From now on each write is refused with kFailedPrecondition unless the store is that one,
  // as it is when it is written. Empty: any.
  virtual void WriteOnlyTo(std::string /*identity*/) {}
  virtual absl::StatusOr<StoredResource> Get(const ResourceKey& key) = 0;
  virtual absl::StatusOr<Listing> List(const ResourceFilter& filter) = 0;
  // Each returns the revision it made.
  virtual absl::StatusOr<int64_t> Create(const ResourceKey& key, std::string_view value) = 0;
  // `expected_revision` 0: whatever it is now.
  virtual absl::StatusOr<int64_t> Update(const ResourceKey& key, std::string_view value,
                                         int64_t expected_revision) = 0;
  virtual absl::StatusOr<int64_t> Delete(const ResourceKey& key, int64_t expected_revision) = 0;
  // All of `mutations` in order, or none of them; the revision each made. The error is
  // that of the first that failed and names its key. A backend without transactions
  // checks all of them first, then stops at the first failure.
  virtual absl::StatusOr<std::vector<int64_t>> Txn(const std::vector<Mutation>& mutations) = 0;
  // From revision 0: a snapshot as kPut events, kSynced, then deltas. From a revision:
  // kSynced at once, then all changes after it; of a revision the store
  // has not reached (another store, an older copy): kOutOfRange.
  virtual absl::StatusOr<std::unique_ptr<Watch>> WatchFrom(const ResourceFilter& filter,
                                                           int64_t revision) = 0;
};

}  // namespace ripstop::api

#endif  // RIPSTOP_API_STORE_STORE_H_
