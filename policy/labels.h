// SPDX-License-Identifier: Apache-2.0
//
// Labels, and whose words they are.
//
// A selector of projectcalico.org sees the joined labels of an endpoint: what converters say of
// it, its own, what its profiles give; the first that has a key wins, and no document has a
// reserved one. A selector of Kubernetes sees what documents say and nothing else, under
// whatever key: `pcns.team` of a pod is that pod's word, `app` of a profile is no pod's. The key
// in a selector's text says which of the two is meant:
//
//   app, pcns.team   the joined label
//   pod:app          the label `app` in the endpoint's own document
//   ns:pcns.team     the label `team` in the document of its namespace
//
// One map answers for all, so that 100,000 endpoints pay for a view only where it differs:
//
//   KEY            the joined label; and what pod:KEY and ns:KEY mean, unless one of these is there
//   pod:KEY        what the document says under a reserved key
//   ns:KEY         what the namespace says where the joined label is another's
//   inherited:KEY  the joined label is in no document
//
// No document has a colon in the key of a label (IsLabelKey), so none can write these.
#ifndef RIPSTOP_POLICY_LABELS_H_
#define RIPSTOP_POLICY_LABELS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/string_view.h"

namespace ripstop::policy {

using Labels = std::map<std::string, std::string>;

// What only converters put on endpoints and network sets.
inline constexpr char kNamespaceLabel[] = "projectcalico.org/namespace";
inline constexpr char kServiceAccountLabel[] = "projectcalico.org/serviceaccount";
inline constexpr char kOrchestratorLabel[] = "projectcalico.org/orchestrator";
// Before the labels of a namespace and a service account, where their pods inherit them.
inline constexpr char kNamespacePrefix[] = "pcns.";
inline constexpr char kServiceAccountPrefix[] = "pcsa.";
bool IsReservedLabel(std::string_view key);
// The name of a namespace or service account, behind those prefixes: a converter's word too.
inline constexpr char kNameLabel[] = "projectcalico.org/name";

// One or more of A-Z a-z 0-9 _ . / -
bool IsLabelKey(std::string_view key);

inline constexpr char kPodView[] = "pod:";
inline constexpr char kNamespaceView[] = "ns:pcns.";
// Where an endpoint keeps a label of its document, and a namespace's profile one of its.
std::string KeyOfPod(const std::string& key);
std::string KeyOfNamespace(const std::string& key);
// The profile of a namespace: kns.shop.
std::string NamespaceProfileName(const std::string& ns);

struct Profile;

// The labels of an endpoint or network set, all views in one map. `own`: by KeyOfPod, with the
// converters' words.
Labels EffectiveLabels(const Labels& own, const std::vector<std::string>& profiles,
                       const std::map<std::string, Profile>& known);
// The profiles on which that depends: those listed, and the namespace's own.
std::vector<std::string> LabelProfiles(const Labels& own, const std::vector<std::string>& profiles);

// The same, each view by itself under the keys of its documents: large and obvious.
struct LabelViews {
  Labels joined;
  Labels pod;
  Labels ns;
};
LabelViews ViewsOf(const Labels& own, const std::vector<std::string>& profiles,
                   const std::map<std::string, Profile>& known);

// A key of a selector.
class LabelKey {
 public:
  LabelKey() = default;
  explicit LabelKey(std::string text);

  const std::string& text() const { return text_; }
  // What it means for one with these labels; nullptr: it has none such.
  const std::string* In(const Labels& effective) const;
  const std::string* In(const LabelViews& views) const;

 private:
  enum class View : uint8_t { kJoined, kPod, kNamespace };
  View view_ = View::kJoined;
  bool said_apart_ = false;  // may stand under `text_` itself
  bool only_apart_ = false;  // and nowhere else
  std::string text_;
  // Empty for the joined view, whose key is the text.
  std::string joined_;
  std::string inherited_;
};

// The name by which an index finds whom a key concerns, in whatever view: keys of selectors
// and keys of effective labels meet there. nullopt: it concerns nobody.
std::optional<absl::string_view> IndexName(absl::string_view key);

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_LABELS_H_
