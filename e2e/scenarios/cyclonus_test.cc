// SPDX-License-Identifier: Apache-2.0
//
// Cases of ../shared/testdata/cyclonus/cases.json with real packets: of every section
// some, and all that change labels, namespaces, pods or policies on the way. One lab
// serves them all. RIPSTOP_CYCLONUS_CASES=all runs every case of the file.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "e2e/lab/testing.h"
#include "e2e/scenarios/cyclonus_lab.h"

namespace ripstop::lab {
namespace {

using nlohmann::json;

constexpr char kFile[] = RIPSTOP_SOURCE_DIR "/../shared/testdata/cyclonus/cases.json";

// By the file's own index.
const std::set<int> kChosen = {
    1,   5,                   // target
    7,   9,                   // rules
    11,  31,  41,  107,       // peers
    125, 137, 149, 171, 187,  // port-protocol
    193,                      // example
    195, 197, 199,            // action
    205, 209, 213,            // conflict
    217,                      // namespace
    221, 223, 225, 227, 229,  // upstream-e2e
};

const json& File() {
  static const json& content = *new json([] {
    std::ifstream file(kFile);
    return file ? json::parse(file) : json();
  }());
  return content;
}

std::vector<json> Cases() {
  const char* wish = getenv("RIPSTOP_CYCLONUS_CASES");
  const bool all = wish != nullptr && std::string(wish) == "all";
  std::vector<json> cases;
  if (File().is_null()) return cases;
  for (const json& item : File()["cases"]) {
    if (all || kChosen.contains(item["index"].get<int>())) cases.push_back(item);
  }
  return cases;
}

const json& WorldOf(const json& step) {
  return step.contains("world") ? step["world"] : File()["initial"];
}

class Cyclonus : public testing::Test {
 protected:
  void SetUp() override {
    if (File().is_null()) GTEST_SKIP() << kFile << " is not there";
  }
};

// Raised by the first test that needs it, for all.
class CyclonusInLab : public testing::TestWithParam<json> {
 protected:
  static std::string Name() { return absl::StrCat("c", getpid()); }

  static void SetUpTestSuite() {
    if (geteuid() != 0) return;
    auto up = CyclonusLab::Up(Name());
    ASSERT_TRUE(up.ok()) << up.status();
    lab_ = std::move(*up);
    WaitForRoutes();
  }

  // BGP sessions between nodes that have just started may take their time. Without policy
  // everybody reaches everybody, which is also what shows that a denial is the policy's.
  static void WaitForRoutes() {
    std::vector<std::string> pods;
    for (const json& pod : File()["initial"]["pods"]) {
      pods.push_back(
          absl::StrCat(pod["namespace"].get<std::string>(), "/", pod["name"].get<std::string>()));
    }
    Matrices open;
    for (const char* key : {"TCP/80", "TCP/81", "UDP/80", "UDP/81"}) {
      open[key].assign(pods.size(), std::string(pods.size(), '.'));
      for (size_t i = 0; i < pods.size(); ++i) open[key][i][i] = '-';
    }
    const absl::Status moved = lab_->MoveTo(File()["initial"], json::array());
    ASSERT_TRUE(moved.ok()) << moved;
    const absl::Time deadline = absl::Now() + kHang;
    while (true) {
      const auto measured = lab_->Measured(pods, open, absl::Milliseconds(300));
      ASSERT_TRUE(measured.ok()) << measured.status();
      const std::string difference = Difference(pods, open, *measured);
      if (difference.empty()) return;
      ASSERT_LT(absl::Now(), deadline) << "without any policy\n" << difference;
    }
  }

  static void TearDownTestSuite() {
    if (geteuid() != 0) return;
    lab_.reset();
    const absl::Status down = CyclonusLab::Down(Name());
    EXPECT_TRUE(down.ok()) << down;
  }

  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root, for network namespaces";
    ASSERT_NE(lab_, nullptr) << "the lab did not come up";
  }

  void CheckStep(const json& step);

  static inline std::unique_ptr<CyclonusLab> lab_;
};

void CyclonusInLab::CheckStep(const json& step) {
  const auto pods = step["podOrder"].get<std::vector<std::string>>();
  const Matrices expected = CyclonusLab::Expected(step);
  const absl::Status moved = lab_->MoveTo(WorldOf(step), step["policies"]);
  ASSERT_TRUE(moved.ok()) << moved;
  // Allowed flows may have to wait for the route to a new pod, or for a busy machine. Denied
  // ones wait for nothing: every agent says that it has the policy.
  const absl::Time deadline = absl::Now() + kHang;
  absl::Duration timeout = absl::Milliseconds(300);
  while (true) {
    const auto measured = lab_->Measured(pods, expected, timeout);
    ASSERT_TRUE(measured.ok()) << measured.status();
    const std::string difference = Difference(pods, expected, *measured);
    if (difference.empty()) return;
    ASSERT_TRUE(!Leaks(expected, *measured) && absl::Now() < deadline)
        << "policies: " << step["policies"].dump() << "\n"
        << difference;
    timeout = absl::Milliseconds(1000);
  }
}

TEST_P(CyclonusInLab, EveryConnectionOfEveryStepIsAsExpected) {
  int number = 0;
  for (const json& step : GetParam()["steps"]) {
    SCOPED_TRACE(absl::StrCat(GetParam()["description"].get<std::string>(), ", step ", ++number));
    CheckStep(step);
    if (HasFatalFailure()) return;
  }
}

TEST_F(Cyclonus, ChosenCasesAreOfEverySectionAndMakeEveryKindOfChange) {
  std::set<std::string> sections, chosen_sections, changes, chosen_changes;
  size_t found = 0;
  for (const json& item : File()["cases"]) {
    const bool chosen = kChosen.contains(item["index"].get<int>());
    found += chosen;
    const std::string section = item["section"].get<std::string>();
    sections.insert(section);
    if (chosen) chosen_sections.insert(section);
    for (const json& step : item["steps"]) {
      for (const json& action : step["actions"]) {
        changes.insert(action["op"].get<std::string>());
        if (chosen) chosen_changes.insert(action["op"].get<std::string>());
      }
    }
  }
  EXPECT_EQ(sections.size(), 9u);
  EXPECT_EQ(chosen_sections, sections);
  EXPECT_EQ(chosen_changes, changes);
  EXPECT_EQ(found, kChosen.size());
}

// Without the file no case is there to run, and the test above says so.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(CyclonusInLab);
INSTANTIATE_TEST_SUITE_P(Cases, CyclonusInLab, testing::ValuesIn(Cases()), [](const auto& info) {
  return absl::StrCat(
      absl::StrReplaceAll(info.param["section"].template get<std::string>(), {{"-", "_"}}), "_",
      info.param["index"].template get<int>());
});

}  // namespace
}  // namespace ripstop::lab
