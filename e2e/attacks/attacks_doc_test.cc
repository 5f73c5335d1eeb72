// SPDX-License-Identifier: Apache-2.0
//
// docs/attacks.md has every row that `make attacks` tries, by its name.
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "e2e/attacks/attack.h"

namespace ripstop::attacks {
namespace {

TEST(AttacksDocument, HasEveryRowAndEachRowIsThereOnce) {
  std::stringstream text;
  text << std::ifstream(RIPSTOP_ATTACKS_DOC).rdbuf();
  std::set<std::string> ids;
  for (const Group& group : Groups()) {
    for (const Attack& attack : group.rows()) {
      EXPECT_EQ(attack.id[0], group.letter);
      EXPECT_TRUE(ids.insert(attack.id).second) << attack.id;
      const std::string row = absl::StrCat("| ", attack.id, " | ", attack.title, " |");
      EXPECT_TRUE(absl::StrContains(text.str(), row)) << "docs/attacks.md has no row: " << row;
    }
  }
  for (const Later& row : LaterRows()) {
    EXPECT_TRUE(ids.insert(row.id).second) << row.id;
    EXPECT_TRUE(absl::StrContains(text.str(), absl::StrCat("| ", row.id, " |"))) << row.id;
  }
}

}  // namespace
}  // namespace ripstop::attacks
