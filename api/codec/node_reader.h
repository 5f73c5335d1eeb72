// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_API_CODEC_NODE_READER_H_
#define RIPSTOP_API_CODEC_NODE_READER_H_

#include <string>
#include <vector>

#include "api/codec/problem.h"
#include "api/codec/yaml_tree.h"
#include "api/resource.h"
#include "google/protobuf/message.h"
#include "nlohmann/json.hpp"

namespace ripstop::api {

// Nesting of messages that is read.
inline constexpr int kDocumentDepthMax = 64;

// Fills one message from one YAML node, by the message's descriptor, and goes on after each
// problem. One per document or list of documents: it counts what it walks, aliases expanded.
class NodeReader {
 public:
  NodeReader(std::string file, size_t nodes_max, std::vector<Problem>* problems)
      : file_(std::move(file)), nodes_max_(nodes_max), problems_(problems) {}

  // `lines` gets the line of every field and list item that was read.
  void ReadDocument(const YamlNode& node, google::protobuf::Message* message, LineMap* lines);

  void Report(const YamlNode& node, const std::string& path, const std::string& what,
              const std::string& remedy);
  // Whether the node has a fault of its own, which is then reported.
  bool HasFault(const YamlNode& node, const std::string& path);
  void set_resource(std::string resource) { resource_ = std::move(resource); }
  bool exhausted() const { return exhausted_; }

 private:
  using Field = google::protobuf::FieldDescriptor;
  using Message = google::protobuf::Message;

  bool Enter(const YamlNode& node, const std::string& path);
  void ReadMessage(const YamlNode& node, const std::string& path, Message* message);
  void ReadEntry(const YamlNode& key, const YamlNode& value, const std::string& path,
                 const std::string& name, Message* message);
  void ReadField(const YamlNode& node, const std::string& path, const Field* field,
                 Message* message);
  void ReadMap(const YamlNode& node, const std::string& path, const Field* field, Message* message);
  void ReadList(const YamlNode& node, const std::string& path, const Field* field,
                Message* message);
  // Sets the field, or appends when it is repeated.
  void ReadValue(const YamlNode& node, const std::string& path, const Field* field,
                 Message* message);
  void ReadScalar(const YamlNode& node, const std::string& path, const Field* field,
                  Message* message);
  bool ReadString(const YamlNode& node, const std::string& path, std::string* text);
  void ReadIntOrString(const YamlNode& node, const std::string& path, v1::IntOrString* value);
  void ReadTree(const YamlNode& node, const std::string& path, v1::Tree* tree);
  nlohmann::json ReadTreeValue(const YamlNode& node, const std::string& path);
  nlohmann::json ReadTreeMap(const YamlNode& node, const std::string& path);
  nlohmann::json ReadTreeScalar(const YamlNode& node, const std::string& path);
  void UnknownField(const YamlNode& key, const YamlNode& value, const std::string& path,
                    const std::string& name, const Message& message);

  const std::string file_;
  const size_t nodes_max_;
  std::vector<Problem>* const problems_;
  LineMap* lines_ = nullptr;
  std::string resource_;
  int depth_ = 0;
  size_t nodes_ = 0;
  bool exhausted_ = false;
};

}  // namespace ripstop::api

#endif  // RIPSTOP_API_CODEC_NODE_READER_H_
