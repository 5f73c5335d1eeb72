// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_STORE_FIELD_NOTES_H_
#define RIPSTOP_AGENT_STORE_FIELD_NOTES_H_

#include <map>
#include <string>
#include <vector>

#include "api/fields/judge.h"
#include "api/resource.h"

namespace ripstop::agent {

// Which objects of the store hold fields that do not do what they say (api/fields), for
// `ripstopctl node status` and, once for each object, the log. Endpoints and pods of other
// nodes are those nodes' to tell. Nothing here keeps an object from being used. For the
// agent's loop.
class FieldNotes {
 public:
  // Lines of each kind at most; one more says how many were left out.
  static constexpr size_t kLinesMax = 100;

  explicit FieldNotes(std::string node) : node_(std::move(node)) {}

  void Put(const api::Resource& resource);
  void Delete(const api::ResourceKey& key);

  // "IPPool p: nothing acts on spec.ipipMode (…)"
  std::vector<std::string> unheeded() const { return Lines(unheeded_); }
  // What apply would refuse, and some other writer stored.
  std::vector<std::string> refused() const { return Lines(refused_); }

 private:
  using Notes = std::map<api::ResourceKey, std::string>;

  bool IsElsewhere(const api::Resource& resource) const;
  static void Note(const api::ResourceKey& key, const std::string& text, Notes* notes);
  static std::vector<std::string> Lines(const Notes& notes);

  const std::string node_;
  Notes unheeded_;
  Notes refused_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_STORE_FIELD_NOTES_H_
