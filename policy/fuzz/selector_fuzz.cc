// SPDX-License-Identifier: Apache-2.0
//
// Any text as a selector: canonical text is a fixed point and selects the same labels, and
// what Restricts() says holds for all labels that match, in whatever view.
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "policy/selector.h"

using ripstop::policy::Labels;
using ripstop::policy::Selector;

namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

// Labels that the selector may have an opinion on: its own words as keys, its own values
// and neighbours of them.
std::vector<Labels> Candidates(std::string_view text) {
  std::vector<std::string> words, values = {"", "x"};
  for (size_t i = 0; i < text.size() && words.size() + values.size() < 16;) {
    const auto label = [&](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) ||
             (c != 0 && std::string_view("_./-").find(c) != std::string_view::npos);
    };
    if (text[i] == '\'' || text[i] == '"') {
      const size_t end = text.find(text[i], i + 1);
      if (end == std::string_view::npos) break;
      values.emplace_back(text.substr(i + 1, end - i - 1));
      values.push_back("a" + values.back() + "z");
      i = end + 1;
    } else if (label(text[i])) {
      size_t end = i;
      while (end < text.size() && label(text[end])) ++end;
      words.emplace_back(text.substr(i, end - i));
      i = end;
    } else {
      ++i;
    }
  }
  // Each key also as effective labels have one in a view of its own.
  for (const std::string& word : std::vector<std::string>(words)) {
    for (const char* view : {"pod:", "ns:", "inherited:"}) words.push_back(view + word);
  }
  std::vector<Labels> result = {{}, {{"projectcalico.org/namespace", "n"}}};
  for (const std::string& word : words) {
    for (const std::string& value : values) result.push_back({{word, value}});
  }
  for (size_t shift = 0; shift < values.size(); ++shift) {
    Labels all;
    for (size_t i = 0; i < words.size(); ++i) all[words[i]] = values[(i + shift) % values.size()];
    result.push_back(all);
  }
  return result;
}

void CheckRestrictions(const Selector::Restrictions& r, const Labels& labels) {
  Check(!r.nothing);
  for (const auto& [key, restriction] : r.keys) {
    const std::string* value = ripstop::policy::LabelKey(key).In(labels);
    Check(value != nullptr);
    Check(restriction.any_value || restriction.values.contains(*value));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto selector = Selector::Parse(text);
  if (!selector.ok()) {
    Check(!selector.status().message().empty());
    return 0;
  }
  const auto again = Selector::Parse(selector->Canonical());
  Check(again.ok());
  Check(again->Canonical() == selector->Canonical());
  const auto restrictions = selector->Restricts();
  for (const Labels& labels : Candidates(text)) {
    const bool matches = selector->Matches(labels);
    Check(matches == again->Matches(labels));
    if (selector->is_all()) Check(matches);
    if (matches) CheckRestrictions(restrictions, labels);
  }
  return 0;
}
