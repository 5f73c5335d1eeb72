// SPDX-License-Identifier: Apache-2.0
#include "api/codec/yaml_tree.h"

#include <yaml.h>

#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "api/codec/scalar.h"
#include "api/codec/yaml_error.h"
#include "api/codec/yaml_merge.h"
#include "api/text.h"

namespace ripstop::api {
namespace {

constexpr absl::string_view kTypePrefix = "tag:yaml.org,2002:";

// Byte offsets of libyaml's marks, which count characters. Marks only grow.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}
  size_t At(size_t characters) {
    for (; characters_ < characters && bytes_ < text_.size(); ++characters_) {
      do {
        ++bytes_;
      } while (bytes_ < text_.size() && (text_[bytes_] & 0xc0) == 0x80);
    }
    return bytes_;
  }

 private:
  const std::string_view text_;
  size_t characters_ = 0, bytes_ = 0;
};

// `!` with nothing after it, in the anchors and tags that `text` begins with.
bool HasBareTag(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  while (!text.empty() && text[0] == '&') {
    text.remove_prefix(std::min(text.find_first_of(kBlank), text.size()));
    text.remove_prefix(std::min(text.find_first_not_of(kBlank), text.size()));
  }
  return !text.empty() && text[0] == '!';
}

std::string InQuotes(const std::string& text) {
  if (!absl::StrContains(text, "\"")) return absl::StrCat("\"", text, "\"");
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "''"}}), "'");
}

bool IsOfType(const YamlNode& node, absl::string_view type) {
  const ScalarType plain = PlainScalarType(node.text);
  if (type == "int") return plain == ScalarType::kInteger;
  if (type == "float") return plain == ScalarType::kFloat || plain == ScalarType::kInteger;
  if (type == "bool") return plain == ScalarType::kBool;
  return type == "null" && plain == ScalarType::kNull;
}

class Builder {
 public:
  Builder(const YamlSource& source, size_t nodes_max, YamlTree* tree)
      : source_(source),
        nodes_max_(nodes_max),
        nodes_left_(nodes_max),
        tree_(tree),
        cursor_(source.text),
        bangs_(source.text.find('!') != std::string_view::npos) {
    yaml_parser_initialize(&parser_);
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(
        &parser_, reinterpret_cast<const unsigned char*>(source.text.data()), source.text.size());
  }
  ~Builder() { yaml_parser_delete(&parser_); }
  Builder(const Builder&) = delete;

  std::optional<Problem> Build() {
    for (bool more = true; more;) {
      yaml_event_t event;
      if (yaml_parser_parse(&parser_, &event) == 0) return SyntaxProblem(source_, parser_);
      more = event.type != YAML_STREAM_END_EVENT;
      std::optional<Problem> problem = Take(event);
      yaml_event_delete(&event);
      if (problem) return problem;
    }
    return std::nullopt;
  }

 private:
  std::optional<Problem> Take(const yaml_event_t& event) {
    switch (event.type) {
      case YAML_DOCUMENT_START_EVENT:
        // The text was cut at each ---, so this one began without it.
        if (tree_->root != nullptr) {
          return ProblemAt(source_, event.start_mark, "begins a second document",
                           "write --- on a line of its own before it");
        }
        return std::nullopt;
      case YAML_ALIAS_EVENT: return Add(Alias(event));
      case YAML_SCALAR_EVENT: return Add(Scalar(event));
      case YAML_SEQUENCE_START_EVENT:
        return Open(Collection(event, YamlNode::Kind::kList, event.data.sequence_start.tag,
                               event.data.sequence_start.anchor));
      case YAML_MAPPING_START_EVENT:
        return Open(Collection(event, YamlNode::Kind::kMap, event.data.mapping_start.tag,
                               event.data.mapping_start.anchor));
      case YAML_SEQUENCE_END_EVENT: open_.pop_back(); return std::nullopt;
      case YAML_MAPPING_END_EVENT: return CloseMap();
      default: return std::nullopt;
    }
  }

  YamlNode* Make(const yaml_event_t& event, YamlNode::Kind kind, const yaml_char_t* anchor) {
    YamlNode& node = tree_->nodes.emplace_back();
    node.kind = kind;
    node.line = source_.lines_before + static_cast<int>(event.start_mark.line) + 1;
    node.column = static_cast<int>(event.start_mark.column) + 1;
    if (anchor != nullptr) anchors_[reinterpret_cast<const char*>(anchor)] = &node;
    return &node;
  }

  std::string Written(const yaml_event_t& event) {
    const size_t start = cursor_.At(event.start_mark.index);
    const size_t end = cursor_.At(event.end_mark.index);
    const std::string_view text = source_.text.substr(start, end - start);
    return std::string(absl::StripTrailingAsciiWhitespace(Av(text)));
  }

  void SetFault(YamlNode* node, YamlFault fault) {
    node->fault = &tree_->faults.emplace_back(std::move(fault));
  }

  void RefuseTag(const yaml_event_t& event, YamlNode* node) {
    const std::string written = Written(event);
    SetFault(node,
             {ShownValue(written, false), "begins with !, which makes a YAML tag of it, not text",
              absl::StrCat("quote it: ", InQuotes(written))});
  }

  YamlNode* Scalar(const yaml_event_t& event) {
    const auto& scalar = event.data.scalar;
    YamlNode* node = Make(event, YamlNode::Kind::kScalar, scalar.anchor);
    node->text.assign(reinterpret_cast<const char*>(scalar.value), scalar.length);
    const bool plain = scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->quoted = !plain;
    absl::string_view tag = scalar.tag == nullptr ? "" : reinterpret_cast<const char*>(scalar.tag);
    if (absl::ConsumePrefix(&tag, kTypePrefix)) {
      node->quoted = tag == "str";
      if (!node->quoted && !IsOfType(*node, tag)) {
        SetFault(node,
                 {ShownValue(Written(event), false),
                  absl::StrCat("has the tag !!", tag, ", which it is not"), "remove the tag"});
      }
    } else if (!tag.empty() ||
               (bangs_ && plain && !node->text.empty() && HasBareTag(Rest(event)))) {
      RefuseTag(event, node);
    } else if (plain && absl::StrContains(node->text, "\xef\xbb\xbf")) {
      SetFault(node, {ShownValue(node->text, false), "contains a byte order mark",
                      "remove it, or write --- before it if a document begins there"});
    }
    return node;
  }

  std::string_view Rest(const yaml_event_t& event) {
    return source_.text.substr(cursor_.At(event.start_mark.index));
  }

  YamlNode* Collection(const yaml_event_t& event, YamlNode::Kind kind, const yaml_char_t* tag,
                       const yaml_char_t* anchor) {
    YamlNode* node = Make(event, kind, anchor);
    const absl::string_view text = tag == nullptr ? "" : reinterpret_cast<const char*>(tag);
    const char* own = kind == YamlNode::Kind::kMap ? "map" : "seq";
    if (!text.empty() && text != absl::StrCat(kTypePrefix, own)) {
      SetFault(node, {ShownValue(Written(event), false), "is a YAML tag", "remove it"});
    }
    return node;
  }

  YamlNode* Fault(const yaml_event_t& event, YamlFault fault) {
    YamlNode* node = Make(event, YamlNode::Kind::kScalar, nullptr);
    SetFault(node, std::move(fault));
    return node;
  }

  const YamlNode* Alias(const yaml_event_t& event) {
    const std::string name = reinterpret_cast<const char*>(event.data.alias.anchor);
    const auto it = anchors_.find(name);
    if (it == anchors_.end()) {
      return Fault(event, {absl::StrCat("*", name), "is an alias of no anchor",
                           absl::StrCat("write &", name,
                                        " at what it means, earlier in this document, or quote "
                                        "it if it is text")});
    }
    for (const YamlNode* around : open_) {
      if (around != it->second) continue;
      return Fault(event, {absl::StrCat("*", name), "is an alias of what is around it",
                           "a value cannot contain itself; write it out"});
    }
    return it->second;
  }

  std::optional<Problem> Add(const YamlNode* node) {
    if (nodes_left_ == 0) return TooMany();
    --nodes_left_;
    if (open_.empty()) {
      tree_->root = node;
    } else {
      if (open_.back()->items.empty()) open_.back()->items.reserve(4);
      open_.back()->items.push_back(node);
    }
    return std::nullopt;
  }

  std::optional<Problem> Open(YamlNode* node) {
    std::optional<Problem> problem = Add(node);
    open_.push_back(node);
    if (open_.size() > kTreeDepthMax) {
      problem = Problem{.file = source_.file,
                        .line = node->line,
                        .column = node->column,
                        .what = absl::StrCat("is nested deeper than ", kTreeDepthMax),
                        .remedy = "no field is that deep; remove it"};
    }
    return problem;
  }

  std::optional<Problem> CloseMap() {
    YamlNode* map = open_.back();
    open_.pop_back();
    const size_t before = map->items.size();
    MergeKeys(map, tree_);
    const size_t merged = map->items.size() > before ? map->items.size() - before : 0;
    if (merged > nodes_left_) return TooMany();
    nodes_left_ -= merged;
    return std::nullopt;
  }

  Problem TooMany() const {
    const YamlNode& last = tree_->nodes.back();
    return {.file = source_.file,
            .line = last.line,
            .what = absl::StrCat("is beyond the limit of ", nodes_max_, " values in a document"),
            .remedy = "split the document"};
  }

  const YamlSource& source_;
  const size_t nodes_max_;
  size_t nodes_left_;
  YamlTree* const tree_;
  Cursor cursor_;
  const bool bangs_;  // without one there is no tag
  yaml_parser_t parser_;
  std::vector<YamlNode*> open_;  // the maps and lists around the next node
  std::map<std::string, const YamlNode*> anchors_;
};

}  // namespace

bool YamlNode::IsNull() const { return IsScalar() && !quoted && IsNullScalar(text); }

const YamlNode* YamlNode::Find(std::string_view key) const {
  if (!IsMap()) return nullptr;
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    if (items[i]->IsScalar() && items[i]->text == key) return items[i + 1];
  }
  return nullptr;
}

std::optional<Problem> ParseYaml(const YamlSource& source, size_t nodes_max, YamlTree* tree) {
  if (std::optional<Problem> problem = LineEndProblem(source)) return problem;
  return Builder(source, nodes_max, tree).Build();
}

}  // namespace ripstop::api
