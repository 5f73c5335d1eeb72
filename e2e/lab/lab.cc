// SPDX-License-Identifier: Apache-2.0
#include "e2e/lab/lab.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
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

namespace fs = std::filesystem;
using absl::StrCat;

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
  // Who is to end may start another one first, as an agent that nobody knows of starts BIRD again.
  constexpr int kTries = 10;
  for (int i = 0; i < kTries; ++i) {
    const std::vector<ProcessId> processes = ProcessesInNetns(name);
    if (processes.empty()) break;
    for (const ProcessId& process : processes) {
      RETURN_IF_ERROR(Stop(process, SIGKILL, absl::Seconds(2)));
    }
  }
  RETURN_IF_ERROR(DeleteNetns(name));
  std::erase(state_.namespaces, name);
  return absl::OkStatus();
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
