// SPDX-License-Identifier: Apache-2.0
//
// The main job on the smallest fabric that has it whole: two nodes, the demo's applications on
// both. Who reaches whom, a live connection cut, the agent killed and started again under traffic;
// natively and by VXLAN, IPv4 and IPv6. `make kernels` runs this on other kernels, in an emulator:
// one lab for all, since to raise one takes long there.
#include <signal.h>
#include <sys/utsname.h>

#include <cstdio>
#include <filesystem>
#include <iostream>
#include <thread>

#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "e2e/lab/patience.h"
#include "e2e/scenarios/demo_lab.h"

namespace ripstop::lab {
namespace {

constexpr char kTopology[] = R"(
subnets:
- {name: rack, v4: 192.0.2.0/26, v6: "2001:db8:1::/64"}
nodes:
- {name: node1, subnet: rack, v4: 192.0.2.11, v6: "2001:db8:1::11"}
- {name: node2, subnet: rack, v4: 192.0.2.12, v6: "2001:db8:1::12"}
bgp: {asNumber: 64512}
pools:
- {name: pods-v4, cidr: 10.65.0.0/16, vxlanMode: MODE}
- {name: pods-v6, cidr: "fd00:10:65::/48", vxlanMode: MODE}
namespaces:
- {name: shop, labels: {team: web}}
- {name: data, labels: {team: data}}
pods:
- {name: frontend-1, namespace: shop, node: node1, labels: {app: frontend},
   ports: [{name: http, port: 8080}]}
- {name: cart-1, namespace: shop, node: node1, labels: {app: cart},
   ports: [{name: grpc, port: 7070}, {name: events, port: 7071, protocol: UDP}]}
- {name: cart-2, namespace: shop, node: node2, labels: {app: cart},
   ports: [{name: grpc, port: 7070}, {name: events, port: 7071, protocol: UDP}]}
- {name: checkout-1, namespace: shop, node: node2, labels: {app: checkout},
   ports: [{name: orders, port: 5050}]}
- {name: database-1, namespace: data, node: node1, labels: {app: database},
   ports: [{name: sql, port: 5432}, {name: stats, port: 8125, protocol: UDP}]}
- {name: database-2, namespace: data, node: node2, labels: {app: database},
   ports: [{name: sql, port: 5432}, {name: stats, port: 8125, protocol: UDP}]}
manifests: [policies]
)";

// Parameter: vxlanMode of the pools.
class MainJob : public DemoLab, public ::testing::WithParamInterface<const char*> {
 protected:
  std::string TopologyText() const override {
    return absl::StrReplaceAll(kTopology, {{"MODE", GetParam()}});
  }

  bool Tunnelled() const { return std::string(GetParam()) == "Always"; }

  LiveFlow::Timing Timing() const {
    return {.interval = Patient(absl::Milliseconds(5)), .cut_after = Patient(absl::Seconds(1))};
  }

  void Begin(const std::vector<Flow>& flows, const char* until, std::vector<LiveFlow>* live) {
    for (const Flow& flow : flows) {
      auto started = LiveFlow::Start(lab(), flow, Timing());
      ASSERT_TRUE(started.ok()) << started.status();
      live->push_back(*std::move(started));
    }
    for (size_t i = 0; i < flows.size(); ++i) {
      const auto begun = (*live)[i].WaitFor(until);
      ASSERT_TRUE(begun.ok()) << flows[i].ToString() << ": " << begun.status();
    }
  }

  // UDP shows each loss; TCP hides them, and its retransmissions prove none (RFC 8985).
  void ExpectNothingLost(const std::vector<Flow>& flows, const std::vector<LiveFlow>& live) {
    for (size_t i = 0; i < live.size(); ++i) {
      const auto end = live[i].Finish();
      ASSERT_TRUE(end.ok()) << end.status();
      EXPECT_GT(end->value("answered", 0), 0) << flows[i].ToString() << ": " << *end;
      EXPECT_EQ(end->value("lost", -1), 0) << flows[i].ToString() << ": " << *end;
      std::cout << flows[i].ToString() << ": " << *end << "\n";
    }
  }

  // What packets between the nodes go by is what this run is about.
  void ExpectTheWayThatIsMeant() {
    const std::string way = Tunnelled() ? "dev vxlan.ripstop" : "dev eth0 proto bird";
    for (const char* node : {"node1", "node2"}) {
      const std::string routes = RoutesOf(node);
      for (const char* blocks : {"10.65.", "fd00:10:65:"}) {
        bool found = false;
        const std::vector<std::string> lines = absl::StrSplit(routes, '\n');
        for (const std::string& route : lines)
          found |= absl::StartsWith(route, blocks) && absl::StrContains(route, way);
        EXPECT_TRUE(found) << node << ": no route to a block " << blocks << " " << way << ":\n"
                           << routes;
      }
    }
  }

  // Links of tcx are pinned; clsact, before 6.6, needs none.
  void ExpectTheAttachmentThatTheKernelHas() {
    utsname kernel = {};
    int major = 0, minor = 0;
    ASSERT_EQ(uname(&kernel), 0);
    ASSERT_EQ(std::sscanf(kernel.release, "%d.%d", &major, &minor), 2) << kernel.release;
    const bool has_tcx = major > 6 || (major == 6 && minor >= 6);
    for (const auto& [name, node] : lab().state().nodes) {
      std::error_code error;
      size_t links = 0;
      for (const auto& entry : std::filesystem::directory_iterator(node.pins + "/links", error))
        links += absl::StartsWith(entry.path().filename().string(), "from_workload-");
      const size_t pods = has_tcx ? 3 : 0;
      EXPECT_EQ(links, pods) << name << " on " << kernel.release;
    }
  }

  void CutsALiveConnection();
  void RestartsUnderTraffic();
};

void MainJob::CutsALiveConnection() {
  const std::string freeze = ReadText(Folder() + "/edits/freeze-orders.yaml");
  const std::vector<Flow> flows = {
      {"shop/checkout-1", "data/database-1", "TCP", 5432, 4},  // to the other node
      {"shop/checkout-1", "data/database-1", "TCP", 5432, 6},
      {"shop/checkout-1", "data/database-2", "TCP", 5432, 4},  // same node
      {"shop/checkout-1", "data/database-2", "TCP", 5432, 6},
  };
  const std::vector<Flow> bystanders = {{"shop/frontend-1", "shop/cart-2", "TCP", 7070, 4},
                                        {"shop/checkout-1", "data/database-1", "UDP", 8125, 6}};
  std::vector<LiveFlow> live, others;
  ASSERT_NO_FATAL_FAILURE(Begin(flows, "connected", &live));
  ASSERT_NO_FATAL_FAILURE(Begin(bystanders, "connected", &others));
  const uint64_t before = DropsOf("node1", "policy-ingress") + DropsOf("node2", "policy-ingress");

  ASSERT_TRUE(lab().Apply(freeze).ok());
  for (size_t i = 0; i < live.size(); ++i) {
    const auto cut = live[i].WaitFor("cut");
    ASSERT_TRUE(cut.ok()) << flows[i].ToString() << ": " << cut.status();
  }
  const auto anew = Measure(lab(), flows, absl::Milliseconds(800));
  ASSERT_TRUE(anew.ok()) << anew.status();
  for (const FlowResult& result : *anew)
    EXPECT_EQ(result.result, "timeout") << "anew: " << result.flow.ToString();
  EXPECT_GE(DropsOf("node1", "policy-ingress") + DropsOf("node2", "policy-ingress"),
            before + 2 * flows.size())
      << "the policy's own drops: of each live flow, and of each that tried anew";
  ASSERT_TRUE(lab().Delete(freeze).ok());
  for (size_t i = 0; i < live.size(); ++i) {
    const auto restored = live[i].WaitFor("restored");
    ASSERT_TRUE(restored.ok()) << flows[i].ToString() << ": " << restored.status();
  }
  ExpectNothingLost(bystanders, others);
}

void MainJob::RestartsUnderTraffic() {
  // Of node1, whose agent dies: on it, from it and to it.
  const std::vector<Flow> allowed = {
      {"shop/frontend-1", "shop/cart-1", "TCP", 7070, 4},
      {"shop/cart-1", "data/database-1", "UDP", 8125, 6},
      {"shop/frontend-1", "shop/cart-2", "TCP", 7070, 6},
      {"shop/cart-1", "data/database-2", "UDP", 8125, 4},
      {"shop/checkout-1", "data/database-1", "TCP", 5432, 4},
      {"shop/checkout-1", "shop/cart-1", "UDP", 7071, 6},
  };
  const std::vector<Flow> denied = {
      {"shop/frontend-1", "data/database-1", "UDP", 8125, 4},
      {"shop/frontend-1", "shop/cart-2", "UDP", 7071, 6},
      {"data/database-2", "shop/cart-1", "UDP", 7071, 4},
  };
  std::vector<LiveFlow> passing, stopped;
  ASSERT_NO_FATAL_FAILURE(Begin(allowed, "connected", &passing));
  ASSERT_NO_FATAL_FAILURE(Begin(denied, "cut", &stopped));

  ASSERT_TRUE(lab().StopAgent("node1", SIGKILL).ok());
  EXPECT_FALSE(lab().AgentStatus("node1").ok());
  // New flows while nobody is there: the kernel decides alone.
  EXPECT_TRUE(Reaches({"shop/checkout-1", "shop/cart-1", "TCP", 7070, 6}));
  EXPECT_TRUE(Silent({"shop/cart-2", "data/database-1", "TCP", 5432, 4}));
  const absl::Status started = lab().StartAgent("node1");
  ASSERT_TRUE(started.ok()) << started;
  // Well beyond the restart, however long it took.
  std::vector<std::thread> waits;
  for (const std::vector<LiveFlow>* flows : {&passing, &stopped}) {
    for (const LiveFlow& live : *flows)
      waits.emplace_back([&live] { EXPECT_TRUE(live.WaitForMore(200).ok()); });
  }
  for (std::thread& wait : waits) wait.join();

  for (const LiveFlow& live : stopped) live.StopSending();
  ExpectNothingLost(allowed, passing);
  for (size_t i = 0; i < denied.size(); ++i) {
    const auto end = stopped[i].Finish();
    ASSERT_TRUE(end.ok()) << end.status();
    EXPECT_GT(end->value("sent", 0), 200) << denied[i].ToString() << ": " << *end;
    EXPECT_EQ(end->value("answered", -1), 0) << denied[i].ToString() << ": " << *end;
  }
  // What a gap in programs, tables or flows would have dropped, TCP included.
  for (const char* node : {"node1", "node2"}) {
    for (const char* reason :
         {"no-generation", "no-policy-set", "bad-policy-set", "no-verdict", "no-flow", "spoofed"}) {
      EXPECT_EQ(DropsOf(node, reason), 0u) << node << ": " << reason;
    }
  }
}

TEST_P(MainJob, MatrixLiveCutAndRestart) {
  ExpectTheWayThatIsMeant();
  ASSERT_NO_FATAL_FAILURE(ExpectTheAttachmentThatTheKernelHas());
  ExpectMatrix();
  ASSERT_NO_FATAL_FAILURE(CutsALiveConnection());
  ASSERT_NO_FATAL_FAILURE(RestartsUnderTraffic());
  ExpectMatrix();
}

INSTANTIATE_TEST_SUITE_P(Fabrics, MainJob, ::testing::Values("Never", "Always"),
                         [](const auto& fabric) {
                           return std::string(fabric.param) == "Never" ? "Native" : "Vxlan";
                         });

}  // namespace
}  // namespace ripstop::lab
