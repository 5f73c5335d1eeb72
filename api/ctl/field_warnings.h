// SPDX-License-Identifier: Apache-2.0
//
// What the verbs that read documents say of fields that do not act (api/fields).
#ifndef RIPSTOP_API_CTL_FIELD_WARNINGS_H_
#define RIPSTOP_API_CTL_FIELD_WARNINGS_H_

#include <ostream>
#include <vector>

#include "api/codec/problem.h"
#include "api/resource.h"

namespace ripstop::ctl {

// A line for each document of which something is kept without effect. `err` takes them.
void WarnOfKept(const std::vector<api::Resource>& resources, std::ostream& err);
// The same as problems, one for each field: --strict.
std::vector<api::Problem> KeptProblems(const std::vector<api::Resource>& resources);

// What only `evaluate` answers for: the verbs that write refuse it.
std::vector<api::Problem> OfflineProblems(const std::vector<api::Resource>& resources);
// A line for each such document, for `evaluate` itself.
void NoteOffline(const std::vector<api::Resource>& resources, std::ostream& err);

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_FIELD_WARNINGS_H_
