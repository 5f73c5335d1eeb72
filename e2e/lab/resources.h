// SPDX-License-Identifier: Apache-2.0
//
// The resources that follow from a topology: what an operator would have applied before
// the first agent starts. A stream of JSON documents, which is YAML too.
#ifndef RIPSTOP_E2E_LAB_RESOURCES_H_
#define RIPSTOP_E2E_LAB_RESOURCES_H_

#include <string>

#include "e2e/lab/topology.h"

namespace ripstop::lab {

// One Node.
std::string NodeDocument(const Topology& topology, const Node& node);

// Every Node, IPPool, Namespace, and the default BGPConfiguration. A namespace that only
// a pod names is there too.
std::string ResourceDocuments(const Topology& topology);

}  // namespace ripstop::lab

#endif  // RIPSTOP_E2E_LAB_RESOURCES_H_
