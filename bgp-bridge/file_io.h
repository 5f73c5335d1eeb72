// SPDX-License-Identifier: Apache-2.0
//
// Small whole files. Errors name the path. Any thread.
#ifndef RIPSTOP_BGP_BRIDGE_FILE_IO_H_
#define RIPSTOP_BGP_BRIDGE_FILE_IO_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ripstop::bgp {

// Creates or overwrites `path`, readable by its owner only (it may hold passwords).
absl::Status WriteSecret(const std::string& path, absl::string_view text);
absl::StatusOr<std::string> ReadWhole(const std::string& path);
// At most the last `bytes_max` bytes; empty when there is no such file.
std::string Tail(const std::string& path, size_t bytes_max);

}  // namespace ripstop::bgp

#endif  // RIPSTOP_BGP_BRIDGE_FILE_IO_H_
