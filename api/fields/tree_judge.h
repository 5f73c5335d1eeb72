// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_API_FIELDS_TREE_JUDGE_H_
#define RIPSTOP_API_FIELDS_TREE_JUDGE_H_

#include <string>

#include "api/fields/judge.h"

namespace ripstop::api {

// Adds to `report` what the table says of the fields of a spec that is kept as a tree
// (v1::Tree). A field that the table does not have is kept too, and named with its nearest:
// Calico's next version may have it.
void JudgeTree(const KindRow& kind, const std::string& json, FieldReport* report);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_FIELDS_TREE_JUDGE_H_
