// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_API_CTL_TRACE_TEXT_H_
#define RIPSTOP_API_CTL_TRACE_TEXT_H_

#include <ostream>
#include <string>
#include <vector>

#include "api/proto/agent.pb.h"

namespace ripstop::ctl {

// "from_workload shop/cart-1 (cali1a2b)": which program, and where.
std::string TracedAt(const agent::v1::TracedPacket& packet);
// "Drop policy-egress", "Allow"
std::string TracedVerdict(const agent::v1::TracedPacket& packet);
// The rules that decided, egress first; empty: none was asked.
std::string TracedRules(const agent::v1::TracedPacket& packet);

// Packets, a line each, as they come: columns are as wide as anything that stood in them yet.
class TraceLines {
 public:
  explicit TraceLines(std::ostream& out) : out_(out) {}
  void Print(const agent::v1::TracedPacket& packet);

 private:
  void PrintRow(const std::vector<std::string>& row);

  std::ostream& out_;
  std::vector<size_t> widths_;
};

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_TRACE_TEXT_H_
