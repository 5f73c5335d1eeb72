// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/evaluation.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <variant>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "api/convert/convert.h"
#include "api/convert/endpoint_join.h"
#include "api/convert/staged.h"
#include "api/text.h"
#include "nlohmann/json.hpp"
#include "policy/status_macros.h"

namespace ripstop::ctl {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using policy::Address;
using policy::Endpoint;

constexpr uint16_t kEphemeralPort = 49152;  // the first of RFC 6335's dynamic ports
constexpr uint8_t kEchoRequest = 8, kEchoRequestV6 = 128;

absl::Status Bad(const std::string& field, const std::string& value, const std::string& remedy) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", value, ": ", remedy));
}

// The profiles of namespaces and service accounts that no document describes.
void AddImpliedProfile(policy::World& world, const std::string& name) {
  if (world.profiles.count(name) != 0) return;
  if (auto profile = api::ImpliedProfile(name)) world.Put(*std::move(profile));
}

absl::StatusOr<uint8_t> ReadProtocol(const json& value) {
  static const auto& names = *new std::map<std::string, uint8_t>{
      {"tcp", policy::kProtocolTcp},     {"udp", policy::kProtocolUdp},
      {"sctp", policy::kProtocolSctp},   {"udplite", policy::kProtocolUdpLite},
      {"icmp", policy::kProtocolIcmp},   {"icmpv6", policy::kProtocolIcmpV6},
      {"icmp6", policy::kProtocolIcmpV6}};
  int number = -1;
  if (value.is_number_integer()) {
    number = value.get<int64_t>() > 255 ? -1 : value.get<int>();
  } else if (value.is_string()) {
    const std::string text = absl::AsciiStrToLower(value.get<std::string>());
    if (const auto it = names.find(text); it != names.end()) return it->second;
    if (!absl::SimpleAtoi(text, &number)) number = -1;
  }
  if (number < 0 || number > 255)
    return Bad("protocol", value.dump(),
               "write TCP, UDP, SCTP, UDPLite, ICMP, ICMPv6 or a number from 0 to 255");
  return static_cast<uint8_t>(number);
}

// An optional whole number of the query, or `absent`.
absl::StatusOr<int> ReadNumber(const json& query, const char* field, int max, int absent) {
  const auto it = query.find(field);
  if (it == query.end() || it->is_null()) return absent;
  if (!it->is_number_integer() || it->get<int64_t>() < 0 || it->get<int64_t>() > max)
    return Bad(field, it->dump(), absl::StrCat("write a number from 0 to ", max));
  return it->get<int>();
}

absl::Status CheckFields(const json& query) {
  static const char* const known[] = {"from",         "to",        "protocol", "port",
                                      "sourcePort",   "icmpType",  "icmpCode", "ipVersion",
                                      "hostEndpoint", "direction", "forwarded"};
  for (const auto& [key, value] : query.items()) {
    if (std::find(std::begin(known), std::end(known), key) != std::end(known)) continue;
    const std::string nearest = api::Nearest(key, {std::begin(known), std::end(known)});
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", key, "\" is no field of a query", nearest.empty() ? "" : "; did you mean ", nearest));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadText(const json& query, const char* field) {
  const auto it = query.find(field);
  if (it == query.end()) return absl::InvalidArgumentError(absl::StrCat(field, ": is missing"));
  if (!it->is_string()) return Bad(field, it->dump(), "write \"namespace/pod\" or an address");
  return it->get<std::string>();
}

// A question to a host endpoint: which, which way, and whether the host only forwards.
absl::Status ReadHost(const json& query, const policy::World& world, Flow& flow) {
  const auto host = query.find("hostEndpoint");
  if (host == query.end()) {
    for (const char* field : {"direction", "forwarded"})
      if (query.contains(field))
        return Bad(field, query[field].dump(), "goes with \"hostEndpoint\"");
    return absl::OkStatus();
  }
  const auto known = world.host_endpoints.find(host->is_string() ? host->get<std::string>() : "");
  if (known == world.host_endpoints.end())
    return Bad("hostEndpoint", host->dump(), "no HostEndpoint of the documents has this name");
  flow.host = &known->second;
  const auto direction = query.find("direction");
  if (direction == query.end() || (*direction != "ingress" && *direction != "egress"))
    return Bad("direction", direction == query.end() ? "is missing" : direction->dump(),
               "write \"ingress\" or \"egress\", as the host sees it");
  if (*direction == "egress") flow.direction = policy::Direction::kEgress;
  if (const auto forwarded = query.find("forwarded"); forwarded != query.end()) {
    if (!forwarded->is_boolean()) return Bad("forwarded", forwarded->dump(), "write true or false");
    flow.forwarded = forwarded->get<bool>();
  }
  return absl::OkStatus();
}

ordered_json Describe(const std::optional<policy::Verdict>& verdict) {
  if (!verdict) return nullptr;
  using Kind = policy::RuleIdentity::Kind;
  const policy::RuleIdentity& by = verdict->by;
  const char* direction = by.direction == policy::Direction::kIngress ? "ingress" : "egress";
  std::string policy =
      by.policy.ns.empty() ? by.policy.name : absl::StrCat(by.policy.ns, "/", by.policy.name);
  std::string rule = absl::StrCat(direction, " rule ", by.rule_index);
  if (!by.rule_name.empty()) absl::StrAppend(&rule, " (", by.rule_name, ")");
  if (by.kind == Kind::kProfile) policy = absl::StrCat("profile ", by.profile);
  if (by.kind == Kind::kTierDefault) rule = "end of tier";
  if (by.kind == Kind::kNoProfile) rule = "no profile matched";
  if (by.kind == Kind::kFailsafe) rule = absl::StrCat("failsafe ", by.rule_name);
  if (by.kind == Kind::kDisputed) rule = "address claimed by several endpoints";
  if (by.kind == Kind::kNoForwardPolicy) rule = "no policy for forwarded traffic";
  ordered_json object;
  object["verdict"] = verdict->allow ? "Allow" : "Deny";
  object["tier"] = by.tier.empty() ? ordered_json() : ordered_json(by.tier);
  object["policy"] = policy.empty() ? ordered_json() : ordered_json(policy);
  object["rule"] = rule;
  return object;
}

ordered_json Describe(const Judgement& judgement) {
  const bool allow = (!judgement.egress || judgement.egress->allow) &&
                     (!judgement.ingress || judgement.ingress->allow);
  ordered_json object;
  if (judgement.host) {
    object["verdict"] = judgement.host->verdict.allow ? "Allow" : "Deny";
    object["hostEndpoint"] = Describe(judgement.host->verdict);
    object["hostEndpoint"]["group"] = policy::ToString(judgement.host->group);
    return object;
  }
  object["verdict"] = allow ? "Allow" : "Deny";
  object["egress"] = Describe(judgement.egress);
  object["ingress"] = Describe(judgement.ingress);
  return object;
}

// As above; where a staged policy decides, its kind says so.
ordered_json DescribeStaged(const Judgement& judgement, const policy::World& world) {
  ordered_json object = Describe(judgement);
  const std::optional<policy::Verdict> host =
      judgement.host ? std::optional(judgement.host->verdict) : std::nullopt;
  for (const auto& [name, verdict] :
       {std::pair("egress", &judgement.egress), std::pair("ingress", &judgement.ingress),
        std::pair("hostEndpoint", &host)}) {
    if (!verdict->has_value()) continue;
    const policy::PolicyKey key = api::StagedKey((*verdict)->by.policy);
    const auto staged = world.policies.find(key);
    const bool of_policy = !(*verdict)->by.policy.name.empty();
    if (of_policy && staged != world.policies.end() && staged->second.staged)
      object[name]["kind"] = policy::ToString(key.kind);
  }
  return object;
}

}  // namespace

absl::StatusOr<policy::World> MakeWorld(const std::vector<api::Resource>& resources) {
  policy::World world;
  api::EndpointJoin join("");
  uint32_t ifindex = 0;
  for (const api::Resource& resource : resources) {
    absl::StatusOr<std::vector<api::ModelObject>> objects = api::ToModel(resource);
    if (!objects.ok())
      return absl::InvalidArgumentError(
          absl::StrCat(resource.file, ":", resource.line, ": ", objects.status().message()));
    for (api::ModelObject& object : *objects) {
      if (auto* endpoint = std::get_if<Endpoint>(&object)) {
        join.Put(resource, std::move(*endpoint));
        continue;
      }
      // Each has an interface of its own, whatever the documents call it.
      if (auto* host = std::get_if<policy::HostEndpoint>(&object)) host->interfaces = {++ifindex};
      std::visit([&world](auto& value) { world.Put(std::move(value)); }, object);
    }
  }
  join.ForEach([&](const Endpoint& endpoint) { world.Put(endpoint); });
  for (auto& [id, endpoint] : world.endpoints) {
    if (endpoint.active) endpoint.local = policy::Attachment{++ifindex, {}};
    for (const std::string& name : policy::LabelProfiles(endpoint.labels, endpoint.profiles)) {
      AddImpliedProfile(world, name);
    }
  }
  for (const auto& [id, set] : world.network_sets)
    for (const std::string& name : set.profiles) AddImpliedProfile(world, name);
  for (const auto& [id, host] : world.host_endpoints)
    for (const std::string& name : host.profiles) AddImpliedProfile(world, name);
  return world;
}

QueryReader::QueryReader(const policy::World& world) : world_(world) {
  for (const auto& [id, endpoint] : world.endpoints) {
    named_[endpoint.name].push_back(&endpoint);
    if (!endpoint.local) continue;
    for (const Address& address : endpoint.addresses) {
      const auto [owner, fresh] = owners_.try_emplace(address, &endpoint);
      if (!fresh && !policy::Alike(*owner->second, endpoint))
        contested_.try_emplace(address, std::minmax(owner->second->name, endpoint.name));
    }
  }
}

absl::Status QueryReader::CheckOwner(const Address& address) const {
  const auto contested = contested_.find(address);
  if (contested == contested_.end()) return absl::OkStatus();
  const auto& [one, other] = contested->second;
  return absl::InvalidArgumentError(absl::StrCat(
      address.ToString(), " is the address of ", one, " and of ", other,
      ": on other nodes all of it is denied until one of them is gone; leave one out"));
}

absl::StatusOr<QueryReader::End> QueryReader::ReadEnd(const std::string& field,
                                                      const std::string& text) const {
  if (text.find('/') == std::string::npos) {
    const absl::StatusOr<Address> address = Address::Parse(text);
    if (!address.ok())
      return Bad(field, absl::StrCat("\"", text, "\""), "write \"namespace/pod\" or an address");
    const auto owner = owners_.find(*address);
    return End{owner == owners_.end() ? nullptr : owner->second, {*address}};
  }
  const auto it = named_.find(text);
  if (it == named_.end())
    return Bad(field, absl::StrCat("\"", text, "\""),
               "no Pod or WorkloadEndpoint of the documents has this name");
  if (it->second.size() > 1)
    return Bad(field, absl::StrCat("\"", text, "\""),
               absl::StrCat("is ", it->second.size(), " endpoints; write the address of one"));
  const Endpoint& endpoint = *it->second.front();
  if (endpoint.addresses.empty())
    return Bad(field, absl::StrCat("\"", text, "\""),
               "it has no address; give it status.podIPs or spec.ipNetworks");
  return End{&endpoint, endpoint.addresses};
}

absl::StatusOr<Flow> QueryReader::Read(const std::string& text) const {
  const json query = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!query.is_object()) return absl::InvalidArgumentError("is not a JSON object on one line");
  RETURN_IF_ERROR(CheckFields(query));
  ASSIGN_OR_RETURN(const std::string from_text, ReadText(query, "from"));
  ASSIGN_OR_RETURN(const std::string to_text, ReadText(query, "to"));
  ASSIGN_OR_RETURN(const End from, ReadEnd("from", from_text));
  ASSIGN_OR_RETURN(const End to, ReadEnd("to", to_text));
  ASSIGN_OR_RETURN(const int version, ReadNumber(query, "ipVersion", 6, 0));

  Flow flow;
  policy::Packet& packet = flow.packet;
  bool found = false;
  for (const bool v4 : {true, false}) {
    if (found || (version != 0 && (version == 4) != v4)) continue;
    for (const Address& source : from.addresses) {
      for (const Address& destination : to.addresses) {
        if (found || source.is_v4() != v4 || destination.is_v4() != v4) continue;
        packet.source = source;
        packet.destination = destination;
        found = true;
      }
    }
  }
  if (!found)
    return absl::InvalidArgumentError(
        absl::StrCat("\"", from_text, "\" and \"", to_text, "\" have no address of the same ",
                     version == 0 ? "IP version" : absl::StrCat("version, IPv", version)));
  RETURN_IF_ERROR(CheckOwner(packet.source));
  RETURN_IF_ERROR(CheckOwner(packet.destination));
  if (from.endpoint != nullptr && from.endpoint->local) flow.from = from.endpoint;
  if (to.endpoint != nullptr && to.endpoint->local) flow.to = to.endpoint;
  RETURN_IF_ERROR(ReadHost(query, world_, flow));

  packet.protocol = policy::kProtocolTcp;
  if (const auto it = query.find("protocol"); it != query.end() && !it->is_null()) {
    ASSIGN_OR_RETURN(packet.protocol, ReadProtocol(*it));
  }
  const bool has_ports = policy::HasPorts(packet.protocol);
  ASSIGN_OR_RETURN(const int port, ReadNumber(query, "port", 65535, -1));
  if (has_ports && port < 0)
    return absl::InvalidArgumentError("port: is missing; this protocol has ports");
  ASSIGN_OR_RETURN(const int source_port, ReadNumber(query, "sourcePort", 65535, kEphemeralPort));
  if (has_ports) {
    packet.destination_port = static_cast<uint16_t>(port);
    packet.source_port = static_cast<uint16_t>(source_port);
  }
  const bool icmp_v6 = packet.protocol == policy::kProtocolIcmpV6;
  const bool icmp = icmp_v6 || packet.protocol == policy::kProtocolIcmp;
  ASSIGN_OR_RETURN(const int type,
                   ReadNumber(query, "icmpType", 255, icmp_v6 ? kEchoRequestV6 : kEchoRequest));
  ASSIGN_OR_RETURN(const int code, ReadNumber(query, "icmpCode", 255, 0));
  if (icmp) {
    packet.icmp_type = static_cast<uint8_t>(type);
    packet.icmp_code = static_cast<uint8_t>(code);
  }
  return flow;
}

std::string ToLine(const Judgement& judgement) { return Describe(judgement).dump(); }

std::string ToLine(const Judgement& judgement, const Judgement& staged,
                   const policy::World& world) {
  ordered_json line = Describe(judgement);
  line["staged"] = DescribeStaged(staged, world);
  return line.dump();
}

}  // namespace ripstop::ctl
