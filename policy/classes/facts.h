// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_POLICY_CLASSES_FACTS_H_
#define RIPSTOP_POLICY_CLASSES_FACTS_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "policy/classes/interned.h"
#include "policy/model.h"
#include "policy/selector.h"

namespace ripstop::policy {

// Something that is true of an address: its owner, or a network set that holds it, has
// these labels and named ports; it is in this CIDR; it is a backend of this service on
// these ports; it is of a node with these labels; several endpoints claim it and nobody knows
// whose it is.
struct Atom {
  enum class Kind : uint8_t { kOwner, kCidr, kService, kDisputed, kNode };
  Kind kind = Kind::kOwner;
  Labels labels;                           // kOwner: EffectiveLabels; kNode: the document's
  std::vector<NamedPort> ports;            // kOwner: sorted
  Cidr cidr;                               // kCidr
  ServiceName service;                     // kService
  std::vector<ServicePort> service_ports;  // kService: sorted
  bool operator==(const Atom&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const Atom& a) {
    for (const auto& [k, v] : a.labels) h = H::combine(std::move(h), k, v);
    return H::combine(std::move(h), a.kind, a.labels.size(), a.ports, a.cidr, a.service,
                      a.service_ports);
  }
};

// A question that a rule asks of an address. Each is true of an address exactly when it
// is true of one of the address's atoms.
struct Predicate {
  enum class Kind : uint8_t {
    kSelector,
    kCidr,
    kService,
    kServicePort,
    kNamedPort,
    kDisputed,
    kNodes,
  };
  Kind kind = Kind::kSelector;
  std::string text;     // kSelector, kNodes: canonical; kNamedPort: the name
  Cidr cidr;            // kCidr
  ServiceName service;  // kService, kServicePort
  ServicePort port;     // kServicePort, kNamedPort
  bool operator==(const Predicate&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const Predicate& p) {
    return H::combine(std::move(h), p.kind, p.text, p.cidr, p.service, p.port);
  }
};

// Atoms and predicates by number, and which is true of which. A predicate is evaluated
// once per atom, however many addresses share the atom; selectors only on atoms that have
// a label they need. Only active predicates have answers. Not thread-safe.
class Facts {
 public:
  // Atoms. A fresh atom is answered at once for all active predicates.
  uint32_t InternAtom(const Atom& atom);
  void RefAtom(uint32_t id) { atoms_.Ref(id); }
  void UnrefAtom(uint32_t id);  // gone with its last reference
  const Atom& atom(uint32_t id) const { return atoms_[id]; }
  const std::vector<uint32_t>& TruePredicates(uint32_t atom) const {
    return true_[atom];
  }  // sorted

  // The predicate of a selector, kept parsed until Activate wants it. `kind`: whom it is to
  // select, owners and network sets (kSelector) or nodes (kNodes).
  uint32_t InternSelector(const Selector& selector,
                          Predicate::Kind kind = Predicate::Kind::kSelector);
  // Predicates. The caller activates one when the first policy set in use asks it.
  Interned<Predicate>& predicates() { return predicates_; }
  const Interned<Predicate>& predicates() const { return predicates_; }
  // The atoms of which it is true.
  std::vector<uint32_t> Activate(uint32_t predicate);
  void Deactivate(uint32_t predicate);

  // Says that an endpoint or a slice of backends has come to this atom (1) or left it (-1).
  // Apart from references, because a kind about to go still holds its atoms.
  void Announce(uint32_t atom, int change);
  // What `name` means on any endpoint announced, and the ports of any backend of `service`.
  std::set<ServicePort> PortsNamed(const std::string& name) const;
  std::set<ServicePort> PortsOf(const ServiceName& service) const;
  // Names and services of which those answers may have changed since the last call.
  std::set<std::string> TakeChangedNames();
  std::set<ServiceName> TakeChangedServices();

 private:
  using Ids = absl::flat_hash_set<uint32_t>;
  void Index(uint32_t atom, bool add);
  void Answer(uint32_t atom);
  bool IsTrue(const Predicate& p, const Selector* selector, const Atom& atom) const;
  const Selector* KeepParsed(uint32_t predicate);

  Interned<Atom> atoms_;
  Interned<Predicate> predicates_;
  std::vector<std::vector<uint32_t>> true_;            // by atom
  absl::flat_hash_map<uint32_t, Ids> atoms_of_;        // active predicate -> atoms
  absl::flat_hash_map<uint32_t, Selector> selectors_;  // active selector predicates
  absl::flat_hash_map<uint32_t, Selector> parsed_;     // of others, perhaps active soon

  // Owner atoms by IndexName of label keys; and active selectors by one that they need.
  absl::flat_hash_map<std::string, absl::flat_hash_map<std::string, Ids>> owners_by_label_;
  Ids owners_;
  absl::flat_hash_map<std::string, absl::flat_hash_map<std::string, Ids>> selectors_by_label_;
  absl::flat_hash_map<std::string, Ids> selectors_by_key_;
  Ids selectors_unkeyed_;
  // Of nodes there are few, and fewer selectors of them: all are asked.
  Ids nodes_;
  Ids node_selectors_;

  std::map<std::string, std::map<ServicePort, Ids>> named_ports_;  // atoms with it
  std::map<ServiceName, Ids> services_;                            // atoms of it
  std::map<std::string, std::map<ServicePort, int>> announced_names_;
  std::map<ServiceName, std::map<ServicePort, int>> announced_services_;
  std::set<std::string> changed_names_;
  std::set<ServiceName> changed_services_;
};

}  // namespace ripstop::policy

#endif  // RIPSTOP_POLICY_CLASSES_FACTS_H_
