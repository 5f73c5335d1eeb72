// SPDX-License-Identifier: Apache-2.0
//
// What delete does to a store.
#ifndef RIPSTOP_API_CTL_STORE_DELETER_H_
#define RIPSTOP_API_CTL_STORE_DELETER_H_

#include <string>
#include <vector>

#include "api/ctl/store_writer.h"
#include "api/store/store.h"

namespace ripstop::ctl {

struct DeleteResult {
  std::vector<WriteOutcome> outcomes;  // in the order of the input
  std::vector<absl::Status> errors;
  // What deleting a namespace leaves: its pods that run, the policies that govern them.
  std::vector<std::string> notes;
};

// Keys that are not there are errors (kNotFound) but do not keep the others from being
// deleted. A tier that still has policies is refused (kAborted), and then nothing is.
//
// A namespace whose pods run may be deleted: without a document they keep their policies, and
// what no policy decides is allowed, as for any namespace without one. Its policies and
// network sets stay until the pods are gone, also when they are named beside it (kAborted for
// each): what they denied must not be open because the namespace went first.
//
// Written in transactions of kBatch, what refers before what is referred to.
DeleteResult DeleteResources(api::Store& store, const std::vector<api::ResourceKey>& keys,
                             const Batch& batch = kBatch);

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_STORE_DELETER_H_
