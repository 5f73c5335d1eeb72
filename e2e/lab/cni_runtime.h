// SPDX-License-Identifier: Apache-2.0
//
// Calls a CNI plugin as a container runtime does: verb and identity in the environment,
// configuration on standard input, result on standard output. CNI specification 1.0.0.
#ifndef RIPSTOP_E2E_LAB_CNI_RUNTIME_H_
#define RIPSTOP_E2E_LAB_CNI_RUNTIME_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "e2e/lab/state.h"
#include "e2e/lab/topology.h"

namespace ripstop::lab {

// The network configuration that the plugin gets for a pod. Labels, ports and service
// account are in it because no Kubernetes is there to be asked for them.
std::string CniConfig(const Pod& pod, const std::string& cni_socket);

// One call: standard output, or kInternal with the plugin's code and message. A `netns` of
// the pod that is a path is passed as it is; of a name only where it is there.
absl::StatusOr<std::string> CniCall(const std::string& verb, const std::string& plugin,
                                    const PodState& pod, const std::string& node_netns,
                                    const std::string& interface = "eth0");

// ADD. Returns the addresses of the result, without prefix length. kInternal with the
// plugin's code and message when it refuses.
absl::StatusOr<std::vector<std::string>> CniAdd(const std::string& plugin, const PodState& pod,
                                                const std::string& node_netns,
                                                const std::string& interface = "eth0");

// DEL.
absl::Status CniDel(const std::string& plugin, const PodState& pod, const std::string& node_netns);

}  // namespace ripstop::lab

#endif  // RIPSTOP_E2E_LAB_CNI_RUNTIME_H_
