// SPDX-License-Identifier: Apache-2.0
//
// Documents to resources.
//
//   stream ─[splitter]─▶ text of one document ─libyaml─▶ tree
//          ─[reader, by the message's descriptor]─▶ Resource
//                                            └─▶ every Problem, not just the first
//
// YAML and JSON, several documents, lists with `items`, bare lists. Fields that a kind does
// not have are problems, except where api/proto/resources.proto says `lenient`, in `status`,
// and the parts of metadata that a server keeps for itself. Null is absent. This is about
// form only; api/validate judges the content.
#ifndef RIPSTOP_API_CODEC_READER_H_
#define RIPSTOP_API_CODEC_READER_H_

#include <istream>
#include <string>
#include <string_view>
#include <vector>

#include "api/codec/document_splitter.h"
#include "api/codec/problem.h"
#include "api/resource.h"

namespace ripstop::api {

struct DecodeOptions {
  // What a namespaced document without metadata.namespace belongs to.
  std::string default_namespace = "default";
  size_t nodes_max = 4'000'000;  // values in a document, with aliases expanded
};

// A resource of which something could not be read, for the checks of the rest.
struct DamagedResource {
  Resource resource;
  std::vector<Problem> problems;  // those of Decoded::problems from `begin` on
  size_t begin = 0;
};

struct Decoded {
  std::vector<Resource> resources;  // in the order of the text; only those without problems
  std::vector<Problem> problems;
  std::vector<DamagedResource> damaged;
  // Documents of kinds that Ripstop does not read, each with its place and name.
  std::vector<Problem> left_aside;
};

// Limits, against documents made to exhaust memory: each is a problem that names it.
inline constexpr size_t kDocumentBytesMax = 64 << 20;

// Reads a stream document by document; memory is that of one document and its resources.
class DocumentReader {
 public:
  // `in` must live as long. `file` is for the problems and for Resource::file.
  DocumentReader(std::istream& in, std::string file, DecodeOptions options = {});

  // Appends what the next document holds (a list holds several); false at the end.
  bool Next(Decoded* decoded);

 private:
  DocumentSplitter splitter_;
  const std::string file_;
  const DecodeOptions options_;
};

// All documents of `text`.
Decoded DecodeText(std::string_view text, const std::string& file,
                   const DecodeOptions& options = {});

}  // namespace ripstop::api

#endif  // RIPSTOP_API_CODEC_READER_H_
