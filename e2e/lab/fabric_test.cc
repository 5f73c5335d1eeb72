// SPDX-License-Identifier: Apache-2.0
//
// The fabric by itself (`agents: none`): wires, routes, probes, and that nothing is left.
#include "e2e/lab/fabric.h"

#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "e2e/lab/connectivity.h"
#include "e2e/lab/lab.h"
#include "e2e/lab/netns.h"
#include "e2e/lab/testing.h"

namespace ripstop::lab {
namespace {

using nlohmann::json;

constexpr char kFabric[] = R"(
agents: none
subnets:
- {name: rack1, v4: 192.0.2.0/26, v6: "2001:db8:1::/64"}
- {name: rack2, v4: 198.51.100.0/24, v6: "2001:db8:2::/64", mtu: 1400}
routers:
- {name: r1, subnets: [rack1, rack2]}
nodes:
- {name: node1, subnet: rack1, v4: 192.0.2.11, v6: "2001:db8:1::11"}
- {name: node2, subnet: rack1, v4: 192.0.2.12, v6: "2001:db8:1::12"}
- {name: node3, subnet: rack2, v4: 198.51.100.13, v6: "2001:db8:2::13"}
pods:
- {name: a, node: node1, ports: [{port: 80}, {port: 53, protocol: UDP}]}
- {name: b, node: node1, ports: [{port: 80}, {port: 53, protocol: UDP}]}
- {name: c, node: node2, ports: [{port: 80}, {port: 53, protocol: UDP}]}
- {name: d, node: node3, ports: [{port: 80}, {port: 53, protocol: UDP}]}
)";

class PlainFabric : public LabTest {
 protected:
  void SetUp() override {
    LabTest::SetUp();
    if (IsSkipped()) return;
    Raise(kFabric);
  }
};

TEST_F(PlainFabric, EveryPodReachesEveryOtherOverBothFamiliesAndProtocols) {
  std::vector<Flow> flows;
  for (const Pod& from : lab().topology().pods) {
    for (const Pod& to : lab().topology().pods) {
      for (int family : {4, 6}) {
        flows.push_back({from.key(), to.key(), "TCP", 80, family});
        flows.push_back({from.key(), to.key(), "UDP", 53, family});
      }
    }
  }
  const auto results = Measure(lab(), flows, kHang);
  ASSERT_TRUE(results.ok()) << results.status();
  for (const FlowResult& result : *results) {
    EXPECT_TRUE(result.reached()) << result.flow.ToString() << ": " << result.result;
  }
}

TEST_F(PlainFabric, PortWithoutServerIsRefusedAndAbsentPodTimesOutOrIsUnreachable) {
  const auto refused = Measure(lab(), {{"default/a", "default/d", "TCP", 81, 4}}, kHang);
  ASSERT_TRUE(refused.ok()) << refused.status();
  EXPECT_EQ((*refused)[0].result, "refused");
  const auto results = Measure(
      lab(),
      {{"default/a", "10.244.3.200", "TCP", 80, 4}, {"default/a", "192.0.2.60", "UDP", 53, 4}},
      absl::Milliseconds(600));
  ASSERT_TRUE(results.ok()) << results.status();
  for (const FlowResult& result : *results) EXPECT_FALSE(result.reached());
}

TEST_F(PlainFabric, SubnetsAreJoinedByTheRouterAlone) {
  const auto trace = lab().Exec("node1", {"ip", "route", "get", "198.51.100.13"});
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_NE(trace->out.find("via 192.0.2.1 "), std::string::npos) << trace->out;
  ASSERT_TRUE(
      WriteSysctls(MachineNetns(lab().topology().name, "r1"), {{"net/ipv4/ip_forward", "0"}}).ok());
  const auto passing = Measure(
      lab(), {{"default/a", "default/d", "TCP", 80, 6}, {"default/a", "default/c", "TCP", 80, 4}},
      kHang);
  ASSERT_TRUE(passing.ok()) << passing.status();
  for (const FlowResult& result : *passing) EXPECT_TRUE(result.reached()) << result.result;
  const auto cut =
      Measure(lab(), {{"default/a", "default/d", "TCP", 80, 4}}, absl::Milliseconds(600));
  ASSERT_TRUE(cut.ok()) << cut.status();
  EXPECT_FALSE((*cut)[0].reached());
}

TEST_F(PlainFabric, WithoutRipstopASpoofedSourceArrives) {
  // The negative control of the attack tests: this fabric does not defend itself.
  for (int family : {4, 6}) {
    const std::string lie = lab().AddressOf("default/b", family).value();
    const std::string target = lab().AddressOf("default/d", family).value();
    const std::string log = absl::StrCat(lab().state().dir(), "/receive.", family);
    const auto receiver = SpawnProbe(
        "default/d", {"receive", "--port", "9999", "--count", "1", "--for-ms", "600000"}, log);
    ASSERT_TRUE(receiver.ok()) << receiver.status();
    ASSERT_TRUE(WaitForText(log, "listening"));
    const auto sent =
        lab().Exec("default/a", {lab().Binary("ripstop-probe"), "spoof", "--from", lie, "--to",
                                 target, "--port", "9999", "--payload", "lie"});
    ASSERT_TRUE(sent.ok()) << sent.status();
    ASSERT_EQ(sent->exit_code, 0) << sent->err;
    EXPECT_TRUE(WaitForText(log, absl::StrCat("\"from\":\"", lie, "\"")));
    EXPECT_TRUE(Stop(*receiver, SIGKILL, kHang).ok());
  }
}

TEST_F(PlainFabric, StreamTellsACutAndItsEnd) {
  const std::string log = lab().state().dir() + "/stream";
  const auto stream =
      SpawnProbe("default/a",
                 {"stream", "--to", lab().AddressOf("default/c", 4).value(), "--port", "80",
                  "--interval-ms", "5", "--for-ms", "600000", "--cut-after-ms", "2000"},
                 log);
  ASSERT_TRUE(stream.ok()) << stream.status();
  ASSERT_TRUE(WaitForText(log, "connected"));
  ASSERT_TRUE(IpBatch(MachineNetns(lab().topology().name, "switch"), {"link set node2 down"}).ok());
  EXPECT_TRUE(WaitForText(log, "\"cut\""));
  ASSERT_TRUE(IpBatch(MachineNetns(lab().topology().name, "switch"), {"link set node2 up"}).ok());
  EXPECT_TRUE(WaitForText(log, "restored"));
  EXPECT_TRUE(Stop(*stream, SIGKILL, kHang).ok());
}

TEST_F(PlainFabric, UndisturbedStreamLosesNothing) {
  for (const char* protocol : {"TCP", "UDP"}) {
    const auto stream = lab().Exec(
        "default/a",
        {lab().Binary("ripstop-probe"), "stream", "--to", lab().AddressOf("default/d", 6).value(),
         "--port", protocol == std::string("TCP") ? "80" : "53", "--protocol", protocol,
         "--interval-ms", "2", "--count", "200", "--for-ms", "600000", "--cut-after-ms", "600000"});
    ASSERT_TRUE(stream.ok()) << stream.status();
    const std::vector<std::string> lines = absl::StrSplit(stream->out, '\n', absl::SkipEmpty());
    ASSERT_FALSE(lines.empty()) << stream->err;
    const json end = json::parse(lines.back());
    EXPECT_EQ(end["sent"].get<int>(), 200) << lines.back();
    EXPECT_EQ(end["lost"].get<int>(), 0) << lines.back();
    EXPECT_FALSE(end["cut"].get<bool>()) << lines.back();
  }
}

TEST_F(PlainFabric, NodesAndPodsComeAndGo) {
  ASSERT_TRUE(lab().AddNode({"node4", "rack2", "198.51.100.14", "2001:db8:2::14"}).ok());
  Pod pod;
  pod.name = "e";
  pod.node = "node4";
  pod.ports = {{"http", 80, "TCP"}};
  ASSERT_TRUE(lab().AddPod(pod).ok());
  auto reaches = [&](const std::string& from, const std::string& to) {
    const auto results =
        Measure(lab(), {{from, to, "TCP", 80, 4}, {from, to, "TCP", 80, 6}}, kHang);
    return results.ok() && (*results)[0].reached() && (*results)[1].reached();
  };
  EXPECT_TRUE(reaches("default/e", "default/a"));
  EXPECT_TRUE(reaches("default/a", "default/e"));
  ASSERT_TRUE(lab().RemoveNode("node1").ok());
  EXPECT_FALSE(NetnsExists(MachineNetns(lab().topology().name, "node1")));
  EXPECT_FALSE(NetnsExists(PodNetns(lab().topology().name, "default/a")));
  EXPECT_TRUE(reaches("default/c", "default/e"));
  ASSERT_TRUE(lab().RemovePod("default/e").ok());
  EXPECT_EQ(lab().RemovePod("default/e").code(), absl::StatusCode::kNotFound);
}

TEST_F(PlainFabric, SecondUpIsRefusedAndLeavesTheFirstAlone) {
  const auto second = Lab::Up(lab().topology(), "t.yaml", kFabric, {});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists) << second.status();
  const auto results = Measure(lab(), {{"default/a", "default/d", "TCP", 80, 4}}, kHang);
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_TRUE((*results)[0].reached());
}

TEST_F(PlainFabric, NamespaceOfSomebodyElseIsNeitherUsedNorRemoved) {
  const std::string theirs = MachineNetns(lab().topology().name, "node9");
  ASSERT_TRUE(CreateNetns(theirs).ok());
  EXPECT_EQ(lab().AddNode({"node9", "rack1", "192.0.2.19", ""}).code(),
            absl::StatusCode::kAlreadyExists);
  ASSERT_TRUE(Down().ok());
  EXPECT_TRUE(NetnsExists(theirs));
  EXPECT_TRUE(DeleteNetns(theirs).ok());
}

TEST_F(PlainFabric, DownLeavesNothingAndMayBeRepeated) {
  const std::string dir = lab().state().dir();
  const std::vector<ProcessId> servers = [&] {
    std::vector<ProcessId> ids;
    for (const auto& [_, pod] : lab().state().pods) ids.push_back(pod.server);
    return ids;
  }();
  ASSERT_EQ(servers.size(), 4u);
  for (const ProcessId& id : servers) EXPECT_TRUE(IsAlive(id));
  ASSERT_TRUE(Down().ok());
  for (const ProcessId& id : servers) EXPECT_FALSE(IsAlive(id));
  EXPECT_FALSE(std::filesystem::exists(dir));
  EXPECT_TRUE(NamespacesLeft().empty());
  EXPECT_TRUE(Down().ok());
}

TEST(Processes, PidThatNowBelongsToAnotherIsNotKilled) {
  const auto record = [](const ProcessId&) { return absl::OkStatus(); };
  const auto sleeper = Spawn({.argv = {"sleep", "30"}}, "/dev/null", record);
  ASSERT_TRUE(sleeper.ok()) << sleeper.status();
  ProcessId older = *sleeper;
  older.start_ticks -= 1;  // as recorded for a process that had this pid before
  EXPECT_TRUE(Stop(older, SIGKILL, kHang).ok());
  EXPECT_TRUE(IsAlive(*sleeper));
  EXPECT_TRUE(Stop(*sleeper, SIGKILL, kHang).ok());
  EXPECT_FALSE(IsAlive(*sleeper));
}

TEST(Processes, ProcessThatCouldNotBeRecordedNeverRuns) {
  const std::string mark = absl::StrCat(testing::TempDir(), "/mark.", getpid());
  const auto spawned = Spawn({.argv = {"touch", mark}}, "/dev/null",
                             [](const ProcessId&) { return absl::UnavailableError("disk full"); });
  EXPECT_EQ(spawned.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(std::filesystem::exists(mark));
}

TEST(Processes, RunEndsWhatTakesTooLong) {
  const auto output = lab::Run({.argv = {"sleep", "infinity"}, .timeout = absl::Milliseconds(100)});
  EXPECT_EQ(output.status().code(), absl::StatusCode::kDeadlineExceeded) << output.status();
}

// The binary, killed at every tenth of its way: whatever it had made by then, Down removes.
class KilledUp : public LabTest {};

TEST_F(KilledUp, DownAfterSigkillAtAnyPointLeavesNothing) {
  const std::string file = absl::StrCat(testing::TempDir(), "/lab.", getpid(), ".yaml");
  std::ofstream(file) << "name: " << name() << kFabric;
  for (int ms = 20; ms <= 500; ms += 60) {
    const auto up = Spawn({.argv = {FindBinDir("") + "/ripstop-lab", "up", file}}, "/dev/null",
                          [](const ProcessId&) { return absl::OkStatus(); });
    ASSERT_TRUE(up.ok()) << up.status();
    absl::SleepFor(absl::Milliseconds(ms));
    ASSERT_TRUE(Stop(*up, SIGKILL, kHang).ok());
    const absl::Status down = Down();
    EXPECT_TRUE(down.ok()) << "killed after " << ms << " ms: " << down;
    EXPECT_TRUE(NamespacesLeft().empty()) << "killed after " << ms << " ms";
    EXPECT_FALSE(std::filesystem::exists(absl::StrCat(kRunRoot, "/", name())));
  }
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace ripstop::lab
