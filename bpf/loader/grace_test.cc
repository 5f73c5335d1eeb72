// SPDX-License-Identifier: Apache-2.0
//
// A grace period outlasts the programs that run when it begins, by either way.
#include "bpf/loader/grace.h"

#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "bpf/grace_probe.skel.h"

namespace ripstop::loader {
namespace {

int NoMembarrier() {  // as on a kernel with nohz_full CPUs
  errno = EINVAL;
  return -1;
}

class GraceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SCHED_CLS, nullptr) != 1) {
      GTEST_SKIP() << "needs CAP_BPF and CAP_NET_ADMIN";
    }
    sched_getaffinity(0, sizeof(cpus_), &cpus_);
    if (CPU_COUNT(&cpus_) < 2) {
      RecordProperty("kernel_lacks", "a second CPU");
      GTEST_SKIP() << "needs two CPUs";
    }
    probe_ = grace_probe__open_and_load();
    ASSERT_NE(probe_, nullptr) << "grace_probe failed to load";
  }
  ~GraceTest() override {
    sched_setaffinity(0, sizeof(cpus_), &cpus_);
    grace_probe__destroy(probe_);
  }

  // Does `wait` on another thread while the probe runs, and lets the probe end once that
  // thread sleeps or is through. Whether the probe had ended when `wait` returned.
  bool OutlastsTheProbe(const std::function<absl::Status()>& wait) {
    std::atomic<int> run = 0;
    // The kernel may not take the CPU from a program: what must go on has another one.
    PinTo(0);
    std::thread runner([&] {
      PinTo(1);
      uint8_t frame[64] = {};
      LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = sizeof(frame),
                  .repeat = 1);
      run = bpf_prog_test_run_opts(bpf_program__fd(probe_->progs.grace_probe), &options);
    });
    while (!Flag(probe_->bss->begun) && run == 0) std::this_thread::yield();
    std::atomic<pid_t> waiter_id = 0;
    std::atomic<bool> returned = false;
    bool ended = false;
    absl::Status waited;
    std::thread waiter([&] {
      waiter_id = static_cast<pid_t>(syscall(SYS_gettid));
      waited = wait();
      ended = Flag(probe_->bss->ended);
      returned = true;
    });
    while (!returned && (waiter_id == 0 || !InGrace(waiter_id))) std::this_thread::yield();
    __atomic_store_n(&probe_->bss->released, 1, __ATOMIC_RELEASE);
    waiter.join();
    runner.join();
    EXPECT_TRUE(waited.ok()) << waited;
    EXPECT_EQ(run, 0);
    return ended;
  }

  // To the n-th of the CPUs that this process may use.
  void PinTo(int n) {
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0, seen = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &cpus_) && seen++ == n) CPU_SET(cpu, &one);
    }
    sched_setaffinity(0, sizeof(one), &one);
  }
  static bool Flag(const volatile uint32_t& word) {
    return __atomic_load_n(&word, __ATOMIC_ACQUIRE) != 0;
  }
  // Asleep, not to be interrupted: that is how a thread waits for a grace period.
  static bool InGrace(pid_t thread) {
    std::ifstream stat(absl::StrCat("/proc/self/task/", thread, "/stat"));
    std::string text((std::istreambuf_iterator<char>(stat)), {});
    const size_t name_end = text.rfind(')');
    return name_end != std::string::npos && text.size() > name_end + 2 && text[name_end + 2] == 'D';
  }

  grace_probe* probe_ = nullptr;
  cpu_set_t cpus_ = {};
};

TEST_F(GraceTest, TheProbeOutlastsWhoDoesNotWait) {
  EXPECT_FALSE(OutlastsTheProbe([] { return absl::OkStatus(); })) << "control";
}

TEST_F(GraceTest, MembarrierWaitsForRunningPrograms) {
  if (GlobalMembarrier() != 0) {
    RecordProperty("kernel_lacks", "MEMBARRIER_CMD_GLOBAL: it has nohz_full CPUs");
    GTEST_SKIP() << "this kernel has no global membarrier";
  }
  EXPECT_TRUE(OutlastsTheProbe([] { return RcuGrace(); }));
}

TEST_F(GraceTest, WithoutMembarrierAMapOfMapsWaits) {
  EXPECT_TRUE(OutlastsTheProbe([] { return RcuGrace(NoMembarrier); }));
}

}  // namespace
}  // namespace ripstop::loader
