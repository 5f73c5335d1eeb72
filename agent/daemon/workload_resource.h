// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_DAEMON_WORKLOAD_RESOURCE_H_
#define RIPSTOP_AGENT_DAEMON_WORKLOAD_RESOURCE_H_

#include <string>

#include "agent/cni/endpoint.h"
#include "api/resource.h"

namespace ripstop::agent {

// The name that Calico gives a workload endpoint: node, orchestrator, pod and interface
// joined by '-', each with its own dashes doubled. Where that is no name of a resource
// (RFC 1123), what is left of it and a hash.
std::string WorkloadEndpointName(const std::string& node, const std::string& pod,
                                 const std::string& interface);

// The WorkloadEndpoint that tells the other nodes of this pod. Pure.
api::Resource MakeWorkloadEndpoint(const LocalEndpoint& endpoint, const std::string& node);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DAEMON_WORKLOAD_RESOURCE_H_
