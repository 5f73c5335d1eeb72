// SPDX-License-Identifier: Apache-2.0
//
// Words of the command line to kinds and names.
#ifndef RIPSTOP_API_CTL_KIND_WORDS_H_
#define RIPSTOP_API_CTL_KIND_WORDS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "api/kinds.h"
#include "api/store/store.h"

namespace ripstop::ctl {

// The kinds that `words` names: "np,gnp", "all", singular, plural, alias, with a group or
// without, in any case. A bare "networkpolicy" is both projectcalico.org's and
// Kubernetes', because people mean either.
//   kInvalidArgument  an unknown word, and the message names the nearest known one; or a kind
//                     that is known and refused, and the message says why
absl::StatusOr<std::vector<const api::KindInfo*>> FindKinds(const std::string& words);

// What KIND NAME… or KIND/NAME… on a command line asks for; no names: all.
struct Target {
  std::vector<const api::KindInfo*> kinds;
  std::vector<std::string> names;
};
absl::StatusOr<std::vector<Target>> ParseTargets(const std::vector<std::string>& words);

// "networkpolicy shop/allow-cart", as results are reported.
std::string Label(const api::ResourceKey& key);
// "networkpolicy.projectcalico.org/allow-cart", which get and delete read back.
std::string QualifiedName(const api::KindInfo& kind, const std::string& name);
std::string QualifiedKind(const api::KindInfo& kind);

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_KIND_WORDS_H_
