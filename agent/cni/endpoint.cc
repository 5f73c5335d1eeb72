// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/endpoint.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "policy/base/unique_fd.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

using Json = nlohmann::json;

const char* ToString(LocalEndpoint::Phase phase) {
  switch (phase) {
    case LocalEndpoint::Phase::kAdding: return "adding";
    case LocalEndpoint::Phase::kReady: return "ready";
    case LocalEndpoint::Phase::kReleasing: return "releasing";
  }
  return "adding";
}

absl::StatusOr<LocalEndpoint> Decode(const Json& json) {
  LocalEndpoint e;
  const std::string phase = json.at("phase");
  e.phase = phase == "ready"       ? LocalEndpoint::Phase::kReady
            : phase == "releasing" ? LocalEndpoint::Phase::kReleasing
                                   : LocalEndpoint::Phase::kAdding;
  e.container_id = json.at("containerID");
  e.interface_name = json.at("interface");
  e.netns = json.at("netns");
  e.network = json.value("network", "");
  e.pod_namespace = json.at("podNamespace");
  e.pod_name = json.at("podName");
  e.pod_uid = json.at("podUID");
  e.service_account = json.value("serviceAccount", "");
  e.labels = json.at("labels").get<std::map<std::string, std::string>>();
  e.annotations = json.at("annotations").get<std::map<std::string, std::string>>();
  for (const Json& port : json.at("ports")) {
    e.ports.push_back(
        {.name = port.at("name"), .protocol = port.at("protocol"), .port = port.at("port")});
  }
  e.host_interface = json.at("hostInterface");
  e.ifindex = json.at("ifindex");
  ASSIGN_OR_RETURN(e.host_mac, Mac::Parse(json.at("hostMAC").get<std::string>()));
  ASSIGN_OR_RETURN(e.container_mac, Mac::Parse(json.at("containerMAC").get<std::string>()));
  e.mtu = json.at("mtu");
  e.default_route_v4 = json.value("defaultRouteV4", true);
  e.default_route_v6 = json.value("defaultRouteV6", true);
  for (const Json& item : json.at("allocations")) {
    Allocation allocation;
    ASSIGN_OR_RETURN(allocation.address,
                     policy::Address::Parse(item.at("address").get<std::string>()));
    ASSIGN_OR_RETURN(allocation.block, policy::Cidr::Parse(item.at("block").get<std::string>()));
    allocation.handle = e.handle();
    allocation.sequence = item.at("sequence");
    e.allocations.push_back(std::move(allocation));
  }
  return e;
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace

std::vector<policy::Address> LocalEndpoint::addresses() const {
  std::vector<policy::Address> all;
  for (const Allocation& allocation : allocations) all.push_back(allocation.address);
  return all;
}

std::string EncodeEndpoint(const LocalEndpoint& e) {
  Json json = {{"phase", ToString(e.phase)},
               {"containerID", e.container_id},
               {"interface", e.interface_name},
               {"netns", e.netns},
               {"network", e.network},
               {"podNamespace", e.pod_namespace},
               {"podName", e.pod_name},
               {"podUID", e.pod_uid},
               {"serviceAccount", e.service_account},
               {"labels", e.labels},
               {"annotations", e.annotations},
               {"ports", Json::array()},
               {"hostInterface", e.host_interface},
               {"ifindex", e.ifindex},
               {"hostMAC", e.host_mac.ToString()},
               {"containerMAC", e.container_mac.ToString()},
               {"mtu", e.mtu},
               {"defaultRouteV4", e.default_route_v4},
               {"defaultRouteV6", e.default_route_v6},
               {"allocations", Json::array()}};
  for (const policy::NamedPort& port : e.ports) {
    json["ports"].push_back(
        {{"name", port.name}, {"protocol", port.protocol}, {"port", port.port}});
  }
  for (const Allocation& allocation : e.allocations) {
    json["allocations"].push_back({{"address", allocation.address.ToString()},
                                   {"block", allocation.block.ToString()},
                                   {"sequence", allocation.sequence}});
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

absl::StatusOr<LocalEndpoint> DecodeEndpoint(const std::string& text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return absl::DataLossError("not a JSON object");
  try {
    return Decode(json);
  } catch (const Json::exception& e) {  // a missing or mistyped field; ends here
    return absl::DataLossError(e.what());
  }
}

std::string EndpointFiles::PathOf(const LocalEndpoint& endpoint) const {
  // Neither part can hold a slash; a comma cannot be in a container id.
  return absl::StrCat(directory_, "/", endpoint.container_id, ",", endpoint.interface_name,
                      ".json");
}

absl::Status EndpointFiles::Save(const LocalEndpoint& endpoint) const {
  std::error_code error;
  std::filesystem::create_directories(directory_, error);
  const std::string path = PathOf(endpoint);
  const std::string temporary = path + ".tmp";
  const std::string text = EncodeEndpoint(endpoint);
  const std::string subject = absl::StrCat("endpoint file ", path);
  UniqueFd fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd.ok()) return absl::ErrnoToStatus(errno, subject);
  if (write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      fdatasync(fd.get()) != 0 || rename(temporary.c_str(), path.c_str()) != 0) {
    const int number = errno;
    unlink(temporary.c_str());
    return absl::ErrnoToStatus(number, subject);
  }
  return absl::OkStatus();
}

absl::Status EndpointFiles::Remove(const LocalEndpoint& endpoint) const {
  const std::string path = PathOf(endpoint);
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("removing endpoint file ", path));
}

absl::StatusOr<bool> EndpointFiles::Restore(const LocalEndpoint& endpoint) const {
  if (ReadFile(PathOf(endpoint)) == EncodeEndpoint(endpoint)) return false;
  RETURN_IF_ERROR(Save(endpoint));
  return true;
}

absl::StatusOr<std::vector<LocalEndpoint>> EndpointFiles::LoadAll(
    std::map<std::string, std::string>* ret_unreadable) const {
  std::vector<LocalEndpoint> endpoints;
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(directory_, error)) {
    if (file.path().extension() != ".json") continue;
    absl::StatusOr<LocalEndpoint> endpoint = DecodeEndpoint(ReadFile(file.path()));
    if (!endpoint.ok()) {
      spdlog::error("endpoint file {}: {}", file.path().string(), endpoint.status().ToString());
      (*ret_unreadable)[file.path().string()] = std::string(endpoint.status().message());
      continue;
    }
    endpoints.push_back(*std::move(endpoint));
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return absl::ErrnoToStatus(error.value(), absl::StrCat("endpoint directory ", directory_));
  }
  return endpoints;
}

}  // namespace ripstop::agent
