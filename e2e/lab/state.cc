// SPDX-License-Identifier: Apache-2.0
#include "e2e/lab/state.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "policy/status_macros.h"

namespace ripstop::lab {
namespace {

using nlohmann::json;

json ToJson(const ProcessId& id) { return {{"pid", id.pid}, {"start", id.start_ticks}}; }
ProcessId ProcessFrom(const json& j) {
  return {j.at("pid").get<pid_t>(), j.at("start").get<uint64_t>()};
}

std::string BpffsMark() { return absl::StrCat(kRunRoot, "/.mounted-bpffs"); }

bool BpffsIsMounted() {
  struct statfs info;
  return statfs(kBpffs, &info) == 0 && static_cast<unsigned long>(info.f_type) == BPF_FS_MAGIC;
}

}  // namespace

absl::Status State::Save() const {
  json j = {{"name", name},         {"topologyPath", topology_path}, {"topology", topology_text},
            {"complete", complete}, {"namespaces", namespaces},      {"nodes", json::array()},
            {"pods", json::array()}};
  for (const auto& [_, node] : nodes) {
    j["nodes"].push_back({{"name", node.name},
                          {"netns", node.netns},
                          {"pins", node.pins},
                          {"socket", node.socket},
                          {"agent", ToJson(node.agent)}});
  }
  for (const auto& [_, pod] : pods) {
    j["pods"].push_back({{"key", pod.key},
                         {"node", pod.node},
                         {"netns", pod.netns},
                         {"containerID", pod.container_id},
                         {"config", pod.config},
                         {"addresses", pod.addresses},
                         {"server", ToJson(pod.server)}});
  }
  const std::string path = dir() + "/state.json";
  const std::string temporary = path + ".tmp";
  std::ofstream file(temporary);
  file << j.dump(1) << "\n";
  file.close();
  if (!file) return absl::UnavailableError(absl::StrCat("cannot write ", temporary));
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("rename to ", path));
  }
  return absl::OkStatus();
}

absl::StatusOr<State> LoadState(const std::string& name) {
  const std::string path = absl::StrCat(kRunRoot, "/", name, "/state.json");
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat("no lab '", name, "' (no ", path, ")"));
  State state;
  try {
    const json j = json::parse(file);
    state.name = j.at("name");
    state.topology_path = j.at("topologyPath");
    state.topology_text = j.at("topology");
    state.complete = j.at("complete");
    state.namespaces = j.at("namespaces").get<std::vector<std::string>>();
    for (const json& n : j.at("nodes")) {
      state.nodes[n.at("name")] = {n.at("name"), n.at("netns"), n.at("pins"), n.at("socket"),
                                   ProcessFrom(n.at("agent"))};
    }
    for (const json& p : j.at("pods")) {
      state.pods[p.at("key")] = {p.at("key"),
                                 p.at("node"),
                                 p.at("netns"),
                                 p.at("containerID"),
                                 p.at("config"),
                                 p.at("addresses").get<std::vector<std::string>>(),
                                 ProcessFrom(p.at("server"))};
    }
  } catch (const json::exception& e) {
    return absl::DataLossError(absl::StrCat(path, ": ", e.what()));
  }
  return state;
}

absl::StatusOr<LabLock> LabLock::Take(const std::string& name, absl::Duration patience) {
  std::error_code error;
  const std::string path = absl::StrCat(kRunRoot, "/.", name, ".lock");
  const absl::Time deadline = absl::Now() + patience;
  while (true) {
    // Each time: the last lab to go takes the folder with it.
    std::filesystem::create_directories(kRunRoot, error);
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 && errno != ENOENT) {
      return absl::ErrnoToStatus(errno, absl::StrCat("open ", path));
    }
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) {
      // The last holder may have removed the file between our open and our lock; a lock
      // on a file that has no name excludes nobody.
      struct stat ours, named;
      if (fstat(fd, &ours) == 0 && stat(path.c_str(), &named) == 0 && ours.st_ino == named.st_ino) {
        return LabLock(fd, path);
      }
    }
    if (fd >= 0) close(fd);
    if (absl::Now() > deadline) {
      return absl::FailedPreconditionError(
          absl::StrCat("lab '", name, "' is being changed by another process (lock ", path, ")"));
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
}

LabLock::~LabLock() {
  if (fd_ < 0) return;
  std::remove(path_.c_str());
  rmdir(kRunRoot);  // if this was the last
  close(fd_);
}

absl::Status EnsureBpffs() {
  if (BpffsIsMounted()) return absl::OkStatus();
  std::ofstream(BpffsMark()) << "by ripstop-lab\n";
  if (mount("bpf", kBpffs, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") != 0) {
    const absl::Status status = absl::ErrnoToStatus(errno, absl::StrCat("mount ", kBpffs));
    std::remove(BpffsMark().c_str());
    return status;
  }
  return absl::OkStatus();
}

void ReleaseBpffs() {
  std::error_code error;
  if (!std::filesystem::exists(BpffsMark())) return;
  for (const auto& entry : std::filesystem::directory_iterator(kRunRoot, error)) {
    if (entry.is_directory()) return;  // another lab
  }
  if (BpffsIsMounted()) {
    std::filesystem::remove(absl::StrCat(kBpffs, "/ripstop"), error);  // if empty
    for (const auto& entry : std::filesystem::directory_iterator(kBpffs, error)) {
      // Two iterators that the kernel itself puts into a fresh bpffs.
      const std::string name = entry.path().filename().string();
      if (name != "maps.debug" && name != "progs.debug") return;
    }
    if (umount2(kBpffs, 0) != 0) return;  // in use: leave it, the mark stays
  }
  std::remove(BpffsMark().c_str());
}

}  // namespace ripstop::lab
