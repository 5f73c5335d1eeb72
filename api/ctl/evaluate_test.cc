// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "api/ctl/evaluator.h"
#include "api/ctl/testing.h"

namespace ripstop::ctl {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr char kWorld[] = R"(apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
status: {podIPs: [{ip: 192.0.2.1}, {ip: "2001:db8::1"}]}
---
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {name: db, namespace: data, labels: {app: db}}
spec:
  node: node1
  orchestrator: k8s
  pod: db
  endpoint: eth0
  interfaceName: cali1
  profiles: [kns.data]
  ipNetworks: [192.0.2.2/32, "2001:db8::2/128"]
---
apiVersion: v1
kind: Pod
metadata: {name: host, namespace: shop}
spec: {hostNetwork: true}
status: {podIP: 198.51.100.1}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: db, namespace: data}
spec:
  selector: app == 'db'
  types: [Ingress]
  ingress:
  - action: Allow
    protocol: TCP
    source:
      selector: app == 'web'
      namespaceSelector: kubernetes.io/metadata.name == 'shop'
    destination: {ports: [5432]}
  - action: Allow
    protocol: ICMP
    icmp: {type: 8}
  - action: Deny
    protocol: UDP
    source: {ports: [53]}
)";

class EvaluateTest : public CtlTest, public testing::WithParamInterface<std::string> {
 protected:
  void SetUp() override {
    if (GetParam() == "kernel" && geteuid() != 0)
      GTEST_SKIP() << "needs root: CAP_BPF and CAP_NET_ADMIN";
    file_ = File("world.yaml", kWorld);
  }
  // The answers to some queries, one per line.
  std::vector<json> Ask(const std::string& queries, int code = kExitOk) {
    EXPECT_EQ(Ctl({"evaluate", "-f", file_, "--engine", GetParam()}, queries), code) << err_;
    std::vector<json> answers;
    std::istringstream lines(out_);
    for (std::string line; std::getline(lines, line);) answers.push_back(json::parse(line));
    return answers;
  }
  std::string file_;
};

TEST_P(EvaluateTest, EachDirectionNamesWhoDecided) {
  const auto answers = Ask(R"({"from": "shop/web", "to": "data/db", "protocol": "TCP", "port": 5432}
{"from": "shop/web", "to": "data/db", "protocol": "TCP", "port": 80}
)");
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(answers[0], json::parse(R"({"verdict": "Allow",
    "egress": {"verdict": "Allow", "tier": null, "policy": "profile kns.shop",
               "rule": "egress rule 0"},
    "ingress": {"verdict": "Allow", "tier": "default", "policy": "data/db",
                "rule": "ingress rule 0"}})"));
  EXPECT_EQ(answers[1]["verdict"], "Deny");
  EXPECT_EQ(answers[1]["egress"]["verdict"], "Allow");
  EXPECT_EQ(answers[1]["ingress"]["rule"], "end of tier");
}

TEST_P(EvaluateTest, AddressOfAPodIsThatPodAndOthersHaveNoDirection) {
  const auto answers = Ask(R"({"from": "192.0.2.1", "to": "192.0.2.2", "port": 5432}
{"from": "203.0.113.9", "to": "data/db", "port": 5432}
{"from": "shop/web", "to": "203.0.113.9", "port": 443}
{"from": "203.0.113.9", "to": "203.0.113.10", "port": 443}
{"from": "shop/host", "to": "data/db", "port": 5432}
)");
  ASSERT_EQ(answers.size(), 5u);
  EXPECT_EQ(answers[0]["verdict"], "Allow");
  EXPECT_EQ(answers[1]["verdict"], "Deny");
  EXPECT_TRUE(answers[1]["egress"].is_null());
  EXPECT_EQ(answers[2]["verdict"], "Allow");
  EXPECT_TRUE(answers[2]["ingress"].is_null());
  EXPECT_EQ(answers[3]["verdict"], "Allow");
  EXPECT_TRUE(answers[4]["egress"].is_null());  // on the host's network: no endpoint
  EXPECT_EQ(answers[4]["verdict"], "Deny");
}

TEST_P(EvaluateTest, APodAndItsWorkloadEndpointsAreJoinedAndASecondInterfaceIsOneByItself) {
  file_ = File("two.yaml", std::string(kWorld) + R"(---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: data, labels: {app: web}}
---
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {name: db-net1, namespace: data}
spec: {node: node1, pod: db, containerID: c1, endpoint: net1, ipNetworks: [192.0.2.3/32]}
)");
  const auto answers = Ask(R"({"from": "shop/web", "to": "data/db", "port": 80}
{"from": "shop/web", "to": "data/db/net1", "port": 80}
{"from": "shop/web", "to": "192.0.2.3", "port": 80}
)");
  ASSERT_EQ(answers.size(), 3u);
  for (const json& answer : answers) {
    EXPECT_EQ(answer["ingress"]["policy"], "profile kns.data") << "no policy selects app: web";
  }
}

TEST_P(EvaluateTest, AnAddressThatTwoPodsClaimIsRefusedByName) {
  file_ = File("two.yaml", std::string(kWorld) + R"(---
apiVersion: v1
kind: Pod
metadata: {name: thief, namespace: shop, labels: {app: web}}
status: {podIPs: [{ip: 192.0.2.2}]}
)");
  const auto answers = Ask(R"({"from": "shop/web", "to": "data/db", "port": 5432}
{"from": "shop/web", "to": "data/db", "port": 5432, "ipVersion": 6}
)",
                           kExitError);
  EXPECT_THAT(err_, HasSubstr("192.0.2.2 is the address of data/db and of shop/thief"));
  ASSERT_FALSE(answers.empty());
  EXPECT_EQ(answers.back()["verdict"], "Allow") << "its other address is its own";
}

TEST_P(EvaluateTest, BothIpVersionsProtocolNumbersIcmpAndSourcePorts) {
  const auto answers = Ask(R"({"from": "shop/web", "to": "2001:db8::2", "protocol": 6, "port": 5432}
{"from": "shop/web", "to": "data/db", "port": 5432, "ipVersion": 6}
{"from": "shop/web", "to": "data/db", "protocol": "ICMP"}
{"from": "shop/web", "to": "data/db", "protocol": "icmp", "icmpType": 13, "icmpCode": 0}
{"from": "shop/web", "to": "data/db", "protocol": "UDP", "port": 9, "sourcePort": 53}
{"from": "shop/web", "to": "data/db", "protocol": "UDP", "port": 9}
)");
  ASSERT_EQ(answers.size(), 6u);
  EXPECT_EQ(answers[0]["verdict"], "Allow");
  EXPECT_EQ(answers[1]["verdict"], "Allow");
  EXPECT_EQ(answers[2]["ingress"]["rule"], "ingress rule 1");
  EXPECT_EQ(answers[3]["ingress"]["rule"], "end of tier");
  EXPECT_EQ(answers[4]["ingress"]["rule"], "ingress rule 2");
  EXPECT_EQ(answers[5]["ingress"]["rule"], "end of tier");
}

TEST_P(EvaluateTest, BadQueriesNameTheirLineAndKeepTheOthersInPlace) {
  const auto answers = Ask(R"({"from": "shop/web", "to": "data/db", "port": 5432}
{"from": "shop/nobody", "to": "data/db", "port": 5432}
{"from": "shop/web", "to": "data/db", "prot": 5432}
{"from": "shop/web", "to": "data/db", "protocol": "TPC", "port": 1}
{"from": "shop/web", "to": "data/db", "port": 65536}
{"from": "shop/web", "to": "data/db"}
{"from": "203.0.113.1", "to": "2001:db8::2", "port": 1}
not json

{"from": "shop/web", "to": "data/db", "port": 5432}
)",
                           kExitError);
  ASSERT_EQ(answers.size(), 9u);
  EXPECT_EQ(answers[0]["verdict"], "Allow");
  EXPECT_EQ(answers[8]["verdict"], "Allow");
  const std::vector<std::string> expected = {
      "line 2: from: \"shop/nobody\"", "line 3: \"prot\" is no field", "line 4: protocol: \"TPC\"",
      "line 5: port: 65536",           "line 6: port: is missing",     "same IP version",
      "line 8: is not a JSON"};
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_THAT(answers[i + 1].value("error", ""), HasSubstr(expected[i]));
  EXPECT_THAT(err_, HasSubstr("<stdin>:2: "));
}

TEST_P(EvaluateTest, StagedPoliciesAnswerBesideWhatIsEnforced) {
  const std::string staged = R"(
---
apiVersion: projectcalico.org/v3
kind: StagedNetworkPolicy
metadata: {name: db, namespace: data}
spec:
  selector: app == 'db'
  types: [Ingress]
  ingress:
  - {action: Deny, protocol: TCP, destination: {ports: [5432]}}
  - {action: Allow}
)";
  file_ = File("staged.yaml", kWorld + staged);
  const auto answers = Ask(R"({"from": "shop/web", "to": "data/db", "port": 5432}
{"from": "shop/web", "to": "data/db", "port": 80}
{"from": "shop/web", "to": "203.0.113.9", "port": 80}
)");
  ASSERT_EQ(answers.size(), 3u);
  EXPECT_EQ(answers[0]["verdict"], "Allow");
  EXPECT_EQ(answers[0]["ingress"]["verdict"], "Allow");
  EXPECT_EQ(answers[0]["staged"], json::parse(R"({"verdict": "Deny",
    "egress": {"verdict": "Allow", "tier": null, "policy": "profile kns.shop",
               "rule": "egress rule 0"},
    "ingress": {"verdict": "Deny", "tier": "default", "policy": "data/db",
                "rule": "ingress rule 0", "kind": "StagedNetworkPolicy"}})"));
  EXPECT_EQ(answers[1]["verdict"], "Deny");
  EXPECT_EQ(answers[1]["staged"]["verdict"], "Allow");
  EXPECT_EQ(answers[1]["staged"]["ingress"]["rule"], "ingress rule 1");
  EXPECT_EQ(answers[2]["staged"]["verdict"], "Allow") << "no staged policy concerns it";
  EXPECT_TRUE(answers[2]["staged"]["ingress"].is_null());
}

TEST_P(EvaluateTest, AHostEndpointIsAskedGroupByGroup) {
  file_ = File("hosts.yaml", std::string(kWorld) + R"(---
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: node-a, labels: {role: node}}
spec: {node: node-a, interfaceName: eth0, expectedIPs: [192.0.2.200]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: door}
spec:
  selector: role == 'node'
  preDNAT: true
  applyOnForward: true
  types: [Ingress]
  ingress: [{action: Deny, protocol: TCP, destination: {ports: [8080]}}]
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: web}
spec:
  selector: role == 'node'
  ingress: [{action: Allow, protocol: TCP, source: {selector: app == 'web'}, destination: {ports: [80]}}]
)");
  const auto query = [](const std::string& more) {
    return R"({"hostEndpoint": "node-a", )" + more + "}\n";
  };
  const std::string in = R"("direction": "ingress", "to": "192.0.2.200", )";
  const std::vector<json> answers = Ask(
      query(in + R"("from": "198.51.100.7", "port": 8080)") +
          query(in + R"("from": "shop/web", "port": 80)") +
          query(in + R"("from": "198.51.100.7", "port": 80)") +
          query(in + R"("from": "198.51.100.7", "port": 22)") +
          query(
              R"("direction": "egress", "from": "data/db", "to": "198.51.100.7", "port": 80, "forwarded": true)") +
          query(in + R"("from": "198.51.100.7", "port": 80, "forwarded": 1)") +
          R"({"hostEndpoint": "node-b", "direction": "ingress", "from": "192.0.2.1", "to": "192.0.2.2", "port": 1})"
          "\n"
          R"({"direction": "ingress", "from": "192.0.2.1", "to": "192.0.2.2", "port": 1})"
          "\n",
      kExitError);
  ASSERT_EQ(answers.size(), 8u);
  EXPECT_THAT(answers[5]["error"], HasSubstr("forwarded: 1: write true or false"));
  EXPECT_THAT(answers[6]["error"], HasSubstr("hostEndpoint: \"node-b\": no HostEndpoint"));
  EXPECT_THAT(answers[7]["error"], HasSubstr("direction: \"ingress\": goes with \"hostEndpoint\""));
  if (GetParam() == "kernel") {
    EXPECT_THAT(answers[0]["error"], HasSubstr("--engine tables or reference"));
    return;
  }
  const auto who = [&](size_t i) {
    const json& host = answers[i]["hostEndpoint"];
    EXPECT_EQ(answers[i]["verdict"], host["verdict"]);
    const auto text = [](const json& j) { return j.is_null() ? "" : j.get<std::string>(); };
    return text(host["verdict"]) + " " + text(host["group"]) + " " + text(host["policy"]) + " " +
           text(host["rule"]);
  };
  EXPECT_EQ(who(0), "Deny pre-DNAT door ingress rule 0");
  EXPECT_EQ(who(1), "Allow normal web ingress rule 0");
  EXPECT_EQ(who(2), "Deny normal web end of tier");
  EXPECT_EQ(who(3), "Allow untracked  failsafe tcp 22");
  EXPECT_EQ(who(4), "Allow forward  no policy for forwarded traffic");
}

TEST_P(EvaluateTest, HundredThousandQueriesAreAnswered) {
  std::string queries;
  for (int i = 0; i < 100'000; ++i)
    queries +=
        "{\"from\":\"shop/web\",\"to\":\"data/db\",\"port\":" + std::to_string(i % 65536) + "}\n";
  const auto start = std::chrono::steady_clock::now();
  ASSERT_EQ(Ctl({"evaluate", "-f", file_, "--engine", GetParam(), "--queries",
                 File("queries.jsonl", queries)}),
            kExitOk)
      << err_;
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  printf("%s: 100000 queries in %.2f s\n", GetParam().c_str(), took.count());
  EXPECT_EQ(std::count(out_.begin(), out_.end(), '\n'), 100'000);
}

INSTANTIATE_TEST_SUITE_P(Engines, EvaluateTest, testing::ValuesIn(EvaluatorNames()),
                         [](const auto& info) { return info.param; });

using EvaluateCommandTest = CtlTest;

TEST_F(EvaluateCommandTest, InvalidDocumentsAndUsesAreRefused) {
  const std::string bad = File("bad.yaml", "apiVersion: v1\nkind: Pode\nmetadata: {name: x}\n");
  EXPECT_EQ(Ctl({"evaluate", "-f", bad}, ""), kExitError);
  EXPECT_THAT(err_, HasSubstr(bad));
  EXPECT_EQ(Ctl({"evaluate"}), kExitUsage);
  EXPECT_EQ(Ctl({"evaluate", "-f", "-"}, ""), kExitUsage);
  EXPECT_EQ(Ctl({"evaluate", "-f", bad, "--engine", "oracle"}), kExitUsage);
  EXPECT_EQ(Ctl({"evaluate", "-f", File("w.yaml", kWorld), "--queries", "/nonexistent"}),
            kExitError);
  EXPECT_THAT(err_, HasSubstr("/nonexistent"));
}

}  // namespace
}  // namespace ripstop::ctl
