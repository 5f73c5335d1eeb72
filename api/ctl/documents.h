// SPDX-License-Identifier: Apache-2.0
//
// What the -f options name, read and checked document by document.
//
//   files, folders, stdin ─[reader]─▶ [validate] ─▶ DocumentSink
//                                         └─▶ what is wrong between documents, at the end
#ifndef RIPSTOP_API_CTL_DOCUMENTS_H_
#define RIPSTOP_API_CTL_DOCUMENTS_H_

#include <functional>
#include <istream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "api/codec/reader.h"

namespace ripstop::ctl {

struct DocumentOptions {
  std::string default_namespace = "default";
  bool recursive = false;  // into folders of folders
  bool validate = true;    // content too, not just form, and one resource twice
  bool strict = false;     // documents of kinds that Ripstop does not read are problems
};

// Where what is read goes, in the order of the text. Memory is the sink's affair: reading
// keeps one document, the names of all, and the resources that are compared with others.
struct DocumentSink {
  std::function<absl::Status(api::Resource)> resource;  // one without problems of its own
  std::function<void(const api::Problem&)> problem;
  std::function<void(const api::Problem&)> left_aside;
};

// Reads files, the *.yaml, *.yml and *.json of folders in order of name, and standard input
// as "-". Resources are of use only when the whole input had no problem.
//   kFailedPrecondition  a file that cannot be read; the message names it
//   else                 what the sink's `resource` returns
absl::Status ReadDocuments(const std::vector<std::string>& sources, std::istream& standard_input,
                           const DocumentOptions& options, const DocumentSink& sink);

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_DOCUMENTS_H_
