// SPDX-License-Identifier: Apache-2.0
#include "api/codec/yaml_merge.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"

namespace ripstop::api {
namespace {

using Items = std::vector<const YamlNode*>;

bool IsMerge(const YamlNode& key) { return key.IsScalar() && !key.quoted && key.text == "<<"; }

// The maps that `value` names, or nullopt when it names something else.
std::optional<Items> Sources(const YamlNode* value) {
  Items sources = value->IsList() ? value->items : Items{value};
  const auto is_map = [](const YamlNode* source) { return source->IsMap() && !source->fault; };
  if (!std::all_of(sources.begin(), sources.end(), is_map)) return std::nullopt;
  return sources;
}

}  // namespace

void MergeKeys(YamlNode* map, YamlTree* tree) {
  Items& items = map->items;
  bool merges = false;
  for (size_t i = 0; i + 1 < items.size() && !merges; i += 2) merges = IsMerge(*items[i]);
  if (!merges) return;
  std::set<std::string_view> above, below;
  size_t at = items.size();
  const auto refuse = [&](size_t i, const std::string& what, const std::string& remedy) {
    YamlNode& key = tree->nodes.emplace_back(*items[i]);
    key.fault = &tree->faults.emplace_back(YamlFault{"<<", what, remedy});
    items[i] = &key;
  };
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    const YamlNode& key = *items[i];
    if (!IsMerge(key)) {
      if (key.IsScalar()) (at == items.size() ? above : below).insert(key.text);
    } else if (at == items.size()) {
      at = i;
    } else {
      return refuse(i, "appears twice", "write one, with a list: <<: [*a, *b]");
    }
  }
  const std::optional<Items> sources = Sources(items[at + 1]);
  if (!sources) {
    return refuse(at, "merges what is not a map", "write the alias of a map, or a list of such");
  }
  Items merged;
  for (const YamlNode* source : *sources) {
    for (size_t i = 0; i + 1 < source->items.size(); i += 2) {
      const YamlNode& key = *source->items[i];
      if (key.IsScalar() && above.count(key.text) > 0) {
        return refuse(at, absl::StrCat("stands below `", key.text, "` and sets it too"),
                      "write << before the keys that replace what it brings");
      }
      if (key.IsScalar() && !below.insert(key.text).second) continue;
      merged.push_back(&key);
      merged.push_back(source->items[i + 1]);
    }
  }
  items.erase(items.begin() + at, items.begin() + at + 2);
  items.insert(items.begin() + at, merged.begin(), merged.end());
}

}  // namespace ripstop::api
