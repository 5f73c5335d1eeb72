// SPDX-License-Identifier: Apache-2.0
//
// Whether a resource means something: values, ranges, selectors, cross-field rules. Form
// (types, unknown fields) is the reader's business (api/codec/reader.h).
#ifndef RIPSTOP_API_VALIDATE_VALIDATE_H_
#define RIPSTOP_API_VALIDATE_VALIDATE_H_

#include <vector>

#include "api/codec/problem.h"
#include "api/resource.h"

namespace ripstop::api {

// Everything that is wrong, in the order of the document, each with path, value and remedy,
// and with file and line when the resource was read from text; fields that the table refuses
// (Effect::kRefused) included, those that only `evaluate` answers for (kOffline) not. Pure;
// any thread.
std::vector<Problem> Validate(const Resource& resource);

// Values and ranges alone: what the table refuses has meanings too, and is another matter.
std::vector<Problem> ValidateValues(const Resource& resource);

// What is wrong between resources that are each valid: address pools that overlap each
// other or the subnet of a node.
std::vector<Problem> ValidateTogether(const std::vector<Resource>& resources);
// Whether ValidateTogether looks at it, so that a reader of many documents keeps only those.
bool IsComparedWithOthers(const Resource& resource);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_VALIDATE_VALIDATE_H_
