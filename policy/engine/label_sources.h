// SPDX-License-Identifier: Apache-2.0
//
// Where labels come from; for engine/ only.
#ifndef RIPSTOP_POLICY_ENGINE_LABEL_SOURCES_H_
#define RIPSTOP_POLICY_ENGINE_LABEL_SOURCES_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/hash/hash.h"
#include "policy/classes/facts.h"
#include "policy/classes/interned.h"
#include "policy/model.h"

namespace ripstop::policy {

// Own labels, profiles to inherit from, named ports. Endpoints of one deployment share one; it
// has one atom, and another when a profile changes.
struct SourceKey {
  Labels labels;
  std::vector<std::string> profiles;
  std::vector<NamedPort> ports;  // sorted
};

// One by reference: looked for with each input, and seldom new.
struct SourceView {
  const Labels& labels;
  const std::vector<std::string>& profiles;
  const std::vector<NamedPort>& ports;  // sorted
  SourceView(const Labels& l, const std::vector<std::string>& p, const std::vector<NamedPort>& n)
      : labels(l), profiles(p), ports(n) {}
  SourceView(const SourceKey& key)  // NOLINT: the same in another form
      : SourceView(key.labels, key.profiles, key.ports) {}
  explicit operator SourceKey() const { return {labels, profiles, ports}; }
};
struct SourceHash {
  using is_transparent = void;
  size_t operator()(const SourceView& s) const { return absl::HashOf(s); }
};
struct SourceEqual {
  using is_transparent = void;
  bool operator()(const SourceView& a, const SourceView& b) const {
    return a.labels == b.labels && a.profiles == b.profiles && a.ports == b.ports;
  }
};
template <typename H>
H AbslHashValue(H h, const SourceView& s) {
  for (const auto& [k, v] : s.labels) h = H::combine(std::move(h), k, v);
  return H::combine(std::move(h), s.profiles, s.ports);
}

// Sources by number, each with the atom of its effective labels.
class LabelSources {
 public:
  LabelSources(Facts* facts, const std::map<std::string, Profile>* profiles)
      : facts_(facts), profiles_(profiles) {}

  // The number of a source, known or new; ports in any order. Adds a reference.
  uint32_t Acquire(const Labels& labels, const std::vector<std::string>& profiles,
                   const std::vector<NamedPort>& ports);
  void Release(uint32_t source);

  const SourceKey& operator[](uint32_t source) const { return sources_[source]; }
  uint32_t AtomOf(uint32_t source) const { return atoms_[source]; }
  const Labels& LabelsOf(uint32_t source) const { return facts_->atom(atoms_[source]).labels; }

  // The labels that a profile gives have changed.
  void Changed(const std::string& profile) { changed_.insert(profile); }
  // Gives those who depend on such profiles their new atoms. Returns whose is another one.
  std::set<uint32_t> Refresh();

 private:
  uint32_t InternAtom(const SourceView& key);

  Facts* const facts_;
  const std::map<std::string, Profile>* const profiles_;
  Interned<SourceKey, SourceHash, SourceEqual> sources_;
  std::vector<uint32_t> atoms_;                           // by source
  std::map<std::string, std::set<uint32_t>> of_profile_;  // sources that depend on it
  std::set<std::string> changed_;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_ENGINE_LABEL_SOURCES_H_
