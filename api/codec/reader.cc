// SPDX-License-Identifier: Apache-2.0
#include "api/codec/reader.h"

#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "api/codec/document_kind.h"
#include "api/codec/json_text.h"
#include "api/codec/node_reader.h"
#include "api/codec/yaml_tree.h"
#include "api/fields/field_table.h"

namespace ripstop::api {
namespace {

// What items of a typed list leave out.
struct Inherited {
  std::string api_version;
  std::string kind;
};

std::string Word(const YamlNode& node, const char* field) {
  const YamlNode* value = node.Find(field);
  return value != nullptr && value->IsScalar() && !value->fault ? value->text : "";
}

class Decoder {
 public:
  Decoder(const std::string& file, const DecodeOptions& options, Decoded* decoded)
      : file_(file),
        options_(options),
        decoded_(decoded),
        reader_(file, options.nodes_max, &decoded->problems) {}

  void Decode(const YamlNode& node, const Inherited& inherited, int depth) {
    reader_.set_resource("");
    if (reader_.exhausted() || reader_.HasFault(node, "")) return;
    if (node.IsList()) return DecodeItems(node, "", inherited, depth);
    if (!node.IsMap()) {
      return reader_.Report(node, "", "is not a document",
                            "write apiVersion, kind, metadata and spec");
    }
    for (const char* field : {"apiVersion", "kind"}) {
      const YamlNode* value = node.Find(field);
      if (value != nullptr && reader_.HasFault(*value, field)) return;
    }
    std::string api_version = Word(node, "apiVersion"), kind = Word(node, "kind");
    if (api_version.empty()) api_version = inherited.api_version;
    if (kind.empty()) kind = inherited.kind;
    if (kind.empty()) {
      return reader_.Report(node, "kind", "without a kind", "write kind: and apiVersion:");
    }
    if (kind == "List") return DecodeList(node, {}, depth);
    const DocumentKind found = FindDocumentKind(api_version, kind);
    if (found.info != nullptr) return DecodeOne(node, found.info);
    if (absl::EndsWith(kind, "List")) {
      const Inherited of_items = {api_version, kind.substr(0, kind.size() - 4)};
      if (FindKindRow(of_items.api_version, of_items.kind) != nullptr)
        return DecodeList(node, of_items, depth);
    }
    if (found.foreign) return LeaveAside(node, api_version, kind);
    const YamlNode* at = node.Find("kind");
    if (at == nullptr) at = &node;
    if (found.refused.empty()) {
      return reader_.Report(*at, "kind", "is not a kind known here", found.remedy);
    }
    reader_.set_resource(kind);
    reader_.Report(*at, "kind", "is refused", found.refused);
  }

 private:
  void DecodeList(const YamlNode& node, const Inherited& of_items, int depth) {
    const YamlNode* items = node.Find("items");
    if (items == nullptr) {
      return reader_.Report(node, "items", "is missing", "write items: with the documents");
    }
    if (reader_.HasFault(*items, "items") || items->IsNull()) return;
    if (!items->IsList()) {
      return reader_.Report(*items, "items", "is not a list", "start each item with `- `");
    }
    DecodeItems(*items, "items", of_items, depth);
  }

  void DecodeItems(const YamlNode& items, const std::string& path, const Inherited& of_items,
                   int depth) {
    if (depth > 3) {
      return reader_.Report(items, path, "is a list within too many lists",
                            "write the items as documents of their own");
    }
    for (const YamlNode* item : items.items) Decode(*item, of_items, depth + 1);
  }

  void LeaveAside(const YamlNode& node, const std::string& api_version, const std::string& kind) {
    const std::string name = NameOf(node);
    decoded_->left_aside.push_back(
        {.file = file_,
         .line = node.line,
         .resource = name.empty() ? kind : absl::StrCat(kind, " ", name),
         .what = absl::StrCat("is left aside: Ripstop reads no ", kind, " of ", api_version)});
  }

  // "shop/cart", as far as it is written.
  static std::string NameOf(const YamlNode& node) {
    const YamlNode* metadata = node.Find("metadata");
    if (metadata == nullptr) return "";
    const std::string ns = Word(*metadata, "namespace");
    return absl::StrCat(ns, ns.empty() ? "" : "/", Word(*metadata, "name"));
  }

  void DecodeOne(const YamlNode& node, const KindInfo* info) {
    Resource resource(info, info->New());
    resource.file = file_;
    resource.line = node.line;
    reader_.set_resource(absl::StrCat(info->kind, " ", NameOf(node)));
    const size_t problems = decoded_->problems.size();
    auto lines = std::make_shared<LineMap>();
    reader_.ReadDocument(node, &resource.mutable_message(), lines.get());
    resource.lines = std::move(lines);
    if (info->namespaced && resource.ns().empty()) {
      resource.mutable_metadata().set_namespace_(options_.default_namespace);
    }
    if (decoded_->problems.size() == problems) {
      decoded_->resources.push_back(std::move(resource));
    } else {
      decoded_->damaged.push_back(
          {std::move(resource),
           {decoded_->problems.begin() + problems, decoded_->problems.end()},
           problems});
    }
  }

  const std::string& file_;
  const DecodeOptions& options_;
  Decoded* const decoded_;
  NodeReader reader_;
};

}  // namespace

DocumentReader::DocumentReader(std::istream& in, std::string file, DecodeOptions options)
    : splitter_(in, kDocumentBytesMax), file_(std::move(file)), options_(std::move(options)) {}

bool DocumentReader::Next(Decoded* decoded) {
  DocumentText document;
  if (!splitter_.Next(&document)) return false;
  if (document.too_large) {
    decoded->problems.push_back(
        {.file = file_,
         .line = document.lines_before + 1,
         .what = absl::StrCat("is a document larger than ", kDocumentBytesMax >> 20, " MiB"),
         .remedy = "split it"});
    return true;
  }
  MakeYamlOfJson(&document.text);
  YamlTree tree;
  const std::optional<Problem> problem =
      ParseYaml({document.text, file_, document.lines_before}, options_.nodes_max, &tree);
  if (problem) {
    decoded->problems.push_back(*problem);
  } else if (tree.root != nullptr && (tree.root->fault || !tree.root->IsNull())) {
    Decoder(file_, options_, decoded).Decode(*tree.root, {}, 0);
  }
  return true;
}

Decoded DecodeText(std::string_view text, const std::string& file, const DecodeOptions& options) {
  std::istringstream stream{std::string(text)};
  DocumentReader reader(stream, file, options);
  Decoded decoded;
  while (reader.Next(&decoded)) {
  }
  return decoded;
}

}  // namespace ripstop::api
