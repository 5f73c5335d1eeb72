// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_API_CODEC_NODE_READER_H_
#define RIPSTOP_API_CODEC_NODE_READER_H_

#include <string>
#include <vector>

#include "api/codec/problem.h"
#include "api/codec/reader.h"
#include "api/resource.h"
#include "google/protobuf/message.h"
#include "nlohmann/json.hpp"
#include "yaml-cpp/yaml.h"

namespace ripstop::api {

// Fills one message from one YAML node, by the message's descriptor. One per file: it
// counts nodes over all its documents. yaml-cpp throws; callers catch.
class NodeReader {
 public:
  NodeReader(std::string file, size_t nodes_max, std::vector<Problem>* problems)
      : file_(std::move(file)), nodes_max_(nodes_max), problems_(problems) {}

  // `lines` gets the line of every field and list item that was read.
  void ReadDocument(const YAML::Node& node, google::protobuf::Message* message, LineMap* lines);

  void Report(const YAML::Node& node, const std::string& path, const std::string& what,
              const std::string& remedy);
  void set_resource(std::string resource) { resource_ = std::move(resource); }

 private:
  using Field = google::protobuf::FieldDescriptor;
  using Message = google::protobuf::Message;

  bool Enter(const YAML::Node& node, const std::string& path);
  void ReadMessage(const YAML::Node& node, const std::string& path, Message* message);
  void ReadField(const YAML::Node& node, const std::string& path, const Field* field,
                 Message* message);
  void ReadMap(const YAML::Node& node, const std::string& path, const Field* field,
               Message* message);
  void ReadList(const YAML::Node& node, const std::string& path, const Field* field,
                Message* message);
  // Sets the field, or appends when it is repeated.
  void ReadValue(const YAML::Node& node, const std::string& path, const Field* field,
                 Message* message);
  bool ReadString(const YAML::Node& node, const std::string& path, std::string* text);
  void ReadIntOrString(const YAML::Node& node, const std::string& path, v1::IntOrString* value);
  void ReadTree(const YAML::Node& node, const std::string& path, v1::Tree* tree);
  nlohmann::json ReadTreeValue(const YAML::Node& node, const std::string& path);
  nlohmann::json ReadTreeMap(const YAML::Node& node, const std::string& path);
  nlohmann::json ReadTreeScalar(const YAML::Node& node, const std::string& path);
  void UnknownField(const YAML::Node& key, const YAML::Node& value, const std::string& path,
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

// A scalar that was quoted.
bool IsQuoted(const YAML::Node& node);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_CODEC_NODE_READER_H_
