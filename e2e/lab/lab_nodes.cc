// SPDX-License-Identifier: Apache-2.0
//
// Nodes of a lab: made, their agents started and stopped, removed.
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "e2e/lab/agent_client.h"
#include "e2e/lab/fabric.h"
#include "e2e/lab/lab.h"
#include "e2e/lab/netns.h"
#include "e2e/lab/plain_routing.h"
#include "e2e/lab/resources.h"
#include "policy/status_macros.h"

namespace ripstop::lab {

namespace fs = std::filesystem;
using absl::StrCat;

absl::Status Lab::MakeNode(const Node& node) {
  const std::string netns = MachineNetns(topology_.name, node.name);
  RETURN_IF_ERROR(MakeNetns(netns));
  NodeState& entry = state_.nodes[node.name];
  entry.name = node.name;
  entry.netns = netns;
  entry.pins = StrCat(kBpffs, "/ripstop-", topology_.name, "/", node.name);
  entry.socket = StrCat(state_.NodeDir(node.name), "/agent.sock");
  RETURN_IF_ERROR(state_.Save());
  RETURN_IF_ERROR(WireNode(topology_, node));
  if (!topology_.with_agents) return absl::OkStatus();
  std::error_code error;
  for (const char* sub : {"run", "state"}) {
    fs::create_directories(fs::path(state_.NodeDir(node.name)) / sub, error);
  }
  fs::create_directories(fs::path(entry.pins).parent_path(), error);
  return SpawnAgent(node.name);
}

absl::Status Lab::SpawnAgent(const std::string& node) {
  NodeState& entry = state_.nodes.at(node);
  const std::string dir = state_.NodeDir(node);
  // The socket of an agent that was killed is still there, and nobody behind it.
  std::error_code error;
  fs::remove(entry.socket, error);
  const std::string agent = options_.agent.empty() ? Binary("ripstop-agent") : options_.agent;
  return Spawn({.argv = {agent, "--node", node, "--store", state_.store_url(), "--socket",
                         entry.socket, "--bpffs", entry.pins, "--run-dir", dir + "/run",
                         "--state-dir", dir + "/state", "--secrets-dir", dir + "/secrets",
                         "--log-file", dir + "/agent.log"},
                .netns = entry.netns},
               dir + "/agent.out",
               [&](const ProcessId& id) {
                 entry.agent = id;
                 return state_.Save();
               })
      .status();
}

absl::Status Lab::WaitReady(const std::string& node) {
  const NodeState& entry = state_.nodes.at(node);
  const absl::Time deadline = absl::Now() + options_.agent_patience;
  std::string last = "it has not answered yet";
  while (absl::Now() < deadline) {
    if (!IsAlive(entry.agent)) {
      last = "it has exited";
      break;
    }
    if (fs::exists(entry.socket)) {
      absl::StatusOr<agent::v1::StatusReply> reply = AskStatus(entry.socket, absl::Seconds(1));
      if (reply.ok() && reply->ready()) return absl::OkStatus();
      last = reply.ok() ? absl::StrJoin(reply->not_ready_reasons(), "; ")
                        : std::string(reply.status().message());
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
  return absl::DeadlineExceededError(
      StrCat("agent of ", node, " is not ready: ", last, "\n--- agent.log\n",
             Tail(state_.NodeDir(node) + "/agent.log"), "--- its output\n",
             Tail(state_.NodeDir(node) + "/agent.out")));
}

absl::Status Lab::StartAgent(const std::string& node) {
  if (!state_.nodes.contains(node)) return absl::NotFoundError(StrCat("no node '", node, "'"));
  RETURN_IF_ERROR(SpawnAgent(node));
  return WaitReady(node);
}

absl::Status Lab::StopAgent(const std::string& node, int signal) {
  if (!state_.nodes.contains(node)) return absl::NotFoundError(StrCat("no node '", node, "'"));
  return Stop(state_.nodes.at(node).agent, signal, absl::Seconds(5));
}

absl::StatusOr<agent::v1::StatusReply> Lab::AgentStatus(const std::string& node) const {
  const auto entry = state_.nodes.find(node);
  if (entry == state_.nodes.end()) return absl::NotFoundError(StrCat("no node '", node, "'"));
  return AskStatus(entry->second.socket, absl::Seconds(2));
}

absl::StatusOr<agent::v1::DropsReply> Lab::AgentDrops(const std::string& node) const {
  const auto entry = state_.nodes.find(node);
  if (entry == state_.nodes.end()) return absl::NotFoundError(StrCat("no node '", node, "'"));
  return AskDrops(entry->second.socket, absl::Seconds(2));
}

absl::Status Lab::AddNode(const Node& node) {
  if (topology_.FindNode(node.name)) {
    return absl::AlreadyExistsError(StrCat("node '", node.name, "' is there"));
  }
  if (!topology_.FindSubnet(node.subnet)) {
    return absl::NotFoundError(StrCat("node '", node.name, "': no subnet '", node.subnet, "'"));
  }
  topology_.nodes.push_back(node);
  if (topology_.with_agents) RETURN_IF_ERROR(Apply(NodeDocument(topology_, node)));
  RETURN_IF_ERROR(MakeNode(node));
  if (topology_.with_agents) return WaitReady(node.name);
  return RoutePlainly(topology_);
}

absl::Status Lab::RemoveNode(const std::string& name) {
  if (!state_.nodes.contains(name)) return absl::NotFoundError(StrCat("no node '", name, "'"));
  const NodeState entry = state_.nodes.at(name);
  RETURN_IF_ERROR(UnwireNode(topology_, name));
  RETURN_IF_ERROR(RemoveNetns(entry.netns));
  std::erase_if(state_.pods, [&](const auto& item) {
    if (item.second.node != name) return false;
    RemoveNetns(item.second.netns).IgnoreError();
    return true;
  });
  std::erase_if(topology_.pods, [&](const Pod& pod) { return pod.node == name; });
  std::erase_if(topology_.nodes, [&](const Node& node) { return node.name == name; });
  std::error_code error;
  fs::remove_all(entry.pins, error);
  fs::remove_all(state_.NodeDir(name), error);
  state_.nodes.erase(name);
  RETURN_IF_ERROR(state_.Save());
  if (!topology_.with_agents) return absl::OkStatus();
  ASSIGN_OR_RETURN(Output output, Ctl({"delete", "node", name}));
  return output.exit_code == 0
             ? absl::OkStatus()
             : absl::InternalError(StrCat("delete node ", name, ": ", output.err));
}

}  // namespace ripstop::lab
