// SPDX-License-Identifier: Apache-2.0
//
// D3, D9: the agent dies before any write of a start or of an ADD (crash_at.c).
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "e2e/attacks/crash_at.h"
#include "e2e/attacks/group_d.h"
#include "e2e/attacks/shot.h"
#include "policy/base/unique_fd.h"
#include "policy/status_macros.h"

namespace ripstop::attacks {
namespace {

using absl::StrCat;

class CrashAt {
 public:
  static absl::StatusOr<std::unique_ptr<CrashAt>> Make(Ground& ground) {
    std::unique_ptr<CrashAt> made(new CrashAt);
    made->path_ = ground.lab().state().dir() + "/crash";
    const UniqueFd fd(open(made->path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!fd.ok() || ftruncate(fd.get(), sizeof(crash_at)) != 0) {
      return absl::ErrnoToStatus(errno, made->path_);
    }
    void* place = mmap(nullptr, sizeof(crash_at), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (place == MAP_FAILED) return absl::ErrnoToStatus(errno, made->path_);
    made->place_ = static_cast<crash_at*>(place);
    made->library_ = ground.lab().Binary("libripstop-crash-at.so");
    return made;
  }
  ~CrashAt() {
    if (place_ != nullptr) munmap(place_, sizeof(crash_at));
  }
  // Counts from here, and dies before write `at`; 0: not at all.
  void Arm(uint64_t at) {
    __atomic_store_n(&place_->at, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&place_->count, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&place_->at, at, __ATOMIC_SEQ_CST);
  }
  // Not any more. Whether it has come to that write, so that the agent is dead, or all but.
  bool Disarm() {
    const uint64_t at = __atomic_exchange_n(&place_->at, 0, __ATOMIC_SEQ_CST);
    return at != 0 && count() >= at;
  }
  uint64_t count() const { return __atomic_load_n(&place_->count, __ATOMIC_SEQ_CST); }
  // Started so, an agent counts; the programs that the lab starts meanwhile do not.
  absl::Status StartAgent(Ground& ground, const std::string& node) {
    setenv("LD_PRELOAD", library_.c_str(), 1);
    setenv("RIPSTOP_CRASH_FILE", path_.c_str(), 1);
    const absl::Status started = ground.lab().StartAgent(node);
    unsetenv("LD_PRELOAD");
    unsetenv("RIPSTOP_CRASH_FILE");
    return started;
  }

 private:
  CrashAt() = default;
  std::string path_, library_;
  crash_at* place_ = nullptr;
};

// Some of the places from 1 to `all`, evenly.
std::vector<uint64_t> Points(uint64_t all, int wanted) {
  std::vector<uint64_t> points;
  const uint64_t count = std::min<uint64_t>(all, static_cast<uint64_t>(wanted));
  for (uint64_t i = 0; i < count; ++i)
    points.push_back(1 + i * (all - 1) / std::max<uint64_t>(1, count - 1));
  return points;
}

absl::StatusOr<Failed> HoldsWhereverItDies(Ground& ground, const Variant& v) {
  const std::string node = ground.NodeOf(v.path);
  ASSIGN_OR_RETURN(const auto crash, CrashAt::Make(ground));
  RETURN_IF_ERROR(ground.lab().StopAgent(node, SIGKILL));
  crash->Arm(0);
  RETURN_IF_ERROR(crash->StartAgent(ground, node));
  const uint64_t writes = crash->count();
  if (writes < 10) return absl::InternalError(StrCat("a start has only ", writes, " writes"));
  ASSIGN_OR_RETURN(const Ground::Drops before, ground.DropsNow());
  ASSIGN_OR_RETURN(const lab::LiveFlow live, AliceToBob(ground, v));
  int died = 0;
  const auto points = Points(writes, Number("RIPSTOP_ATTACK_POINTS", 12));
  absl::Status status;
  for (uint64_t point : points) {
    RETURN_IF_ERROR(ground.lab().StopAgent(node, SIGKILL));
    crash->Arm(point);
    // Ready before it died: some writes come later in one start than in another.
    died += !crash->StartAgent(ground, node).ok();
    crash->Arm(0);
    status = PolicyHolds(ground, v);
    if (!status.ok()) {
      status = absl::InternalError(
          StrCat("killed before write ", point, " of ", writes, ": ", status.message()));
      break;
    }
  }
  RETURN_IF_ERROR(ground.lab().StopAgent(node, SIGKILL));
  RETURN_IF_ERROR(ground.lab().StartAgent(node));
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(PolicyHolds(ground, v));
  RETURN_IF_ERROR(NothingLost(live));
  RETURN_IF_ERROR(CountedAsDenied(ground, v, before));
  if (died < static_cast<int>(points.size()) / 2) {
    return absl::InternalError(StrCat("it died at ", died, " places only"));
  }
  return Failed{StrCat("dropped: policy-ingress, killed at ", died, " of ", writes,
                       " writes of a start; no packet lost"),
                {}};
}

// Addresses that blocks say are in use.
absl::StatusOr<std::string> CheckAddresses(Ground& ground) {
  ASSIGN_OR_RETURN(const lab::Output output, ground.lab().Ctl({"ipam", "check"}));
  return output.exit_code == 0 ? "" : output.out + output.err;
}

absl::StatusOr<Failed> NothingLeaksWhereverItDies(Ground& ground, const Variant&) {
  const std::string node = "node1";
  lab::Pod kid = Kid();
  ASSIGN_OR_RETURN(const auto crash, CrashAt::Make(ground));
  RETURN_IF_ERROR(ground.lab().StopAgent(node, SIGKILL));
  crash->Arm(0);
  RETURN_IF_ERROR(crash->StartAgent(ground, node));
  ASSIGN_OR_RETURN(const std::string clean, CheckAddresses(ground));
  if (!clean.empty()) return absl::FailedPreconditionError(StrCat("before: ", clean));
  crash->Arm(0);
  RETURN_IF_ERROR(ground.lab().AddPod(kid));
  const uint64_t writes = crash->count();
  RETURN_IF_ERROR(ground.lab().RemovePod(kid.key()));
  int died = 0, left = 0;
  for (uint64_t point : Points(writes, Number("RIPSTOP_ATTACK_POINTS", 12))) {
    crash->Arm(point);
    const absl::Status added = ground.lab().AddPod(kid);
    // Some writes come after the answer: last-good.db's, by a thread of its own.
    if (crash->Disarm() || !added.ok()) {
      ++died;
      ASSIGN_OR_RETURN(const std::string found, CheckAddresses(ground));
      left += !found.empty();
      RETURN_IF_ERROR(ground.lab().StopAgent(node, SIGKILL));
      RETURN_IF_ERROR(crash->StartAgent(ground, node));
    }
    RETURN_IF_ERROR(ground.lab().RemovePod(kid.key()));
    // Once more, whole: it is given an address, and all of it comes back.
    RETURN_IF_ERROR(ground.lab().AddPod(kid));
    RETURN_IF_ERROR(ground.lab().RemovePod(kid.key()));
    std::string found;
    absl::Status asked;
    if (!Await([&] {
          auto now = CheckAddresses(ground);
          asked = now.status();
          if (now.ok()) found = *std::move(now);
          return !asked.ok() || found.empty();
        })) {
      return absl::InternalError(
          StrCat("killed before write ", point, " of ", writes, ": ", found));
    }
    RETURN_IF_ERROR(asked);
  }
  RETURN_IF_ERROR(ground.lab().StopAgent(node, SIGKILL));
  RETURN_IF_ERROR(ground.lab().StartAgent(node));
  if (died == 0 || left == 0) {
    return absl::FailedPreconditionError(StrCat("control did not succeed: it died ", died,
                                                " times, and left something ", left, " times"));
  }
  return Failed{StrCat("nothing leaked: killed at ", died, " of ", writes, " writes of an ADD, ",
                       left, " times with something left until it came back"),
                {}};
}

}  // namespace

Attack DiesInAStart() {
  return {"D3",
          "the agent is killed at any write of its start",
          {{4, Path::kSame}, {6, Path::kNative}, {4, Path::kVxlan}},
          ClosedPortIsReached,
          HoldsWhereverItDies};
}

Attack DiesInAnAdd() {
  return {"D9",
          "the agent is killed at any write of an ADD",
          OnNode(4),
          {},
          NothingLeaksWhereverItDies};
}

}  // namespace ripstop::attacks
