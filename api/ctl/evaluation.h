// SPDX-License-Identifier: Apache-2.0
//
// `ripstopctl evaluate` without its command line: documents to a world, a query to a flow,
// a judgement to a line of JSON.
//
//   {"from": "shop/web", "to": "198.51.100.7", "protocol": "TCP", "port": 80}
//   {"verdict":"Deny","egress":{"verdict":"Deny","tier":"default","policy":"shop/web",
//    "rule":"end of tier"},"ingress":null}
#ifndef RIPSTOP_API_CTL_EVALUATION_H_
#define RIPSTOP_API_CTL_EVALUATION_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "api/ctl/evaluator.h"
#include "api/resource.h"

namespace ripstop::ctl {

// Every pod of the documents, be it a Pod, a WorkloadEndpoint or both, is an endpoint of one
// imagined node, so that both directions of every flow have a verdict. Pods that are over or that
// use the host's network are nobody's endpoint. A namespace or service account that no document
// describes exists all the same, with the labels Kubernetes gives every one
// (kubernetes.io/metadata.name).
//   kInvalidArgument  a document without a meaning; the message names file, line and path
absl::StatusOr<policy::World> MakeWorld(const std::vector<api::Resource>& resources);

// Parses queries against one world, which it outlives.
class QueryReader {
 public:
  explicit QueryReader(const policy::World& world);

  // One query: `from` and `to` are "namespace/pod" ("namespace/pod/interface" for one beside
  // eth0) or an address (that of a pod is that pod; one that two pods claim is refused); `protocol`
  // a name or number, TCP when absent; `port`, needed where the protocol has ports; `sourcePort`,
  // an ephemeral one when absent; `icmpType` and `icmpCode`, an echo request when absent;
  // `ipVersion` 4 or 6 where both ends have both, 4 when absent. With `hostEndpoint`, its name, and
  // `direction`, "ingress" or "egress", the question is what policy says at its interface;
  // `forwarded` true where the host is neither end.
  //   kInvalidArgument  names the field and what would be right
  absl::StatusOr<Flow> Read(const std::string& json) const;

 private:
  struct End {
    const policy::Endpoint* endpoint = nullptr;  // as named; it may be inactive
    std::vector<policy::Address> addresses;
  };
  absl::Status CheckOwner(const policy::Address& address) const;
  absl::StatusOr<End> ReadEnd(const std::string& field, const std::string& text) const;

  const policy::World& world_;
  absl::flat_hash_map<policy::Address, const policy::Endpoint*> owners_;
  // Addresses of several pods whom policy can tell apart, with the names of two of them.
  absl::flat_hash_map<policy::Address, std::pair<std::string, std::string>> contested_;
  absl::flat_hash_map<std::string, std::vector<const policy::Endpoint*>> named_;
};

// One line, without a newline.
std::string ToLine(const Judgement& judgement);
// The same, and under "staged" what the staged world (api/convert/staged.h) says. `world` is
// the one that holds the staged policies.
std::string ToLine(const Judgement& judgement, const Judgement& staged, const policy::World& world);

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_EVALUATION_H_
