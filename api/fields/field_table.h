// SPDX-License-Identifier: Apache-2.0
//
// What becomes of each field that somebody may write: the only place that says so.
//
//   rows_*.cc ──▶ [FieldTable] ─┬─▶ judge.h     ─▶ apply's refusals and warnings, node status
//                               └─▶ document.h  ─▶ docs/fields.md
//
// A row turns to kActs with the change that makes the field act. Immutable; any thread.
#ifndef RIPSTOP_API_FIELDS_FIELD_TABLE_H_
#define RIPSTOP_API_FIELDS_FIELD_TABLE_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ripstop::api {

enum class Effect {
  kActs,     // does what it says
  kKept,     // stored and given back by get; nothing acts on it
  kRefused,  // apply refuses the document; an agent does not use what a store holds of it
  kOffline,  // refused likewise, but `ripstopctl evaluate` answers for it
  kLeftOut,  // not stored: a system writes it, and what it says would soon be wrong
};

struct FieldRow {
  // JSON names from the document's root: "spec.ingress[].source.nets[]", with [] for the
  // items of a list and {} for the values of a map, whose keys are free.
  std::string path;
  Effect effect = Effect::kActs;
  std::string why;  // what does not happen, and what to do instead; may be empty for kActs
  // Values that mean what happens anyway, so that nothing is lost when they are written.
  std::vector<std::string> harmless;
  bool common = false;  // metadata, which is alike in all kinds
};

struct KindRow {
  std::string api_version;
  std::string kind;
  // kRefused, kOffline: the whole document, whatever its fields. kKept: no field of it acts.
  Effect effect = Effect::kActs;
  std::string why;  // also that of its fields which have none of their own
  // Empty only for kinds whose fields nobody here knows.
  std::vector<FieldRow> fields;
  std::map<std::string, size_t, std::less<>> by_path;  // into `fields`

  const FieldRow* Find(std::string_view path) const;
};

// Every kind that is known by name, those that are refused included.
const std::vector<KindRow>& FieldTable();
// nullptr when there is none.
const KindRow* FindKindRow(std::string_view api_version, std::string_view kind);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_FIELDS_FIELD_TABLE_H_
