// SPDX-License-Identifier: Apache-2.0
//
// Documents to resources.
//
//   text ─yaml-cpp─▶ node tree ─[reader, by the message's descriptor]─▶ Resource
//                                    └─▶ every Problem, not just the first
//
// YAML and JSON, several documents, lists with `items`. Fields that a kind does not have
// are problems, except where api/proto/resources.proto says `lenient`, in `status`, and the
// parts of metadata that a server keeps for itself. Null is absent. This is about form
// only; api/validate judges the content.
#ifndef RIPSTOP_API_CODEC_READER_H_
#define RIPSTOP_API_CODEC_READER_H_

#include <string>
#include <string_view>
#include <vector>

#include "api/codec/problem.h"
#include "api/resource.h"

namespace ripstop::api {

struct DecodeOptions {
  // What a namespaced document without metadata.namespace belongs to.
  std::string default_namespace = "default";
  size_t nodes_max = 4'000'000;  // values in a file, with aliases expanded
};

struct Decoded {
  std::vector<Resource> resources;  // in the order of the text; only those without problems
  std::vector<Problem> problems;
};

// Limits, against documents made to exhaust memory: each is a problem that names it.
inline constexpr size_t kDocumentBytesMax = 64 << 20;
inline constexpr int kDocumentDepthMax = 64;

// `file` is for the problems and for Resource::file.
Decoded DecodeText(std::string_view text, const std::string& file,
                   const DecodeOptions& options = {});

}  // namespace ripstop::api

#endif  // RIPSTOP_API_CODEC_READER_H_
