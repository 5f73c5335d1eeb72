// SPDX-License-Identifier: Apache-2.0
//
// Programs and pins that somebody else takes away.
#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "agent/dataplane/testing_nat.h"

namespace ripstop::agent {
namespace {

// The kernel tells nobody when a program is detached; until it is put back all passes.
class ProgramRepairTest : public testing::NatNode {
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

// What pods send to a service whose backend is the host itself is judged where the host looks
// for the socket.
TEST_P(ProgramRepairTest, WhatJudgesTheHostsSocketsIsPutBackAndTold) {
  using testing::kV4;
  Dnat(kV4, testing::RuleTool::kNft, kV4.service, 80, kV4.node, 6443);
  Start(Policy::kClosed);
  const auto ask = [this] {
    return FromA(Transport::kUdp, kV4, kV4.service, *node_, kV4.node, 80, 6443);
  };
  const auto expect_asked = [&](const char* how) {
    Conversation talk = ask();
    ASSERT_TRUE(talk.Listen().ok() && talk.Begin().ok());
    talk.ClientSays();
    EXPECT_TRUE(talk.ServerHears().ok()) << "control: " << how << ", the socket is asked";
  };
  const auto expect_found = [&](What what, const std::string& message) {
    const std::vector<ProgramFinding> findings = Repair();
    ASSERT_EQ(findings.size(), 1u);
    EXPECT_EQ(findings[0].what, what);
    EXPECT_EQ(findings[0].message, message);
    ExpectDenied(ask(), DROP_POLICY_EGRESS);
    EXPECT_TRUE(Repair().empty());
  };
  const std::string pin = absl::StrCat(pin_dir_, "/links/to_socket");
  ExpectDenied(ask(), DROP_POLICY_EGRESS);
  ASSERT_TRUE(Repair().empty());
  {
    const UniqueFd link(bpf_obj_get(pin.c_str()));
    ASSERT_EQ(bpf_link_detach(link.get()), 0);
  }
  expect_asked("detached");
  expect_found(What::kRepaired, "to_socket was detached by somebody; attached again");
  // The pin is not what holds it.
  ASSERT_EQ(unlink(pin.c_str()), 0);
  ExpectDenied(ask(), DROP_POLICY_EGRESS);
  expect_found(What::kPinned, "to_socket: its pin was removed by somebody; pinned again");
  ASSERT_EQ(umount2(bpffs_->dir().c_str(), MNT_DETACH), 0);
  for (int i = 0; i < 2; ++i) {
    ExpectDenied(ask(), DROP_POLICY_EGRESS);
    for (const ProgramFinding& finding : Repair()) {
      EXPECT_EQ(finding.what, What::kUnpinned) << finding.message;
    }
  }
  ASSERT_EQ(mount("bpf", bpffs_->dir().c_str(), "bpf", 0, nullptr), 0);
  for (const ProgramFinding& finding : Repair()) {
    EXPECT_EQ(finding.what, What::kPinned) << finding.message;
  }
  EXPECT_EQ(access(pin.c_str(), F_OK), 0);
  // And the next agent goes on with it.
  Open();
  ConfigureNat(true);
  ExpectDenied(ask(), DROP_POLICY_EGRESS);
  EXPECT_TRUE(Repair().empty());
}

TEST_P(ProgramRepairTest, NothingIsPutAtTheHostsSocketsWhereHostsNatNeverWas) {
  Begin();
  EXPECT_NE(access(absl::StrCat(pin_dir_, "/links/to_socket").c_str(), F_OK), 0);
  EXPECT_TRUE(Repair().empty());
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
