// SPDX-License-Identifier: Apache-2.0
//
// What is wrong with a document, for the person who wrote it.
#ifndef RIPSTOP_API_CODEC_PROBLEM_H_
#define RIPSTOP_API_CODEC_PROBLEM_H_

#include <string>
#include <vector>

namespace ripstop::api {

struct Problem {
  std::string file;            // empty: not from a file
  int line = 0;                // from 1; 0: unknown
  int column = 0;              // from 1; 0: unknown, or of no help
  std::string resource;        // "NetworkPolicy shop/allow-cart"; empty before that is known
  std::string path;            // "spec.ingress[0].source.nets[1]"; empty: the document
  std::string value;           // as written, shortened
  std::string what;            // "is not a CIDR"
  std::string remedy;          // "write an address and a prefix length, such as 192.0.2.0/24"
  bool taken_as_text = false;  // the value is not a string, and was read as if it were quoted

  // "web.yaml:12:10: NetworkPolicy shop/web: spec.order: "x" is not a number; write …"
  std::string ToString() const;
  bool operator==(const Problem&) const = default;
};

// `text` for Problem::value: shortened to 80 characters, control characters escaped, with
// double quotes around it when `quoted`.
std::string ShownValue(const std::string& text, bool quoted);

// One line per problem.
std::string ToString(const std::vector<Problem>& problems);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_CODEC_PROBLEM_H_
