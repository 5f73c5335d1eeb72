// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_BPF_LOADER_PROGRAM_LOADER_H_
#define RIPSTOP_BPF_LOADER_PROGRAM_LOADER_H_

#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "policy/base/unique_fd.h"

struct datapath;

namespace ripstop::loader {

// What libbpf says on this thread goes into `messages` while this lives, and not to stderr.
class LibbpfMessages {
 public:
  LibbpfMessages();
  ~LibbpfMessages();
  LibbpfMessages(const LibbpfMessages&) = delete;
  LibbpfMessages& operator=(const LibbpfMessages&) = delete;
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// Of what libbpf said when it failed to load (an errno, negative).
//   kPermissionDenied  names the capabilities
absl::Status LoadFailed(int error, const std::string& messages);

// Programs by name.
using Programs = std::map<std::string, UniqueFd, std::less<>>;

// Has the kernel take every program of the datapath but those `unwanted`, with the maps of `maps`,
// which are made already. The verifier needs a fifth of a second for most of them, so several are
// given to it at a time, by threads that have ended when this returns.
//   kInvalidArgument  one of `unwanted` is no program; names it
absl::StatusOr<Programs> LoadPrograms(const datapath& maps, absl::Span<const char* const> unwanted);

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_PROGRAM_LOADER_H_
