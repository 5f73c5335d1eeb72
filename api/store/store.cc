// SPDX-License-Identifier: Apache-2.0
#include "api/store/store.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace ripstop::api {
namespace {

constexpr char kBusyPayload[] = "ripstop/store-busy";

}  // namespace

bool IsStoreBusy(const absl::Status& status) { return status.GetPayload(kBusyPayload).has_value(); }

absl::Status StoreBusyError(std::string_view message) {
  absl::Status status = absl::UnavailableError(absl::string_view(message.data(), message.size()));
  status.SetPayload(kBusyPayload, absl::Cord());
  return status;
}

std::string ResourceKey::ToString() const {
  return ns.empty() ? absl::StrCat(kind, " ", name) : absl::StrCat(kind, " ", ns, "/", name);
}

}  // namespace ripstop::api
