// SPDX-License-Identifier: Apache-2.0
//
// For convert*_test.cc: documents to model objects, and selectors as the engine asks them.
#ifndef RIPSTOP_API_CONVERT_TESTING_H_
#define RIPSTOP_API_CONVERT_TESTING_H_

#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "api/codec/reader.h"
#include "api/convert/convert.h"
#include "api/convert/selector_text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policy/selector.h"

namespace ripstop::api {

using policy::Action;
using policy::Cidr;
using policy::Labels;
using policy::PortRange;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Optional;
using testing::SizeIs;

inline Resource Read(const std::string& text) {
  Decoded decoded = DecodeText(text, "f.yaml");
  EXPECT_THAT(decoded.problems, IsEmpty()) << ToString(decoded.problems) << "\n" << text;
  return decoded.resources.empty() ? Resource::Make<v1::Tier>() : decoded.resources[0];
}

template <typename T>
T Model(const std::string& text) {
  const auto objects = ToModel(Read(text), {.this_host = "n1"});
  EXPECT_TRUE(objects.ok()) << objects.status();
  if (!objects.ok() || objects->size() != 1 || !std::holds_alternative<T>((*objects)[0])) {
    ADD_FAILURE() << "not one object of that type: " << text;
    return {};
  }
  return std::get<T>((*objects)[0]);
}

inline std::string Doc(const char* api, const char* kind, const std::string& spec) {
  return absl::StrCat("apiVersion: ", api, "\nkind: ", kind,
                      "\nmetadata: {name: p, namespace: shop}\nspec: ", spec, "\n");
}
inline policy::Policy Np(const std::string& spec) {
  return Model<policy::Policy>(Doc("projectcalico.org/v3", "NetworkPolicy", spec));
}
inline policy::Policy Gnp(const std::string& spec) {
  return Model<policy::Policy>(Doc("projectcalico.org/v3", "GlobalNetworkPolicy", spec));
}
inline policy::Policy K8s(const std::string& spec) {
  return Model<policy::Policy>(Doc("networking.k8s.io/v1", "NetworkPolicy", spec));
}
inline policy::Policy Cnp(const std::string& spec) {
  return Model<policy::Policy>(
      Doc("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", spec));
}

inline bool Matches(const std::string& selector, const Labels& labels) {
  const auto parsed = policy::Selector::Parse(selector);
  EXPECT_TRUE(parsed.ok()) << selector << ": " << parsed.status();
  return parsed.ok() && parsed->Matches(labels);
}

// Labels as the engine sees them, profile labels inherited.
inline Labels PodIn(const std::string& ns, Labels labels) {
  labels["projectcalico.org/namespace"] = ns;
  labels["projectcalico.org/orchestrator"] = "k8s";
  labels["pcns.projectcalico.org/name"] = ns;
  labels["pcns.team"] = ns;
  return labels;
}
inline Labels SetIn(const std::string& ns, Labels labels) {
  labels = PodIn(ns, std::move(labels));
  labels.erase("projectcalico.org/orchestrator");
  return labels;
}

}  // namespace ripstop::api

#endif  // RIPSTOP_API_CONVERT_TESTING_H_
