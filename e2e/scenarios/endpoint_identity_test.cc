// SPDX-License-Identifier: Apache-2.0
//
// Which endpoint is which, with real packets: an old sandbox beside the new one of its pod, a
// second interface, a DEL that meets a locked store, requests that nobody should believe.
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "e2e/lab/cni_runtime.h"
#include "e2e/lab/connectivity.h"
#include "e2e/lab/netns.h"
#include "e2e/lab/testing.h"

namespace ripstop::lab {
namespace {

using absl::StrCat;
using nlohmann::json;

constexpr char kTopology[] = R"(
subnets: [{name: rack1, v4: 192.0.2.0/26, v6: "2001:db8:1::/64"}]
nodes:
- {name: node1, subnet: rack1, v4: 192.0.2.11, v6: "2001:db8:1::11"}
- {name: node2, subnet: rack1, v4: 192.0.2.12, v6: "2001:db8:1::12"}
pools:
- {name: pods-v4, cidr: 10.65.0.0/16}
- {name: pods-v6, cidr: "fd00:10:65::/48"}
namespaces: [{name: shop}]
pods:
- {name: db-0, namespace: shop, node: node1, labels: {app: db}, ports: [{name: sql, port: 5432}]}
- {name: open-0, namespace: shop, node: node1, labels: {app: open}, ports: [{name: sql, port: 5432}]}
- {name: client-0, namespace: shop, node: node2, labels: {app: client}, serve: false}
- {name: other-0, namespace: shop, node: node2, labels: {app: other}, ports: [{name: sql, port: 5432}]}
)";

constexpr char kOnlyFromClients[] = R"(
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  selector: app == 'db'
  types: [Ingress]
  ingress: [{action: Allow, source: {selector: app == 'client'}}]
)";

constexpr char kFromNobody[] = R"(
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {selector: app == 'db', types: [Ingress]}
)";

class EndpointIdentity : public LabTest {
 protected:
  void SetUp() override {
    LabTest::SetUp();
    if (IsSkipped()) return;
    Raise(kTopology);
  }
  void TearDown() override {
    for (const ProcessId& id : servers_) {
      EXPECT_TRUE(Stop(id, SIGKILL, absl::Seconds(2)).ok());
    }
    for (const std::string& netns : namespaces_) EXPECT_TRUE(DeleteNetns(netns).ok());
    LabTest::TearDown();
  }

  std::string NodeNetns(const std::string& node) const {
    return const_cast<EndpointIdentity*>(this)->lab().state().nodes.at(node).netns;
  }
  absl::StatusOr<std::string> Cni(const std::string& verb, const PodState& pod,
                                  const std::string& interface = "eth0") {
    return CniCall(verb, lab().Binary("ripstop-cni"), pod, NodeNetns(pod.node), interface);
  }
  absl::StatusOr<std::vector<std::string>> Add(const PodState& pod,
                                               const std::string& interface = "eth0") {
    return CniAdd(lab().Binary("ripstop-cni"), pod, NodeNetns(pod.node), interface);
  }
  // Another container of the same pod, in a namespace of its own.
  PodState Sandbox(const std::string& key, const std::string& container) {
    PodState pod = lab().state().pods.at(key);
    pod.container_id = StrCat(name(), "-", container);
    pod.netns = StrCat("rl-", name(), "-", container);
    EXPECT_TRUE(CreateNetns(pod.netns).ok());
    namespaces_.push_back(pod.netns);
    return pod;
  }
  void Serve(const PodState& pod) {
    const std::string ready = StrCat(lab().state().dir(), "/", pod.netns, ".ready");
    const auto server = Spawn({.argv = {lab().Binary("ripstop-probe"), "serve", "--name", pod.key,
                                        "--ready-file", ready, "--tcp", "5432"},
                               .netns = pod.netns},
                              "/dev/null", [](const ProcessId&) { return absl::OkStatus(); });
    ASSERT_TRUE(server.ok()) << server.status();
    servers_.push_back(*server);
    ASSERT_TRUE(Eventually([&] { return std::filesystem::exists(ready); }));
  }
  // Whether a connection is answered, from a pod (from one of its addresses) to an address.
  bool Reaches(const std::string& from, const std::string& to, const std::string& source = "") {
    const json question = {
        {"id", "q"}, {"protocol", "TCP"}, {"address", to}, {"port", 5432}, {"source", source}};
    const auto output =
        lab().Exec(from, {lab().Binary("ripstop-probe"), "connect", "--timeout-ms", "800"},
                   question.dump() + "\n");
    EXPECT_TRUE(output.ok()) << output.status();
    const json answer = output.ok() ? json::parse(output->out, nullptr, false) : json();
    return answer.is_object() && answer.value("result", "") == "ok";
  }
  std::vector<std::string> ContainersInStore() {
    std::vector<std::string> containers;
    const auto output = lab().Ctl({"get", "workloadendpoints", "-A", "-o", "json"});
    EXPECT_TRUE(output.ok() && output->exit_code == 0);
    const json list = json::parse(output->out, nullptr, false);
    for (const json& item : list["items"]) {
      containers.push_back(
          StrCat(item["spec"].value("containerID", ""), "/", item["spec"].value("endpoint", "")));
    }
    return containers;
  }
  bool InStore(const PodState& pod, const std::string& interface = "eth0") {
    const std::vector<std::string> all = ContainersInStore();
    return std::find(all.begin(), all.end(), StrCat(pod.container_id, "/", interface)) != all.end();
  }

 private:
  std::vector<std::string> namespaces_;
  std::vector<ProcessId> servers_;
};

TEST_F(EndpointIdentity, ALateDelOfAnOldSandboxDoesNotOpenTheRunningPod) {
  ASSERT_TRUE(lab().Apply(kFromNobody).ok());
  const PodState old = lab().state().pods.at("shop/db-0");
  for (const bool vanishes : {false, true}) {
    const PodState before = vanishes ? Sandbox("shop/db-0", "b") : old;
    if (vanishes) {
      ASSERT_TRUE(Add(before).ok());
    }
    const PodState after = Sandbox("shop/db-0", vanishes ? "c" : "a");
    const auto addresses = Add(after);
    ASSERT_TRUE(addresses.ok()) << addresses.status();
    Serve(after);
    const std::string to = addresses->at(0);
    ASSERT_TRUE(Eventually([&] {
      return Reaches("shop/client-0", *lab().AddressOf("shop/open-0", 4));
    })) << "control: what no policy selects is reached";
    EXPECT_FALSE(Reaches("shop/client-0", to));
    if (vanishes) {
      ASSERT_TRUE(DeleteNetns(before.netns).ok());
    } else {
      ASSERT_TRUE(Cni("DEL", before).ok());
    }
    ASSERT_TRUE(Eventually([&] { return !InStore(before); }));
    EXPECT_FALSE(Reaches("shop/client-0", to)) << "the late DEL took the policy of the new one";
    EXPECT_TRUE(InStore(after)) << "and its place in the store is its own";
    const auto check = Cni("CHECK", after);
    EXPECT_TRUE(check.ok()) << check.status();
    ASSERT_TRUE(lab().Apply(kOnlyFromClients).ok());
    EXPECT_TRUE(Eventually([&] { return Reaches("shop/client-0", to); }))
        << "policy reaches it still";
    EXPECT_FALSE(Reaches("shop/other-0", to));
    const auto why = lab().Ctl(
        {"why", "--from", "192.0.2.99", "--to", "shop/db-0", "--port", "5432"}, "", "node1");
    ASSERT_TRUE(why.ok()) << why.status();
    EXPECT_TRUE(absl::StrContains(why->out, "Deny")) << why->out;
    EXPECT_TRUE(absl::StrContains(why->out, to)) << why->out;
    ASSERT_TRUE(lab().Apply(kFromNobody).ok());
    ASSERT_TRUE(Eventually([&] { return !Reaches("shop/client-0", to); }));
    ASSERT_TRUE(Cni("DEL", after).ok());
    ASSERT_TRUE(Eventually([&] { return !InStore(after); }));
  }
}

TEST_F(EndpointIdentity, ASecondInterfaceHasPolicyAndLeavesTheDefaultRouteAlone) {
  PodState db = lab().state().pods.at("shop/db-0");
  json config = json::parse(db.config);
  config["name"] = "second";
  db.config = config.dump();
  const auto second = Add(db, "net1");
  ASSERT_TRUE(second.ok()) << second.status();
  const std::string first_address = *lab().AddressOf("shop/db-0", 4);
  const std::string far = *lab().AddressOf("shop/other-0", 4);
  const std::string far6 = *lab().AddressOf("shop/other-0", 6);
  for (const std::string& to : {first_address, second->at(0), second->at(1)}) {
    EXPECT_TRUE(Eventually([&] { return Reaches("shop/client-0", to); })) << to;
  }
  EXPECT_TRUE(Eventually([&] { return Reaches("shop/db-0", far); }))
      << "by eth0, whatever it binds to";
  EXPECT_TRUE(Eventually([&] { return Reaches("shop/db-0", far, second->at(0)); })) << "by net1";
  EXPECT_TRUE(Eventually([&] { return Reaches("shop/db-0", far6, second->at(1)); }))
      << "by net1, IPv6";
  for (const char* family : {"-4", "-6"}) {
    const auto routes = lab().Exec("shop/db-0", {"ip", family, "route", "show", "default"});
    ASSERT_TRUE(routes.ok()) << routes.status();
    EXPECT_TRUE(absl::StrContains(routes->out, "dev eth0")) << routes->out;
    EXPECT_FALSE(absl::StrContains(routes->out, "dev net1")) << routes->out;
  }
  ASSERT_TRUE(lab().Apply(kOnlyFromClients).ok());
  for (const std::string& to : {first_address, second->at(0), second->at(1)}) {
    EXPECT_TRUE(Eventually([&] { return !Reaches("shop/other-0", to); })) << to;
    EXPECT_TRUE(Reaches("shop/client-0", to)) << to;
  }
  for (const char* interface : {"eth0", "net1"}) {
    const auto check = Cni("CHECK", db, interface);
    EXPECT_TRUE(check.ok()) << check.status();
  }
  EXPECT_TRUE(InStore(db) && InStore(db, "net1"));

  ASSERT_TRUE(Cni("DEL", db, "net1").ok());
  ASSERT_TRUE(Eventually([&] { return !InStore(db, "net1"); }));
  EXPECT_TRUE(InStore(db));
  EXPECT_TRUE(Reaches("shop/client-0", first_address));
  EXPECT_FALSE(Reaches("shop/other-0", first_address));
  EXPECT_FALSE(Reaches("shop/client-0", second->at(0)));
  const auto rules = lab().Exec("shop/db-0", {"ip", "rule", "show", "pref", "8200"});
  EXPECT_EQ(rules->out, "");
}

// A transaction that is open on the store's file.
class StoreLock {
 public:
  explicit StoreLock(const std::string& path) {
    EXPECT_EQ(sqlite3_open_v2(path.c_str(), &handle_, SQLITE_OPEN_READWRITE, nullptr), SQLITE_OK);
    sqlite3_busy_timeout(handle_, 60'000);
    EXPECT_EQ(sqlite3_exec(handle_, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(handle_);
  }
  ~StoreLock() { sqlite3_close(handle_); }

 private:
  sqlite3* handle_ = nullptr;
};

TEST_F(EndpointIdentity, ADelWhileTheStoreIsLockedIsAnsweredAndFinishedLater) {
  ASSERT_TRUE(lab().Apply(kOnlyFromClients).ok());
  const PodState client = lab().state().pods.at("shop/client-0");
  const std::string to = *lab().AddressOf("shop/db-0", 4);
  const std::string was = *lab().AddressOf("shop/client-0", 4);
  ASSERT_TRUE(Eventually([&] { return Reaches("shop/client-0", to); }));
  {
    const StoreLock lock(lab().state().dir() + "/store.db");
    const auto del = Cni("DEL", client);
    ASSERT_TRUE(del.ok()) << del.status() << ": answered while the lock is held";
    EXPECT_TRUE(InStore(client)) << "control: nothing could be written";
  }
  ASSERT_TRUE(Eventually([&] { return !InStore(client); }));
  // The next pod gets the very address, and is itself alone.
  PodState next = Sandbox("shop/other-0", "next");
  next.key = "shop/next-0";
  json config = json::parse(next.config);
  config["runtimeConfig"] = {{"ips", {was}}};
  config["labels"] = {{"app", "next"}};
  next.config = config.dump();
  const auto addresses = Add(next);
  ASSERT_TRUE(addresses.ok()) << addresses.status();
  ASSERT_EQ(addresses->at(0), was);
  const auto asks = [&] {
    const json question = {{"id", "q"}, {"protocol", "TCP"}, {"address", to}, {"port", 5432}};
    const auto output =
        lab::Run({.argv = {lab().Binary("ripstop-probe"), "connect", "--timeout-ms", "800"},
                  .netns = next.netns,
                  .input = question.dump() + "\n"});
    return output.ok() && absl::StrContains(output->out, "\"ok\"");
  };
  EXPECT_FALSE(asks()) << "it would pass with the labels of the one before";
  ASSERT_TRUE(lab().Delete(kOnlyFromClients).ok());
  EXPECT_TRUE(Eventually(asks)) << "control: its packets arrive";
  ASSERT_TRUE(Cni("DEL", next).ok());
}

TEST_F(EndpointIdentity, WhatTheStoreHasOfANodeWithoutAContainerThereGoes) {
  const PodState db = lab().state().pods.at("shop/db-0");
  PodState ghost = db;
  ghost.container_id = "ghost";
  ASSERT_TRUE(lab()
                  .Apply(R"(
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {name: node1-k8s-gone--0-eth0, namespace: shop}
spec: {node: node1, orchestrator: k8s, pod: gone-0, endpoint: eth0, containerID: ghost,
  ipNetworks: [10.65.200.1/32], profiles: [kns.shop]}
---
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {name: vm-1, namespace: shop}
spec: {node: node1, workload: vm-1, endpoint: tap0, ipNetworks: [10.65.200.2/32]}
)")
                  .ok());
  EXPECT_TRUE(InStore(ghost));
  ASSERT_TRUE(lab().StopAgent("node1", SIGKILL).ok());
  ASSERT_TRUE(lab().StartAgent("node1").ok());
  EXPECT_TRUE(Eventually([&] { return !InStore(ghost); }));
  EXPECT_TRUE(InStore(db)) << "what is here stays";
  const auto vm = lab().Ctl({"get", "workloadendpoint", "vm-1", "-n", "shop"});
  EXPECT_TRUE(vm.ok() && vm->exit_code == 0) << "and what is no container's";
}

TEST_F(EndpointIdentity, WhatNobodyShouldBelieveIsRefusedAndTheAgentGoesOn) {
  PodState pod = Sandbox("shop/db-0", "x");
  const std::string fifo = StrCat(lab().state().dir(), "/fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const std::string netns = pod.netns;
  pod.netns = fifo;
  EXPECT_FALSE(Add(pod).ok());
  pod.netns = netns;
  for (const char* key : {"shop/../../x", "shop/a/b", "shop/a\nb", "../../shop/x", "Shop/x"}) {
    PodState odd = pod;
    odd.key = key;
    const auto refused = Add(odd);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kInternal) << key;
    EXPECT_TRUE(absl::StrContains(refused.status().message(), "code 7")) << refused.status();
  }
  EXPECT_TRUE(lab().AgentStatus("node1").ok());
  EXPECT_TRUE(Add(pod).ok()) << "and then it works";
  ASSERT_TRUE(Cni("DEL", pod).ok());
}

}  // namespace
}  // namespace ripstop::lab
