// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/config_fields.h"

#include "agent/cni/plugin.h"
#include "api/fields/field_table.h"
#include "gmock/gmock.h"

namespace ripstop::agent {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAreArray;
using Json = nlohmann::json;

TEST(ConfigFieldsTest, TheTableSaysTheSame) {
  const api::KindRow* row = api::FindKindRow("CNI 1.1.0", "network configuration");
  ASSERT_NE(row, nullptr);
  std::vector<std::string> acting;
  for (const api::FieldRow& field : row->fields) {
    if (field.effect == api::Effect::kActs) acting.push_back(field.path);
  }
  EXPECT_THAT(ActingConfigFields(), UnorderedElementsAreArray(acting));
}

TEST(ConfigFieldsTest, WhatNothingActsOnIsNamed) {
  EXPECT_THAT(UnheededConfigFields(Json::parse(R"({
      "cniVersion": "1.0.0", "NAME": "net", "type": "ripstop-cni", "mtu": 1400, "ipam": {},
      "cni.dev/valid-attachments": [], "policy": {"type": "k8s"}, "log_level": "debug",
      "runtimeConfig": {"mac": "02:00:00:00:00:01", "Bandwidth": {"IngressRate": 1},
                        "portMappings": null}})")),
              ElementsAre("log_level", "policy", "runtimeConfig.Bandwidth"));
}

TEST(ConfigFieldsTest, AddNamesThemOnStandardError) {
  const PluginOutcome outcome = RunPlugin(
      {{"CNI_COMMAND", "ADD"},
       {"CNI_CONTAINERID", "c"},
       {"CNI_NETNS", "/no/such/netns"},
       {"CNI_IFNAME", "eth0"},
       {"CNI_PATH", "/"}},
      R"({"cniVersion": "1.0.0", "name": "net", "type": "ripstop-cni", "connectTimeoutMs": 1,
          "socket": "/no/such/socket", "ipam": {"type": "calico-ipam"}, "policy": {"type": "k8s"}})");
  EXPECT_EQ(outcome.error, "ripstop-cni: network net: nothing acts on ipam, policy\n");
}

}  // namespace
}  // namespace ripstop::agent
