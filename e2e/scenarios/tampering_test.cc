// SPDX-License-Identifier: Apache-2.0
//
// What somebody else changes under a running agent, on the real programs.
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <iostream>
#include <thread>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "agent/base/netns.h"
#include "e2e/lab/connectivity.h"
#include "e2e/lab/testing.h"
#include "policy/base/unique_fd.h"

namespace ripstop::lab {
namespace {

namespace fs = std::filesystem;

constexpr char kFabric[] = R"(
subnets:
- {name: rack1, v4: 192.0.2.0/26, v6: "2001:db8:1::/64"}
- {name: rack2, v4: 198.51.100.0/24, v6: "2001:db8:2::/64"}
routers:
- {name: r1, subnets: [rack1, rack2]}
nodes:
- {name: node1, subnet: rack1, v4: 192.0.2.11, v6: "2001:db8:1::11"}
bgp: {asNumber: 64512}
pools:
- {name: pods-v4, cidr: 10.65.0.0/16}
- {name: pods-v6, cidr: "fd00:10:65::/48"}
namespaces:
- {name: shop}
pods:
- {name: client, namespace: shop, node: node1}
- {name: server, namespace: shop, node: node1, ports: [{name: http, port: 80}]}
- {name: closed, namespace: shop, node: node1, labels: {app: closed},
   ports: [{name: http, port: 80}]}
)";

constexpr char kPolicy[] = R"(
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: closed, namespace: shop}
spec:
  selector: app == 'closed'
  types: [Ingress]
)";

class Tampering : public LabTest {
 protected:
  void SetUp() override {
    LabTest::SetUp();
    if (IsSkipped()) return;
    Raise(kFabric);
    if (HasFatalFailure()) return;
    const absl::Status applied = lab().Apply(kPolicy);
    ASSERT_TRUE(applied.ok()) << applied;
    ASSERT_TRUE(Eventually([&] { return ResultOf(allowed_) == "ok"; }));
    ASSERT_TRUE(Eventually([&] { return ResultOf(denied_) == "timeout"; }));
  }

  std::string ResultOf(const Flow& flow) {
    const auto results = Measure(lab(), {flow}, absl::Seconds(1));
    EXPECT_TRUE(results.ok()) << results.status();
    return results.ok() ? (*results)[0].result : "";
  }
  std::string OnNode(const std::vector<std::string>& command) {
    const auto output = lab().Exec("node1", command);
    EXPECT_TRUE(output.ok()) << output.status();
    if (!output.ok()) return "";
    EXPECT_EQ(output->exit_code, 0) << absl::StrJoin(command, " ") << ": " << output->err;
    return output->out;
  }
  std::string Sysctl(const std::string& name) {
    std::string text = OnNode({"sysctl", "-n", name});
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
  }
  void SetSysctl(const std::string& name, const std::string& value) {
    OnNode({"sysctl", "-q", "-w", name + "=" + value});
  }
  std::string InterfaceOf(const std::string& pod) {
    const std::string route = OnNode({"ip", "route", "get", lab().AddressOf(pod, 4).value()});
    const size_t at = route.find(" dev ");
    return at == std::string::npos ? "" : route.substr(at + 5, route.find(' ', at + 5) - at - 5);
  }

  // As node status says it.
  uint64_t Repairs(const std::string& kind) {
    const auto status = lab().AgentStatus("node1");
    if (!status.ok()) return 0;
    for (const auto& repair : status->repairs()) {
      if (repair.kind() == kind) return repair.count();
    }
    return 0;
  }
  std::string StatusText() {
    const auto output = lab().Ctl({"node", "status"}, "", "node1");
    EXPECT_TRUE(output.ok()) << output.status();
    return output.ok() ? output->out : "";
  }

  const NodeState& node() { return lab().state().nodes.at("node1"); }
  std::vector<std::string> Files(const std::string& folder) {
    std::vector<std::string> files;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      files.push_back(entry.path().string());
    }
    return files;
  }
  void DetachAll() {
    const std::vector<std::string> links = Files(node().pins + "/links");
    ASSERT_GE(links.size(), 6u) << "two for each pod";
    for (const std::string& link : links) OnNode({"bpftool", "link", "detach", "pinned", link});
  }
  std::vector<std::string> EndpointFiles() {
    return Files(lab().state().NodeDir("node1") + "/state/endpoints");
  }

  // As the lab does it, with more options. It ends with its namespace.
  absl::StatusOr<ProcessId> StartAgent(const std::vector<std::string>& options) {
    const std::string dir = lab().state().NodeDir("node1");
    std::error_code error;
    fs::remove(node().socket, error);
    Command command{.argv = {lab().Binary("ripstop-agent"), "--node", "node1", "--store",
                             lab().state().store_url(), "--socket", node().socket, "--bpffs",
                             node().pins, "--run-dir", dir + "/run", "--state-dir", dir + "/state",
                             "--log-file", dir + "/agent.log"},
                    .netns = node().netns};
    command.argv.insert(command.argv.end(), options.begin(), options.end());
    return Spawn(command, dir + "/agent.out", [](const ProcessId&) { return absl::OkStatus(); });
  }

  // The interface of a machine that has an address of this net.
  std::string Holder(const std::string& machine, const std::string& net) {
    const auto output = lab().Exec(machine, {"ip", "-o", "addr", "show", "to", net});
    EXPECT_TRUE(output.ok()) << output.status();
    const std::vector<std::string> words =
        absl::StrSplit(output.ok() ? output->out : "", ' ', absl::SkipEmpty());
    return words.size() > 1 ? words[1] : "";
  }
  // RFC 4861 section 4.2, from r1 to all nodes of rack1: a router for half an hour.
  void Advertise() {
    const std::string interface = Holder("r1", "192.0.2.0/26");
    const auto netns = agent::OpenNetns("/run/netns/" + lab().NetnsOf("r1").value());
    ASSERT_TRUE(netns.ok()) << netns.status();
    const absl::Status sent = agent::RunInNetns(netns->get(), [&]() -> absl::Status {
      const UniqueFd fd(socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6));
      const int hops = 255;
      setsockopt(fd.get(), IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof(hops));
      nd_router_advert message = {};
      message.nd_ra_type = ND_ROUTER_ADVERT;
      message.nd_ra_router_lifetime = htons(1800);
      sockaddr_in6 all = {};
      all.sin6_family = AF_INET6;
      all.sin6_scope_id = if_nametoindex(interface.c_str());
      inet_pton(AF_INET6, "ff02::1", &all.sin6_addr);
      if (sendto(fd.get(), &message, sizeof(message), 0, reinterpret_cast<sockaddr*>(&all),
                 sizeof(all)) != sizeof(message)) {
        return absl::ErrnoToStatus(errno, "advertise at " + interface);
      }
      return absl::OkStatus();
    });
    ASSERT_TRUE(sent.ok()) << sent;
  }

  const Flow allowed_{"shop/client", "shop/server", "TCP", 80, 4};
  const Flow denied_{"shop/client", "shop/closed", "TCP", 80, 4};
};

TEST_F(Tampering, DetachedProgramsArePutBackAndCounted) {
  // Control: the attack works while nobody looks.
  ASSERT_TRUE(lab().StopAgent("node1", SIGKILL).ok());
  DetachAll();
  EXPECT_TRUE(Eventually([&] { return ResultOf(denied_) == "ok"; }));
  ASSERT_TRUE(lab().StartAgent("node1").ok());
  EXPECT_EQ(ResultOf(denied_), "timeout");
  EXPECT_EQ(Repairs("program"), 0u) << "a start is no repair";

  const absl::Time detached = absl::Now();
  DetachAll();
  ASSERT_TRUE(Eventually([&] { return Repairs("program") >= 6; })) << StatusText();
  const int64_t ms = absl::ToInt64Milliseconds(absl::Now() - detached);
  RecordProperty("put_back_after_ms", static_cast<int>(ms));
  std::cout << "put back " << ms << " ms after the first of them was detached\n";
  EXPECT_EQ(ResultOf(denied_), "timeout");
  EXPECT_EQ(ResultOf(allowed_), "ok");
  EXPECT_TRUE(absl::StrContains(StatusText(), "was detached by somebody")) << StatusText();
  EXPECT_TRUE(Eventually([&] { return lab().AgentStatus("node1")->ready(); })) << StatusText();
}

TEST_F(Tampering, LinksAndSettingsArePutBack) {
  const std::string interface = InterfaceOf("shop/server");
  ASSERT_FALSE(interface.empty());
  OnNode({"ip", "link", "set", interface, "down"});
  EXPECT_TRUE(Eventually([&] { return Repairs("link") == 1; })) << StatusText();
  EXPECT_TRUE(Eventually([&] { return ResultOf(allowed_) == "ok"; })) << StatusText();

  const std::vector<std::pair<std::string, std::string>> settings = {
      {"net/ipv4/ip_forward", "0"},
      {"net/ipv6/conf/all/forwarding", "0"},
      {"net/ipv4/conf/" + interface + "/rp_filter", "1"},
      {"net/ipv4/conf/" + interface + "/proxy_arp", "1"},
      {"net/ipv6/conf/" + interface + "/proxy_ndp", "1"},
      {"net/ipv6/conf/" + interface + "/disable_ipv6", "1"}};
  for (const auto& [name, wrong] : settings) {
    const std::string right = Sysctl(name);
    ASSERT_NE(right, wrong) << name;
    const uint64_t before = Repairs("setting");
    SetSysctl(name, wrong);
    EXPECT_TRUE(Eventually([&] { return Sysctl(name) == right; })) << name << "\n" << StatusText();
    EXPECT_TRUE(Eventually([&] { return Repairs("setting") > before; })) << name;
  }
  for (int family : {4, 6}) {
    EXPECT_TRUE(Eventually([&] {
      return ResultOf({"shop/client", "shop/server", "TCP", 80, family}) == "ok";
    })) << family;
  }
  EXPECT_TRUE(Eventually([&] { return lab().AgentStatus("node1")->ready(); })) << StatusText();
}

TEST_F(Tampering, TruncatedEndpointFilesAreWrittenAgainOrNamed) {
  const std::vector<std::string> files = EndpointFiles();
  ASSERT_EQ(files.size(), 3u);
  for (const std::string& file : files) fs::resize_file(file, 3);
  EXPECT_TRUE(Eventually([&] { return Repairs("endpoint file") == 3; })) << StatusText();
  for (const std::string& file : files) EXPECT_GT(fs::file_size(file), 3u) << file;

  // Where no agent runs that could remember, it is named, and the node is not ready.
  ASSERT_TRUE(lab().StopAgent("node1", SIGKILL).ok());
  fs::resize_file(files[0], 3);
  const auto agent = StartAgent({});
  ASSERT_TRUE(agent.ok()) << agent.status();
  EXPECT_TRUE(Eventually([&] {
    const auto status = lab().AgentStatus("node1");
    return status.ok() && !status->ready() && absl::StrContains(StatusText(), files[0]);
  }));
}

// A table so small that ended connections, which stay for ten seconds, fill it.
TEST_F(Tampering, ATableOfFlowsThatFillsIsAnAlarmAndRefusedConnectionsDoNotFillIt) {
  const auto size = lab().AgentStatus("node1");
  ASSERT_TRUE(size.ok()) << size.status();
  EXPECT_GE(size->flows().capacity(), 65536u) << "a share of the memory, where nobody says";
  ASSERT_TRUE(lab().StopAgent("node1", SIGTERM).ok());
  const auto agent = StartAgent({"--flow-table-entries", "64"});
  ASSERT_TRUE(agent.ok()) << agent.status();
  ASSERT_TRUE(Eventually([&] {
    const auto status = lab().AgentStatus("node1");
    return status.ok() && status->ready() && status->flows().capacity() == 64;
  }));

  const std::vector<Flow> refused(200, {"shop/client", "shop/server", "TCP", 81, 4});
  const auto results = Measure(lab(), refused, kHang);
  ASSERT_TRUE(results.ok()) << results.status();
  for (const FlowResult& result : *results) EXPECT_EQ(result.result, "refused");
  EXPECT_EQ(lab().AgentStatus("node1")->flows().no_room(), 0u);

  // Each probe is a connection. Those that find no room are refused it, and try again, as TCP does,
  // when the sweep has made some: the alarm stands while they do, and not after.
  std::atomic<bool> stop = false;
  std::thread probes([&] {
    const std::vector<Flow> many(100, allowed_);
    while (!stop) {
      const auto more = Measure(lab(), many, kHang);
      ASSERT_TRUE(more.ok()) << more.status();
      for (const FlowResult& result : *more) EXPECT_TRUE(result.reached()) << result.result;
    }
  });
  EXPECT_TRUE(Eventually([&] {
    const auto status = lab().AgentStatus("node1");
    return status.ok() && !status->ready() && status->flows().no_room() > 0 &&
           absl::StrContains(StatusText(), "--flow-table-entries");
  })) << StatusText();
  std::cout << StatusText();
  stop = true;
  probes.join();
  EXPECT_TRUE(Eventually([&] { return lab().AgentStatus("node1")->ready(); })) << StatusText();
}

TEST_F(Tampering, ANodeThatLivesByRouterAdvertisementsKeepsItsDefaultRoute) {
  const std::string uplink = Holder("node1", "192.0.2.11");
  const auto routed = [&] {
    return !OnNode({"ip", "-6", "route", "show", "default", "proto", "ra"}).empty();
  };
  const std::string accept = "net/ipv6/conf/" + uplink + "/accept_ra";
  const auto become_host = [&] {
    SetSysctl("net/ipv6/conf/all/forwarding", "0");
    SetSysctl(accept, "1");
    ASSERT_TRUE(Eventually([&] {
      Advertise();
      return routed();
    }));
  };
  ASSERT_TRUE(lab().StopAgent("node1", SIGTERM).ok());
  become_host();
  SetSysctl("net/ipv6/conf/all/forwarding", "1");
  EXPECT_FALSE(routed()) << "control: the kernel keeps it by itself";

  become_host();
  ASSERT_TRUE(lab().StartAgent("node1").ok());
  EXPECT_EQ(Sysctl("net/ipv6/conf/all/forwarding"), "1");
  EXPECT_TRUE(routed());
  EXPECT_EQ(Sysctl(accept), "2");
  SetSysctl(accept, "1");
  EXPECT_TRUE(Eventually([&] { return Sysctl(accept) == "2"; })) << StatusText();
  EXPECT_TRUE(Eventually([&] { return Repairs("setting") > 0; })) << StatusText();
}

}  // namespace
}  // namespace ripstop::lab
