// SPDX-License-Identifier: Apache-2.0
//
// Runs one fuzzer for a bounded time from its kept corpus (cmake/ripstop_fuzzer.cmake).
// What it finds goes to a folder of its own, never into the tree; a crash leaves its
// input there, and the failure says where.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace {

namespace fs = std::filesystem;

std::string Seconds() {
  const char* text = std::getenv("RIPSTOP_FUZZ_SECONDS");
  return std::to_string(text != nullptr ? std::max(1, std::atoi(text)) : 5);
}

TEST(RIPSTOP_FUZZ_SUITE, FindsNothingInBoundedTime) {
  size_t kept = 0;
  for ([[maybe_unused]] const auto& file : fs::directory_iterator(RIPSTOP_FUZZ_CORPUS)) ++kept;
  ASSERT_GT(kept, 0u) << "no corpus in " RIPSTOP_FUZZ_CORPUS;
  std::string folder = fs::temp_directory_path() / "ripstop-fuzz-XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::string command =
      std::string("exec " RIPSTOP_FUZZER) + " -max_total_time=" + Seconds() +
      " -timeout=10 -print_final_stats=1 -artifact_prefix=" + folder + "/finding- " +
      RIPSTOP_FUZZ_OPTIONS + " " + folder + " " RIPSTOP_FUZZ_CORPUS " 2>&1";
  FILE* pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string output;
  std::array<char, 4096> buffer;
  while (const size_t n = fread(buffer.data(), 1, buffer.size(), pipe))
    output.append(buffer.data(), n);
  const int status = pclose(pipe);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0)
      << command << "\n"
      << output.substr(output.size() > 20000 ? output.size() - 20000 : 0);
  // Each kept input has been run, and others made from them.
  const size_t at = output.find("stat::number_of_executed_units:");
  ASSERT_NE(at, std::string::npos) << output;
  EXPECT_GT(std::strtoull(output.c_str() + at + 31, nullptr, 10), kept) << output;
  if (!HasFailure()) fs::remove_all(folder);
}

}  // namespace
