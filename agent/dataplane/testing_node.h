// SPDX-License-Identifier: Apache-2.0
//
// A node with two pods behind veths and a neighbour beyond its uplink, each a network
// namespace of its own, and the datapath on it.
//
//   a (198.51.100.10) ── hosta ┐
//                              node ── up0 ── far (203.0.113.5, 192.0.2.77)
//   b (198.51.100.20) ── hostb ┘
//
// `far` is known by 203.0.113.0/24 as address class 1, its other address by nothing.
#ifndef RIPSTOP_AGENT_DATAPLANE_TESTING_NODE_H_
#define RIPSTOP_AGENT_DATAPLANE_TESTING_NODE_H_

#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/base/testing/probe.h"
#include "agent/base/testing/test_netns.h"
#include "agent/dataplane/dataplane.h"
#include "bpf/loader/testing_bpffs.h"
#include "bpf/loader/testing_tables.h"
#include "policy/base/unique_fd.h"
#include "policy/status_macros.h"

namespace ripstop::agent::testing {

constexpr char kPodA[] = "198.51.100.10";
constexpr char kPodB[] = "198.51.100.20";
constexpr char kFar[] = "203.0.113.5";
constexpr char kFarUnknown[] = "192.0.2.77";
constexpr uint16_t kTrafficPort = 7777;

// Datagrams from one namespace to another on a thread, until stopped.
class Traffic {
 public:
  enum class Kind {
    kLockstep,     // the next leaves when the last one has arrived, or after a second
    kFireAndCount  // one a millisecond, whether or not they arrive
  };
  // `new_flows`: each datagram has a source port of its own.
  Traffic(Kind kind, bool new_flows, const TestNetns& from, const std::string& source,
          const TestNetns& to, const std::string& destination, uint16_t port = kTrafficPort)
      : kind_(kind),
        new_flows_(new_flows),
        from_(from.fd()),
        source_(source),
        to_(destination),
        port_(port) {
    const absl::Status made = ProbeSocket(to.fd(), destination, port, &receiver_);
    EXPECT_TRUE(made.ok()) << made;
    thread_ = std::thread([this] { Send(); });
  }
  ~Traffic() { Stop(); }
  void Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    while (Receive(0)) {
    }
  }
  // Waits until `count` more datagrams were sent.
  void Run(uint64_t count) {
    const uint64_t until = sent_ + count;
    while (sent_ < until) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  uint64_t sent() const { return sent_; }
  uint64_t received() const { return received_; }

 private:
  bool Receive(int timeout_ms) {
    pollfd p{.fd = receiver_.get(), .events = POLLIN, .revents = 0};
    char data[8];
    if (poll(&p, 1, timeout_ms) != 1 || recv(receiver_.get(), data, sizeof(data), 0) < 0) {
      return false;
    }
    ++received_;
    return true;
  }
  void Send() {
    socklen_t length = 0;
    const sockaddr_storage to = ProbeAddress(to_, port_, &length);
    UniqueFd sender;
    while (!stop_) {
      if (!sender.ok() || new_flows_) {
        const absl::Status made = ProbeSocket(from_, source_, 0, &sender);
        ASSERT_TRUE(made.ok()) << made;
      }
      sendto(sender.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), length);
      if (kind_ == Kind::kLockstep) {
        Receive(1000);
      } else {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        Receive(0);
      }
      ++sent_;
    }
  }

  const Kind kind_;
  const bool new_flows_;
  const int from_;
  const std::string source_, to_;
  const uint16_t port_;
  UniqueFd receiver_;
  std::atomic<bool> stop_ = false;
  std::atomic<uint64_t> sent_ = 0, received_ = 0;
  std::thread thread_;
};

// Parameter: whether programs are attached by clsact, as on kernels without tcx.
class NodeTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SCHED_CLS, nullptr) != 1) {
      GTEST_SKIP() << "needs CAP_BPF and CAP_NET_ADMIN";
    }
    for (auto* netns : {&node_, &a_, &b_, &far_}) {
      auto made = TestNetns::Create();
      if (absl::IsPermissionDenied(made.status())) GTEST_SKIP() << made.status();
      ASSERT_TRUE(made.ok()) << made.status();
      *netns = std::make_unique<TestNetns>(*std::move(made));
    }
    auto bpffs = loader::testing::TestBpffs::Mount();
    ASSERT_TRUE(bpffs.ok()) << bpffs.status();
    bpffs_ = *std::move(bpffs);
    pin_dir_ = absl::StrCat(bpffs_->dir(), "/ripstop");
    ASSERT_EQ(node_->Shell("sysctl -w net.ipv4.ip_forward=1 && ip link set lo up && "
                           "ip addr add 192.0.2.1/32 dev lo"),
              0);
    MakePod(*a_, "hosta", kPodA, 0x0a);
    MakePod(*b_, "hostb", kPodB, 0x0b);
    ASSERT_EQ(node_->Shell(absl::StrCat("ip link add up0 type veth peer name eth0 && "
                                        "ip link set eth0 netns ",
                                        far_->path(),
                                        " && "
                                        "ip link set up0 up && ip addr add 10.255.0.1/24 dev up0")),
              0);
    ASSERT_EQ(
        far_->Shell(absl::StrCat("ip link set lo up && ip link set eth0 up && "
                                 "ip addr add 10.255.0.2/24 dev eth0 && ip addr add ",
                                 kFar, "/32 dev lo && ip addr add ", kFarUnknown,
                                 "/32 dev lo && ip route add 198.51.100.0/24 via 10.255.0.1")),
        0);
    ASSERT_EQ(node_->Shell(absl::StrCat("ip route add ", kFar,
                                        "/32 via 10.255.0.2 && "
                                        "ip route add ",
                                        kFarUnknown, "/32 via 10.255.0.2")),
              0);
  }
  void TearDown() override {
    dataplane_.reset();
    if (!pin_dir_.empty()) {
      const absl::Status removed = Dataplane::Remove(pin_dir_);
      EXPECT_TRUE(removed.ok()) << removed;
    }
  }

  void MakePod(const TestNetns& pod, const std::string& host_side, const std::string& address,
               int mac) {
    const std::string pod_mac = absl::StrCat("02:00:00:00:00:", absl::Hex(mac, absl::kZeroPad2));
    ASSERT_EQ(node_->Shell(absl::StrCat("ip link add ", host_side,
                                        " address ee:ee:ee:ee:ee:ee type veth peer name eth0"
                                        " address ",
                                        pod_mac, " && ip link set eth0 netns ", pod.path(),
                                        " && ip link set ", host_side, " up && ip route add ",
                                        address, "/32 dev ", host_side)),
              0);
    ASSERT_EQ(pod.Shell(absl::StrCat(
                  "ip link set lo up && ip link set eth0 up && ip addr add ", address,
                  "/32 dev eth0 && ip route add 169.254.1.1 dev eth0 && ip route add default via "
                  "169.254.1.1 && ip neigh replace 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 "
                  "nud permanent")),
              0);
  }

  uint32_t Ifindex(const std::string& name) {
    uint32_t index = 0;
    EXPECT_TRUE(node_
                    ->Run([&] {
                      index = if_nametoindex(name.c_str());
                      return absl::OkStatus();
                    })
                    .ok());
    return index;
  }

  // Opens, or opens again, in the node's namespace.
  void Open(const loader::DatapathSizes& sizes = {}) {
    dataplane_.reset();
    const absl::Status opened = node_->Run([&]() -> absl::Status {
      auto made =
          Dataplane::Open({.pin_dir = pin_dir_, .sizes = sizes, .force_clsact = GetParam()});
      if (!made.ok()) return made.status();
      dataplane_ = *std::move(made);
      return dataplane_->Configure(
          {.events_per_second = 1000000, .watch_flows = true, .watch_closed = true});
    });
    ASSERT_TRUE(opened.ok()) << opened;
  }
  void Attach() {
    const absl::Status attached = node_->Run([&]() -> absl::Status {
      for (const char* name : {"hosta", "hostb"}) {
        absl::Status done = dataplane_->AttachWorkload(if_nametoindex(name));
        if (!done.ok()) return done;
      }
      return dataplane_->AttachUplink(if_nametoindex("up0"));
    });
    ASSERT_TRUE(attached.ok()) << attached;
  }
  // As the agent does at the end of its start.
  absl::Status PutInForce(uint32_t l4_table) {
    return node_->Run([&]() -> absl::Status {
      RETURN_IF_ERROR(dataplane_->CommitGeneration(l4_table));
      return dataplane_->TakeOver();
    });
  }
  // A generation in which B admits address class 1 when `admit`, else nobody. The pods
  // are of class 1.
  void WriteGeneration(bool admit) {
    auto options = dataplane_->BeginGeneration();
    ASSERT_TRUE(options.ok()) << options.status();
    tables_ = std::make_unique<loader::testing::HandmadeTables>(*options);
    loader::testing::HandmadeTables& tables = *tables_;
    const uint32_t open = tables.AllowAll(1, 11);
    const uint32_t closed = tables.DenyAll(2, 22);
    const uint32_t known = tables.AddSet(3, [](uint32_t address_class, uint32_t) -> uint32_t {
      return address_class == 1 ? VERDICT_ALLOW | 33 : 34;
    });
    tables.AddPod(kPodA, 1, open, open, Ifindex("hosta"), {2, 0, 0, 0, 0, 0x0a});
    tables.AddPod(kPodB, 1, open, admit ? known : closed, Ifindex("hostb"), {2, 0, 0, 0, 0, 0x0b});
    tables.AddOther("192.0.2.1", ADDRESS_THIS_HOST);
    tables.AddCidr(policy::Cidr::Parse("203.0.113.0/24").value(), 1);
    ASSERT_TRUE(dataplane_->Apply(tables.Take()).ok());
    const absl::Status committed = PutInForce(tables.l4_table());
    ASSERT_TRUE(committed.ok()) << committed;
  }

  // A datagram there and one back.
  bool Passes(const TestNetns& from, const char* source, const TestNetns& to,
              const char* destination) {
    return Probe(from.fd(), source, to.fd(), destination).ok();
  }
  bool PodsPass() { return Passes(*a_, kPodA, *b_, kPodB); }
  // Neither arrives. A busy machine can only make this true too early; the counters decide.
  bool Blocked(const TestNetns& from, const char* source, const TestNetns& to,
               const char* destination) {
    return !Probe(from.fd(), source, to.fd(), destination, 8, absl::Milliseconds(500)).ok();
  }
  bool PodsBlocked() { return Blocked(*a_, kPodA, *b_, kPodB); }

  uint64_t Dropped(drop_reason reason) {
    const auto drops = dataplane_->Drops();
    EXPECT_TRUE(drops.ok()) << drops.status();
    for (const loader::DropCount& drop : *drops) {
      if (drop.reason == reason) return drop.packets;
    }
    ADD_FAILURE() << "no counter for reason " << reason;
    return 0;
  }

  std::unique_ptr<TestNetns> node_, a_, b_, far_;
  std::unique_ptr<loader::testing::TestBpffs> bpffs_;
  std::unique_ptr<Dataplane> dataplane_;
  std::unique_ptr<loader::testing::HandmadeTables> tables_;  // of the generation in force
  std::string pin_dir_;
};

inline std::string AttachmentName(const ::testing::TestParamInfo<bool>& info) {
  return info.param ? "Clsact" : "Tcx";
}

}  // namespace ripstop::agent::testing

#endif  // RIPSTOP_AGENT_DATAPLANE_TESTING_NODE_H_
