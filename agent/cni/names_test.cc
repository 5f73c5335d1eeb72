// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace ripstop::agent {
namespace {

using ripstop::agent::v1::CniRequest;
using ::testing::HasSubstr;
using ::testing::Not;

CniRequest Request(const std::string& ns, const std::string& pod) {
  CniRequest request;
  request.set_container_id("0123456789abcdef");
  request.set_interface_name("eth0");
  request.set_pod_namespace(ns);
  request.set_pod_name(pod);
  return request;
}

TEST(NamesTest, ContainerIdsAreAsTheCniSpecificationSays) {
  for (const std::string& id :
       std::vector<std::string>{"a", "c1", "0", "A_b.c-d", std::string(200, 'x')}) {
    EXPECT_TRUE(CheckContainerId(id).ok()) << id;
  }
  for (const std::string& id : std::vector<std::string>{
           "", "-a", ".a", "..", "_a", "a/b", "a,b", "a b", "a\nb", "ä", std::string(201, 'x')}) {
    EXPECT_TRUE(absl::IsInvalidArgument(CheckContainerId(id))) << id;
  }
  EXPECT_FALSE(CheckContainerId(std::string("a\0b", 3)).ok());
}

TEST(NamesTest, InterfaceNamesAreWhatTheKernelTakesAsTheyAre) {
  for (const char* name : {"eth0", "net1", "a", "ab.100", "x@y", "fifteen-letters"}) {
    EXPECT_TRUE(CheckInterfaceName(name).ok()) << name;
  }
  for (const char* name :
       {"", ".", "..", "a/b", "a:b", "a b", "a\tb", "a\nb", "eth%d", "\x7f", "sixteen-letters-"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(CheckInterfaceName(name))) << name;
  }
}

TEST(NamesTest, PodsOfKubernetesFollowItsRules) {
  const std::string longest(253, 'a');
  for (const std::string& pod : {std::string("db-0"), std::string("db.example"), longest}) {
    EXPECT_TRUE(CheckNames(Request("shop", pod)).ok()) << pod;
  }
  for (const std::string& pod :
       std::vector<std::string>{"../../x", "a/b", "a\nb", "Db", "a_b", "-a", "a-", "a..b", ".a",
                                "a b", std::string(254, 'a')}) {
    EXPECT_THAT(CheckNames(Request("shop", pod)).message(), HasSubstr("pod name")) << pod;
  }
  for (const std::string& ns :
       std::vector<std::string>{"a.b", "../x", "Shop", "a\nb", std::string(64, 'a')}) {
    EXPECT_THAT(CheckNames(Request(ns, "db")).message(), HasSubstr("pod namespace")) << ns;
  }
}

TEST(NamesTest, OtherRuntimesHaveTheirOwnNamesForContainers) {
  for (const char* pod : {"", "c1", "My_db", "quirky_euler"}) {  // podman's
    EXPECT_TRUE(CheckNames(Request("", pod)).ok()) << pod;
  }
  for (const char* pod : {"../../x", "a/b", "a\nb", "_a"}) {
    EXPECT_FALSE(CheckNames(Request("", pod)).ok()) << pod;
  }
}

TEST(NamesTest, TheOtherNamesAreAskedToo) {
  CniRequest request = Request("shop", "db");
  request.set_pod_uid("8f14e45f-ceea-467f-a0e6-5d2b6f3c7a10");
  request.set_service_account("default");
  request.set_network("k8s-pod-network");
  EXPECT_TRUE(CheckNames(request).ok());
  const auto broken = [&](auto set) {
    CniRequest other = request;
    set(other);
    return CheckNames(other);
  };
  EXPECT_FALSE(broken([](CniRequest& r) { r.set_pod_uid("a\nb"); }).ok());
  EXPECT_FALSE(broken([](CniRequest& r) { r.set_service_account("a/b"); }).ok());
  EXPECT_FALSE(broken([](CniRequest& r) { r.set_network("a b"); }).ok());
}

TEST(NamesTest, ARefusalShowsTheNameWithoutItsControlCharacters) {
  const absl::Status refused = CheckNames(Request("shop", "a\nCNI ADD of all is well\x1b[0m"));
  EXPECT_THAT(refused.message(), HasSubstr("'a\\nCNI ADD of all is well\\x1b[0m'"));
  EXPECT_THAT(refused.message(), Not(HasSubstr("\n")));
}

}  // namespace
}  // namespace ripstop::agent
