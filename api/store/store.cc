// SPDX-License-Identifier: Apache-2.0
#include "api/store/store.h"

#include "absl/strings/str_cat.h"

namespace ripstop::api {

std::string ResourceKey::ToString() const {
  return ns.empty() ? absl::StrCat(kind, " ", name) : absl::StrCat(kind, " ", ns, "/", name);
}

}  // namespace ripstop::api
