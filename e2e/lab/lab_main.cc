// SPDX-License-Identifier: Apache-2.0
//
// ripstop-lab up|down|exec|status TOPOLOGY.yaml: see lab.h, and topology.h for the file.
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "e2e/lab/lab.h"

namespace ripstop::lab {
namespace {

struct Arguments {
  std::string file, name, target;
  std::vector<std::string> command;
  Options options;
};

int Fail(const absl::Status& status) {
  std::cerr << "ripstop-lab: " << status.message() << "\n";
  return absl::IsNotFound(status) ? 3 : 1;
}

// The lab that a command is about: --name, else the file's; a bare name will do too.
absl::StatusOr<std::string> LabName(const Arguments& arguments) {
  if (!arguments.name.empty()) return arguments.name;
  if (access(arguments.file.c_str(), R_OK) != 0 && arguments.file.find('/') == std::string::npos &&
      LoadState(arguments.file).ok()) {
    return arguments.file;
  }
  absl::StatusOr<Topology> topology = ReadTopology(arguments.file);
  if (!topology.ok()) return topology.status();
  return topology->name;
}

int Up(const Arguments& arguments) {
  absl::StatusOr<Lab> lab = Lab::UpFromFile(arguments.file, arguments.name, arguments.options);
  if (!lab.ok()) return Fail(lab.status());
  std::cout << "lab '" << lab->topology().name << "' is up; next:\n"
            << "  ripstop-lab status " << arguments.file << "\n"
            << "  ripstop-lab exec " << arguments.file << " "
            << (lab->topology().pods.empty() ? "NODE" : lab->topology().pods[0].key())
            << " -- ip addr\n"
            << "  ripstop-lab down " << arguments.file << "\n";
  return 0;
}

int Down(const Arguments& arguments) {
  absl::StatusOr<std::string> name = LabName(arguments);
  if (!name.ok()) return Fail(name.status());
  if (absl::Status status = Lab::Down(*name, arguments.options); !status.ok()) {
    return Fail(status);
  }
  return 0;
}

int ShowStatus(const Arguments& arguments) {
  absl::StatusOr<std::string> name = LabName(arguments);
  if (!name.ok()) return Fail(name.status());
  absl::StatusOr<Lab> lab = Lab::Open(*name, arguments.options);
  if (!lab.ok()) return Fail(lab.status());
  const State& state = lab->state();
  std::cout << "lab " << state.name << (state.complete ? "" : " (its `up` did not finish)")
            << "\n\n";
  std::cout << absl::StrFormat("%-14s %-16s %-26s %s\n", "NODE", "IPV4", "IPV6", "AGENT");
  bool all_well = state.complete;
  for (const auto& [node, entry] : state.nodes) {
    std::string agent = "none";
    if (entry.agent.pid != 0 && !IsAlive(entry.agent)) {
      agent = absl::StrCat("dead (was pid ", entry.agent.pid, ")");
      all_well = false;
    } else if (entry.agent.pid != 0) {
      absl::StatusOr<agent::v1::StatusReply> reply = lab->AgentStatus(node);
      int established = 0;
      if (reply.ok()) {
        for (const auto& session : reply->bgp()) established += session.state() == "Established";
      }
      agent = absl::StrCat(
          "pid ", entry.agent.pid, ", ",
          !reply.ok()      ? std::string(reply.status().message())
          : reply->ready() ? absl::StrCat("ready, ", reply->local_endpoints(), " endpoints, ",
                                          established, " of ", reply->bgp_size(), " BGP sessions")
                           : absl::StrJoin(reply->not_ready_reasons(), "; "));
      all_well &= reply.ok() && reply->ready();
    }
    const Node* spec = lab->topology().FindNode(node);
    std::cout << absl::StrFormat("%-14s %-16s %-26s %s\n", node, spec ? spec->v4 : "",
                                 spec ? spec->v6 : "", agent);
  }
  std::cout << absl::StrFormat("\n%-28s %-14s %s\n", "POD", "NODE", "ADDRESSES");
  for (const auto& [key, pod] : state.pods) {
    std::cout << absl::StrFormat(
        "%-28s %-14s %s%s\n", key, pod.node, absl::StrJoin(pod.addresses, "  "),
        pod.server.pid != 0 && !IsAlive(pod.server) ? "  (server dead)" : "");
  }
  return all_well ? 0 : 1;
}

int Exec(const Arguments& arguments) {
  absl::StatusOr<std::string> name = LabName(arguments);
  if (!name.ok()) return Fail(name.status());
  absl::StatusOr<Lab> lab = Lab::Open(*name, arguments.options);
  if (!lab.ok()) return Fail(lab.status());
  absl::StatusOr<std::string> netns = lab->NetnsOf(arguments.target);
  if (!netns.ok()) return Fail(netns.status());
  const int fd = open(absl::StrCat("/run/netns/", *netns).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) {
    return Fail(absl::ErrnoToStatus(errno, absl::StrCat("enter ", *netns)));
  }
  // The product's own tools are at hand inside, for this lab and this node.
  const auto pod = lab->state().pods.find(arguments.target);
  const auto node =
      lab->state().nodes.find(pod == lab->state().pods.end() ? arguments.target : pod->second.node);
  setenv("RIPSTOP_STORE", lab->state().store_url().c_str(), 1);
  if (node != lab->state().nodes.end()) {
    setenv("RIPSTOP_SOCKET", node->second.socket.c_str(), 1);
  }
  const char* path = getenv("PATH");
  setenv("PATH", absl::StrCat(FindBinDir(arguments.options.bin_dir), ":", path ? path : "").c_str(),
         1);
  std::vector<char*> argv;
  for (const std::string& argument : arguments.command) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  std::cerr << "ripstop-lab: " << argv[0] << ": " << strerror(errno) << "\n";
  return 127;
}

int Main(int argc, char** argv) {
  CLI::App app("Fabrics of Ripstop nodes and pods on one machine, in network namespaces.",
               "ripstop-lab");
  app.require_subcommand(1);
  Arguments arguments;
  arguments.options.progress = [](const std::string& line) { std::cerr << line << std::endl; };
  app.add_option("--bin-dir", arguments.options.bin_dir,
                 "where the other binaries are (default: beside this one)");
  app.add_option("--name", arguments.name, "another name than the file's");
  auto add = [&](const std::string& name, const std::string& help) {
    CLI::App* command = app.add_subcommand(name, help);
    command->fallthrough();
    command->add_option("TOPOLOGY", arguments.file, "topology file, or the name of a lab")
        ->required();
    return command;
  };
  CLI::App* up = add("up", "raise a lab");
  up->add_flag("--keep-on-failure", arguments.options.keep_on_failure,
               "leave a lab that did not come up, to look at");
  CLI::App* down = add("down", "remove everything that `up` made, also after a crash");
  CLI::App* status = add("status", "nodes, agents, pods; exit 1 if something is not well");
  CLI::App* exec = add("exec", "run a command in a pod, node or router");
  exec->add_option("TARGET", arguments.target, "ns/pod, node or router")->required();
  exec->add_option("COMMAND", arguments.command, "after --")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  if (geteuid() != 0) return Fail(absl::PermissionDeniedError("needs root, for namespaces"));
  if (up->parsed()) return Up(arguments);
  if (down->parsed()) return Down(arguments);
  if (status->parsed()) return ShowStatus(arguments);
  return Exec(arguments);
}

}  // namespace
}  // namespace ripstop::lab

int main(int argc, char** argv) { return ripstop::lab::Main(argc, argv); }
