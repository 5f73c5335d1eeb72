// SPDX-License-Identifier: Apache-2.0
//
// The other way to do policy in BPF: a program generated from the rules that tests one
// after the other, as Felix does. For comparison only.
//
//   parse ─▶ rule 0? ─▶ rule 1? ─▶ … ─▶ deny        IPv4, ingress, first match decides
//
// A net is a load, a mask and a compare; a port range with its protocol one subtraction
// and a compare; a selector one trie lookup of (IP set, address). Rules are spread over
// programs joined by tail calls, because the verifier follows at most 8,192 open
// branches in one.
#ifndef RIPSTOP_E2E_BENCH_STRAIGHT_LINE_H_
#define RIPSTOP_E2E_BENCH_STRAIGHT_LINE_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/base/unique_fd.h"
#include "policy/model.h"

namespace ripstop::bench {

class StraightLine {
 public:
  // `members`: IPv4 addresses by selector. Rules may have source nets, a source selector,
  // a protocol and destination ports.
  //   kResourceExhausted  more rules than programs joined by tail calls can hold
  //   kInternal           the verifier refused it
  static absl::StatusOr<std::unique_ptr<StraightLine>> Load(
      const std::vector<policy::Rule>& rules,
      const std::map<std::string, std::vector<policy::Address>>& members);

  int program() const { return programs_.front().get(); }
  // Index of the rule that decides about `packet`; -1: none.
  absl::StatusOr<int> Decide(const policy::Packet& packet) const;
  size_t instructions() const { return instructions_; }

 private:
  StraightLine() = default;
  UniqueFd next_, sets_;
  std::vector<UniqueFd> programs_;
  size_t instructions_ = 0;
};

}  // namespace ripstop::bench

#endif  // RIPSTOP_E2E_BENCH_STRAIGHT_LINE_H_
