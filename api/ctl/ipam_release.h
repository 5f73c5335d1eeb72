// SPDX-License-Identifier: Apache-2.0
//
// Giving back addresses that nobody else gives back: leaked ones, and those of nodes that
// are gone. Until a controller does it.
#ifndef RIPSTOP_API_CTL_IPAM_RELEASE_H_
#define RIPSTOP_API_CTL_IPAM_RELEASE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "api/ctl/ipam_report.h"
#include "api/store/store.h"

namespace ripstop::ctl {

// Leaked addresses, each as a report names it (or with its subject alone: whatever holds
// that address). One line of text per address that was released, or was already.
//   kAborted   an endpoint has the address: whose; nothing was released
//   kNotFound  by address alone, and it is not allocated
absl::StatusOr<std::vector<std::string>> ReleaseLeaked(api::Store& store,
                                                       const std::vector<IpamProblem>& leaked);

struct NodeRelease {
  int addresses = 0, blocks = 0, endpoints = 0;
};
// All that belongs to a node which is gone: its endpoints, its addresses, its blocks; blocks
// that others use stay until they do not, and are nobody's meanwhile.
//
//   ask in the store ─▶ an agent of that name takes the question away: it lives, refused
//                    └▶ nobody does within `patience`: all goes, with the question, in one
//                       transaction, which fails should the answer come after all
//
//   kFailedPrecondition  the Node is in the store, or its agent answered
absl::StatusOr<NodeRelease> ReleaseNode(api::Store& store, const std::string& node,
                                        absl::Duration patience);

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_IPAM_RELEASE_H_
