// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_CNI_ENDPOINT_H_
#define RIPSTOP_AGENT_CNI_ENDPOINT_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/netlink/types.h"
#include "api/ipam/block.h"
#include "policy/model.h"

namespace ripstop::agent {

using ipam::Allocation;

// A pod of this node, as ADD made it.
struct LocalEndpoint {
  // What is true of it, and what to do about it after a crash.
  enum class Phase {
    kAdding,  // ADD has not returned: undo
    kReady,
    kReleasing,  // gone from the node; its addresses wait for the store
  };
  Phase phase = Phase::kAdding;
  std::string container_id;
  std::string interface_name;  // in the pod
  std::string netns;           // path
  std::string network;         // name of the CNI configuration; empty: not known any more
  std::string pod_namespace;
  std::string pod_name;
  std::string pod_uid;
  std::string service_account;                // may be empty
  std::map<std::string, std::string> labels;  // from the plugin configuration
  std::map<std::string, std::string> annotations;
  std::vector<policy::NamedPort> ports;
  std::string host_interface;
  uint32_t ifindex = 0;  // of the host interface
  Mac host_mac;
  Mac container_mac;
  uint32_t mtu = 0;
  std::vector<Allocation> allocations;
  // Whether the pod's default route of the family goes by this interface.
  bool default_route_v4 = true;
  bool default_route_v6 = true;

  bool default_route(bool v4) const { return v4 ? default_route_v4 : default_route_v6; }
  std::string handle() const { return container_id + "/" + interface_name; }
  std::vector<policy::Address> addresses() const;
};

// As a JSON document, for the state directory.
std::string EncodeEndpoint(const LocalEndpoint& endpoint);
absl::StatusOr<LocalEndpoint> DecodeEndpoint(const std::string& text);

// Endpoints on disk, one file each, written by rename so that a crash leaves the old
// file or the new one. One process at a time.
class EndpointFiles {
 public:
  explicit EndpointFiles(std::string directory) : directory_(std::move(directory)) {}
  absl::Status Save(const LocalEndpoint& endpoint) const;
  absl::Status Remove(const LocalEndpoint& endpoint) const;  // not there: fine
  // What cannot be read is named in `ret_unreadable`, by path, with why.
  absl::StatusOr<std::vector<LocalEndpoint>> LoadAll(
      std::map<std::string, std::string>* ret_unreadable) const;
  // Whether the file says what `endpoint` is; if not, writes it again.
  absl::StatusOr<bool> Restore(const LocalEndpoint& endpoint) const;
  std::string PathOf(const LocalEndpoint& endpoint) const;

 private:
  const std::string directory_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_CNI_ENDPOINT_H_
