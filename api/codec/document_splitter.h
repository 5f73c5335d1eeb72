// SPDX-License-Identifier: Apache-2.0
//
// A stream cut into the texts of its documents, as kubectl cuts it, so that one document is
// in memory at a time and a fault in one does not hide the others.
//
//   ---  at the beginning of a line begins a document (YAML 1.1, 9.1: never text)
//   ...  ends one
//   {    at the beginning of a line begins one where the last, of the same form, is complete:
//        JSON values one after the other
//
// Directives stay with the document that follows them. A byte order mark before a document
// is left out, since files joined by tools that write one have it in the middle.
#ifndef RIPSTOP_API_CODEC_DOCUMENT_SPLITTER_H_
#define RIPSTOP_API_CODEC_DOCUMENT_SPLITTER_H_

#include <istream>
#include <string>
#include <string_view>

namespace ripstop::api {

struct DocumentText {
  std::string text;
  int lines_before = 0;    // in the stream
  bool too_large = false;  // `text` is only its beginning, and nothing after it is read
};

// Counts the brackets of a flow collection, outside of quotes and comments.
class BracketDepth {
 public:
  void Add(std::string_view line);
  int depth() const { return depth_; }

 private:
  int depth_ = 0;
  char quote_ = 0;
  bool escaped_ = false;
  char last_ = ' ';  // the last character that is no blank
};

class DocumentSplitter {
 public:
  // `in` must live as long. A document of more bytes than `bytes_max` is too_large.
  DocumentSplitter(std::istream& in, size_t bytes_max) : in_(in), bytes_max_(bytes_max) {}

  // The next document that is more than comments and blank lines; false at the end.
  bool Next(DocumentText* document);

 private:
  bool ReadLine();
  bool Take(DocumentText* document);

  std::istream& in_;
  const size_t bytes_max_;
  std::string block_;  // read from in_
  size_t block_at_ = 0;
  std::string line_;      // with its end
  bool pending_ = false;  // line_ is read and belongs to the next document
  bool line_too_long_ = false;
  bool done_ = false;
  int lines_ = 0;
};

}  // namespace ripstop::api

#endif  // RIPSTOP_API_CODEC_DOCUMENT_SPLITTER_H_
