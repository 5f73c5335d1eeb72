// SPDX-License-Identifier: Apache-2.0
//
// A fabric of nodes and pods on one machine, in network namespaces: every node runs the
// real ripstop-agent, every pod is attached by the real CNI plugin.
//
// The lab lives on this machine, not in this object: Up makes it, Open takes hold of one
// that is there, and only Down ends it. Whatever is made is recorded before it is made
// (state.h), so Down after a crash of Up removes exactly that.
//
// Not thread-safe, except for the const methods. One process at a time may change a lab.
// Errors name the namespace, process, pod or resource concerned.
#ifndef RIPSTOP_E2E_LAB_LAB_H_
#define RIPSTOP_E2E_LAB_LAB_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "api/proto/agent.pb.h"
#include "e2e/lab/process.h"
#include "e2e/lab/state.h"
#include "e2e/lab/topology.h"

namespace ripstop::lab {

struct Options {
  // Where ripstop-agent, ripstop-cni, ripstopctl and ripstop-probe are. Empty:
  // RIPSTOP_BIN_DIR, else the folder of this executable, else ../bin beside it.
  std::string bin_dir;
  std::string agent;  // another program in the place of ripstop-agent
  std::function<void(const std::string&)> progress = [](const std::string&) {};
  absl::Duration agent_patience = absl::Seconds(30);
  bool keep_on_failure = false;  // leave a lab that did not come up, to look at
};

class Lab {
 public:
  // kAlreadyExists if a lab of that name is up, or left over from a crash.
  static absl::StatusOr<Lab> Up(const Topology& topology, const std::string& topology_path,
                                const std::string& topology_text, const Options& options);
  // Reads the file, then as above. `name` replaces the file's unless empty.
  static absl::StatusOr<Lab> UpFromFile(const std::string& path, const std::string& name,
                                        const Options& options);
  // kNotFound if there is none.
  static absl::StatusOr<Lab> Open(const std::string& name, const Options& options);
  // Removes what the state file lists. OK if there is no such lab. Goes on past what
  // cannot be removed, and then returns the first error and keeps the state file.
  static absl::Status Down(const std::string& name, const Options& options);

  const Topology& topology() const { return topology_; }
  const State& state() const { return state_; }

  // A node more: wired, its Node resource applied, its agent started and ready.
  absl::Status AddNode(const Node& node);
  // As a machine that lost power: processes killed, cable pulled, no DEL for its pods.
  // Its Node resource is deleted, as an operator or cloud controller would.
  absl::Status RemoveNode(const std::string& name);

  // Namespace, CNI ADD, and a server on its ports.
  absl::Status AddPod(const Pod& pod);
  // CNI DEL, then the namespace.
  absl::Status RemovePod(const std::string& key);

  // kDeadlineExceeded with the reasons, if it does not get ready in time.
  absl::Status StartAgent(const std::string& node);
  absl::Status WaitReady(const std::string& node);
  // Which program StartAgent starts from now on; empty: the product's. For agents of another build.
  void UseAgent(const std::string& path) { options_.agent = path; }
  // SIGKILL or SIGTERM; returns when it is gone. BIRD and the datapath stay.
  absl::Status StopAgent(const std::string& node, int signal);
  absl::StatusOr<agent::v1::StatusReply> AgentStatus(const std::string& node) const;
  absl::StatusOr<agent::v1::DropsReply> AgentDrops(const std::string& node) const;

  // "ns/pod", or a node's or router's name, to its network namespace.
  absl::StatusOr<std::string> NetnsOf(const std::string& target) const;
  // The address of a pod or node, of family 4 or 6.
  absl::StatusOr<std::string> AddressOf(const std::string& target, int family) const;

  // ripstopctl on the lab's store; with a node, on its agent's socket too.
  absl::StatusOr<Output> Ctl(const std::vector<std::string>& arguments,
                             const std::string& input = "", const std::string& node = "") const;
  // The same for documents; an error unless they were applied or deleted.
  absl::Status Apply(const std::string& documents) const;
  absl::Status Delete(const std::string& documents) const;

  // Runs a command in the namespace of a pod, node or router.
  absl::StatusOr<Output> Exec(const std::string& target, const std::vector<std::string>& argv,
                              const std::string& input = "",
                              absl::Duration timeout = absl::Seconds(30)) const;

  // The path of one of the product's binaries.
  std::string Binary(const std::string& name) const;

 private:
  Lab(Topology topology, State state, Options options)
      : topology_(std::move(topology)), state_(std::move(state)), options_(std::move(options)) {}

  absl::Status Raise();
  absl::Status MakeNetns(const std::string& name);
  absl::Status MakeNode(const Node& node);
  absl::Status SpawnAgent(const std::string& node);
  absl::Status AttachPod(const Pod& pod, PodState* state);
  absl::Status StartServer(const Pod& pod, PodState* state);
  absl::Status TakeDown();
  absl::Status RemoveNetns(const std::string& name);

  Topology topology_;
  State state_;
  Options options_;
};

// Folder of the product's binaries, by the rule in Options.
std::string FindBinDir(const std::string& wanted);

}  // namespace ripstop::lab

#endif  // RIPSTOP_E2E_LAB_LAB_H_
