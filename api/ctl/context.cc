// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/context.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "api/store/open.h"
#include "api/text.h"

namespace ripstop::ctl {

namespace {

// Whether the store is a file that this user may not read and write, both of which even a
// reader of SQLite's log must.
bool IsForbidden(absl::string_view url) {
  if (!absl::ConsumePrefix(&url, "sqlite://")) return false;
  return access(std::string(url).c_str(), R_OK | W_OK) != 0 && errno == EACCES;
}

}  // namespace

ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk: return kExitOk;
    case absl::StatusCode::kNotFound: return kExitNotFound;
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kAlreadyExists: return kExitConflict;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded: return kExitUnreachable;
    default: return kExitError;
  }
}

void Context::Fail(ExitCode code, const std::string& message) {
  io.err << "Error: " << message << "\n";
  if (exit_code == kExitOk) exit_code = code;
}

void Context::Fail(const absl::Status& status) {
  Fail(ExitCodeOf(status), std::string(status.message()));
}

absl::StatusOr<std::unique_ptr<api::Store>> Context::OpenStore(bool create) {
  absl::StatusOr<std::unique_ptr<api::Store>> store = api::OpenStore(store_url, {.create = create});
  if (store.ok()) return store;
  if (absl::IsInvalidArgument(store.status())) {
    // Of the command line, not of a document.
    exit_code = kExitUsage;
    return store;
  }
  if (!absl::IsUnavailable(store.status())) return store;
  if (IsForbidden(store_url)) {
    return absl::UnavailableError(
        absl::StrCat("the store ", store_url, " is not for this user: run as root (sudo)"));
  }
  return absl::UnavailableError(
      absl::StrCat(store.status().message(), " (--store or RIPSTOP_STORE names another store)"));
}

CLI::Option* AddFileOption(CLI::App& command, std::vector<std::string>& files, bool many) {
  return command
      .add_option("-f,--filename", files, "File, folder, or - for standard input; repeatable")
      ->type_name("FILE|DIR|-")
      ->allow_extra_args(many);
}

}  // namespace ripstop::ctl
