// SPDX-License-Identifier: Apache-2.0
#include "e2e/lab/lab.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "e2e/lab/agent_client.h"
#include "e2e/lab/cni_runtime.h"
#include "e2e/lab/fabric.h"
#include "e2e/lab/netns.h"
#include "e2e/lab/plain_routing.h"
#include "e2e/lab/resources.h"
#include "policy/status_macros.h"

namespace ripstop::lab {
namespace {

namespace fs = std::filesystem;
using absl::StrCat;

std::string Tail(const std::string& path, size_t bytes = 1500) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  const std::string all = text.str();
  return all.size() <= bytes ? all : all.substr(all.size() - bytes);
}

std::string NodeDir(const State& state, const std::string& node) {
  return StrCat(state.dir(), "/", node);
}

}  // namespace

std::string FindBinDir(const std::string& wanted) {
  if (!wanted.empty()) return fs::absolute(wanted).string();
  if (const char* env = getenv("RIPSTOP_BIN_DIR"); env != nullptr && *env != 0) return env;
  std::error_code error;
  const fs::path own = fs::read_symlink("/proc/self/exe", error).parent_path();
  if (fs::exists(own / "ripstop-probe")) return own.string();
  return (own.parent_path() / "bin").string();
}

std::string Lab::Binary(const std::string& name) const {
  return StrCat(options_.bin_dir, "/", name);
}

absl::StatusOr<Lab> Lab::UpFromFile(const std::string& path, const std::string& name,
                                    const Options& options) {
  ASSIGN_OR_RETURN(Topology topology, ReadTopology(path));
  if (!name.empty()) topology.name = name;
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return Up(topology, fs::absolute(path).string(), text.str(), options);
}

absl::StatusOr<Lab> Lab::Up(const Topology& topology, const std::string& topology_path,
                            const std::string& topology_text, const Options& options) {
  ASSIGN_OR_RETURN(const LabLock lock, LabLock::Take(topology.name, absl::Seconds(10)));
  State state;
  state.name = topology.name;
  state.topology_path = topology_path;
  state.topology_text = topology_text;
  if (fs::exists(state.dir())) {
    return absl::AlreadyExistsError(
        StrCat("lab '", topology.name, "' is up, or left over from a crash; take it down first"));
  }
  Options resolved = options;
  resolved.bin_dir = FindBinDir(options.bin_dir);
  Lab lab(topology, std::move(state), std::move(resolved));
  std::error_code error;
  fs::create_directories(lab.state_.dir(), error);
  if (error) return absl::UnavailableError(StrCat(lab.state_.dir(), ": ", error.message()));
  absl::Status status = lab.Raise();
  if (!status.ok()) {
    if (!options.keep_on_failure) lab.TakeDown().IgnoreError();
    return status;
  }
  return lab;
}

absl::StatusOr<Lab> Lab::Open(const std::string& name, const Options& options) {
  ASSIGN_OR_RETURN(State state, LoadState(name));
  ASSIGN_OR_RETURN(Topology topology,
                   ParseTopology(state.topology_text, state.topology_path,
                                 fs::path(state.topology_path).parent_path().string()));
  topology.name = name;
  Options resolved = options;
  resolved.bin_dir = FindBinDir(options.bin_dir);
  return Lab(std::move(topology), std::move(state), std::move(resolved));
}

absl::Status Lab::Raise() {
  RETURN_IF_ERROR(state_.Save());
  const absl::Time start = absl::Now();
  auto say = [&](const std::string& what) {
    options_.progress(
        absl::StrFormat("[%5.1f s] %s", absl::ToDoubleSeconds(absl::Now() - start), what));
  };
  RETURN_IF_ERROR(MakeNetns(MachineNetns(topology_.name, "switch")));
  RETURN_IF_ERROR(WireSubnets(topology_));
  for (const Router& router : topology_.routers) {
    RETURN_IF_ERROR(MakeNetns(MachineNetns(topology_.name, router.name)));
    RETURN_IF_ERROR(WireRouter(topology_, router));
  }
  if (topology_.with_agents) {
    RETURN_IF_ERROR(EnsureBpffs());
    RETURN_IF_ERROR(Apply(ResourceDocuments(topology_)));
    if (!topology_.manifests.empty()) {
      std::vector<std::string> arguments{"apply"};
      for (const std::string& path : topology_.manifests) {
        arguments.push_back("-f");
        arguments.push_back(path);
      }
      ASSIGN_OR_RETURN(Output output, Ctl(arguments));
      if (output.exit_code != 0) return absl::InvalidArgumentError(output.err + output.out);
    }
  }
  for (const Node& node : topology_.nodes) RETURN_IF_ERROR(MakeNode(node));
  say(StrCat("fabric: ", topology_.subnets.size(), " subnets, ", topology_.routers.size(),
             " routers, ", topology_.nodes.size(), " nodes wired"));
  if (topology_.with_agents) {
    for (const Node& node : topology_.nodes) RETURN_IF_ERROR(WaitReady(node.name));
    say("agents: all ready");
  } else {
    RETURN_IF_ERROR(RoutePlainly(topology_));
  }
  size_t done = 0;
  absl::Time last_said = absl::Now();
  for (const Pod& pod : topology_.pods) {
    RETURN_IF_ERROR(AddPod(pod));
    if (++done == topology_.pods.size() || absl::Now() - last_said > absl::Seconds(1)) {
      say(StrCat("pods: ", done, " of ", topology_.pods.size(), " attached"));
      last_said = absl::Now();
    }
  }
  state_.complete = true;
  return state_.Save();
}

absl::Status Lab::MakeNetns(const std::string& name) {
  // Looked at before it is recorded: what is recorded will be removed.
  if (NetnsExists(name)) {
    return absl::AlreadyExistsError(
        StrCat("network namespace ", name, " exists and is not this lab's"));
  }
  state_.namespaces.push_back(name);
  RETURN_IF_ERROR(state_.Save());
  return CreateNetns(name);
}

absl::Status Lab::RemoveNetns(const std::string& name) {
  for (const ProcessId& process : ProcessesInNetns(name)) {
    RETURN_IF_ERROR(Stop(process, SIGKILL, absl::Seconds(2)));
  }
  RETURN_IF_ERROR(DeleteNetns(name));
  std::erase(state_.namespaces, name);
  return absl::OkStatus();
}

absl::Status Lab::MakeNode(const Node& node) {
  const std::string netns = MachineNetns(topology_.name, node.name);
  RETURN_IF_ERROR(MakeNetns(netns));
  NodeState& entry = state_.nodes[node.name];
  entry.name = node.name;
  entry.netns = netns;
  entry.pins = StrCat(kBpffs, "/ripstop-", topology_.name, "/", node.name);
  entry.socket = StrCat(NodeDir(state_, node.name), "/agent.sock");
  RETURN_IF_ERROR(state_.Save());
  RETURN_IF_ERROR(WireNode(topology_, node));
  if (!topology_.with_agents) return absl::OkStatus();
  std::error_code error;
  for (const char* sub : {"run", "state"}) {
    fs::create_directories(fs::path(NodeDir(state_, node.name)) / sub, error);
  }
  fs::create_directories(fs::path(entry.pins).parent_path(), error);
  return SpawnAgent(node.name);
}

absl::Status Lab::SpawnAgent(const std::string& node) {
  NodeState& entry = state_.nodes.at(node);
  const std::string dir = NodeDir(state_, node);
  // The socket of an agent that was killed is still there, and nobody behind it.
  std::error_code error;
  fs::remove(entry.socket, error);
  return Spawn({.argv = {Binary("ripstop-agent"), "--node", node, "--store", state_.store_url(),
                         "--socket", entry.socket, "--bpffs", entry.pins, "--run-dir", dir + "/run",
                         "--state-dir", dir + "/state", "--log-file", dir + "/agent.log"},
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
             Tail(NodeDir(state_, node) + "/agent.log"), "--- its output\n",
             Tail(NodeDir(state_, node) + "/agent.out")));
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
  fs::remove_all(NodeDir(state_, name), error);
  state_.nodes.erase(name);
  RETURN_IF_ERROR(state_.Save());
  if (!topology_.with_agents) return absl::OkStatus();
  ASSIGN_OR_RETURN(Output output, Ctl({"delete", "node", name}));
  return output.exit_code == 0
             ? absl::OkStatus()
             : absl::InternalError(StrCat("delete node ", name, ": ", output.err));
}

absl::Status Lab::AddPod(const Pod& pod) {
  if (!state_.nodes.contains(pod.node)) {
    return absl::NotFoundError(StrCat("pod ", pod.key(), ": no node '", pod.node, "'"));
  }
  if (state_.pods.contains(pod.key())) {
    return absl::AlreadyExistsError(StrCat("pod ", pod.key(), " is there"));
  }
  const std::string netns = PodNetns(topology_.name, pod.key());
  PodState entry;
  entry.key = pod.key();
  entry.node = pod.node;
  entry.netns = netns;
  entry.container_id = StrCat(netns, ".", absl::Hex(absl::ToUnixMicros(absl::Now())));
  entry.config = CniConfig(pod, state_.nodes.at(pod.node).socket);
  state_.pods[pod.key()] = entry;
  RETURN_IF_ERROR(MakeNetns(netns));
  PodState& kept = state_.pods.at(pod.key());
  RETURN_IF_ERROR(AttachPod(pod, &kept));
  if (!topology_.FindPod(pod.key())) topology_.pods.push_back(pod);
  if (pod.serve && !pod.ports.empty()) RETURN_IF_ERROR(StartServer(pod, &kept));
  return state_.Save();
}

absl::Status Lab::AttachPod(const Pod& pod, PodState* entry) {
  if (topology_.with_agents) {
    ASSIGN_OR_RETURN(entry->addresses,
                     CniAdd(Binary("ripstop-cni"), *entry, state_.nodes.at(pod.node).netns));
    return state_.Save();
  }
  std::set<std::string> taken;
  for (const auto& [_, other] : state_.pods) {
    if (other.node == pod.node && !other.addresses.empty()) taken.insert(other.addresses[0]);
  }
  for (int number = 2; number < 255; ++number) {
    const bool used = std::any_of(taken.begin(), taken.end(), [&](const std::string& address) {
      return address.substr(address.rfind('.') + 1) == StrCat(number);
    });
    if (used) continue;
    ASSIGN_OR_RETURN(entry->addresses, AttachPlainly(topology_, pod, number));
    return state_.Save();
  }
  return absl::ResourceExhaustedError(StrCat("node ", pod.node, " has 253 pods already"));
}

absl::Status Lab::StartServer(const Pod& pod, PodState* entry) {
  Command command{.argv = {Binary("ripstop-probe"), "serve", "--name", pod.key(), "--ready-file",
                           StrCat(state_.dir(), "/", entry->netns, ".ready")},
                  .netns = entry->netns};
  for (const Port& port : pod.ports) {
    command.argv.push_back(port.protocol == "TCP" ? "--tcp" : "--udp");
    command.argv.push_back(StrCat(port.port));
  }
  const std::string ready = command.argv[5];
  const std::string log = StrCat(state_.dir(), "/", entry->netns, ".out");
  RETURN_IF_ERROR(Spawn(command, log, [&](const ProcessId& id) {
                    entry->server = id;
                    return state_.Save();
                  }).status());
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while (!fs::exists(ready)) {
    if (!IsAlive(entry->server) || absl::Now() > deadline) {
      return absl::InternalError(StrCat("server of pod ", pod.key(), ": ", Tail(log)));
    }
    absl::SleepFor(absl::Milliseconds(2));
  }
  return absl::OkStatus();
}

absl::Status Lab::RemovePod(const std::string& key) {
  if (!state_.pods.contains(key)) return absl::NotFoundError(StrCat("no pod '", key, "'"));
  const PodState entry = state_.pods.at(key);
  RETURN_IF_ERROR(Stop(entry.server, SIGKILL, absl::Seconds(2)));
  if (topology_.with_agents) {
    RETURN_IF_ERROR(CniDel(Binary("ripstop-cni"), entry, state_.nodes.at(entry.node).netns));
  }
  RETURN_IF_ERROR(RemoveNetns(entry.netns));
  std::error_code error;
  for (const char* suffix : {".ready", ".out"}) {
    fs::remove(StrCat(state_.dir(), "/", entry.netns, suffix), error);
  }
  state_.pods.erase(key);
  std::erase_if(topology_.pods, [&](const Pod& pod) { return pod.key() == key; });
  return state_.Save();
}

absl::Status Lab::Down(const std::string& name, const Options& options) {
  ASSIGN_OR_RETURN(const LabLock lock, LabLock::Take(name, absl::Seconds(10)));
  absl::StatusOr<State> state = LoadState(name);
  std::error_code error;
  if (absl::IsNotFound(state.status())) {
    // Killed between making its folder and its first record: the folder is all there is.
    fs::remove_all(StrCat(kRunRoot, "/", name), error);
    ReleaseBpffs();
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(state.status());
  Topology topology;
  topology.name = name;
  Options resolved = options;
  resolved.bin_dir = FindBinDir(options.bin_dir);
  return Lab(std::move(topology), *std::move(state), std::move(resolved)).TakeDown();
}

absl::Status Lab::TakeDown() {
  absl::Status first;
  auto note = [&](const absl::Status& status) {
    if (first.ok() && !status.ok()) first = status;
  };
  // DEL where somebody is there to answer; what it would free goes away anyway, so its
  // failure is only worth a line.
  size_t deleted = 0;
  for (const auto& [key, pod] : state_.pods) {
    note(Stop(pod.server, SIGKILL, absl::Seconds(2)));
    const auto node = state_.nodes.find(pod.node);
    if (pod.addresses.empty() || node == state_.nodes.end() || !IsAlive(node->second.agent)) {
      continue;
    }
    if (absl::Status status = CniDel(Binary("ripstop-cni"), pod, node->second.netns);
        !status.ok()) {
      options_.progress(std::string(status.message()));
      if (absl::IsDeadlineExceeded(status)) break;  // do not wait so long for each
    } else {
      ++deleted;
    }
  }
  if (deleted != 0) options_.progress(StrCat("pods: ", deleted, " detached"));
  for (const auto& [_, node] : state_.nodes) {
    note(Stop(node.agent, SIGTERM, absl::Seconds(3)));
  }
  // What the agents started (BIRD), and whatever an `exec` left, sits in our namespaces.
  const std::vector<std::string> namespaces = state_.namespaces;
  for (const std::string& netns : namespaces) note(RemoveNetns(netns));
  std::error_code error;
  for (const auto& [_, node] : state_.nodes) fs::remove_all(node.pins, error);
  const std::string lab_pins = StrCat(kBpffs, "/ripstop-", state_.name);
  if (fs::exists(lab_pins, error)) fs::remove_all(lab_pins, error);
  if (!first.ok()) {
    state_.Save().IgnoreError();
    return first;
  }
  fs::remove_all(state_.dir(), error);
  if (error) return absl::InternalError(StrCat("remove ", state_.dir(), ": ", error.message()));
  ReleaseBpffs();
  options_.progress(
      StrCat("lab '", state_.name, "' is gone: ", namespaces.size(), " namespaces removed"));
  return absl::OkStatus();
}

absl::StatusOr<std::string> Lab::NetnsOf(const std::string& target) const {
  if (const auto pod = state_.pods.find(target); pod != state_.pods.end()) {
    return pod->second.netns;
  }
  // A pod's name alone will do where only one namespace has it.
  std::vector<std::string> named;
  for (const auto& [key, pod] : state_.pods) {
    if (key.substr(key.find('/') + 1) == target) named.push_back(key);
  }
  if (named.size() == 1) return state_.pods.at(named[0]).netns;
  const std::string netns = MachineNetns(topology_.name, target);
  if (std::count(state_.namespaces.begin(), state_.namespaces.end(), netns)) return netns;
  return absl::NotFoundError(
      StrCat("no pod, node or router '", target, "' in lab '", topology_.name, "'",
             named.empty() ? "" : StrCat("; did you mean ", absl::StrJoin(named, " or "), "?")));
}

absl::StatusOr<std::string> Lab::AddressOf(const std::string& target, int family) const {
  std::vector<std::string> addresses;
  if (const auto pod = state_.pods.find(target); pod != state_.pods.end()) {
    addresses = pod->second.addresses;
  } else if (const Node* node = topology_.FindNode(target)) {
    addresses = {node->v4, node->v6};
  }
  for (const std::string& address : addresses) {
    if (!address.empty() && (address.find(':') != std::string::npos) == (family == 6)) {
      return address;
    }
  }
  return absl::NotFoundError(StrCat("'", target, "' has no IPv", family, " address"));
}

absl::StatusOr<Output> Lab::Ctl(const std::vector<std::string>& arguments, const std::string& input,
                                const std::string& node) const {
  Command command{.argv = {Binary("ripstopctl")},
                  .env = {StrCat("RIPSTOP_STORE=", state_.store_url())},
                  .input = input};
  if (!node.empty()) {
    const auto entry = state_.nodes.find(node);
    if (entry == state_.nodes.end()) return absl::NotFoundError(StrCat("no node '", node, "'"));
    command.env.push_back(StrCat("RIPSTOP_SOCKET=", entry->second.socket));
  }
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  return Run(command);
}

absl::Status Lab::Apply(const std::string& documents) const {
  ASSIGN_OR_RETURN(Output output, Ctl({"apply", "-f", "-"}, documents));
  if (output.exit_code == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("ripstopctl apply: ", output.err, output.out));
}

absl::Status Lab::Delete(const std::string& documents) const {
  ASSIGN_OR_RETURN(Output output, Ctl({"delete", "-f", "-"}, documents));
  if (output.exit_code == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("ripstopctl delete: ", output.err, output.out));
}

absl::StatusOr<Output> Lab::Exec(const std::string& target, const std::vector<std::string>& argv,
                                 const std::string& input, absl::Duration timeout) const {
  ASSIGN_OR_RETURN(const std::string netns, NetnsOf(target));
  return Run({.argv = argv, .netns = netns, .input = input, .timeout = timeout});
}

}  // namespace ripstop::lab
