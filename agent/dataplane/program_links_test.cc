// SPDX-License-Identifier: Apache-2.0
//
// What ProgramLinks makes of a kernel that refuses, forgets and gives numbers anew. The real one's
// part is in program_repair_test.cc.
#include "agent/dataplane/program_links.h"

#include <bpf/bpf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "agent/dataplane/fake_bpf.h"

namespace ripstop::agent {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using What = ProgramFinding::What;

constexpr uint32_t kEth0 = 7, kEth1 = 9;
constexpr int kOld = testing::FakeBpf::kFirstProgram, kNew = kOld + 1, kOther = kOld + 2;
constexpr AttachPoint kIn = AttachPoint::kIngress, kOut = AttachPoint::kEgress;

class ProgramLinksTest : public ::testing::Test {
 protected:
  ProgramLinksTest() {
    char name[] = "/tmp/ripstop-links-XXXXXX";
    dir_ = mkdtemp(name);
    world_.AddInterface(kEth0);
    world_.AddInterface(kEth1);
  }
  ~ProgramLinksTest() override {
    std::error_code ignored;
    fs::remove_all(dir_, ignored);
  }
  ProgramLinks Open() { return ProgramLinks(dir_, false); }
  std::vector<std::string> Pins() const {
    std::vector<std::string> pins;
    for (const auto& entry : fs::directory_iterator(dir_)) {
      pins.push_back(entry.path().filename().string());
    }
    std::sort(pins.begin(), pins.end());
    return pins;
  }
  static std::vector<What> Found(ProgramLinks& links) {
    std::vector<What> found;
    for (const ProgramFinding& finding : links.Repair()) found.push_back(finding.what);
    return found;
  }
  static absl::Status Attach(ProgramLinks& links, int program, uint32_t ifindex = kEth0) {
    return links.Attach("from_x", program, ifindex, kIn);
  }

  std::string dir_;
  testing::FakeBpf world_;
};

TEST_F(ProgramLinksTest, AProgramStaysWhenTheAgentGoesAndTheNextOneUpdatesItsLink) {
  {
    ProgramLinks links = Open();
    ASSERT_TRUE(links.uses_tcx());
    ASSERT_EQ(Attach(links, kOld), absl::OkStatus());
    EXPECT_EQ(links.Check("from_x", kOld, kEth0, kIn), absl::OkStatus());
    EXPECT_EQ(links.Check("from_x", kNew, kEth0, kIn).code(),
              absl::StatusCode::kFailedPrecondition);
  }
  EXPECT_THAT(world_.At(kEth0, kIn), ElementsAre(kOld));
  ProgramLinks next = Open();
  EXPECT_TRUE(next.IsOurs("from_x", kEth0, kIn));
  EXPECT_FALSE(next.IsOurs("from_x", kEth1, kIn));
  ASSERT_EQ(Attach(next, kNew), absl::OkStatus());
  EXPECT_THAT(world_.At(kEth0, kIn), ElementsAre(kNew));
  EXPECT_EQ(world_.links(), 1u) << "never without, and never two";
  EXPECT_THAT(Found(next), IsEmpty());
}

TEST_F(ProgramLinksTest, ADetachedProgramComesBackBeforeAllOthersAndItsPinHoldsTheNewLink) {
  {
    ProgramLinks links = Open();
    ASSERT_EQ(Attach(links, kOld), absl::OkStatus());
    world_.DetachAll(kEth0);
    const UniqueFd others(world_.AddLink(kOther, {kEth0, kIn}));
    const std::vector<ProgramFinding> findings = links.Repair();
    ASSERT_EQ(findings.size(), 1u);
    EXPECT_EQ(findings[0].what, What::kRepaired);
    EXPECT_EQ(findings[0].ifindex, kEth0);
    EXPECT_EQ(findings[0].message,
              "from_x at interface 7: was detached by somebody; attached again");
    EXPECT_THAT(world_.At(kEth0, kIn), ElementsAre(kOld, kOther));
    EXPECT_THAT(Found(links), IsEmpty());
    const UniqueFd before(world_.AddLink(kOther, {kEth0, kIn}));
    EXPECT_THAT(Found(links), ElementsAre(What::kShadowed));
  }
  EXPECT_THAT(world_.At(kEth0, kIn), ElementsAre(kOld)) << "by its pin";
  EXPECT_THAT(Pins(), ElementsAre("from_x-7"));
}

TEST_F(ProgramLinksTest, APinThatIsGoneIsPutBackForTheSameLink) {
  ProgramLinks links = Open();
  ASSERT_EQ(Attach(links, kOld), absl::OkStatus());
  fs::remove_all(dir_);  // folder and all, as where another bpffs was mounted
  EXPECT_THAT(world_.At(kEth0, kIn), ElementsAre(kOld)) << "the agent holds it";
  world_.refuse_pin = EPERM;
  EXPECT_THAT(Found(links), ElementsAre(What::kUnpinned));
  world_.refuse_pin = 0;
  EXPECT_THAT(Found(links), ElementsAre(What::kPinned));
  EXPECT_THAT(Found(links), IsEmpty());
  EXPECT_THAT(Pins(), ElementsAre("from_x-7"));
  EXPECT_EQ(world_.links(), 1u);
}

TEST_F(ProgramLinksTest, AFailedAttachLeavesNothingHalfDone) {
  ProgramLinks links = Open();
  EXPECT_EQ(Attach(links, kOld, 8).code(), absl::StatusCode::kNotFound) << "no such interface";
  world_.refuse_attach[kEth0] = ENOSPC;
  const absl::Status refused = Attach(links, kOld);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("attach from_x: interface 7"));
  world_.refuse_attach.clear();
  world_.refuse_pin = EACCES;
  EXPECT_FALSE(Attach(links, kOld).ok()) << "it would be gone with the agent";
  EXPECT_THAT(world_.At(kEth0, kIn), IsEmpty());
  EXPECT_EQ(world_.links(), 0u);
  EXPECT_THAT(Pins(), IsEmpty());
  world_.refuse_pin = 0;
  EXPECT_THAT(Found(links), IsEmpty()) << "nobody was told that it stands";
  EXPECT_THAT(world_.At(kEth0, kIn), IsEmpty());
  EXPECT_EQ(links.Detach("from_x", kEth0, kIn), absl::OkStatus());
  EXPECT_EQ(Attach(links, kOld), absl::OkStatus());
}

TEST_F(ProgramLinksTest, AFailedUpdateLeavesTheFormerProgramInItsPlace) {
  ProgramLinks links = Open();
  ASSERT_EQ(Attach(links, kOld), absl::OkStatus());
  world_.refuse_update = ENOMEM;
  EXPECT_FALSE(Attach(links, kNew).ok());
  EXPECT_FALSE(links.Refresh("from_x", kNew).ok());
  EXPECT_THAT(world_.At(kEth0, kIn), ElementsAre(kOld));
  EXPECT_THAT(Pins(), ElementsAre("from_x-7"));
  EXPECT_THAT(Found(links), IsEmpty());
}

TEST_F(ProgramLinksTest, WhatCannotBePutBackIsToldUntilItCan) {
  ProgramLinks links = Open();
  ASSERT_EQ(Attach(links, kOld), absl::OkStatus());
  world_.DetachAll(kEth0);
  world_.refuse_attach[kEth0] = ENOSPC;
  for (int i = 0; i < 2; ++i) EXPECT_THAT(Found(links), ElementsAre(What::kFailed));
  world_.refuse_attach.clear();
  EXPECT_THAT(Found(links), ElementsAre(What::kRepaired));
  EXPECT_THAT(world_.At(kEth0, kIn), ElementsAre(kOld));
}

// Links go by an interface's number, so a new name is nothing new. A number may be another
// interface's by now.
TEST_F(ProgramLinksTest, ANumberThatIsAnotherInterfacesByNowBringsNothingOfTheOld) {
  ProgramLinks links = Open();
  ASSERT_EQ(Attach(links, kOld), absl::OkStatus());
  world_.DeleteInterface(kEth0);
  world_.AddInterface(kEth0);
  EXPECT_THAT(world_.At(kEth0, kIn), IsEmpty()) << "control";
  EXPECT_FALSE(Open().IsOurs("from_x", kEth0, kIn)) << "the pin is of the dead link";
  EXPECT_FALSE(links.Check("from_x", kOld, kEth0, kIn).ok());
  {
    ProgramLinks next = Open();
    ASSERT_EQ(Attach(next, kNew), absl::OkStatus());
  }
  EXPECT_THAT(world_.At(kEth0, kIn), ElementsAre(kNew)) << "by the pin, which is the new link's";
  EXPECT_THAT(Pins(), ElementsAre("from_x-7"));
}

TEST_F(ProgramLinksTest, OfAnInterfaceThatIsGoneNothingIsKept) {
  {
    ProgramLinks links = Open();
    ASSERT_EQ(Attach(links, kOld), absl::OkStatus());
    ASSERT_EQ(Attach(links, kOld, kEth1), absl::OkStatus());
    world_.DeleteInterface(kEth0);
    EXPECT_THAT(Found(links), IsEmpty()) << "it is nobody's doing";
    world_.AddInterface(kEth0);
    EXPECT_THAT(Found(links), IsEmpty()) << "nobody has said that the next one is ours";
    EXPECT_THAT(world_.At(kEth0, kIn), IsEmpty());
  }
  EXPECT_THAT(Pins(), ElementsAre("from_x-7", "from_x-9")) << "control";
  ASSERT_EQ(Open().Refresh("from_x", kNew), absl::OkStatus());
  EXPECT_THAT(Pins(), ElementsAre("from_x-9"));
  EXPECT_THAT(world_.At(kEth1, kIn), ElementsAre(kNew));
}

TEST_F(ProgramLinksTest, ReplaceGoesOnAfterAFailureAndRepairBringsWhatIsMissing) {
  ProgramLinks links = Open();
  ASSERT_EQ(Attach(links, kOld), absl::OkStatus());
  ASSERT_EQ(Attach(links, kOld, kEth1), absl::OkStatus());
  world_.DetachAll(kEth0);
  world_.refuse_attach[kEth0] = ENOSPC;
  EXPECT_EQ(links.Replace("from_x", kNew).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(world_.At(kEth1, kIn), ElementsAre(kNew));
  world_.refuse_attach.clear();
  EXPECT_THAT(Found(links), ElementsAre(What::kRepaired));
  EXPECT_THAT(world_.At(kEth0, kIn), ElementsAre(kNew));
  world_.DeleteInterface(kEth0);
  EXPECT_EQ(links.Replace("from_x", kOld), absl::OkStatus()) << "gone, and its program with it";
  EXPECT_THAT(world_.At(kEth1, kIn), ElementsAre(kOld));
}

TEST_F(ProgramLinksTest, DetachIsAtOnceAndOfOnePlaceAndFineTwice) {
  ProgramLinks links = Open();
  ASSERT_EQ(Attach(links, kOld), absl::OkStatus());
  ASSERT_EQ(links.Attach("to_x", kOther, kEth0, kOut), absl::OkStatus());
  // As the kernel, which frees a link at some later moment.
  const UniqueFd held(bpf_obj_get(absl::StrCat(dir_, "/from_x-7").c_str()));
  ASSERT_TRUE(held.ok());
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(links.Detach("from_x", kEth0, kIn), absl::OkStatus());
    EXPECT_THAT(world_.At(kEth0, kIn), IsEmpty());
    EXPECT_THAT(world_.At(kEth0, kOut), ElementsAre(kOther));
    EXPECT_THAT(Pins(), ElementsAre("to_x-7"));
  }
  EXPECT_THAT(Found(links), IsEmpty()) << "not put back";
}

// ---- without tcx ----

class ClsactLinksTest : public ProgramLinksTest {
 protected:
  ClsactLinksTest() { world_.tcx = false; }
};

TEST_F(ClsactLinksTest, AKernelWithoutTcxGetsFiltersAndNoPins) {
  EXPECT_FALSE(Open().uses_tcx());
  world_.tcx = true;
  EXPECT_FALSE(ProgramLinks(dir_, true).uses_tcx()) << "forced";
  EXPECT_FALSE(ProgramLinks("", false).uses_tcx()) << "no place for pins";
  world_.tcx = false;
  {
    ProgramLinks links = Open();
    ASSERT_EQ(Attach(links, kOld), absl::OkStatus());
    ASSERT_EQ(links.Attach("to_x", kOther, kEth0, kOut), absl::OkStatus());
  }
  EXPECT_THAT(world_.At(kEth0, kIn), ElementsAre(kOld)) << "it stays when the agent goes";
  EXPECT_THAT(Pins(), IsEmpty());
  ProgramLinks next = Open();
  EXPECT_TRUE(next.IsOurs("from_x", kEth0, kIn));
  EXPECT_FALSE(next.IsOurs("from_x", kEth1, kIn));
  ASSERT_EQ(Attach(next, kNew), absl::OkStatus()) << "in place of the former";
  EXPECT_THAT(world_.At(kEth0, kIn), ElementsAre(kNew));
  EXPECT_EQ(next.Check("from_x", kNew, kEth0, kIn), absl::OkStatus());
  EXPECT_EQ(next.Detach("from_x", kEth0, kIn), absl::OkStatus());
  EXPECT_EQ(next.Detach("from_x", kEth0, kIn), absl::OkStatus());
  EXPECT_EQ(next.Detach("from_x", kEth1, kIn), absl::OkStatus()) << "never had one";
  EXPECT_EQ(next.Detach("from_x", 8, kIn), absl::OkStatus()) << "no such interface";
  EXPECT_THAT(world_.At(kEth0, kOut), ElementsAre(kOther));
}

TEST_F(ClsactLinksTest, AFilterOrAWholeQdiscThatSomebodyRemovedComesBack) {
  ProgramLinks links = Open();
  ASSERT_EQ(Attach(links, kOld), absl::OkStatus());
  for (const bool whole : {false, true}) {
    whole ? world_.DeleteQdisc(kEth0) : world_.DetachAll(kEth0);
    EXPECT_THAT(Found(links), ElementsAre(What::kRepaired));
    EXPECT_THAT(world_.At(kEth0, kIn), ElementsAre(kOld));
    EXPECT_THAT(Found(links), IsEmpty());
  }
  world_.DeleteInterface(kEth0);
  EXPECT_THAT(Found(links), IsEmpty());
}

TEST_F(ClsactLinksTest, AFailedAttachIsNotRemembered) {
  ProgramLinks links = Open();
  EXPECT_EQ(Attach(links, kOld, 8).code(), absl::StatusCode::kNotFound);
  world_.refuse_attach[kEth0] = ENOMEM;
  EXPECT_FALSE(Attach(links, kOld).ok());
  EXPECT_FALSE(links.IsOurs("from_x", kEth0, kIn));
  world_.refuse_attach.clear();
  EXPECT_THAT(Found(links), IsEmpty());
  EXPECT_THAT(world_.At(kEth0, kIn), IsEmpty());
}

}  // namespace
}  // namespace ripstop::agent
