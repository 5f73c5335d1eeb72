// SPDX-License-Identifier: Apache-2.0
//
// Group D: the agent is gone, dies halfway, starts without its store, or is late. On the plain
// ground nothing keeps bob's closed port closed; on the guarded one the kernel must, whatever
// happens to the agent.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/base/netns.h"
#include "agent/base/testing/probe.h"
#include "e2e/attacks/crash_at.h"
#include "e2e/attacks/shot.h"
#include "e2e/lab/live_flow.h"
#include "e2e/lab/netns.h"
#include "policy/status_macros.h"

namespace ripstop::attacks {
namespace {

using absl::StrCat;
namespace fs = std::filesystem;

// How many starts, and how many places to die at. RIPSTOP_ATTACK_STARTS, RIPSTOP_ATTACK_POINTS.
int Number(const char* name, int otherwise) {
  int number = otherwise;
  const char* text = std::getenv(name);
  if (text != nullptr && !absl::SimpleAtoi(text, &number)) return otherwise;
  return number;
}

// A datagram of mallory to bob.
struct Sent {
  Arrived arrived;
  Bytes packet;
};
absl::StatusOr<Sent> ToBob(Ground& ground, const Variant& v, uint16_t port) {
  static uint16_t from_port = 30000;
  const Bytes marker = Marker();
  const std::string bob = ground.Victim(v.path);
  ASSIGN_OR_RETURN(Arrived arrived, Captured(ground, bob, marker));
  return Sent{std::move(arrived), Udp(ground.Address(kMallory, v.family),
                                      ground.Address(bob, v.family), ++from_port, port, marker)};
}

absl::Status ClosedPortIsReached(Ground& ground, const Variant& v) {
  ASSIGN_OR_RETURN(const Sent sent, ToBob(ground, v, kClosedPort));
  ASSIGN_OR_RETURN(const Mac mac, ground.HostMac(kMallory));
  RETURN_IF_ERROR(SendPackets(ground, kMallory, "eth0", mac, {sent.packet}));
  if (Await(sent.arrived)) return absl::OkStatus();
  return absl::FailedPreconditionError("the closed port was not reached");
}

// The open port is reached by what was sent after what was sent to the closed one, and that is
// not. Nobody need be there to count it.
absl::Status PolicyHolds(Ground& ground, const Variant& v) {
  ASSIGN_OR_RETURN(const Sent denied, ToBob(ground, v, kClosedPort));
  ASSIGN_OR_RETURN(const Sent allowed, ToBob(ground, v, kOpenPort));
  ASSIGN_OR_RETURN(const Mac mac, ground.HostMac(kMallory));
  RETURN_IF_ERROR(
      SendPackets(ground, kMallory, "eth0", mac, {denied.packet, denied.packet, allowed.packet}));
  if (!Await(allowed.arrived)) return absl::InternalError("what is allowed did not arrive");
  if (denied.arrived()) return absl::InternalError("what is denied ARRIVED");
  return absl::OkStatus();
}

absl::StatusOr<lab::LiveFlow> AliceToBob(Ground& ground, const Variant& v,
                                         const char* protocol = "UDP", uint16_t port = 7002) {
  ASSIGN_OR_RETURN(
      lab::LiveFlow live,
      lab::LiveFlow::Start(ground.lab(), {kAlice, ground.Victim(v.path), protocol, port, v.family},
                           {}));
  RETURN_IF_ERROR(live.WaitFor("connected").status());
  return live;
}

absl::Status NothingLost(const lab::LiveFlow& live) {
  RETURN_IF_ERROR(live.WaitForMore(50));
  ASSIGN_OR_RETURN(const auto end, live.Finish());
  if (end.value("lost", -1) == 0) return absl::OkStatus();
  return absl::InternalError(StrCat("alice's flow lost packets: ", end.dump()));
}

// What the denied packets were counted under since `before`: one reason and no other.
absl::Status CountedAsDenied(Ground& ground, const Variant& v, Ground::Drops before) {
  const std::pair<std::string, std::string> denied = {ground.NodeOf(v.path), "policy-ingress"};
  ASSIGN_OR_RETURN(Ground::Drops after, ground.DropsNow());
  if (after[denied] <= before[denied]) return absl::InternalError("not counted as policy-ingress");
  after[denied] = before[denied];
  if (after == before) return absl::OkStatus();
  return absl::InternalError("other reasons rose too");
}

// --- D1: a pod that sends from its first instruction on, before it has an address.

constexpr char kKid[] = R"(
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: kid, namespace: attack}
spec: {podSelector: {matchLabels: {app: kid}}, policyTypes: [Egress]}
)";

// Sends to all the addresses from the moment that the namespace exists until it goes.
class EagerSender {
 public:
  EagerSender(std::string netns, std::vector<std::string> targets, const Bytes& payload)
      : thread_([this, netns = std::move(netns), targets = std::move(targets), payload] {
          Send(netns, targets, payload);
        }) {}
  ~EagerSender() {
    stop_ = true;
    thread_.join();
  }

 private:
  void Send(const std::string& netns, const std::vector<std::string>& targets,
            const Bytes& payload) {
    absl::StatusOr<UniqueFd> fd = absl::NotFoundError("");
    while (!stop_ && !(fd = agent::OpenNetns("/run/netns/" + netns)).ok()) {
      absl::SleepFor(absl::Microseconds(100));
    }
    UniqueFd v4, v6;
    if (!fd.ok() || !agent::ProbeSocket(fd->get(), "0.0.0.0", 0, &v4).ok() ||
        !agent::ProbeSocket(fd->get(), "::", 0, &v6).ok()) {
      return;
    }
    while (!stop_) {
      for (const std::string& target : targets) {
        socklen_t length = 0;
        const sockaddr_storage to = agent::ProbeAddress(target, kOpenPort, &length);
        sendto((to.ss_family == AF_INET ? v4 : v6).get(), payload.data(), payload.size(), 0,
               reinterpret_cast<const sockaddr*>(&to), length);
      }
      absl::SleepFor(absl::Microseconds(50));
    }
  }
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

struct Bobs {
  std::vector<std::string> addresses;
  std::vector<Arrived> arrived;
};
absl::StatusOr<Bobs> AllBobs(Ground& ground, const Bytes& marker) {
  Bobs bobs;
  for (const Variant& v : Everywhere()) {
    bobs.addresses.push_back(ground.AddressText(ground.Victim(v.path), v.family));
    if (v.family != 4) continue;
    ASSIGN_OR_RETURN(Arrived arrived, Captured(ground, ground.Victim(v.path), marker));
    bobs.arrived.push_back(std::move(arrived));
  }
  return bobs;
}

lab::Pod Kid() {
  lab::Pod pod;
  pod.ns = "attack";
  pod.name = "kid";
  pod.node = "node1";
  pod.labels = {{"app", "kid"}};
  return pod;
}

absl::Status FirstPacketsArrive(Ground& ground, const Variant&) {
  const Bytes marker = Marker();
  ASSIGN_OR_RETURN(const Bobs bobs, AllBobs(ground, marker));
  EagerSender sender(StrCat("rl-", ground.lab().topology().name, "-attack_kid"), bobs.addresses,
                     marker);
  RETURN_IF_ERROR(ground.lab().AddPod(Kid()));
  bool all = Await([&] {
    bool arrived = true;
    for (const Arrived& at : bobs.arrived) arrived = at() && arrived;
    return arrived;
  });
  RETURN_IF_ERROR(ground.lab().RemovePod(Kid().key()));
  return all ? absl::OkStatus() : absl::FailedPreconditionError("its packets did not arrive");
}

absl::StatusOr<Failed> FirstPacketsAreDropped(Ground& ground, const Variant&) {
  const int starts = Number("RIPSTOP_ATTACK_STARTS", 50);
  RETURN_IF_ERROR(ground.lab().Apply(kKid));
  const Bytes marker = Marker();
  ASSIGN_OR_RETURN(const Bobs bobs, AllBobs(ground, marker));
  const std::pair<std::string, std::string> denied = {"node1", "policy-egress"};
  for (int start = 0; start < starts; ++start) {
    ASSIGN_OR_RETURN(Ground::Drops before, ground.DropsNow());
    {
      EagerSender sender(StrCat("rl-", ground.lab().topology().name, "-attack_kid"), bobs.addresses,
                         marker);
      RETURN_IF_ERROR(ground.lab().AddPod(Kid()));
      absl::Status status;
      if (!Await([&] {
            auto now = ground.DropsNow();
            status = now.status();
            return !now.ok() || (*now)[denied] > before[denied];
          })) {
        return absl::InternalError("nothing was counted as policy-egress");
      }
      RETURN_IF_ERROR(status);
      RETURN_IF_ERROR(ground.lab().RemovePod(Kid().key()));
    }
    for (const Arrived& arrived : bobs.arrived) {
      if (arrived()) return absl::InternalError(StrCat("ARRIVED, in start ", start + 1));
    }
  }
  return Failed{StrCat("dropped: policy-egress, no leak in ", starts, " starts"), {}};
}

// --- D2, D5: without agent, without store.

absl::StatusOr<Failed> HoldsWithoutAgent(Ground& ground, const Variant& v) {
  ASSIGN_OR_RETURN(const Ground::Drops before, ground.DropsNow());
  ASSIGN_OR_RETURN(const lab::LiveFlow live, AliceToBob(ground, v));
  std::set<std::string> nodes = {"node1", ground.NodeOf(v.path)};
  for (const std::string& node : nodes) RETURN_IF_ERROR(ground.lab().StopAgent(node, SIGKILL));
  const absl::Status without = PolicyHolds(ground, v);
  for (const std::string& node : nodes) RETURN_IF_ERROR(ground.lab().StartAgent(node));
  RETURN_IF_ERROR(without);
  RETURN_IF_ERROR(PolicyHolds(ground, v));
  RETURN_IF_ERROR(NothingLost(live));
  RETURN_IF_ERROR(CountedAsDenied(ground, v, before));
  return Failed{"dropped: policy-ingress, with and without agent; no packet lost", {}};
}

absl::StatusOr<Failed> HoldsWithoutStore(Ground& ground, const Variant& v) {
  const std::string node = ground.NodeOf(v.path);
  const std::string store = ground.lab().state().dir() + "/store.db";
  ASSIGN_OR_RETURN(const Ground::Drops before, ground.DropsNow());
  ASSIGN_OR_RETURN(const lab::LiveFlow live, AliceToBob(ground, v));
  RETURN_IF_ERROR(ground.lab().StopAgent(node, SIGKILL));
  std::error_code error;
  fs::rename(store, store + ".away", error);
  if (error) return absl::InternalError(StrCat("rename ", store, ": ", error.message()));
  absl::Status started;
  std::thread starting([&] { started = ground.lab().StartAgent(node); });
  // It says that it is not ready, since it has no store, and what it enforces meanwhile.
  const bool told = Await([&] {
    const auto status = ground.lab().AgentStatus(node);
    return status.ok() &&
           absl::StrContains(absl::StrJoin(status->not_ready_reasons(), " "), "what was last");
  });
  const absl::Status without = PolicyHolds(ground, v);
  fs::rename(store + ".away", store, error);
  starting.join();
  RETURN_IF_ERROR(started);
  RETURN_IF_ERROR(without);
  if (!told) return absl::InternalError("it does not say that it enforces what was last");
  RETURN_IF_ERROR(NothingLost(live));
  RETURN_IF_ERROR(CountedAsDenied(ground, v, before));
  return Failed{"dropped: policy-ingress, by what was last in force; no packet lost", {}};
}

// --- D4: agents of two layouts, there and back (bpf/abi/next_layout.h).

std::string NextAgent() { return lab::FindBinDir("") + "/ripstop-agent-next"; }

// Whether the maps of the node are those of the next layout, and no others.
absl::Status HasLayout(Ground& ground, const std::string& node, bool next) {
  const std::string maps = ground.lab().state().nodes.at(node).pins + "/maps/";
  for (const auto& [map, wanted] :
       {std::pair("rs_flows_v3", !next), std::pair("rs_flows_v4", next),
        std::pair("rs_state_v4", !next), std::pair("rs_state_v5", next)})
    if (fs::exists(maps + map) != wanted)
      return absl::InternalError(StrCat(maps, map, wanted ? " is missing" : " is still there"));
  return absl::OkStatus();
}

absl::Status PutInPlace(Ground& ground, const Variant& v, const std::string& node, bool next,
                        int signal) {
  RETURN_IF_ERROR(ground.lab().StopAgent(node, signal));
  RETURN_IF_ERROR(PolicyHolds(ground, v));
  ground.lab().UseAgent(next ? NextAgent() : "");
  const absl::Status started = ground.lab().StartAgent(node);
  ground.lab().UseAgent("");
  RETURN_IF_ERROR(started);
  RETURN_IF_ERROR(HasLayout(ground, node, next));
  return PolicyHolds(ground, v);
}

absl::StatusOr<Failed> HoldsAcrossLayouts(Ground& ground, const Variant& v) {
  ASSIGN_OR_RETURN(const Ground::Drops before, ground.DropsNow());
  ASSIGN_OR_RETURN(const lab::LiveFlow live, AliceToBob(ground, v));
  ASSIGN_OR_RETURN(const lab::LiveFlow stream, AliceToBob(ground, v, "TCP", 7001));
  const std::set<std::string> nodes = {"node1", ground.NodeOf(v.path)};
  absl::Status status;
  for (const auto& [next, signal] :
       {std::pair(true, SIGTERM), std::pair(false, SIGTERM), std::pair(true, SIGKILL)})
    for (const std::string& node : nodes)
      if (status.ok()) status = PutInPlace(ground, v, node, next, signal);
  // The ground is for others too.
  for (const std::string& node : nodes) {
    ground.lab().StopAgent(node, SIGTERM).IgnoreError();
    status.Update(ground.lab().StartAgent(node));
  }
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(PolicyHolds(ground, v));
  RETURN_IF_ERROR(NothingLost(live));
  RETURN_IF_ERROR(NothingLost(stream));
  RETURN_IF_ERROR(CountedAsDenied(ground, v, before));
  return Failed{"up and down twice: no packet lost, none let through", {}};
}

// --- D3, D9: death before any write.

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
    crash->Arm(0);
    if (!added.ok()) {
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

// --- D11: what is known of a pod before the runtime asks for it.

std::string PodDocument(const std::string& app) {
  return StrCat(
      "apiVersion: v1\nkind: Pod\nmetadata: {name: kid, namespace: attack, labels: {app: ", app,
      "}}\nspec: {nodeName: node1}\n");
}

// Its label is one that nothing forbids, and changes before it is there; the runtime still says
// the former one.
absl::Status KidSends(Ground& ground, const Variant& v, bool denied) {
  lab::Pod kid = Kid();
  kid.labels = {{"app", "free"}};
  RETURN_IF_ERROR(ground.lab().AddPod(kid));
  const auto sent = [&]() -> absl::Status {
    const std::string bob = ground.Victim(v.path);
    const Bytes marker = Marker();
    ASSIGN_OR_RETURN(Arrived arrived, Captured(ground, bob, marker));
    ASSIGN_OR_RETURN(const Mac mac, ground.HostMac(kid.key()));
    const Bytes packet = Udp(ground.Address(kid.key(), v.family), ground.Address(bob, v.family),
                             40000, kOpenPort, marker);
    const Shot shot{"its first packet", "policy-egress", std::move(arrived),
                    [&ground, mac, packet] {
                      return SendPackets(ground, "attack/kid", "eth0", mac, {packet});
                    }};
    return denied ? MustBeDropped(ground, shot) : MustArrive(shot);
  }();
  RETURN_IF_ERROR(ground.lab().RemovePod(kid.key()));
  return sent;
}

absl::Status UnlabelledSends(Ground& ground, const Variant& v) {
  return KidSends(ground, v, false);
}

absl::StatusOr<Failed> EarlyLabelCounts(Ground& ground, const Variant& v) {
  RETURN_IF_ERROR(ground.lab().Apply(kKid));
  RETURN_IF_ERROR(ground.lab().Apply(PodDocument("free")));
  const absl::Status free = KidSends(ground, v, false);
  RETURN_IF_ERROR(ground.lab().Apply(PodDocument("kid")));
  const absl::Status labelled = KidSends(ground, v, true);
  RETURN_IF_ERROR(ground.lab().Delete(PodDocument("kid")));
  if (!free.ok()) return absl::InternalError(StrCat("without the label: ", free.message()));
  RETURN_IF_ERROR(labelled);
  return Failed{"dropped: policy-egress, by the label of before", {}};
}

}  // namespace

std::vector<Attack> GroupD() {
  // Not over VXLAN: until the agent has given the new programs the tunnel's settings, a moment
  // after the tables, they drop what comes out of it, some 30 ms.
  Attack layouts{"D4",
                 "upgrade and downgrade across map layouts",
                 {{4, Path::kSame}, {6, Path::kSame}, {4, Path::kNative}, {6, Path::kNative}},
                 ClosedPortIsReached,
                 HoldsAcrossLayouts};
  if (!fs::exists(NextAgent()))
    layouts = {.id = layouts.id,
               .title = layouts.title,
               .missing = NextAgent() + " is not there; scripts/next_layout.sh makes it"};
  return {
      {"D1", "a pod sends from its first instruction on", OnNode(4), FirstPacketsArrive,
       FirstPacketsAreDropped},
      {"D2", "the agent is killed under load", Everywhere(), ClosedPortIsReached,
       HoldsWithoutAgent},
      {"D3",
       "the agent is killed at any write of its start",
       {{4, Path::kSame}, {6, Path::kNative}, {4, Path::kVxlan}},
       ClosedPortIsReached,
       HoldsWhereverItDies},
      std::move(layouts),
      {"D5", "the agent starts without its store", Everywhere(), ClosedPortIsReached,
       HoldsWithoutStore},
      {"D9",
       "the agent is killed at any write of an ADD",
       OnNode(4),
       {},
       NothingLeaksWhereverItDies},
      {"D11", "labels and policies come before the endpoint", OnNode(), UnlabelledSends,
       EarlyLabelCounts},
  };
}

}  // namespace ripstop::attacks
