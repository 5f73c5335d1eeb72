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
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "e2e/attacks/ground.h"

namespace ripstop::attacks {

// How an attack failed.
struct Failed {
  std::string how;                             // "dropped: spoofed"
  std::map<std::string, std::string> reasons;  // by what was sent; for the comparison of paths
};

struct Attack {
  std::string id;     // of the matrix: "A2"
  std::string title;  // what is tried
  std::vector<Variant> variants;
  // OK if the attack succeeded. Empty where the defence has it: what must first be seen to go
  // wrong on the guarded ground.
  std::function<absl::Status(Ground&, const Variant&)> control;
  // An error says why it did not fail.
  std::function<absl::StatusOr<Failed>(Ground&, const Variant&)> defence;
  // Instead of the three above, or beside them: cases of a test binary, and those of it that
  // are the control (the same ones where they try both).
  struct Command {
    std::string binary, filter, control;
  };
  std::vector<Command> commands;
  // A part of the row that nothing here shows; such a row does not count as defended.
  std::string missing;
};

// One group of the matrix, its rows in the matrix's order.
struct Group {
  char letter;
  std::vector<Attack> (*rows)();
};
const std::vector<Group>& Groups();
std::vector<Attack> GroupA();
std::vector<Attack> GroupB();
std::vector<Attack> GroupC();
std::vector<Attack> GroupD();
std::vector<Attack> GroupE();

// Rows that are not counted, and when they will be.
struct Later {
  const char* id;
  const char* title;
  const char* when;
};
const std::vector<Later>& LaterRows();

// Of one row: what was tried and what came of it.
struct Outcome {
  size_t tried = 0;  // variants
  size_t controls = 0;
  size_t failed = 0;                  // attacks, as they should
  std::vector<std::string> how;       // each once
  std::vector<std::string> problems;  // one line each, with the variant
  // What was sent, and all the reasons under which variants dropped it.
  std::map<std::string, std::set<std::string>> reasons;
  bool defended() const { return tried != 0 && problems.empty(); }
};

// C8: whether every packet of the rows that were tried was dropped for one reason in all its
// variants.
Outcome Parity(const std::vector<std::pair<Attack, Outcome>>& rows);

// Runs all variants of a row. The grounds are not asked for by rows that are commands.
Outcome Try(const Attack& attack, Grounds& grounds, const std::string& tests_dir);

}  // namespace ripstop::attacks

#endif  // RIPSTOP_E2E_ATTACKS_ATTACK_H_
