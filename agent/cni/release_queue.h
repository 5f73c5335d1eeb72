// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_CNI_RELEASE_QUEUE_H_
#define RIPSTOP_AGENT_CNI_RELEASE_QUEUE_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agent/cni/endpoint.h"
#include "agent/cni/endpoint_hooks.h"
#include "agent/ipam/ipam.h"

namespace ripstop::agent {

// Runs a function on the agent's loop after a while.
using Later = std::function<void(absl::Duration, std::function<void()>)>;

// Endpoints that are gone from the node and not yet from the store.
//
//   EndpointManager ──Put──▶ file (kReleasing) ──Run──▶ connections forgotten ──▶ one
//                transaction: addresses free, WorkloadEndpoint gone ──▶ file gone
//
// An address is free only when no connection of its old holder is known any more, so an ADD has
// nothing to forget of it. That walks all connections of the node, once for all that wait; the
// pause before the next round grows with what the last one took, and so with their number.
//
// Nobody waits for the store: Put only notes, and the attempts follow on the loop, soon
// and then ever later until one succeeds, also in the next agent's life. Until then the
// addresses are taken, so nobody is given one that a WorkloadEndpoint still calls another's.
// For the agent's loop.
class ReleaseQueue {
 public:
  // Inputs, then outputs; all outlive this. Without `later` somebody has to call Run.
  ReleaseQueue(const EndpointFiles* files, EndpointHooks* hooks, Later later, Ipam* ipam)
      : files_(files), hooks_(hooks), later_(std::move(later)), ipam_(ipam) {}

  void Put(LocalEndpoint endpoint);
  // Takes one out: its ADD has come again, and goes on with what addresses it has. An error
  // leaves it in.
  absl::Status Take(const std::string& handle);

  // Tries all; the first error, which leaves its endpoint in the queue. What is not even
  // reachable ends the round.
  absl::Status Run();
  bool contains(const std::string& handle) const { return waiting_.contains(handle); }
  size_t size() const { return waiting_.size(); }

 private:
  struct Waiting {
    LocalEndpoint endpoint;
    bool forgotten = false;  // its connections are
  };

  std::vector<Allocation> AllocationsOf(const LocalEndpoint& endpoint) const;
  absl::Status ForgetConnections();
  absl::Status Release(const LocalEndpoint& endpoint);
  void Schedule(absl::Duration delay);

  const EndpointFiles* const files_;
  EndpointHooks* const hooks_;
  const Later later_;
  Ipam* const ipam_;
  std::map<std::string, Waiting> waiting_;  // by handle
  bool scheduled_ = false;
  absl::Duration pause_;  // before the next round
  absl::Duration back_off_;
  // Seen by a scheduled attempt that comes after this is gone.
  const std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_CNI_RELEASE_QUEUE_H_
