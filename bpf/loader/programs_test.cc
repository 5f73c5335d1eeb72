// SPDX-License-Identifier: Apache-2.0
//
// Every program that the product loads, in every variant: this kernel takes it, and stays far below
// its limit while it verifies. What is loaded is read of this process's descriptors, so that
// nothing is forgotten.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <sys/utsname.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "bpf/loader/datapath_object.h"
#include "bpf/loader/host_drops.h"
#include "bpf/loader/packet_trace.h"
#include "bpf/loader/probe_programs.h"

namespace ripstop::loader {
namespace {

constexpr uint32_t kLimit = 1000000;  // BPF_COMPLEXITY_LIMIT_INSNS of the kernel
// Those that packets meet at an interface; the same ones by tcx and clsact.
const std::set<std::string> kAtInterfaces = {"from_workload", "to_workload",    "from_host",
                                             "from_tunnel",   "from_elsewhere", "to_host"};

// Programs that this process holds, by number.
std::map<uint32_t, bpf_prog_info> Held() {
  std::map<uint32_t, bpf_prog_info> held;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    const std::string what = std::filesystem::read_symlink(entry.path(), error).string();
    if (what != "anon_inode:bpf-prog") continue;
    bpf_prog_info info = {};
    uint32_t bytes = sizeof(info);
    if (bpf_obj_get_info_by_fd(std::atoi(entry.path().filename().c_str()), &info, &bytes) == 0)
      held[info.id] = info;
  }
  return held;
}

// Prints and judges what this process holds beyond `seen`; the names of these.
std::set<std::string> Judge(const char* variant, std::set<uint32_t>* seen) {
  utsname kernel = {};
  uname(&kernel);
  std::set<std::string> names;
  for (const auto& [id, info] : Held()) {
    if (!seen->insert(id).second) continue;
    names.insert(info.name);
    std::printf("verified %-16s %-9s %-15s %6u of %u instructions, %5u translated, %6u bytes\n",
                kernel.release, variant, info.name, info.verified_insns, kLimit,
                static_cast<uint32_t>(info.xlated_prog_len / 8), info.jited_prog_len);
    EXPECT_GT(info.verified_insns, 0u) << variant << " " << info.name;
    EXPECT_LT(info.verified_insns, kLimit / 4) << variant << " " << info.name;
  }
  return names;
}

// One test for all: the verifier needs a quarter of a minute for each object in an emulator.
TEST(ProgramsTest, EveryVariantLoadsBelowAQuarterOfTheLimit) {
  if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SCHED_CLS, nullptr) != 1)
    GTEST_SKIP() << "needs CAP_BPF and CAP_NET_ADMIN";
  std::set<uint32_t> seen;
  std::set<std::string> datapath = kAtInterfaces;
  datapath.insert({"to_socket", "flow_sweep", "flow_reshape", "flow_end", "arena_used"});
  const auto object = DatapathObject::Load({.flows = 1024, .event_bytes = 65536}, "");
  ASSERT_TRUE(object.ok()) << object.status();
  EXPECT_EQ(Judge("datapath", &seen), datapath);

  const auto traced = TracedPrograms::Load(**object);
  ASSERT_TRUE(traced.ok()) << traced.status();
  EXPECT_EQ(Judge("traced", &seen), kAtInterfaces);

  const std::vector<const char*> names = {"from_workload", "to_workload",    "from_host",
                                          "from_tunnel",   "from_elsewhere", "to_host"};
  const auto probe = ProbePrograms::Load(**object, names);
  ASSERT_TRUE(probe.ok()) << probe.status();
  EXPECT_EQ(Judge("probe", &seen), kAtInterfaces);

  const auto drops = HostDrops::Begin(**object);
  ASSERT_TRUE(drops.ok()) << drops.status();
  EXPECT_EQ(Judge("drops", &seen), std::set<std::string>{"host_drop"});
}

}  // namespace
}  // namespace ripstop::loader
