// SPDX-License-Identifier: Apache-2.0
//
// Documents in, problems out, for the tests of validation.
#ifndef RIPSTOP_API_VALIDATE_TESTING_H_
#define RIPSTOP_API_VALIDATE_TESTING_H_

#include <string>

#include "absl/strings/str_cat.h"
#include "api/codec/reader.h"
#include "api/validate/validate.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::api {

inline constexpr char kCalico[] = "projectcalico.org/v3";

inline std::string Doc(const char* api, const char* kind, const std::string& spec,
                       const std::string& name = "p") {
  const KindInfo* info = FindKind(api, kind);
  EXPECT_NE(info, nullptr);
  return absl::StrCat("apiVersion: ", api, "\nkind: ", kind, "\nmetadata: {name: ", name,
                      info->namespaced ? ", namespace: shop" : "", "}\nspec: ", spec, "\n");
}

// A refusal says where, what stands there, and what would be right. Only what is missing has
// no value to show.
inline void ExpectWhole(const Problem& problem) {
  EXPECT_NE(problem.path, "") << problem.ToString();
  EXPECT_NE(problem.what, "") << problem.ToString();
  EXPECT_NE(problem.remedy, "") << problem.ToString();
  if (problem.what.find("is missing") == std::string::npos) {
    EXPECT_NE(problem.value, "") << problem.ToString();
  }
}

// Each problem as "path: value what; remedy", one a line.
inline std::string Problems(const std::string& text) {
  const Decoded decoded = DecodeText(text, "");
  EXPECT_THAT(decoded.problems, testing::IsEmpty()) << ToString(decoded.problems);
  std::string out;
  for (const Resource& resource : decoded.resources) {
    for (Problem problem : Validate(resource)) {
      ExpectWhole(problem);
      problem.resource.clear();
      absl::StrAppend(&out, out.empty() ? "" : "\n", problem.ToString());
    }
  }
  return out;
}

}  // namespace ripstop::api

#endif  // RIPSTOP_API_VALIDATE_TESTING_H_
