// SPDX-License-Identifier: Apache-2.0
#include "api/codec/document_splitter.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/ascii.h"
#include "api/text.h"

namespace ripstop::api {
namespace {

constexpr size_t kBlockBytes = 64 << 10;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

bool IsMarker(std::string_view line, std::string_view marker) {
  return line.starts_with(marker) &&
         (line.size() == marker.size() || absl::ascii_isspace(line[marker.size()]));
}

std::string_view Stripped(std::string_view line) {
  const absl::string_view text = absl::StripAsciiWhitespace(Av(line));
  return {text.data(), text.size()};
}

}  // namespace

void BracketDepth::Add(std::string_view line) {
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (escaped_) {
      escaped_ = false;
    } else if (quote_ != 0) {
      if (c == quote_) quote_ = 0;
      escaped_ = quote_ == '"' && c == '\\';
    } else if (c == '#' && (i == 0 || absl::ascii_isblank(line[i - 1]))) {
      return;
    } else if ((c == '"' || c == '\'') &&
               std::string_view("{[,: ").find(last_) != std::string_view::npos) {
      quote_ = c;  // within a word a quote is a letter
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if (c == '}' || c == ']') {
      --depth_;
    }
    if (!absl::ascii_isspace(c)) last_ = c;
  }
}

// Not std::getline: a line without an end must not fill memory.
bool DocumentSplitter::ReadLine() {
  line_.clear();
  while (line_.size() <= bytes_max_) {
    if (block_at_ == block_.size()) {
      block_.resize(kBlockBytes);
      block_.resize(std::max<std::streamsize>(0, in_.rdbuf()->sgetn(block_.data(), kBlockBytes)));
      block_at_ = 0;
      if (block_.empty()) return !line_.empty();
    }
    const size_t end = block_.find('\n', block_at_);
    const size_t next = end == std::string::npos ? block_.size() : end + 1;
    line_.append(block_, block_at_, next - block_at_);
    block_at_ = next;
    if (end != std::string::npos) return true;
  }
  line_too_long_ = true;
  return true;
}

bool DocumentSplitter::Next(DocumentText* document) {
  while (!done_) {
    if (Take(document)) return true;
  }
  return false;
}

// One piece between two markers; false when it says nothing.
bool DocumentSplitter::Take(DocumentText* document) {
  *document = {.lines_before = lines_};
  bool marked = false, content = false, flow = false;
  BracketDepth brackets;
  for (;; pending_ = false) {
    if (!pending_ && !ReadLine()) {
      done_ = true;
      return content;
    }
    std::string_view line = line_;
    if (line.starts_with(kByteOrderMark)) {
      const std::string_view rest = line.substr(kByteOrderMark.size());
      if (!content || IsMarker(rest, "---")) line = rest;
    }
    const std::string_view words = Stripped(line);
    const bool says = !words.empty() && words[0] != '#';
    if (IsMarker(line, "---")) {
      if (marked || content) {
        pending_ = true;
        return content;
      }
      marked = true;
      flow = Stripped(line.substr(3)).starts_with('{');
      content = !Stripped(line.substr(3)).empty() && Stripped(line.substr(3))[0] != '#';
    } else if (IsMarker(line, "...")) {
      ++lines_;
      return content;
    } else if (flow && content && says && brackets.depth() == 0 && line[0] == '{') {
      pending_ = true;
      return true;
    } else if (says && !content && (marked || words[0] != '%')) {
      content = true;
      flow = words[0] == '{';
    }
    document->text.append(line);
    ++lines_;
    if (flow) brackets.Add(line);
    if (document->text.size() > bytes_max_ || line_too_long_) {
      document->too_large = true;
      done_ = true;
      return true;
    }
  }
}

}  // namespace ripstop::api
