// SPDX-License-Identifier: Apache-2.0
//
// EDGE_CASES.md names tests that exist.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>

#include "gtest/gtest.h"

namespace ripstop {
namespace {

const std::filesystem::path kSource = RIPSTOP_SOURCE_DIR;

std::string Content(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// "Suite.Name" of every TEST, TEST_F and TEST_P under `folder`, and "Suite" and "Name" alone.
void AddTests(const std::filesystem::path& folder, std::set<std::string>* names) {
  static const std::regex test(R"((?:^|\n)TEST(?:_F|_P)?\((\w+),\s*(\w+)\))");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.path().filename().string().ends_with("_test.cc")) continue;
    const std::string text = Content(entry.path());
    for (std::sregex_iterator it(text.begin(), text.end(), test), end; it != end; ++it) {
      names->insert({(*it)[1].str() + "." + (*it)[2].str(), (*it)[1].str(), (*it)[2].str()});
    }
  }
}

TEST(EdgeCasesDocTest, EveryTestThatItNamesExists) {
  std::set<std::string> names;
  for (const char* folder : {"api", "agent", "policy"}) AddTests(kSource / folder, &names);
  const std::string doc = Content(kSource / "policy/EDGE_CASES.md");
  // `Suite.Name`, `Suite.*`, `…Name` of the suite above, or a name or suite alone; `Name…` is
  // the beginning of one.
  static const std::regex word("`(\xe2\x80\xa6)?([A-Z]\\w+(?:\\.\\w+)?)(\\.\\*|\xe2\x80\xa6)?`");
  int found = 0;
  for (std::sregex_iterator it(doc.begin(), doc.end(), word), end; it != end; ++it) {
    const std::string name = (*it)[2], more = (*it)[3];
    const auto at = names.lower_bound(name);
    const bool known =
        more == "\xe2\x80\xa6" ? at != names.end() && at->starts_with(name) : names.contains(name);
    EXPECT_TRUE(known) << name;
    ++found;
  }
  EXPECT_GT(found, 90);
}

}  // namespace
}  // namespace ripstop
