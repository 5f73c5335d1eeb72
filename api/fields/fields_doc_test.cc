// SPDX-License-Identifier: Apache-2.0
//
// docs/fields.md is generated from the field table. To write it anew:
//   RIPSTOP_UPDATE=1 build/dev/tests/fields_test
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "api/fields/document.h"

namespace ripstop::api {
namespace {

TEST(FieldsDocTest, DocumentIsCurrent) {
  const std::string path = RIPSTOP_SOURCE_DIR "/docs/fields.md";
  if (std::getenv("RIPSTOP_UPDATE") != nullptr) std::ofstream(path) << FieldTableDocument();
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_TRUE(text.str() == FieldTableDocument())
      << path << " is not what the table says; RIPSTOP_UPDATE=1 writes it anew";
}

TEST(FieldsDocTest, NoSentenceIsWithoutWords) {
  EXPECT_EQ(FieldTableDocument().find(": ."), std::string::npos);
}

}  // namespace
}  // namespace ripstop::api
