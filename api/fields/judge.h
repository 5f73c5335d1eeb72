// SPDX-License-Identifier: Apache-2.0
//
// Which fields of a resource do not do what they say. Pure; any thread.
#ifndef RIPSTOP_API_FIELDS_JUDGE_H_
#define RIPSTOP_API_FIELDS_JUDGE_H_

#include <string>
#include <vector>

#include "api/codec/problem.h"
#include "api/fields/field_table.h"
#include "api/resource.h"

namespace ripstop::api {

struct FieldFinding {
  std::string path;               // as written, "spec.ingress[0].http"; empty: the kind as a whole
  Effect effect = Effect::kKept;  // kKept, kRefused or kOffline
  std::string why;
};

// Of each row the first field that it concerns, in the order of the table.
struct FieldReport {
  std::vector<FieldFinding> kept;
  std::vector<FieldFinding> refused;  // kRefused and kOffline

  bool empty() const { return kept.empty() && refused.empty(); }
};

// Costs as much as the rows of the kind that do not act, not as the resource, except for
// kinds that are kept as a tree.
FieldReport InspectFields(const Resource& resource);
FieldReport InspectFields(const KindInfo& kind, const google::protobuf::Message& message);

// "nothing acts on spec.ipipMode (use vxlanMode), spec.natOutgoing (…)"; empty: all acts.
std::string KeptText(const FieldReport& report);
// "spec.filters is refused: …", likewise.
std::string RefusedText(const FieldReport& report);

// The findings of one effect as problems of the document.
std::vector<Problem> FieldProblems(const Resource& resource, const FieldReport& report,
                                   Effect effect);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_FIELDS_JUDGE_H_
