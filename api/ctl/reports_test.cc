// SPDX-License-Identifier: Apache-2.0
//
// Every case of ../shared/testdata/reports/cases.json, as its README says: inputs that went
// wrong for someone. A case is data; one of a new command or expectation fails here until it
// is known.
#include <algorithm>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "api/codec/document_splitter.h"
#include "api/ctl/testing.h"
#include "gmock/gmock.h"
#include "nlohmann/json.hpp"

namespace ripstop::ctl {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::string kFolder = RIPSTOP_SOURCE_DIR "/../shared/testdata/reports/";

json Cases() {
  std::ifstream file(kFolder + "cases.json");
  return file ? json::parse(file) : json::array();
}

class ReportsTest : public CtlTest {
 protected:
  void Said(const json& report) {
    for (const std::string& word : report.value("message", std::vector<std::string>()))
      EXPECT_THAT(out_ + err_, HasSubstr(word));
    EXPECT_THAT(err_, testing::Not(HasSubstr("terminate")));
  }

  void Validate(const std::string& input, bool accepted, const json& report) {
    EXPECT_EQ(Ctl({"validate", "-f", input}), accepted ? kExitOk : kExitError) << err_;
    if (!report.contains("documents")) return;
    EXPECT_THAT(out_, HasSubstr(absl::StrCat(report["documents"].get<int>(), " document")));
  }

  void Apply(const std::string& input, bool accepted, const json& report) {
    EXPECT_EQ(Ctl({"apply", "-f", input}), accepted ? kExitOk : kExitError) << err_;
    if (!report.contains("documents")) return;
    const size_t created = std::count(out_.begin(), out_.end(), '\n');
    EXPECT_EQ(created, report["documents"].get<size_t>()) << out_;
  }

  // Each document by a command of its own; all but the last are taken.
  void ApplyInTurn(const std::string& input) {
    std::ifstream file(input);
    api::DocumentSplitter splitter(file, 1 << 20);
    std::vector<std::string> documents;
    for (api::DocumentText document; splitter.Next(&document);) documents.push_back(document.text);
    ASSERT_GE(documents.size(), 2u);
    for (size_t i = 0; i < documents.size(); ++i)
      EXPECT_EQ(Ctl({"apply", "-f", "-"}, documents[i]),
                i + 1 < documents.size() ? kExitOk : kExitError)
          << i << ": " << out_ << err_;
  }

  void Run(const json& report) {
    const std::string command = report["command"], expect = report["expect"];
    const std::string input = kFolder + report["input"].get<std::string>();
    if (expect == "acts, or refused") {
      // That it acts is for the tests of what acts; what is refused says why.
      if (Ctl({command, "-f", input}) != kExitOk) Said(report);
      return;
    }
    if (command == "apply, one document after the other" && expect == "second refused") {
      ApplyInTurn(input);
    } else if ((command == "validate" || command == "apply") &&
               (expect == "accepted" || expect == "refused")) {
      const bool accepted = expect == "accepted";
      if (command == "apply") {
        Apply(input, accepted, report);
      } else {
        Validate(input, accepted, report);
      }
    } else {
      FAIL() << "no way to " << command << " and see \"" << expect << "\"";
    }
    Said(report);
  }
};

TEST_F(ReportsTest, EveryCaseGivesWhatItMust) {
  const json cases = Cases();
  if (cases.empty()) GTEST_SKIP() << kFolder << "cases.json not found";
  for (const json& report : cases) {
    SCOPED_TRACE(
        absl::StrCat(report["name"].get<std::string>(), ": ", report["why"].get<std::string>()));
    Run(report);
    std::filesystem::remove(folder_ + "/store.db");
  }
}

}  // namespace
}  // namespace ripstop::ctl
