// SPDX-License-Identifier: Apache-2.0
#include "api/codec/reader.h"

#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "api/codec/node_reader.h"
#include "api/fields/field_table.h"
#include "api/text.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/yaml.h"

namespace ripstop::api {
namespace {

// A document, or an item of a list, with what it inherits from the list.
struct Document {
  YAML::Node node;
  std::string api_version;
  std::string kind;
};

std::string Word(const YAML::Node& node, const char* field) {
  const YAML::Node value = node[field];
  return value && value.IsScalar() ? value.Scalar() : "";
}

std::string UnknownKindRemedy(const std::string& api_version, const std::string& kind) {
  std::vector<std::string> kinds;
  std::string elsewhere;
  for (const KindInfo& info : AllKinds()) {
    kinds.push_back(info.kind);
    if (info.kind == kind) {
      absl::StrAppend(&elsewhere, elsewhere.empty() ? "" : " or ", info.api_version);
    }
  }
  if (!elsewhere.empty()) {
    return absl::StrCat("write apiVersion: ", elsewhere,
                        api_version.empty() ? "" : absl::StrCat(" instead of ", api_version));
  }
  if (const std::string nearest = Nearest(kind, kinds); !nearest.empty()) {
    return absl::StrCat("did you mean `", nearest, "`?");
  }
  std::string remedy = "kinds known here: ";
  for (const KindInfo& info : AllKinds()) {
    absl::StrAppend(&remedy, &info == &AllKinds().front() ? "" : ", ", info.kind);
  }
  return remedy;
}

class Decoder {
 public:
  Decoder(const std::string& file, const DecodeOptions& options, Decoded* decoded)
      : file_(file),
        options_(options),
        decoded_(decoded),
        reader_(file, options.nodes_max, &decoded->problems) {}

  void Decode(const Document& document, int depth) {
    const YAML::Node& node = document.node;
    reader_.set_resource("");
    if (!node.IsMap()) {
      return reader_.Report(node, "", "is not a document",
                            "write apiVersion, kind, metadata and spec");
    }
    std::string api_version = Word(node, "apiVersion"), kind = Word(node, "kind");
    if (api_version.empty()) api_version = document.api_version;
    if (kind.empty()) kind = document.kind;
    if (kind.empty()) {
      return reader_.Report(node, "kind", "without a kind", "write kind: and apiVersion:");
    }
    const KindInfo* info = FindKind(api_version, kind);
    if (info == nullptr && absl::EndsWith(kind, "List")) {
      return DecodeList(node, api_version, kind, depth);
    }
    const KindRow* row = FindKindRow(api_version, kind);
    if (info == nullptr && row != nullptr) {
      reader_.set_resource(kind);
      return reader_.Report(FindKindNode(node), "kind", "is refused", row->why);
    }
    if (info == nullptr) {
      const YAML::Node at = FindKindNode(node);
      return reader_.Report(at, "kind", "is not a kind known here",
                            UnknownKindRemedy(api_version, kind));
    }
    DecodeOne(node, info);
  }

 private:
  static YAML::Node FindKindNode(const YAML::Node& node) {
    return node["kind"] ? node["kind"] : node;
  }

  void DecodeList(const YAML::Node& node, const std::string& api_version, const std::string& kind,
                  int depth) {
    const YAML::Node items = node["items"];
    if (!items || items.IsNull()) return;
    if (!items.IsSequence()) {
      return reader_.Report(items, "items", "is not a list", "start each item with `- `");
    }
    if (depth > 3) {
      return reader_.Report(items, "items", "is a list within too many lists",
                            "write the items as documents of their own");
    }
    // A server's NetworkPolicyList leaves the kind out of its items.
    const bool typed = kind != "List";
    for (const YAML::Node& item : items) {
      Decode({item, typed ? api_version : "", typed ? kind.substr(0, kind.size() - 4) : ""},
             depth + 1);
    }
  }

  void DecodeOne(const YAML::Node& node, const KindInfo* info) {
    Resource resource(info, info->New());
    resource.file = file_;
    resource.line = node.Mark().line + 1;
    const YAML::Node metadata = node["metadata"];
    std::string name, ns;
    if (metadata && metadata.IsMap()) {
      name = Word(metadata, "name");
      ns = Word(metadata, "namespace");
    }
    reader_.set_resource(absl::StrCat(info->kind, " ", ns, ns.empty() ? "" : "/", name));
    const size_t problems = decoded_->problems.size();
    auto lines = std::make_shared<LineMap>();
    reader_.ReadDocument(node, &resource.mutable_message(), lines.get());
    resource.lines = std::move(lines);
    if (info->namespaced && resource.ns().empty()) {
      resource.mutable_metadata().set_namespace_(options_.default_namespace);
    }
    if (decoded_->problems.size() == problems) decoded_->resources.push_back(std::move(resource));
  }

  const std::string& file_;
  const DecodeOptions& options_;
  Decoded* const decoded_;
  NodeReader reader_;
};

// yaml-cpp 0.7 does not step over a token that can begin nothing, such as a stray comma or
// bracket: LoadAll then makes empty documents until memory ends. So a first pass looks
// only where documents begin, and refuses one that begins where the last one did.
class Progress final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override {
    if (mark.pos == last_) throw YAML::ParserException(mark, "nothing can begin here");
    last_ = mark.pos;
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

 private:
  int last_ = -1;
};

void RefuseStandstill(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  Progress progress;
  while (parser.HandleNextDocument(progress)) {
  }
}

}  // namespace

Decoded DecodeText(std::string_view text, const std::string& file, const DecodeOptions& options) {
  Decoded decoded;
  if (text.size() > kDocumentBytesMax) {
    decoded.problems.push_back(
        {.file = file,
         .what = absl::StrCat("is larger than ", kDocumentBytesMax >> 20, " MiB"),
         .remedy = "split it"});
    return decoded;
  }
  // yaml-cpp reports by exceptions; they end here.
  try {
    const std::string copy(text);
    RefuseStandstill(copy);
    const std::vector<YAML::Node> documents = YAML::LoadAll(copy);
    Decoder decoder(file, options, &decoded);
    for (const YAML::Node& document : documents) {
      if (!document.IsNull()) decoder.Decode({document, "", ""}, 0);
    }
  } catch (const YAML::Exception& error) {
    decoded.problems.push_back({.file = file,
                                .line = error.mark.is_null() ? 0 : error.mark.line + 1,
                                .what = absl::StrCat("is neither YAML nor JSON: ", error.msg),
                                .remedy = absl::StrCat("see column ", error.mark.column + 1)});
  }
  return decoded;
}

}  // namespace ripstop::api
