// SPDX-License-Identifier: Apache-2.0
#include "api/fields/tree_judge.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "api/fields/matcher.h"
#include "api/kinds.h"
#include "nlohmann/json.hpp"

namespace ripstop::api {
namespace {

using nlohmann::json;

// Whether a row is at `path` or inside it.
bool Leads(const KindRow& kind, const std::string& path) {
  const auto it = kind.by_path.lower_bound(path);
  return it != kind.by_path.end() && absl::StartsWith(it->first, path);
}

class TreeWalk {
 public:
  TreeWalk(const KindRow& kind, FieldReport* report) : kind_(kind), report_(report) {}

  // `path` as written, `row_path` as the table has it.
  void Value(const json& value, const std::string& path, const std::string& row_path) {
    const FieldRow* row = kind_.Find(row_path);
    if (row != nullptr && row->effect != Effect::kActs) return Found(*row, value, path);
    if (value.is_object()) {
      for (const auto& [key, child] : value.items()) Member(key, child, path, row_path);
    } else if (value.is_array()) {
      for (size_t i = 0; i < value.size(); ++i) {
        Value(value[i], absl::StrCat(path, "[", i, "]"), absl::StrCat(row_path, "[]"));
      }
    } else if (row == nullptr && !kind_.fields.empty()) {
      Unknown(path, row_path);
    }
  }

 private:
  void Member(const std::string& key, const json& value, const std::string& path,
              const std::string& row_path) {
    const std::string free = absl::StrCat(row_path, "{}");
    if (Leads(kind_, free)) return Value(value, absl::StrCat(path, "[", key, "]"), free);
    const std::string at = absl::StrCat(path, ".", key), known = absl::StrCat(row_path, ".", key);
    if (!kind_.fields.empty() && kind_.Find(known) == nullptr &&
        !Leads(kind_, absl::StrCat(known, ".")) && !Leads(kind_, absl::StrCat(known, "[")) &&
        !Leads(kind_, absl::StrCat(known, "{"))) {
      return Unknown(at, known);
    }
    Value(value, at, known);
  }

  void Found(const FieldRow& row, const json& value, const std::string& path) {
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    if (IsHarmless(row, text) || !seen_.insert(row.path).second) return;
    auto& list = row.effect == Effect::kKept ? report_->kept : report_->refused;
    list.push_back({path, row.effect, row.why});
  }

  void Unknown(const std::string& path, const std::string& row_path) {
    if (!seen_.insert(row_path).second) return;
    const size_t dot = row_path.rfind('.');
    const std::string prefix = row_path.substr(0, dot + 1);
    std::vector<std::string> beside;
    for (const FieldRow& row : kind_.fields) {
      if (!absl::StartsWith(row.path, prefix)) continue;
      const std::string rest = row.path.substr(prefix.size());
      beside.push_back(rest.substr(0, rest.find_first_of(".[{")));
    }
    const std::string nearest = Nearest(row_path.substr(dot + 1), beside);
    report_->kept.push_back(
        {path, Effect::kKept,
         absl::StrCat("not a field that is known here",
                      nearest.empty() ? "" : absl::StrCat("; did you mean `", nearest, "`?"))});
  }

  const KindRow& kind_;
  FieldReport* const report_;
  std::set<std::string> seen_;
};

}  // namespace

void JudgeTree(const KindRow& kind, const std::string& text, FieldReport* report) {
  const json tree = json::parse(text, nullptr, false);
  if (tree.is_object()) TreeWalk(kind, report).Value(tree, "spec", "spec");
}

}  // namespace ripstop::api
