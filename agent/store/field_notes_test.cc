// SPDX-License-Identifier: Apache-2.0
#include "agent/store/field_notes.h"

#include "absl/strings/str_cat.h"
#include "agent/base/testing/from_yaml.h"
#include "gmock/gmock.h"

namespace ripstop::agent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class FieldNotesTest : public testing::Test {
 protected:
  api::Resource Put(const std::string& kind, const std::string& name, const std::string& spec) {
    const api::Resource resource = FromYaml(absl::StrCat(
        "{apiVersion: projectcalico.org/v3, kind: ", kind, ", metadata: {name: ", name,
        kind == "WorkloadEndpoint" ? ", namespace: shop" : "", "}, spec: ", spec, "}"));
    notes_.Put(resource);
    return resource;
  }
  FieldNotes notes_{"n1"};
};

TEST_F(FieldNotesTest, WhatNothingActsOnIsListedUntilItIsGone) {
  const api::Resource pool =
      Put("IPPool", "p", "{cidr: 10.65.0.0/16, ipipMode: Always, vxlanMode: Never}");
  EXPECT_THAT(notes_.unheeded(),
              ElementsAre("IPPool p: nothing acts on spec.ipipMode (pods are not tunnelled by "
                          "IPIP; use vxlanMode)"));
  Put("IPPool", "p", "{cidr: 10.65.0.0/16, vxlanMode: Always}");
  EXPECT_THAT(notes_.unheeded(), IsEmpty());
  Put("IPPool", "p", "{cidr: 10.65.0.0/16, ipipMode: Always}");
  notes_.Delete(pool.key());
  EXPECT_THAT(notes_.unheeded(), IsEmpty());
}

TEST_F(FieldNotesTest, WhatApplyWouldRefuseIsListedWithWhatIsInForceOfIt) {
  Put("GlobalNetworkPolicy", "g", "{selector: all(), applyOnForward: true}");
  Put("HostEndpoint", "h", "{node: n1, interfaceName: eth0}");
  Put("FelixConfiguration", "default", "{wireguardEnabled: true}");
  const auto refused = notes_.refused();
  ASSERT_THAT(refused, SizeIs(3));
  EXPECT_EQ(refused[0],
            "FelixConfiguration default: spec.wireguardEnabled is refused: nothing is encrypted by "
            "WireGuard");
  EXPECT_THAT(refused[1], HasSubstr("spec.applyOnForward is refused: "));
  EXPECT_THAT(refused[1], HasSubstr("; what of it concerns pods is in force"));
  EXPECT_THAT(refused[2], HasSubstr("HostEndpoint h: the kind is refused: no policy is enforced"));
}

TEST_F(FieldNotesTest, EndpointsOfOtherNodesAreTheirs) {
  Put("HostEndpoint", "h", "{node: n2, interfaceName: eth0}");
  Put("WorkloadEndpoint", "w", "{node: n2, ipv4Gateway: 192.0.2.1}");
  EXPECT_THAT(notes_.refused(), IsEmpty());
  EXPECT_THAT(notes_.unheeded(), IsEmpty());
  Put("WorkloadEndpoint", "w", "{node: n1, ipv4Gateway: 192.0.2.1}");
  EXPECT_THAT(notes_.unheeded(), SizeIs(1));
}

TEST_F(FieldNotesTest, ALongListIsCut) {
  for (size_t i = 0; i < FieldNotes::kLinesMax + 7; ++i) {
    Put("IPPool", absl::StrCat("p", i), "{cidr: 10.65.0.0/16, ipipMode: Always}");
  }
  ASSERT_THAT(notes_.unheeded(), SizeIs(FieldNotes::kLinesMax + 1));
  EXPECT_EQ(notes_.unheeded().back(), "and 7 more");
}

}  // namespace
}  // namespace ripstop::agent
