// SPDX-License-Identifier: Apache-2.0
#include "api/codec/document_splitter.h"

#include <sstream>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::api {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

using Pieces = std::vector<std::pair<int, std::string>>;

Pieces Split(const std::string& text, size_t bytes_max = 1000) {
  std::istringstream in(text);
  DocumentSplitter splitter(in, bytes_max);
  Pieces pieces;
  for (DocumentText document; splitter.Next(&document);)
    pieces.emplace_back(document.lines_before, document.too_large ? "too large" : document.text);
  return pieces;
}

TEST(DocumentSplitterTest, CutsAtMarkersAndKnowsTheLines) {
  EXPECT_THAT(Split("a: 1\n---\nb: 2\n...\nc: 3\n--- d\n"),
              ElementsAre(Pair(0, "a: 1\n"), Pair(1, "---\nb: 2\n"), Pair(4, "c: 3\n"),
                          Pair(5, "--- d\n")));
  EXPECT_THAT(Split("# x\n\n---\n\n---\na: |\n  ---\n ---\n---x: 1\n"),
              ElementsAre(Pair(4, "---\na: |\n  ---\n ---\n---x: 1\n")));
  EXPECT_THAT(Split("a\r\n---\r\nb"), ElementsAre(Pair(0, "a\r\n"), Pair(1, "---\r\nb")));
}

TEST(DocumentSplitterTest, NothingSaidIsNoDocument) {
  for (const char* text :
       {"", "\n", "---", "---\n---\n...\n", "# a\n  # b\n--- # c\n", "%YAML 1.1\n"})
    EXPECT_THAT(Split(text), IsEmpty()) << text;
}

TEST(DocumentSplitterTest, DirectivesStayWithTheirDocument) {
  EXPECT_THAT(Split("%YAML 1.1\n---\na\n...\n%YAML 1.1\n---\nb\n"),
              ElementsAre(Pair(0, "%YAML 1.1\n---\na\n"), Pair(4, "%YAML 1.1\n---\nb\n")));
}

TEST(DocumentSplitterTest, JsonValuesOneAfterTheOther) {
  EXPECT_THAT(Split("{\"a\": \"}\"}\n{\"b\": \"\\\"{\"}\n\n{\n\"c\": [1,\n2]}\n"),
              ElementsAre(Pair(0, "{\"a\": \"}\"}\n"), Pair(1, "{\"b\": \"\\\"{\"}\n\n"),
                          Pair(3, "{\n\"c\": [1,\n2]}\n")));
  EXPECT_THAT(Split("{a: it's, # }\nb: '{'}\n{c: 1}\n"),
              ElementsAre(Pair(0, "{a: it's, # }\nb: '{'}\n"), Pair(2, "{c: 1}\n")));
  EXPECT_THAT(Split("a:\n{b: 1}\n{c: 1}\n"), ElementsAre(Pair(0, "a:\n{b: 1}\n{c: 1}\n")))
      << "not after what is no flow collection itself";
}

TEST(DocumentSplitterTest, ByteOrderMarksBeforeDocumentsAreLeftOut) {
  const std::string mark = "\xef\xbb\xbf";
  EXPECT_THAT(Split(mark + "a\n" + mark + "---\n" + mark + "b\n"),
              ElementsAre(Pair(0, "a\n"), Pair(1, "---\nb\n")));
  EXPECT_THAT(Split("a\n" + mark + "b\n"), ElementsAre(Pair(0, "a\n" + mark + "b\n")));
}

TEST(DocumentSplitterTest, WhatIsTooLargeEndsTheReading) {
  EXPECT_THAT(Split("a\n---\n" + std::string(2000, 'x') + "\n---\nb\n"),
              ElementsAre(Pair(0, "a\n"), Pair(1, "too large")));
  EXPECT_THAT(Split(std::string(100'000, 'x')), ElementsAre(Pair(0, "too large")));
  std::string lines;
  for (int i = 0; i < 1000; ++i) lines += "a\n";
  EXPECT_THAT(Split(lines), ElementsAre(Pair(0, "too large")));
}

}  // namespace
}  // namespace ripstop::api
