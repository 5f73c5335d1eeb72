// SPDX-License-Identifier: Apache-2.0
//
// Selectors as text: how namespaces, service accounts and Kubernetes label selectors
// become one selector over an endpoint's labels.
#ifndef RIPSTOP_API_CONVERT_SELECTOR_TEXT_H_
#define RIPSTOP_API_CONVERT_SELECTOR_TEXT_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "api/proto/resources.pb.h"

namespace ripstop::api {

// Every workload, and nothing else: what Kubernetes calls pods.
inline constexpr char kPodsOnly[] = "has(projectcalico.org/orchestrator)";

// A selector over the labels of namespaces, as one over those of endpoints: each label gets
// `pcns.`; all() is anything with a namespace, global() anything without.
// kInvalidArgument as Selector::Parse.
absl::StatusOr<std::string> NamespaceSelectorText(const std::string& selector);
// Likewise with `pcsa.`; all() is anything with a service account.
absl::StatusOr<std::string> ServiceAccountSelectorText(const std::string& selector);

// "projectcalico.org/namespace == 'ns'"
std::string InNamespace(const std::string& ns);

// `prefix` goes before each key: policy::kPodView for pods, policy::kNamespaceView for namespaces.
// kInvalidArgument for an operator, or for a value that no quote can hold. An empty
// selector gives empty text: no condition.
absl::StatusOr<std::string> LabelSelectorText(const v1::LabelSelector& selector,
                                              const std::string& prefix);

// "(a) && (b)"; empty parts are left out; none: empty.
std::string AllOf(const std::vector<std::string>& parts);

// 'value' or "value". kInvalidArgument when it has both kinds of quotes or a newline.
absl::StatusOr<std::string> Quoted(const std::string& value);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_CONVERT_SELECTOR_TEXT_H_
