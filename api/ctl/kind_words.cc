// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/kind_words.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "api/fields/field_table.h"
#include "policy/status_macros.h"

namespace ripstop::ctl {
namespace {

using api::KindInfo;

// Singular, plural and calicoctl's words, of kinds that have no KindInfo.
std::vector<std::string> WordsOf(const std::string& kind) {
  std::string word = absl::AsciiStrToLower(kind);
  std::vector<std::string> words = {word};
  if (word.back() == 'y') {
    word.pop_back();
    words.push_back(absl::StrCat(word, "ies"));
  } else {
    words.push_back(absl::StrCat(word, "s"));
  }
  if (kind == "IPReservation") words.insert(words.end(), {"reservation", "reservations"});
  return words;
}

// Of kinds that are refused, there are never any.
absl::Status UnknownKind(const std::string& word) {
  const std::string lower = absl::AsciiStrToLower(word.substr(0, word.find('.')));
  std::vector<std::string> known;
  for (const api::KindRow& row : api::FieldTable()) {
    if (row.effect != api::Effect::kRefused) continue;
    if (api::FindKind(row.api_version, row.kind) != nullptr) continue;
    const std::vector<std::string> words = WordsOf(row.kind);
    if (std::find(words.begin(), words.end(), lower) != words.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(row.kind, " is known by name only, and apply refuses it: ", row.why));
    }
    known.insert(known.end(), words.begin(), words.end());
  }
  for (const KindInfo& kind : api::AllKinds()) {
    known.push_back(absl::AsciiStrToLower(kind.kind));
    known.push_back(kind.plural);
    known.insert(known.end(), kind.aliases.begin(), kind.aliases.end());
  }
  const std::string nearest = api::Nearest(word, known);
  return absl::InvalidArgumentError(absl::StrCat(
      "no kind is called \"", word, "\"", nearest.empty() ? "" : "; did you mean ", nearest));
}

absl::Status AddKinds(const std::string& word, std::vector<const KindInfo*>& kinds) {
  const std::string lower = absl::AsciiStrToLower(word);
  std::vector<const KindInfo*> found;
  for (const KindInfo& kind : api::AllKinds())
    if (lower == "all" || lower == kind.plural || lower == absl::AsciiStrToLower(kind.kind))
      found.push_back(&kind);
  if (found.empty()) {
    const KindInfo* kind = api::FindKindByAlias(word);
    if (kind == nullptr) return UnknownKind(word);
    found.push_back(kind);
  }
  for (const KindInfo* kind : found)
    if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) kinds.push_back(kind);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<const KindInfo*>> FindKinds(const std::string& words) {
  std::vector<const KindInfo*> kinds;
  for (const std::string& word :
       std::vector<std::string>(absl::StrSplit(words, ',', absl::SkipEmpty())))
    RETURN_IF_ERROR(AddKinds(word, kinds));
  if (kinds.empty()) return UnknownKind(words);
  return kinds;
}

absl::StatusOr<std::vector<Target>> ParseTargets(const std::vector<std::string>& words) {
  std::vector<Target> targets;
  if (words.empty()) return targets;
  if (words[0].find('/') == std::string::npos) {
    ASSIGN_OR_RETURN(auto kinds, FindKinds(words[0]));
    std::vector<std::string> names;
    for (size_t i = 1; i < words.size(); ++i)
      for (const std::string& name :
           std::vector<std::string>(absl::StrSplit(words[i], ',', absl::SkipEmpty())))
        names.push_back(name);
    targets.push_back({std::move(kinds), std::move(names)});
    return targets;
  }
  for (const std::string& word : words) {
    const size_t slash = word.find('/');
    if (slash == std::string::npos || slash + 1 == word.size())
      return absl::InvalidArgumentError(
          absl::StrCat("\"", word, "\": write KIND/NAME for each, or KIND NAME…"));
    ASSIGN_OR_RETURN(auto kinds, FindKinds(word.substr(0, slash)));
    targets.push_back({std::move(kinds), {word.substr(slash + 1)}});
  }
  return targets;
}

std::string Label(const api::ResourceKey& key) {
  return absl::StrCat(absl::AsciiStrToLower(key.kind), " ", key.ns, key.ns.empty() ? "" : "/",
                      key.name);
}

std::string QualifiedKind(const KindInfo& kind) {
  const size_t slash = kind.api_version.find('/');
  const std::string group = slash == std::string::npos ? "" : kind.api_version.substr(0, slash);
  return absl::StrCat(absl::AsciiStrToLower(kind.kind), group.empty() ? "" : ".", group);
}

std::string QualifiedName(const KindInfo& kind, const std::string& name) {
  return absl::StrCat(QualifiedKind(kind), "/", name);
}

}  // namespace ripstop::ctl
