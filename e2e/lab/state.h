// SPDX-License-Identifier: Apache-2.0
//
// What a lab has made on this machine, in /run/ripstop-lab/NAME/state.json: the only
// thing that `down` goes by.
//
// Written (to a temporary file, then renamed) *before* each thing is made, so that
// whatever exists is in it even when the lab is killed at any point; things in it that
// were never made are no trouble to remove.
#ifndef RIPSTOP_E2E_LAB_STATE_H_
#define RIPSTOP_E2E_LAB_STATE_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "e2e/lab/process.h"

namespace ripstop::lab {

inline constexpr char kRunRoot[] = "/run/ripstop-lab";
inline constexpr char kBpffs[] = "/sys/fs/bpf";

struct PodState {
  std::string key;  // "ns/name"
  std::string node;
  std::string netns;
  std::string container_id;
  std::string config;                  // what the CNI plugin got on standard input
  std::vector<std::string> addresses;  // without prefix length; empty until attached
  ProcessId server;
};

struct NodeState {
  std::string name;
  std::string netns;
  std::string pins;    // folder in the bpffs
  std::string socket;  // of the agent
  ProcessId agent;
};

struct State {
  std::string name;
  std::string topology_path;
  std::string topology_text;  // as it was at `up`
  bool complete = false;      // `up` reached its end
  std::vector<std::string> namespaces;
  std::map<std::string, NodeState> nodes;
  std::map<std::string, PodState> pods;  // by key

  std::string dir() const { return std::string(kRunRoot) + "/" + name; }
  std::string NodeDir(const std::string& node) const { return dir() + "/" + node; }
  std::string store_url() const { return "sqlite://" + dir() + "/store.db"; }

  absl::Status Save() const;
};

// kNotFound if there is no such lab; kDataLoss if the file cannot be read.
absl::StatusOr<State> LoadState(const std::string& name);

// Held while a lab is changed; the kernel drops it when the holder dies.
class LabLock {
 public:
  // kFailedPrecondition, naming the lab, if another process holds it after `patience`.
  static absl::StatusOr<LabLock> Take(const std::string& name, absl::Duration patience);
  LabLock(LabLock&& other) noexcept : fd_(other.fd_), path_(std::move(other.path_)) {
    other.fd_ = -1;
  }
  LabLock& operator=(LabLock&&) = delete;
  ~LabLock();

 private:
  LabLock(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  int fd_;
  std::string path_;
};

// Mounts the bpffs where it is missing, and remembers that a lab did.
absl::Status EnsureBpffs();
// Undoes that when no lab is left and nobody else has put anything there.
void ReleaseBpffs();

}  // namespace ripstop::lab

#endif  // RIPSTOP_E2E_LAB_STATE_H_
