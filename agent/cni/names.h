// SPDX-License-Identifier: Apache-2.0
//
// What a CNI request may call things. Names from outside become parts of file names,
// documents and log lines, so they are asked at the door.
//
// All return kInvalidArgument with the field, the value as text without control characters,
// and what would be right.
#ifndef RIPSTOP_AGENT_CNI_NAMES_H_
#define RIPSTOP_AGENT_CNI_NAMES_H_

#include <string>

#include "absl/status/status.h"
#include "api/proto/cni.pb.h"

namespace ripstop::agent {

// CNI specification, section "Parameters": a letter or digit, then these and _ . -
absl::Status CheckContainerId(const std::string& id);
// The same section, and what the kernel takes as it is (dev_valid_name, dev_alloc_name).
absl::Status CheckInterfaceName(const std::string& name);

// Every name in the request. Where the runtime names a namespace, pod and namespace follow
// Kubernetes' rules (RFC 1123); else the pod is a container by its name, of CNI's characters.
absl::Status CheckNames(const ripstop::agent::v1::CniRequest& request);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_CNI_NAMES_H_
