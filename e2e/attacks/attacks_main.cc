// SPDX-License-Identifier: Apache-2.0
//
// Prints the attack matrix row by row and ends "N of N defended".
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <set>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "e2e/attacks/attack.h"
#include "e2e/lab/lab.h"

namespace ripstop::attacks {
namespace {

// "v4 v6 × same native vxlan", of the variants that there are.
std::string Summary(const Attack& attack) {
  if (attack.variants.empty()) return "as the test has them";
  std::vector<std::string> families, paths;
  const auto once = [](std::vector<std::string>& list, const std::string& word) {
    if (std::find(list.begin(), list.end(), word) == list.end()) list.push_back(word);
  };
  for (const Variant& variant : attack.variants) {
    const std::string text = variant.ToString();
    once(families, text.substr(0, 2));
    once(paths, text.substr(3));
  }
  return absl::StrCat(absl::StrJoin(families, " "), " ", absl::StrJoin(paths, " "));
}

void Print(const Attack& attack, const Outcome& outcome) {
  absl::PrintF("%-4s %-58s %-23s control %d/%d  %s  %s\n", attack.id, attack.title, Summary(attack),
               outcome.controls, outcome.tried,
               outcome.defended() ? "defended    " : "NOT DEFENDED",
               absl::StrJoin(outcome.how, "; "));
  for (const std::string& problem : outcome.problems) absl::PrintF("       %s\n", problem);
  std::fflush(stdout);
}

// The labs of this process, by group.
std::string NameOf(const Group& group) {
  return absl::StrCat("at", getpid(), absl::AsciiStrToLower(std::string(1, group.letter)));
}

int interrupted[2];

// Whoever interrupts finds no lab left behind.
void TakeDownWhenInterrupted() {
  if (pipe2(interrupted, O_CLOEXEC) != 0) return;
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) {
    std::signal(signal, [](int) {
      const ssize_t written = write(interrupted[1], "x", 1);
      static_cast<void>(written);
    });
  }
  std::thread([] {
    char byte;
    if (read(interrupted[0], &byte, 1) != 1) return;
    for (const Group& group : Groups()) {
      for (const char* ground : {"p", "g"}) {
        lab::Lab::Down(NameOf(group) + ground, {}).IgnoreError();
      }
    }
    _exit(130);
  }).detach();
}

int Main(const std::vector<std::string>& wanted) {
  const std::filesystem::path bin = lab::FindBinDir("");
  const std::string tests = (bin.parent_path() / "tests").string();
  size_t rows = 0, defended = 0;
  const auto is_wanted = [&](const Group& group, const Attack& attack) {
    if (wanted.empty()) return true;
    for (const std::string& word : wanted) {
      const std::string upper = absl::AsciiStrToUpper(word);
      if (upper == attack.id || upper == std::string(1, group.letter)) return true;
    }
    return false;
  };
  std::vector<std::pair<Attack, Outcome>> done;
  for (const Group& group : Groups()) {
    Grounds grounds(NameOf(group));
    for (const Attack& attack : group.rows()) {
      if (!is_wanted(group, attack)) continue;
      const Outcome outcome = attack.id == "C8" ? Parity(done) : Try(attack, grounds, tests);
      Print(attack, outcome);
      done.emplace_back(attack, outcome);
      ++rows;
      defended += outcome.defended();
    }
  }
  for (const Later& row : LaterRows()) {
    if (wanted.empty()) absl::PrintF("%-4s %-58s %s\n", row.id, row.title, row.when);
  }
  absl::PrintF("%d of %d defended\n", defended, rows);
  return rows != 0 && defended == rows ? 0 : 1;
}

}  // namespace
}  // namespace ripstop::attacks

int main(int argc, char** argv) {
  CLI::App app{"The attack matrix, tried on two fabrics: with plain routing, and with Ripstop."};
  std::vector<std::string> wanted;
  app.add_option("ROW", wanted, "rows (A2) or groups (A); all of them if none is named");
  CLI11_PARSE(app, argc, argv);
  if (geteuid() != 0) {
    std::fprintf(stderr, "needs root, for network namespaces\n");
    return 2;
  }
  ripstop::attacks::TakeDownWhenInterrupted();
  return ripstop::attacks::Main(wanted);
}
