// SPDX-License-Identifier: Apache-2.0
//
// Replies on BIRD's control socket (nest/cli.c of BIRD):
//
//   "0002-Reading configuration from x\n"   code, '-': more lines follow
//   " Hostname is vm\n"                      a blank: same code as the line before
//   "0003 Reconfigured\n"                    code, ' ': last line of the reply
//   "+text\n"                                spontaneous, belongs to no reply
//
// 0xxx: done, 1xxx: table entries, 2xxx: table headers, 8xxx: run-time error, 9xxx: the
// command was not understood. Pure; one thread per parser.
#ifndef RIPSTOP_BGP_BRIDGE_REPLY_H_
#define RIPSTOP_BGP_BRIDGE_REPLY_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ripstop::bgp {

struct ReplyLine {
  int code = 0;
  std::string text;
  bool operator==(const ReplyLine&) const = default;
};

struct Reply {
  std::vector<ReplyLine> lines;  // at least one

  int Code() const { return lines.back().code; }
  bool Failed() const { return Code() >= 8000; }
  std::string Text() const;  // all lines, joined by line ends
};

class ReplyParser {
 public:
  // Adds bytes as they arrive, in pieces of any size. kDataLoss on a line that is none of
  // the above, or longer than 64 KiB; the connection is then of no further use.
  absl::Status Feed(absl::string_view bytes);
  // The oldest complete reply, if any.
  std::optional<Reply> Next();

 private:
  absl::Status Line(absl::string_view line);

  std::string pending_;
  Reply current_;
  std::vector<Reply> complete_;
};

}  // namespace ripstop::bgp

#endif  // RIPSTOP_BGP_BRIDGE_REPLY_H_
