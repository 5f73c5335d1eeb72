// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETLINK_ROUTE_WATCH_H_
#define RIPSTOP_AGENT_NETLINK_ROUTE_WATCH_H_

#include <memory>

#include "absl/status/statusor.h"

namespace ripstop::agent {

class NetlinkSocket;

// That something changed by which packets find their way out: routes, neighbours, links or rules
// of a network namespace, whoever changed them. What it was is nobody's question, so a burst of
// thousands is read away and not parsed, and one that was too large for the socket is news, too.
// One thread at a time.
class RouteWatch {
 public:
  // Of the calling thread's namespace.
  static absl::StatusOr<std::unique_ptr<RouteWatch>> Open();
  ~RouteWatch();

  int fd() const;  // readable when there is news
  // Whether there was any since the last call; does not block.
  absl::StatusOr<bool> Changed();

 private:
  explicit RouteWatch(std::unique_ptr<NetlinkSocket> socket);
  std::unique_ptr<NetlinkSocket> socket_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETLINK_ROUTE_WATCH_H_
