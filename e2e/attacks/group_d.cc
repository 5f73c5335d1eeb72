// SPDX-License-Identifier: Apache-2.0
//
// Group D: the agent is gone, dies halfway, starts without its store, or is late. On the plain
// ground nothing keeps bob's closed port closed; on the guarded one the kernel must, whatever
// happens to the agent.
#include "e2e/attacks/group_d.h"

#include <signal.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/base/netns.h"
#include "agent/base/testing/probe.h"
#include "e2e/attacks/shot.h"
#include "e2e/lab/netns.h"
#include "policy/status_macros.h"

namespace ripstop::attacks {
namespace {

using absl::StrCat;
namespace fs = std::filesystem;

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
  Attack layouts{"D4", "upgrade and downgrade across map layouts", Everywhere(),
                 ClosedPortIsReached, HoldsAcrossLayouts};
  if (!fs::exists(NextAgent()))
    layouts = {.id = layouts.id,
               .title = layouts.title,
               .missing = NextAgent() + " is not there; scripts/next_layout.sh makes it"};
  return {
      {"D1", "a pod sends from its first instruction on", OnNode(4), FirstPacketsArrive,
       FirstPacketsAreDropped},
      {"D2", "the agent is killed under load", Everywhere(), ClosedPortIsReached,
       HoldsWithoutAgent},
      DiesInAStart(),
      std::move(layouts),
      {"D5", "the agent starts without its store", Everywhere(), ClosedPortIsReached,
       HoldsWithoutStore},
      DiesInAnAdd(),
      {"D11", "labels and policies come before the endpoint", OnNode(), UnlabelledSends,
       EarlyLabelCounts},
  };
}

}  // namespace ripstop::attacks
