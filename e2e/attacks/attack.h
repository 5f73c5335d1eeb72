// SPDX-License-Identifier: Apache-2.0
//
// The attack matrix: what somebody tries, and what must come of it.
//
//   Attack ─▶ control, on the plain ground: it must succeed, else nothing is shown
//          └▶ defence, on the guarded ground: it must fail, counted under the reason
//             that it names and under no other
//
// Each is tried in the variants that mean something for it: the family, and where the
// victim is. Most rows are aims: shots that are fired the same way on both grounds (shot.h).
#ifndef RIPSTOP_E2E_ATTACKS_ATTACK_H_
#define RIPSTOP_E2E_ATTACKS_ATTACK_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "e2e/attacks/ground.h"

namespace ripstop::attacks {

struct Attack {
  std::string id;     // of the matrix: "A2"
  std::string title;  // what is tried
  std::vector<Variant> variants;
  // OK if the attack succeeded.
  std::function<absl::Status(Ground&, const Variant&)> control;
  // How it failed ("dropped: spoofed"), or why it did not.
  std::function<absl::StatusOr<std::string>(Ground&, const Variant&)> defence;
  // Instead of the three above: a test binary that has the control and the attack.
  // `shows`: which cases are the control.
  struct Command {
    std::string binary, filter, control;
  };
  std::vector<Command> commands;
  // A part of the row that nothing here shows; such a row does not count as defended.
  std::string missing;
};

// The rows of one group of the matrix, in its order.
std::vector<Attack> GroupA();
std::vector<Attack> GroupB();
std::vector<Attack> GroupC();
std::vector<Attack> GroupD();
std::vector<Attack> GroupE();

// Of one row: what was tried and what came of it.
struct Outcome {
  size_t tried = 0;  // variants
  size_t controls = 0;
  size_t failed = 0;                  // attacks, as they should
  std::vector<std::string> how;       // each once
  std::vector<std::string> problems;  // one line each, with the variant
  bool defended() const { return tried != 0 && problems.empty(); }
};

// Runs all variants of a row. The grounds are not asked for by rows that are commands.
Outcome Try(const Attack& attack, Grounds& grounds, const std::string& tests_dir);

}  // namespace ripstop::attacks

#endif  // RIPSTOP_E2E_ATTACKS_ATTACK_H_
