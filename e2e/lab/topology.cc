// SPDX-License-Identifier: Apache-2.0
#include "e2e/lab/topology.h"

#include <arpa/inet.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "policy/status_macros.h"

namespace ripstop::lab {
namespace {

// One mapping of the file: hands out fields, and in the end refuses what nobody asked
// for. The first error sticks; the reader goes on and looks at it once.
class Fields {
 public:
  Fields(const YAML::Node& node, std::string path, std::string origin, absl::Status* error)
      : node_(node), path_(std::move(path)), origin_(std::move(origin)), error_(error) {
    if (!node_.IsMap()) Fail("", "must be a mapping");
  }

  template <typename T>
  void Read(const std::string& key, T* value, bool required = false) {
    const YAML::Node field = Take(key);
    if (!field) {
      if (required) Fail(key, "is missing");
      return;
    }
    try {
      *value = field.as<T>();
    } catch (const YAML::Exception&) {
      Fail(key, "has a value of the wrong type");
    }
  }

  void EachItem(const std::string& key, const std::function<void(Fields&)>& read) {
    const YAML::Node list = Take(key);
    if (!list) return;
    if (!list.IsSequence()) return Fail(key, "must be a list");
    for (size_t i = 0; i < list.size(); ++i) {
      Fields item(list[i], absl::StrCat(path_, key, "[", i, "]."), origin_, error_);
      if (!error_->ok()) return;
      read(item);
      item.Finish();
    }
  }

  // A list whose items are either a name or a mapping.
  void EachNameOrItem(const std::string& key, const std::function<void(const std::string&)>& name,
                      const std::function<void(Fields&)>& read) {
    const YAML::Node list = Take(key);
    if (!list) return;
    if (!list.IsSequence()) return Fail(key, "must be a list");
    for (size_t i = 0; i < list.size(); ++i) {
      if (list[i].IsScalar()) {
        name(list[i].as<std::string>());
        continue;
      }
      Fields item(list[i], absl::StrCat(path_, key, "[", i, "]."), origin_, error_);
      if (!error_->ok()) return;
      read(item);
      item.Finish();
    }
  }

  void Section(const std::string& key, const std::function<void(Fields&)>& read) {
    const YAML::Node section = Take(key);
    if (!section) return;
    Fields fields(section, absl::StrCat(path_, key, "."), origin_, error_);
    if (!error_->ok()) return;
    read(fields);
    fields.Finish();
  }

  void Fail(const std::string& key, const std::string& why) {
    if (!error_->ok()) return;
    const YAML::Node field = key.empty() || !node_.IsMap() ? node_ : node_[key];
    const int line = field.IsDefined() && !field.Mark().is_null() ? field.Mark().line + 1
                                                                  : node_.Mark().line + 1;
    *error_ =
        absl::InvalidArgumentError(absl::StrCat(origin_, ":", line, ": ", path_, key, " ", why));
  }

  void Finish() {
    if (!error_->ok()) return;
    for (const auto& entry : node_) {
      const std::string key = entry.first.as<std::string>();
      if (!known_.contains(key)) {
        Fail(key, absl::StrCat("is not a field; there are: ", absl::StrJoin(known_, ", ")));
      }
    }
  }

 private:
  YAML::Node Take(const std::string& key) {
    known_.insert(key);
    return node_.IsMap() ? node_[key] : YAML::Node(YAML::NodeType::Undefined);
  }

  const YAML::Node node_;
  const std::string path_, origin_;
  absl::Status* error_;
  std::set<std::string> known_;
};

// Kernel names are 15 characters, and we put a prefix before some.
constexpr size_t kNameMax = 12;

bool IsLabel(const std::string& name, size_t longest) {
  return !name.empty() && name.size() <= longest && name.front() != '-' && name.back() != '-' &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return islower(c) || isdigit(c) || c == '-'; });
}

struct ParsedCidr {
  int family = 0;
  uint8_t bytes[16] = {};
  int length = 0;
};

bool ParseCidr(const std::string& text, ParsedCidr* cidr) {
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return false;
  const std::string address = text.substr(0, slash);
  cidr->family = address.find(':') == std::string::npos ? AF_INET : AF_INET6;
  return inet_pton(cidr->family, address.c_str(), cidr->bytes) == 1 &&
         absl::SimpleAtoi(text.substr(slash + 1), &cidr->length) && cidr->length > 0 &&
         cidr->length <= (cidr->family == AF_INET ? 32 : 128);
}

bool IsAddressOf(const std::string& address, const std::string& cidr) {
  ParsedCidr parsed;
  uint8_t bytes[16];
  if (!ParseCidr(cidr, &parsed) || inet_pton(parsed.family, address.c_str(), bytes) != 1) {
    return false;
  }
  for (int bit = 0; bit < parsed.length; ++bit) {
    const uint8_t mask = 0x80 >> (bit % 8);
    if ((bytes[bit / 8] & mask) != (parsed.bytes[bit / 8] & mask)) return false;
  }
  return true;
}

// Fills in and checks the addresses of something that sits in a subnet.
void CheckAttachment(const Topology& topology, const std::string& subnet_name, std::string* v4,
                     std::string* v6, Fields& fields) {
  const Subnet* subnet = topology.FindSubnet(subnet_name);
  if (subnet == nullptr) {
    return fields.Fail("", absl::StrCat("names subnet '", subnet_name, "', which is not there"));
  }
  for (auto [address, cidr, key] :
       {std::tuple{v4, &subnet->v4, "v4"}, std::tuple{v6, &subnet->v6, "v6"}}) {
    if (!address->empty() && !IsAddressOf(*address, *cidr)) {
      fields.Fail(key,
                  absl::StrCat("is '", *address, "', not an address of subnet ", subnet_name, " (",
                               cidr->empty() ? "it has none of that family" : *cidr, ")"));
    }
  }
}

}  // namespace

const Subnet* Topology::FindSubnet(const std::string& subnet) const {
  for (const Subnet& s : subnets) {
    if (s.name == subnet) return &s;
  }
  return nullptr;
}

const Node* Topology::FindNode(const std::string& node) const {
  for (const Node& n : nodes) {
    if (n.name == node) return &n;
  }
  return nullptr;
}

const Pod* Topology::FindPod(const std::string& key) const {
  for (const Pod& p : pods) {
    if (p.key() == key) return &p;
  }
  return nullptr;
}

const Router::Port* Topology::Gateway(const std::string& subnet) const {
  for (const Router& router : routers) {
    for (const Router::Port& port : router.ports) {
      if (port.subnet == subnet) return &port;
    }
  }
  return nullptr;
}

std::string WithPrefixOf(const std::string& address, const std::string& cidr) {
  return absl::StrCat(address, cidr.substr(cidr.find('/')));
}

absl::StatusOr<std::string> AddressIn(const std::string& cidr, uint32_t index) {
  ParsedCidr parsed;
  if (!ParseCidr(cidr, &parsed)) {
    return absl::InvalidArgumentError(absl::StrCat("'", cidr, "' is not a CIDR"));
  }
  const int last = parsed.family == AF_INET ? 3 : 15;
  for (int i = 0; i < 4; ++i) {
    const uint32_t sum = parsed.bytes[last - i] + ((index >> (8 * i)) & 0xff);
    parsed.bytes[last - i] = sum & 0xff;
    if (sum > 0xff && last - i > 0) ++parsed.bytes[last - i - 1];
  }
  char text[INET6_ADDRSTRLEN];
  inet_ntop(parsed.family, parsed.bytes, text, sizeof(text));
  return std::string(text);
}

absl::StatusOr<Topology> ParseTopology(const std::string& text, const std::string& origin,
                                       const std::string& folder) {
  YAML::Node root;
  try {
    root = YAML::Load(text);
  } catch (const YAML::Exception& e) {
    return absl::InvalidArgumentError(absl::StrCat(origin, ":", e.mark.line + 1, ": ", e.msg));
  }
  Topology topology;
  absl::Status error;
  std::set<std::string> machines{"switch"}, pod_keys;
  Fields top(root, "", origin, &error);
  if (!error.ok()) return error;
  top.Read("name", &topology.name, true);
  if (!IsLabel(topology.name, 24)) {
    top.Fail("name", "must be 1 to 24 of a-z, 0-9 and -, since namespaces carry it");
  }
  std::string agents = "ripstop";
  top.Read("agents", &agents);
  if (agents != "ripstop" && agents != "none") top.Fail("agents", "must be ripstop or none");
  topology.with_agents = agents == "ripstop";

  top.EachItem("subnets", [&](Fields& f) {
    Subnet subnet;
    f.Read("name", &subnet.name, true);
    f.Read("v4", &subnet.v4);
    f.Read("v6", &subnet.v6);
    f.Read("mtu", &subnet.mtu);
    ParsedCidr cidr;
    if (!IsLabel(subnet.name, kNameMax)) f.Fail("name", "must be 1 to 12 of a-z, 0-9 and -");
    if (topology.FindSubnet(subnet.name)) f.Fail("name", "is there twice");
    if (!subnet.v4.empty() && (!ParseCidr(subnet.v4, &cidr) || cidr.family != AF_INET)) {
      f.Fail("v4", "must be an IPv4 CIDR such as 192.0.2.0/26");
    }
    if (!subnet.v6.empty() && (!ParseCidr(subnet.v6, &cidr) || cidr.family != AF_INET6)) {
      f.Fail("v6", "must be an IPv6 CIDR such as 2001:db8:1::/64");
    }
    if (subnet.mtu < 1280 || subnet.mtu > 65535) f.Fail("mtu", "must be 1280 to 65535");
    topology.subnets.push_back(subnet);
  });

  auto machine_name = [&](Fields& f, std::string* name) {
    f.Read("name", name, true);
    if (!IsLabel(*name, kNameMax)) f.Fail("name", "must be 1 to 12 of a-z, 0-9 and -");
    if (!machines.insert(*name).second) f.Fail("name", absl::StrCat("'", *name, "' is taken"));
  };

  top.EachItem("routers", [&](Fields& f) {
    Router router;
    machine_name(f, &router.name);
    auto add_port = [&](Router::Port port, Fields& where) {
      const Subnet* subnet = topology.FindSubnet(port.subnet);
      // The first address of the subnet, as most networks have it.
      if (subnet != nullptr && port.v4.empty() && !subnet->v4.empty()) {
        port.v4 = AddressIn(subnet->v4, 1).value_or("");
      }
      if (subnet != nullptr && port.v6.empty() && !subnet->v6.empty()) {
        port.v6 = AddressIn(subnet->v6, 1).value_or("");
      }
      CheckAttachment(topology, port.subnet, &port.v4, &port.v6, where);
      router.ports.push_back(port);
    };
    f.EachNameOrItem(
        "subnets", [&](const std::string& name) { add_port({.subnet = name}, f); },
        [&](Fields& item) {
          Router::Port port;
          item.Read("name", &port.subnet, true);
          item.Read("v4", &port.v4);
          item.Read("v6", &port.v6);
          add_port(port, item);
        });
    topology.routers.push_back(router);
  });

  top.EachItem("nodes", [&](Fields& f) {
    Node node;
    machine_name(f, &node.name);
    f.Read("subnet", &node.subnet, true);
    f.Read("v4", &node.v4);
    f.Read("v6", &node.v6);
    f.Read("mtu", &node.mtu);
    CheckAttachment(topology, node.subnet, &node.v4, &node.v6, f);
    topology.nodes.push_back(node);
  });

  top.Section("bgp", [&](Fields& f) { f.Read("asNumber", &topology.as_number); });
  top.EachItem("pools", [&](Fields& f) {
    Pool pool;
    f.Read("name", &pool.name, true);
    f.Read("cidr", &pool.cidr, true);
    f.Read("vxlanMode", &pool.vxlan_mode);
    f.Read("blockSize", &pool.block_size);
    topology.pools.push_back(pool);
  });
  top.EachItem("namespaces", [&](Fields& f) {
    NamespaceSpec ns;
    f.Read("name", &ns.name, true);
    f.Read("labels", &ns.labels);
    topology.namespaces.push_back(ns);
  });

  top.EachItem("pods", [&](Fields& f) {
    Pod pod;
    f.Read("name", &pod.name, true);
    f.Read("namespace", &pod.ns);
    f.Read("node", &pod.node, true);
    f.Read("labels", &pod.labels);
    f.Read("serviceAccount", &pod.service_account);
    f.Read("ips", &pod.ips);
    f.Read("serve", &pod.serve);
    if (!IsLabel(pod.name, 63)) f.Fail("name", "must be 1 to 63 of a-z, 0-9 and -");
    if (!IsLabel(pod.ns, 63)) f.Fail("namespace", "must be 1 to 63 of a-z, 0-9 and -");
    if (!pod_keys.insert(pod.key()).second) f.Fail("name", "is there twice in its namespace");
    if (!topology.FindNode(pod.node)) {
      f.Fail("node", absl::StrCat("'", pod.node, "' is not a node of this file"));
    }
    for (const std::string& ip : pod.ips) {
      uint8_t bytes[16];
      if (inet_pton(AF_INET, ip.c_str(), bytes) != 1 &&
          inet_pton(AF_INET6, ip.c_str(), bytes) != 1) {
        f.Fail("ips", absl::StrCat("has '", ip, "', which is not an address"));
      }
    }
    f.EachItem("ports", [&](Fields& p) {
      Port port;
      p.Read("name", &port.name);
      p.Read("port", &port.port, true);
      p.Read("protocol", &port.protocol);
      if (port.protocol != "TCP" && port.protocol != "UDP") {
        p.Fail("protocol", "must be TCP or UDP");
      }
      pod.ports.push_back(port);
    });
    topology.pods.push_back(pod);
  });

  std::vector<std::string> manifests;
  top.Read("manifests", &manifests);
  for (const std::string& path : manifests) {
    const std::filesystem::path full = std::filesystem::path(folder) / path;
    if (!std::filesystem::exists(full)) {
      top.Fail("manifests", absl::StrCat("names ", full.string(), ", which is not there"));
    }
    topology.manifests.push_back(full.string());
  }
  top.Finish();
  if (!error.ok()) return error;
  return topology;
}

absl::StatusOr<Topology> ReadTopology(const std::string& path) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat("cannot read topology file ", path));
  std::stringstream text;
  text << file.rdbuf();
  const std::filesystem::path full = std::filesystem::absolute(path);
  return ParseTopology(text.str(), path, full.parent_path().string());
}

}  // namespace ripstop::lab
