// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "e2e/attacks/attack.h"
#include "e2e/lab/process.h"
#include "policy/status_macros.h"

namespace ripstop::attacks {
namespace {

using absl::StrCat;
using nlohmann::json;

// Runs test cases; how many passed. An error unless each of them ran and passed.
absl::StatusOr<size_t> RunCases(const std::string& tests_dir, const std::string& binary,
                                const std::string& filter) {
  const std::string results =
      StrCat(std::filesystem::temp_directory_path().string(), "/attacks.", getpid(), ".json");
  const auto ran = lab::Run({.argv = {StrCat(tests_dir, "/", binary), "--gtest_brief=1",
                                      StrCat("--gtest_filter=", filter)},
                             .env = {StrCat("GTEST_OUTPUT=json:", results)},
                             .timeout = absl::Minutes(20)});
  RETURN_IF_ERROR(ran.status());
  std::ifstream file(results);
  const json report = json::parse(file, nullptr, false);
  std::filesystem::remove(results);
  if (ran->exit_code != 0 || report.is_discarded()) {
    const std::string& said = ran->out;
    return absl::InternalError(
        StrCat(binary, " ", filter, ": ", said.substr(said.size() > 600 ? said.size() - 600 : 0)));
  }
  size_t passed = 0;
  for (const json& suite : report.at("testsuites")) {
    for (const json& one : suite.at("testsuite")) {
      if (one.value("result", "") == "SKIPPED") {
        return absl::FailedPreconditionError(
            StrCat(one.value("name", ""), " of ", binary, " was skipped"));
      }
      ++passed;
    }
  }
  if (passed == 0) return absl::NotFoundError(StrCat(binary, " has no case ", filter));
  return passed;
}

void TryCommands(const Attack& attack, const std::string& tests_dir, Outcome& outcome) {
  for (const Attack::Command& command : attack.commands) {
    ++outcome.tried;
    const auto control = RunCases(tests_dir, command.binary, command.control);
    if (!control.ok()) {
      outcome.problems.push_back(StrCat("control: ", control.status().message()));
      continue;
    }
    ++outcome.controls;
    const auto passed = RunCases(tests_dir, command.binary, command.filter);
    if (!passed.ok()) {
      outcome.problems.push_back(std::string(passed.status().message()));
      continue;
    }
    ++outcome.failed;
    outcome.how.push_back(StrCat(command.binary, " ", command.filter));
  }
}

void TryVariants(const Attack& attack, Grounds& grounds, Outcome& outcome) {
  for (const Variant& variant : attack.variants) {
    ++outcome.tried;
    absl::Status control;
    if (attack.control) {
      const auto plain = grounds.Plain();
      control = plain.ok() ? attack.control(**plain, variant) : plain.status();
    }
    if (!control.ok()) {
      outcome.problems.push_back(
          StrCat(variant.ToString(), ": control did not succeed: ", control.message()));
    } else if (attack.control) {
      ++outcome.controls;
    }
    const auto guarded = grounds.Guarded();
    const auto how = guarded.ok() ? attack.defence(**guarded, variant)
                                  : absl::StatusOr<Failed>(guarded.status());
    if (!how.ok()) {
      outcome.problems.push_back(StrCat(variant.ToString(), ": ", how.status().message()));
      continue;
    }
    ++outcome.failed;
    if (!attack.control) ++outcome.controls;
    if (std::find(outcome.how.begin(), outcome.how.end(), how->how) == outcome.how.end()) {
      outcome.how.push_back(how->how);
    }
    for (const auto& [what, reason] : how->reasons) outcome.reasons[what].insert(reason);
  }
}

}  // namespace

const std::vector<Group>& Groups() {
  static const std::vector<Group> groups = {
      {'A', GroupA}, {'B', GroupB}, {'C', GroupC}, {'D', GroupD}, {'E', GroupE}};
  return groups;
}

const std::vector<Later>& LaterRows() {
  static const std::vector<Later> rows = {
      {"B12", "hairpins: a service that leads to its own pod", "with services"},
      {"C7", "policy over the verifier's budget", "no meaning here: policy is data, not programs"},
      {"D13", "a policy that cuts the host off", "with host endpoints"},
      {"D14", "a service at an address of the node", "with services"},
  };
  return rows;
}

Outcome Parity(const std::vector<std::pair<Attack, Outcome>>& rows) {
  Outcome parity;
  size_t packets = 0;
  for (const auto& [attack, outcome] : rows) {
    if (attack.variants.size() < 2 || outcome.reasons.empty()) continue;
    ++parity.tried;
    parity.controls += outcome.controls == outcome.tried;
    bool alike = outcome.failed == outcome.tried;
    if (!alike) parity.problems.push_back(StrCat(attack.id, " fails in some variants only"));
    for (const auto& [what, reasons] : outcome.reasons) {
      ++packets;
      if (reasons.size() == 1) continue;
      alike = false;
      parity.problems.push_back(
          StrCat(attack.id, ": ", what, " is dropped as ", absl::StrJoin(reasons, " or as ")));
    }
    parity.failed += alike;
  }
  parity.how.push_back(StrCat(packets, " kinds of packets in ", parity.tried,
                              " rows, each dropped for one reason wherever it was sent"));
  return parity;
}

Outcome Try(const Attack& attack, Grounds& grounds, const std::string& tests_dir) {
  Outcome outcome;
  TryVariants(attack, grounds, outcome);
  TryCommands(attack, tests_dir, outcome);
  if (!attack.missing.empty()) outcome.problems.push_back("not shown: " + attack.missing);
  return outcome;
}

}  // namespace ripstop::attacks
