// SPDX-License-Identifier: Apache-2.0
#include "policy/engine/label_sources.h"

#include <algorithm>
#include <functional>

namespace ripstop::policy {

uint32_t LabelSources::InternAtom(const SourceView& key) {
  return facts_->InternAtom({Atom::Kind::kOwner,
                             EffectiveLabels(key.labels, key.profiles, *profiles_),
                             key.ports,
                             {},
                             {},
                             {}});
}

uint32_t LabelSources::Acquire(const Labels& labels, const std::vector<std::string>& profiles,
                               const std::vector<NamedPort>& ports) {
  if (std::adjacent_find(ports.begin(), ports.end(), std::greater_equal<>()) != ports.end()) {
    std::vector<NamedPort> sorted = ports;
    std::sort(sorted.begin(), sorted.end());
    sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
    return Acquire(labels, profiles, sorted);
  }
  const SourceView key(labels, profiles, ports);
  const uint32_t id = sources_.Intern(key);
  sources_.ForgetFresh();
  if (sources_.references(id) == 0) {
    if (atoms_.size() <= id) atoms_.resize(id + 1);
    atoms_[id] = InternAtom(key);
    facts_->RefAtom(atoms_[id]);
    facts_->Announce(atoms_[id], 1);
    for (const std::string& p : LabelProfiles(labels, profiles)) of_profile_[p].insert(id);
  }
  sources_.Ref(id);
  return id;
}

void LabelSources::Release(uint32_t id) {
  if (!sources_.Unref(id)) return;
  for (const std::string& p : LabelProfiles(sources_[id].labels, sources_[id].profiles)) {
    const auto it = of_profile_.find(p);
    if (it == of_profile_.end()) continue;
    it->second.erase(id);
    if (it->second.empty()) of_profile_.erase(it);
  }
  facts_->Announce(atoms_[id], -1);
  facts_->UnrefAtom(atoms_[id]);
  sources_.Forget(id);
  sources_.Release(id);
}

std::set<uint32_t> LabelSources::Refresh() {
  std::set<uint32_t> dirty;
  for (const std::string& profile : changed_) {
    const auto it = of_profile_.find(profile);
    if (it != of_profile_.end()) dirty.insert(it->second.begin(), it->second.end());
  }
  changed_.clear();
  std::erase_if(dirty, [&](uint32_t id) {
    const uint32_t atom = InternAtom(sources_[id]);
    if (atom == atoms_[id]) return true;
    facts_->RefAtom(atom);
    facts_->Announce(atom, 1);
    facts_->Announce(atoms_[id], -1);
    facts_->UnrefAtom(atoms_[id]);
    atoms_[id] = atom;
    return false;
  });
  return dirty;
}

}  // namespace ripstop::policy
