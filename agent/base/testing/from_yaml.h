// SPDX-License-Identifier: Apache-2.0
//
// Resources from text, for tests.
#ifndef RIPSTOP_AGENT_BASE_TESTING_FROM_YAML_H_
#define RIPSTOP_AGENT_BASE_TESTING_FROM_YAML_H_

#include <string>

#include "api/codec/reader.h"
#include "gtest/gtest.h"

namespace ripstop::agent {

inline api::Resource FromYaml(const std::string& text) {
  api::Decoded decoded = api::DecodeText(text, "test");
  EXPECT_TRUE(decoded.problems.empty()) << text;
  EXPECT_EQ(decoded.resources.size(), 1u) << text;
  return decoded.resources.empty() ? api::Resource::Make<api::v1::Tier>() : decoded.resources[0];
}

template <typename T>
T MessageFromYaml(const std::string& text) {
  return *FromYaml(text).As<T>();
}

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_BASE_TESTING_FROM_YAML_H_
