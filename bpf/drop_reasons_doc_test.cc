// SPDX-License-Identifier: Apache-2.0
//
// docs/drop-reasons.md is generated from bpf/abi/drops.h. To write it anew:
//   RIPSTOP_UPDATE=1 build/dev/tests/bpf_drop_reasons_doc_test
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "bpf/abi/drops.h"

namespace {

std::string Document() {
  std::ostringstream out;
  out << "<!-- SPDX-License-Identifier: Apache-2.0 -->\n"
      << "<!-- Generated from bpf/abi/drops.h; see bpf/drop_reasons_doc_test.cc. -->\n"
      << "# Why packets are dropped\n\n"
      << "Each reason has one counter (`ripstopctl drops`) and one name, in events and logs "
         "alike.\n\n"
      << "| number | reason | meaning |\n|---|---|---|\n";
#define X(id, name, description) \
  out << "| " << DROP_##id << " | `" << name << "` | " << description << " |\n";
  DROP_REASONS(X)
#undef X
  return out.str();
}

TEST(DropReasonsDocTest, DocumentIsCurrent) {
  const std::string path = RIPSTOP_SOURCE_DIR "/docs/drop-reasons.md";
  if (std::getenv("RIPSTOP_UPDATE") != nullptr) std::ofstream(path) << Document();
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), Document());
}

}  // namespace
