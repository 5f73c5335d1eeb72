// SPDX-License-Identifier: Apache-2.0
#include "e2e/scenarios/cyclonus_lab.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "policy/status_macros.h"

namespace ripstop::lab {
namespace {

using nlohmann::json;

// One block of 64 addresses holds pods of all nodes, so most addresses are borrowed from
// another node's block.
constexpr char kFabric[] = R"(
subnets:
- {name: rack1, v4: 192.0.2.0/26}
- {name: rack2, v4: 198.51.100.0/24}
routers:
- {name: r1, subnets: [rack1, rack2]}
nodes:
- {name: node1, subnet: rack1, v4: 192.0.2.11}
- {name: node2, subnet: rack1, v4: 192.0.2.12}
- {name: node3, subnet: rack2, v4: 198.51.100.13}
pools:
- {name: pods, cidr: 10.244.0.0/16, vxlanMode: CrossSubnet}
)";

// Written last of each change: an agent that has it has everything before it.
constexpr char kMarker[] = "last-change";

std::string KeyOf(const json& pod) {
  return absl::StrCat(pod["namespace"].get<std::string>(), "/", pod["name"].get<std::string>());
}

Pod LabPod(const json& from) {
  Pod pod;
  pod.ns = from["namespace"].get<std::string>();
  pod.name = from["name"].get<std::string>();
  pod.node = absl::StrCat("node", 1 + (pod.ns[0] - 'w' + pod.name[0] - 'a') % 3);
  pod.labels = from["labels"].get<std::map<std::string, std::string>>();
  pod.ips = {from["ip"].get<std::string>()};
  for (const json& port : from["ports"]) {
    if (port["protocol"] == "SCTP") continue;
    pod.ports.push_back({port["name"].get<std::string>(), port["port"].get<uint16_t>(),
                         port["protocol"].get<std::string>()});
  }
  return pod;
}

// As the Kubernetes API server would have it; its labels and ports win over the CNI's.
json PodDocument(const json& pod) {
  json ports = json::array();
  for (const json& port : pod["ports"]) {
    ports.push_back(
        {{"name", port["name"]}, {"protocol", port["protocol"]}, {"containerPort", port["port"]}});
  }
  return {{"apiVersion", "v1"},
          {"kind", "Pod"},
          {"metadata",
           {{"name", pod["name"]}, {"namespace", pod["namespace"]}, {"labels", pod["labels"]}}},
          {"spec", {{"containers", {{{"name", "serve"}, {"ports", ports}}}}}},
          {"status", {{"podIPs", {{{"ip", pod["ip"]}}}}}}};
}

std::map<std::string, json> DocumentsOf(const json& world, const json& policies) {
  std::map<std::string, json> documents;
  for (const auto& [name, labels] : world["namespaces"].items()) {
    documents["Namespace " + name] = {{"apiVersion", "v1"},
                                      {"kind", "Namespace"},
                                      {"metadata", {{"name", name}, {"labels", labels}}}};
  }
  for (const json& pod : world["pods"]) documents["Pod " + KeyOf(pod)] = PodDocument(pod);
  for (json policy : policies) {
    // Some cases leave these two out.
    policy["apiVersion"] = "networking.k8s.io/v1";
    policy["kind"] = "NetworkPolicy";
    documents["NetworkPolicy " + KeyOf(policy["metadata"])] = policy;
  }
  return documents;
}

std::string ListOf(const json& items) {
  return json{{"apiVersion", "v1"}, {"kind", "List"}, {"items", items}}.dump();
}

}  // namespace

absl::StatusOr<std::unique_ptr<CyclonusLab>> CyclonusLab::Up(const std::string& name) {
  const std::string text = absl::StrCat("name: ", name, "\n", kFabric);
  ASSIGN_OR_RETURN(const Topology topology, ParseTopology(text, "Cyclonus' fabric", "/"));
  ASSIGN_OR_RETURN(Lab lab, Lab::Up(topology, "/topology.yaml", text, {}));
  return std::unique_ptr<CyclonusLab>(new CyclonusLab(std::move(lab)));
}

absl::Status CyclonusLab::MoveTo(const json& world, const json& policies) {
  std::map<std::string, json> wanted = DocumentsOf(world, policies);
  std::set<std::string> pods;
  for (const json& pod : world["pods"]) pods.insert(KeyOf(pod));
  std::vector<std::string> running;
  for (const auto& [key, pod] : lab_.state().pods) running.push_back(key);
  for (const std::string& key : running) {
    if (!pods.contains(key)) RETURN_IF_ERROR(lab_.RemovePod(key));
  }
  json gone = json::array(), changed = json::array();
  for (const auto& [key, document] : documents_) {
    if (!wanted.contains(key)) gone.push_back(document);
  }
  for (const auto& [key, document] : wanted) {
    const auto applied = documents_.find(key);
    if (applied == documents_.end() || applied->second != document) changed.push_back(document);
  }
  if (!gone.empty()) RETURN_IF_ERROR(lab_.Delete(ListOf(gone)));
  if (!changed.empty()) RETURN_IF_ERROR(lab_.Apply(ListOf(changed)));
  documents_ = std::move(wanted);
  for (const json& pod : world["pods"]) {
    if (!lab_.state().pods.contains(KeyOf(pod))) RETURN_IF_ERROR(lab_.AddPod(LabPod(pod)));
  }
  return WaitForAgents();
}

absl::Status CyclonusLab::WaitForAgents() {
  const json marker = {
      {"apiVersion", "projectcalico.org/v3"},
      {"kind", "GlobalNetworkSet"},
      {"metadata", {{"name", kMarker}, {"labels", {{"change", absl::StrCat(++changes_)}}}}},
      {"spec", json::object()}};
  RETURN_IF_ERROR(lab_.Apply(marker.dump()));
  ASSIGN_OR_RETURN(const Output output,
                   lab_.Ctl({"get", "globalnetworkset", kMarker, "-o", "json"}));
  const json stored = json::parse(output.out, nullptr, false);
  if (!stored.is_object()) return absl::InternalError(absl::StrCat(output.out, output.err));
  const int64_t revision = std::stoll(stored["metadata"]["resourceVersion"].get<std::string>());
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  for (const Node& node : lab_.topology().nodes) {
    while (true) {
      ASSIGN_OR_RETURN(const agent::v1::StatusReply status, lab_.AgentStatus(node.name));
      if (status.store_revision() >= revision) break;
      if (absl::Now() > deadline) {
        return absl::DeadlineExceededError(absl::StrCat("agent of ", node.name, " is at revision ",
                                                        status.store_revision(), ", the store at ",
                                                        revision));
      }
      absl::SleepFor(absl::Milliseconds(5));
    }
  }
  return absl::OkStatus();
}

Matrices CyclonusLab::Expected(const json& step) {
  Matrices expected;
  for (const auto& [key, matrices] : step["expected"].items()) {
    if (key.rfind("SCTP/", 0) == 0) continue;
    expected[key] = matrices["combined"].get<std::vector<std::string>>();
    for (size_t i = 0; i < expected[key].size(); ++i) expected[key][i].at(i) = '-';
  }
  return expected;
}

absl::StatusOr<Matrices> CyclonusLab::Measured(const std::vector<std::string>& pods,
                                               const Matrices& expected,
                                               absl::Duration timeout) const {
  Matrices measured;
  std::vector<Flow> flows;
  std::vector<char*> cells;
  for (const auto& [key, unused] : expected) {
    const std::vector<std::string> parts = absl::StrSplit(key, '/');
    std::vector<std::string>& rows = measured[key];
    rows.assign(pods.size(), std::string(pods.size(), '-'));
    for (size_t from = 0; from < pods.size(); ++from) {
      for (size_t to = 0; to < pods.size(); ++to) {
        if (from == to) continue;
        flows.push_back(
            {pods[from], pods[to], parts[0], static_cast<uint16_t>(std::stoi(parts[1])), 4});
        cells.push_back(&rows[from][to]);
      }
    }
  }
  ASSIGN_OR_RETURN(const std::vector<FlowResult> results, Measure(lab_, flows, timeout));
  for (size_t i = 0; i < results.size(); ++i) {
    // Denied packets vanish. What is refused, or answered by somebody else, is neither.
    const std::string& result = results[i].result;
    *cells[i] = result == "ok" ? '.' : result == "timeout" ? 'X' : '?';
  }
  return measured;
}

std::string Difference(const std::vector<std::string>& pods, const Matrices& expected,
                       const Matrices& measured) {
  std::string text;
  for (const auto& [key, rows] : expected) {
    const std::vector<std::string>& got = measured.at(key);
    if (rows == got) continue;
    absl::StrAppend(&text, key, "   expected    measured    (columns: ");
    for (const std::string& pod : pods) absl::StrAppend(&text, pod, " ");
    absl::StrAppend(&text, ")\n");
    for (size_t i = 0; i < rows.size(); ++i) {
      absl::StrAppend(&text, "  ", pods[i], "    ", rows[i], "   ", got[i]);
      for (size_t j = 0; j < pods.size(); ++j) {
        if (rows[i][j] == got[i][j]) continue;
        absl::StrAppend(&text, "   ", pods[i], "→", pods[j],
                        got[i][j] == '.'   ? " got through"
                        : got[i][j] == 'X' ? " timed out"
                                           : " failed");
      }
      absl::StrAppend(&text, "\n");
    }
  }
  return text;
}

bool Leaks(const Matrices& expected, const Matrices& measured) {
  for (const auto& [key, rows] : expected) {
    for (size_t i = 0; i < rows.size(); ++i) {
      for (size_t j = 0; j < rows[i].size(); ++j) {
        if (rows[i][j] == 'X' && measured.at(key)[i][j] == '.') return true;
      }
    }
  }
  return false;
}

}  // namespace ripstop::lab
