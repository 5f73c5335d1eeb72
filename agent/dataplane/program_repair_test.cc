// SPDX-License-Identifier: Apache-2.0
//
// Programs and pins that somebody else takes away.
#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "agent/dataplane/testing_node.h"

namespace ripstop::agent {
namespace {

// The kernel tells nobody when a program is detached; until it is put back all passes.
class ProgramRepairTest : public testing::NodeTest {
 protected:
  using What = ProgramFinding::What;
  void Begin() {
    Open();
    Attach();
    WriteGeneration(false);
    ASSERT_TRUE(PodsBlocked());
    ASSERT_TRUE(Repair().empty());
  }
  std::vector<ProgramFinding> Repair() {
    std::vector<ProgramFinding> findings;
    EXPECT_TRUE(node_
                    ->Run([&] {
                      findings = dataplane_->Repair();
                      return absl::OkStatus();
                    })
                    .ok());
    return findings;
  }
  std::string Pin(const char* program, const char* interface) {
    return absl::StrCat(pin_dir_, "/links/", program, "-", Ifindex(interface));
  }
  // As `bpftool link detach`, or `tc filter del`.
  void Detach(const char* program, const char* interface, const char* point) {
    if (GetParam()) {
      ASSERT_EQ(node_->Shell(absl::StrCat("tc filter del dev ", interface, " ", point)), 0);
      return;
    }
    const UniqueFd link(bpf_obj_get(Pin(program, interface).c_str()));
    ASSERT_EQ(bpf_link_detach(link.get()), 0);
  }
  void DetachPods() {
    for (const char* interface : {"hosta", "hostb"}) {
      Detach("from_workload", interface, "ingress");
      Detach("to_workload", interface, "egress");
    }
  }
};

TEST_P(ProgramRepairTest, WhatSomebodyDetachedIsPutBackAndTold) {
  Begin();
  DetachPods();
  EXPECT_TRUE(PodsPass()) << "control: detached, all passes";
  const std::vector<ProgramFinding> findings = Repair();
  ASSERT_EQ(findings.size(), 4u);
  for (const ProgramFinding& finding : findings) EXPECT_EQ(finding.what, What::kRepaired);
  EXPECT_EQ(findings[0].ifindex, Ifindex("hosta"));
  EXPECT_EQ(findings[0].message, absl::StrCat("from_workload at interface ", Ifindex("hosta"),
                                              ": was detached by somebody; attached again"));
  EXPECT_TRUE(PodsBlocked());
  EXPECT_TRUE(Repair().empty());
  // Those of the host's interfaces as well, each time.
  for (int i = 0; i < 2; ++i) {
    Detach("from_host", "up0", "ingress");
    ASSERT_EQ(Repair().size(), 1u);
  }
  // And the next agent goes on with what was put back.
  Open();
  EXPECT_TRUE(PodsBlocked());
}

class ClsactRepairTest : public ProgramRepairTest {};
class TcxRepairTest : public ProgramRepairTest {
 protected:
  bool HasTcx() {
    if (dataplane_->uses_tcx()) return true;
    RecordProperty("kernel_lacks", "tcx");
    return false;
  }
};

TEST_P(ClsactRepairTest, AWholeQdiscThatSomebodyRemovedComesBack) {
  Begin();
  for (const char* interface : {"hosta", "hostb"}) {
    ASSERT_EQ(node_->Shell(absl::StrCat("tc qdisc del dev ", interface, " clsact")), 0);
  }
  EXPECT_TRUE(PodsPass()) << "control";
  EXPECT_EQ(Repair().size(), 4u);
  EXPECT_TRUE(PodsBlocked());
}

TEST_P(ProgramRepairTest, AnInterfaceThatIsGoneIsNoFinding) {
  Begin();
  ASSERT_EQ(node_->Shell("ip link del hosta"), 0);
  EXPECT_TRUE(Repair().empty());
}

TEST_P(TcxRepairTest, WhereNothingCanBeAttachedThatIsTold) {
  Begin();
  if (!HasTcx()) GTEST_SKIP();
  Detach("from_workload", "hosta", "ingress");
  bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = -1},
                     {.code = BPF_JMP | BPF_EXIT}};
  std::vector<UniqueFd> programs, links;
  ASSERT_TRUE(node_
                  ->Run([&] {
                    while (links.empty() || links.back().ok()) {  // until there is no room
                      programs.emplace_back(
                          bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "other", "GPL", code, 2, nullptr));
                      links.emplace_back(bpf_link_create(
                          programs.back().get(), static_cast<int>(if_nametoindex("hosta")),
                          static_cast<bpf_attach_type>(46), nullptr));
                    }
                    return absl::OkStatus();
                  })
                  .ok());
  links.pop_back();
  std::vector<ProgramFinding> findings = Repair();
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].what, What::kFailed) << findings[0].message;
  ASSERT_EQ(bpf_link_detach(links.back().get()), 0);
  findings = Repair();
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].what, What::kRepaired) << findings[0].message;
  EXPECT_TRUE(Repair().empty()) << "before all others, whenever they came";
}

TEST_P(TcxRepairTest, AProgramOfSomebodyElseBeforeOursIsTold) {
  Begin();
  if (!HasTcx()) GTEST_SKIP();
  bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K}, {.code = BPF_JMP | BPF_EXIT}};
  const UniqueFd program(
      bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "pass_all", "GPL", code, 2, nullptr));
  UniqueFd link;
  ASSERT_TRUE(node_
                  ->Run([&] {
                    LIBBPF_OPTS(bpf_link_create_opts, before, .flags = 1 << 3);
                    link = UniqueFd(bpf_link_create(program.get(),
                                                    static_cast<int>(if_nametoindex("hosta")),
                                                    static_cast<bpf_attach_type>(46), &before));
                    return absl::OkStatus();
                  })
                  .ok());
  const std::vector<ProgramFinding> findings = Repair();
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].what, What::kShadowed);
  ASSERT_EQ(bpf_link_detach(link.get()), 0);
  EXPECT_TRUE(Repair().empty());
}

TEST_P(ProgramRepairTest, WithoutPinsTheProgramsStayAndThePinsComeBack) {
  Begin();
  ASSERT_EQ(std::system(absl::StrCat("rm ", pin_dir_, "/links/* ", pin_dir_, "/maps/*").c_str()),
            GetParam() ? 256 : 0);  // clsact has no links to pin
  EXPECT_TRUE(PodsBlocked()) << "the agent holds what was pinned";
  const std::vector<ProgramFinding> findings = Repair();
  EXPECT_FALSE(findings.empty());
  for (const ProgramFinding& finding : findings) EXPECT_EQ(finding.what, What::kPinned);
  EXPECT_TRUE(Repair().empty());
  Open();
  EXPECT_TRUE(dataplane_->InForce()) << "the next agent finds the tables";
  EXPECT_TRUE(PodsBlocked());
}

TEST_P(ProgramRepairTest, AnUnmountedBpffsIsNamedUntilThereIsOneAgain) {
  Begin();
  ASSERT_EQ(umount2(bpffs_->dir().c_str(), MNT_DETACH), 0);
  EXPECT_TRUE(PodsBlocked()) << "the agent holds what was pinned";
  std::vector<ProgramFinding> findings = Repair();
  ASSERT_FALSE(findings.empty());
  for (const ProgramFinding& finding : findings) {
    EXPECT_EQ(finding.what, What::kUnpinned) << finding.message;
  }
  EXPECT_NE(findings.back().message.find("is not on a bpffs"), std::string::npos)
      << findings.back().message;
  ASSERT_EQ(mount("bpf", bpffs_->dir().c_str(), "bpf", 0, nullptr), 0);
  findings = Repair();
  ASSERT_FALSE(findings.empty());
  for (const ProgramFinding& finding : findings) {
    EXPECT_EQ(finding.what, What::kPinned) << finding.message;
  }
  EXPECT_TRUE(Repair().empty());
}

INSTANTIATE_TEST_SUITE_P(Attachment, ClsactRepairTest, ::testing::Values(true),
                         testing::AttachmentName);
INSTANTIATE_TEST_SUITE_P(Attachment, TcxRepairTest, ::testing::Values(false),
                         testing::AttachmentName);
INSTANTIATE_TEST_SUITE_P(Attachment, ProgramRepairTest, ::testing::Values(false, true),
                         testing::AttachmentName);

}  // namespace
}  // namespace ripstop::agent
