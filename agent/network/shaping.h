// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_SHAPING_H_
#define RIPSTOP_AGENT_NETWORK_SHAPING_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agent/dataplane/dataplane_interface.h"
#include "agent/netlink/monitor.h"
#include "agent/netlink/netlink.h"

namespace ripstop::agent {

// Which workloads' traffic somebody limits with queueing disciplines on the host's side of
// their veth, as the CNI plugin `bandwidth` does after ours: a redirect would pass by these.
// It is the discipline that counts, not who says that there should be one, so that a limit
// set by hand acts too.
//
//   monitor's events ──▶ [Shaping] ──▶ DataplaneInterface::SetShaped
//
// Nothing is asked for about one interface: the kernel's answer goes to all who listen, the monitor
// among them.
//
// For the agent's loop.
class Shaping {
 public:
  // Both outlive this.
  Shaping(Netlink* netlink, DataplaneInterface* dataplane)
      : netlink_(netlink), dataplane_(dataplane) {}

  // All interfaces: at the start, once the workloads' programs are attached.
  void Compare();
  void HandleEvents(const std::vector<MonitorEvent>& events);
  // What failed, again. Call now and then.
  void Retry();

  std::vector<std::string> problems() const;

 private:
  struct Limits {
    bool root = false;  // on what leaves the host's side, to the pod
    bool ingress = false;
  };
  void Note(const Qdisc& qdisc, bool deleted);
  void Set(uint32_t ifindex);

  Netlink* const netlink_;
  DataplaneInterface* const dataplane_;
  std::map<uint32_t, Limits> limits_;       // by interface, where there is one
  std::string problem_;                     // of Compare
  std::map<uint32_t, std::string> failed_;  // by interface
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_SHAPING_H_
