// SPDX-License-Identifier: Apache-2.0
//
// Names, and that the program loads and attaches; what it counts of real packets is
// agent/dataplane/host_drops_test.cc.
#include "bpf/loader/host_drops.h"

#include <bpf/libbpf.h>
#include <gtest/gtest.h>

#include "bpf/loader/datapath_object.h"

namespace ripstop::loader {
namespace {

TEST(HostDropsTest, NothingIsCountedAtFirst) {
  if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SCHED_CLS, nullptr) != 1)
    GTEST_SKIP() << "needs CAP_BPF and CAP_NET_ADMIN";
  const char* const unwanted[] = {"from_workload", "to_workload",    "from_host",
                                  "from_tunnel",   "from_elsewhere", "to_host"};
  auto object = DatapathObject::Load({.flows = 1024, .event_bytes = 65536}, "", unwanted);
  ASSERT_TRUE(object.ok()) << object.status();
  auto drops = HostDrops::Begin(**object);
  ASSERT_TRUE(drops.ok()) << drops.status();
  const auto read = (*drops)->Read();
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(read->empty()) << read->front().name;  // no address is a pod's yet
}

TEST(HostDropsTest, TheUsualReasonsSayWhatToDo) {
  EXPECT_NE(HostDropDescription("NO_SOCKET"), "");
  EXPECT_NE(HostDropDescription("NETFILTER_DROP"), "");
  EXPECT_EQ(HostDropDescription("CAKE_FLOOD"), "");
}

}  // namespace
}  // namespace ripstop::loader
