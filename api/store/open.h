// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_API_STORE_OPEN_H_
#define RIPSTOP_API_STORE_OPEN_H_

#include <memory>
#include <string_view>

#include "api/store/store.h"

namespace ripstop::api {

inline constexpr char kDefaultStoreUrl[] = "sqlite:///var/lib/ripstop/store.db";

struct OpenStoreOptions {
  bool create = true;  // make an embedded store that is not there yet
  // Opened by the first call that can; until then each fails as the backend's Open would. Never
  // made then, whatever `create` says.
  bool lazily = false;
  int busy_timeout_ms = 5'000;  // how long a write waits for other writers
};

// The store that `url` names. sqlite:///absolute/path or sqlite://relative/path.
//   kInvalidArgument  unknown scheme; the message lists the known ones
//   else              as the backend's Open
absl::StatusOr<std::unique_ptr<Store>> OpenStore(std::string_view url,
                                                 const OpenStoreOptions& options = {});

}  // namespace ripstop::api

#endif  // RIPSTOP_API_STORE_OPEN_H_
