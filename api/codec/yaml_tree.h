// SPDX-License-Identifier: Apache-2.0
//
// The tree of one YAML or JSON document, with aliases followed and merge keys resolved.
//
// libyaml reads the text: the scanner that kubectl's is a translation of, so that what is
// well formed here is well formed there. What a reader of YAML would pass over in silence
// is kept as a fault of the node, for whoever reads that node:
//
//   !has(x)       a tag, where a selector was meant. Only the types of YAML itself are
//                 taken, and only on what is of that type: !!str 80, !!int 80
//   ! has(x)      the tag that says nothing; the text after it would be all that is left
//   *a            of no anchor, or of the map or list around it
//   <<: …         of what is no map; twice; or below a key that it would set too, where
//                 readers disagree which of the two counts
#ifndef RIPSTOP_API_CODEC_YAML_TREE_H_
#define RIPSTOP_API_CODEC_YAML_TREE_H_

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/codec/problem.h"

namespace ripstop::api {

// Nesting at which reading stops; no kind has fields a third as deep.
inline constexpr size_t kTreeDepthMax = 128;

struct YamlFault {
  std::string value;  // as written
  std::string what;
  std::string remedy;
};

struct YamlNode {
  enum class Kind : uint8_t { kScalar, kMap, kList };

  Kind kind = Kind::kScalar;
  bool quoted = false;  // a string, whatever it looks like
  int line = 0;         // from 1, in the file
  int column = 0;       // from 1
  std::string text;     // kScalar
  // kList: the items. kMap: key, value, key, value. An alias is the node of its anchor.
  std::vector<const YamlNode*> items;
  const YamlFault* fault = nullptr;  // in the tree

  bool IsScalar() const { return kind == Kind::kScalar; }
  bool IsMap() const { return kind == Kind::kMap; }
  bool IsList() const { return kind == Kind::kList; }
  // Unquoted and empty, ~ or null.
  bool IsNull() const;
  // The value of the first entry of this name, or nullptr.
  const YamlNode* Find(std::string_view key) const;
};

struct YamlTree {
  const YamlNode* root = nullptr;  // nullptr: nothing but comments
  std::deque<YamlNode> nodes;
  std::deque<YamlFault> faults;
};

struct YamlSource {
  std::string_view text;  // of one document
  std::string file;       // for the problem
  int lines_before = 0;
};

// nullopt, or the problem that ends the document: it is no YAML, is nested too deep, or has,
// merges included, more than `nodes_max` nodes.
std::optional<Problem> ParseYaml(const YamlSource& source, size_t nodes_max, YamlTree* tree);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_CODEC_YAML_TREE_H_
