// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_API_VALIDATE_DAMAGED_H_
#define RIPSTOP_API_VALIDATE_DAMAGED_H_

#include <vector>

#include "api/codec/problem.h"
#include "api/codec/reader.h"

namespace ripstop::api {

// What is wrong with a document besides what could not be read of it: the problems of form
// and of content together, in the order of the lines. A problem of content that may only be
// there because of one of form (of what holds the place, or is missing beside an unknown
// field) is left out.
std::vector<Problem> ValidateDamaged(const DamagedResource& damaged);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_VALIDATE_DAMAGED_H_
