// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_API_CTL_DOCUMENTS_H_
#define RIPSTOP_API_CTL_DOCUMENTS_H_

#include <istream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "api/codec/reader.h"

namespace ripstop::ctl {

struct DocumentOptions {
  std::string default_namespace = "default";
  bool recursive = false;       // into folders of folders
  bool validate = true;         // content too, not just form
  bool refuse_repeated = true;  // one resource twice
};

// Reads what the -f options name: files, the *.yaml, *.yml and *.json of folders in order
// of name, and standard input as "-". Everything that is wrong anywhere is among the
// problems; `resources` is of use only when there are none.
//   kNotFound, kUnavailable…  a file that cannot be read; the message names it
absl::StatusOr<api::Decoded> ReadDocuments(const std::vector<std::string>& sources,
                                           std::istream& standard_input,
                                           const DocumentOptions& options = {});

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_DOCUMENTS_H_
