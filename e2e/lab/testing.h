// SPDX-License-Identifier: Apache-2.0
//
// A GoogleTest fixture around a lab of its own: unique name, taken down whatever happens.
#ifndef RIPSTOP_E2E_LAB_TESTING_H_
#define RIPSTOP_E2E_LAB_TESTING_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "e2e/lab/lab.h"

namespace ripstop::lab {

// How long a test waits for what must come: only for a hang is it ever too short.
inline constexpr absl::Duration kHang = absl::Minutes(10);

// Asks until `condition` holds. For what no event tells.
inline bool Eventually(const std::function<bool()>& condition) {
  const absl::Time deadline = absl::Now() + kHang;
  while (!condition()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(10));
  }
  return true;
}

inline std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

inline bool WaitForText(const std::string& path, const std::string& text) {
  return Eventually([&] { return absl::StrContains(ReadText(path), text); });
}

class LabTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root, for network namespaces";
  }

  void TearDown() override {
    if (geteuid() != 0) return;
    if (HasFailure() && lab_) DumpLogs();
    const absl::Status status = Down();
    EXPECT_TRUE(status.ok()) << status;
  }

  std::string name() const { return absl::StrCat("t", getpid()); }

  // `text` is a topology file without its name.
  void Raise(const std::string& text, const std::string& folder = "/") {
    const std::string named = absl::StrCat("name: ", name(), "\n", text);
    absl::StatusOr<Topology> topology = ParseTopology(named, "topology of the test", folder);
    ASSERT_TRUE(topology.ok()) << topology.status();
    absl::StatusOr<Lab> lab =
        Lab::Up(*topology, folder + "/topology.yaml", named, {.agent_patience = kHang});
    ASSERT_TRUE(lab.ok()) << lab.status();
    lab_.emplace(*std::move(lab));
  }

  Lab& lab() { return *lab_; }
  bool HasLab() const { return lab_.has_value(); }

  absl::Status Down() {
    lab_.reset();
    return Lab::Down(name(), {});
  }

  // ripstop-probe, beside the test, in a pod. It ends by itself.
  absl::StatusOr<ProcessId> SpawnProbe(const std::string& pod, std::vector<std::string> arguments,
                                       const std::string& log) {
    absl::StatusOr<std::string> netns = lab().NetnsOf(pod);
    if (!netns.ok()) return netns.status();
    arguments.insert(arguments.begin(), lab().Binary("ripstop-probe"));
    return Spawn({.argv = std::move(arguments), .netns = *netns}, log,
                 [](const ProcessId&) { return absl::OkStatus(); });
  }

  std::vector<std::string> NamespacesLeft() const {
    std::vector<std::string> left;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/run/netns", error)) {
      const std::string netns = entry.path().filename().string();
      if (absl::StartsWith(netns, absl::StrCat("rl-", name(), "-"))) left.push_back(netns);
    }
    return left;
  }

 private:
  void DumpLogs() {
    for (const auto& [node, _] : lab_->state().nodes) {
      const std::string log = ReadText(absl::StrCat(lab_->state().dir(), "/", node, "/agent.log"));
      if (!log.empty()) {
        std::cerr << "--- agent.log of " << node << "\n"
                  << log.substr(log.size() > 4000 ? log.size() - 4000 : 0) << "\n";
      }
    }
  }

  std::optional<Lab> lab_;
};

}  // namespace ripstop::lab

#endif  // RIPSTOP_E2E_LAB_TESTING_H_
