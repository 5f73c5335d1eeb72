// SPDX-License-Identifier: Apache-2.0
//
// What the verbs that read documents say of fields that do not act (api/fields).
#ifndef RIPSTOP_API_CTL_FIELD_WARNINGS_H_
#define RIPSTOP_API_CTL_FIELD_WARNINGS_H_

#include <functional>
#include <ostream>

#include "api/codec/problem.h"
#include "api/resource.h"

namespace ripstop::ctl {

// Tells `problem` what only `evaluate` answers for, and with `strict` each field that would be
// kept without effect; else `err` gets a line for all of those.
void JudgeFields(const api::Resource& resource, bool strict,
                 const std::function<void(const api::Problem&)>& problem, std::ostream& err);
// For `evaluate` itself: a line when apply would refuse the document.
void NoteOffline(const api::Resource& resource, std::ostream& err);

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_FIELD_WARNINGS_H_
