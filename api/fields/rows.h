// SPDX-License-Identifier: Apache-2.0
//
// How rows are written down: literals, with parts that several kinds share.
#ifndef RIPSTOP_API_FIELDS_ROWS_H_
#define RIPSTOP_API_FIELDS_ROWS_H_

#include <vector>

#include "absl/types/span.h"
#include "api/fields/field_table.h"

namespace ripstop::api {

inline constexpr Effect kActs = Effect::kActs;
inline constexpr Effect kKept = Effect::kKept;
inline constexpr Effect kRefused = Effect::kRefused;
inline constexpr Effect kOffline = Effect::kOffline;
inline constexpr Effect kLeftOut = Effect::kLeftOut;

// One row, or with `inside` all rows of a part: their paths follow this one's. A part that
// does not act makes its rows its own: they have its effect and reason.
struct Row {
  const char* path;
  Effect effect = kActs;
  const char* why = "";
  const char* harmless = "";  // separated by |
  absl::Span<const Row> inside = {};
};

struct Kind {
  const char* api_version;
  const char* kind;
  Effect effect = kActs;
  const char* why = "";
  std::vector<absl::Span<const Row>> rows = {};
  bool metadata = true;  // has metadata, as documents have
};

inline constexpr char kCalicoV3[] = "projectcalico.org/v3";

// Each in the file of its name.
std::vector<Kind> PolicyKinds();      // rows_policy.cc
std::vector<Kind> EndpointKinds();    // rows_endpoints.cc
std::vector<Kind> NetworkKinds();     // rows_network.cc
std::vector<Kind> BgpKinds();         // rows_bgp.cc
std::vector<Kind> FelixKinds();       // rows_felix.cc
std::vector<Kind> ControllerKinds();  // rows_controllers.cc
std::vector<Kind> KubernetesKinds();  // rows_kubernetes.cc

std::vector<Kind> CniKinds();  // rows_cni.cc

// status.conditions, as Kubernetes writes them.
absl::Span<const Row> ConditionRows();

}  // namespace ripstop::api

#endif  // RIPSTOP_API_FIELDS_ROWS_H_
