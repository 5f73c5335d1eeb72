// SPDX-License-Identifier: Apache-2.0
//
// Pods of a lab: attached by the CNI plugin, their servers started, removed.
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "e2e/lab/cni_runtime.h"
#include "e2e/lab/fabric.h"
#include "e2e/lab/lab.h"
#include "e2e/lab/netns.h"
#include "e2e/lab/patience.h"
#include "e2e/lab/plain_routing.h"
#include "e2e/lab/resources.h"
#include "policy/status_macros.h"

namespace ripstop::lab {

namespace fs = std::filesystem;
using absl::StrCat;

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
  entry.config = CniConfig(pod, absl::StrCat(state_.NodeDir(pod.node), "/cni.sock"));
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
  const absl::Time deadline = absl::Now() + Patient(absl::Seconds(10));
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
  } else {
    RETURN_IF_ERROR(DetachPlainly(topology_, entry.node, entry.addresses));
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

}  // namespace ripstop::lab
