// SPDX-License-Identifier: Apache-2.0
#include "api/store/open.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "api/store/sqlite_store.h"
#include "policy/status_macros.h"

namespace ripstop::api {

absl::StatusOr<std::unique_ptr<Store>> OpenStore(std::string_view url,
                                                 const OpenStoreOptions& options) {
  absl::string_view rest(url.data(), url.size());
  if (!absl::ConsumePrefix(&rest, "sqlite://"))
    return absl::InvalidArgumentError(absl::StrCat("store URL \"", rest,
                                                   "\" has no scheme that exists here; known: "
                                                   "sqlite:///PATH"));
  if (rest.empty()) return absl::InvalidArgumentError("store URL \"sqlite://\" names no file");
  const std::string path(rest);
  const SqliteStoreOptions sqlite{.create = options.create,
                                  .busy_timeout_ms = options.busy_timeout_ms};
  if (options.lazily) return std::unique_ptr<Store>(SqliteStore::At(path, sqlite));
  ASSIGN_OR_RETURN(auto store, SqliteStore::Open(path, sqlite));
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace ripstop::api
