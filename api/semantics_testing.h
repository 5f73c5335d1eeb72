// SPDX-License-Identifier: Apache-2.0
//
// For semantics_*test.cc, which hold what the Kubernetes and Calico APIs say of their
// policies, one test per sentence: documents in, verdicts out, by the reference and by the
// tables, for IPv4 and IPv6 alike.
//
//   YAML ─DecodeText─▶ ToModel ─┬─▶ World ─▶ Reference ─┐
//                               └─▶ Engine ─▶ TableImage ┴─▶ the same verdict, and this one
#ifndef RIPSTOP_API_SEMANTICS_TESTING_H_
#define RIPSTOP_API_SEMANTICS_TESTING_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/substitute.h"
#include "api/codec/reader.h"
#include "api/convert/convert.h"
#include "policy/engine/engine.h"
#include "policy/reference.h"
#include "policy/tables/table_image.h"

namespace ripstop::api {

using policy::Direction;
using policy::kProtocolIcmp;
using policy::kProtocolIcmpV6;
using policy::kProtocolSctp;
using policy::kProtocolTcp;
using policy::kProtocolUdp;

inline constexpr bool kAllowed = true;
inline constexpr bool kDenied = false;

class SemanticsTest : public ::testing::Test {
 protected:
  // Namespaces shop and other, each with pods; shop/web and shop/db are on this node.
  void SetUp() override {
    for (const char* ns : {"shop", "other"}) {
      Put(absl::Substitute(
          "{apiVersion: v1, kind: Namespace, metadata: {name: $0, labels: {team: $0}}}", ns));
    }
    Pod("shop", "web", 1);
    Pod("shop", "db", 2);
    Pod("shop", "cart", 100);
    Pod("other", "web", 101);
  }

  void Put(const std::string& text) {
    const Decoded decoded = DecodeText(text, "f.yaml");
    ASSERT_TRUE(decoded.problems.empty()) << ToString(decoded.problems) << text;
    for (const Resource& resource : decoded.resources) {
      auto objects = ToModel(resource, {.this_host = "n1"});
      ASSERT_TRUE(objects.ok()) << objects.status();
      for (ModelObject& object : *objects) Put(object);
    }
  }
  void Put(ModelObject object) {
    if (auto* e = std::get_if<policy::Endpoint>(&object);
        e != nullptr && local_.contains(e->name)) {
      e->local = policy::Attachment{local_.at(e->name), {2, 0, 0, 0, 0, 1}};
    }
    PutObject(engine_, object);
    std::visit([&](const auto& o) { world_.Put(o); }, object);
  }

  // 192.0.2.<low> and 2001:db8::<low in hexadecimal>.
  static std::string V4(int low) { return absl::StrCat("192.0.2.", low); }
  static std::string V6(int low) { return absl::StrCat("2001:db8::", absl::Hex(low)); }

  void Pod(const std::string& ns, const std::string& name, int low, const std::string& spec = "{}",
           const std::string& phase = "Running") {
    Put(absl::Substitute(
        "{apiVersion: v1, kind: Pod, metadata: {name: $1, namespace: $0, labels: {app: $1}},"
        " spec: $4, status: {phase: $5, podIPs: [{ip: $2}, {ip: \"$3\"}]}}",
        ns, name, V4(low), V6(low), spec, phase));
    low_[absl::StrCat(ns, "/", name)] = low;
  }
  // A NetworkPolicy of namespace shop.
  void Policy(const std::string& name, const std::string& spec) {
    Put(
        absl::Substitute("{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy,"
                         " metadata: {name: $0, namespace: shop}, spec: $1}",
                         name, spec));
  }
  void ClusterPolicy(const std::string& spec, const std::string& name = "p") {
    Put(
        absl::StrCat("{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy,"
                     " metadata: {name: ",
                     name, "}, spec: ", spec, "}"));
  }
  // Of projectcalico.org/v3; `labels` for sets. Global kinds ignore the namespace.
  void Calico(const std::string& kind, const std::string& name, const std::string& spec,
              const std::string& ns = "shop", const std::string& labels = "{}") {
    Put(absl::Substitute(
        "{apiVersion: projectcalico.org/v3, kind: $0, metadata: {name: $1, namespace: $2,"
        " labels: $3}, spec: $4}",
        kind, name, ns, labels, spec));
  }
  // Takes away what the document of this text means.
  void Remove(const std::string& text) {
    for (const Resource& resource : DecodeText(text, "f.yaml").resources) {
      const auto objects = ToModel(resource);
      ASSERT_TRUE(objects.ok()) << objects.status();
      for (const ModelObject& object : *objects) {
        RemoveObject(engine_, object);
        if (const auto* p = std::get_if<policy::Policy>(&object)) world_.policies.erase(p->key);
        if (const auto* p = std::get_if<policy::Profile>(&object)) world_.profiles.erase(p->name);
        if (const auto* b = std::get_if<policy::ServiceBackends>(&object)) {
          world_.services.erase({b->service, b->slice});
        }
      }
    }
  }

  // What both say about one packet; a failure when they differ.
  bool Ask(Direction direction, const std::string& local, const std::string& far_text,
           uint8_t protocol, uint16_t port) {
    const policy::TableWrites writes = engine_.Flush();
    image_.Apply(writes);
    image_.set_l4_table(engine_.l4_table());
    const policy::Address far = *policy::Address::Parse(far_text);
    const int low = low_.at(local);
    const policy::Address near = *policy::Address::Parse(far.is_v4() ? V4(low) : V6(low));
    policy::Packet p;
    p.source = direction == Direction::kIngress ? far : near;
    p.destination = direction == Direction::kIngress ? near : far;
    // The family's own ICMP; both begin with type 8 or 128, an echo request.
    p.protocol = protocol;
    if (protocol == kProtocolIcmp && !far.is_v4()) p.protocol = kProtocolIcmpV6;
    if (policy::HasPorts(p.protocol)) p.source_port = source_port_, p.destination_port = port;
    if (p.protocol == kProtocolIcmp) p.icmp_type = icmp_type_.value_or(8);
    if (p.protocol == kProtocolIcmpV6) p.icmp_type = icmp_type_.value_or(128);
    if (icmp_type_ && !policy::HasPorts(p.protocol)) p.icmp_code = icmp_code_;
    const auto endpoint = std::find_if(world_.endpoints.begin(), world_.endpoints.end(),
                                       [&](const auto& item) { return item.second.name == local; });
    const auto want = reference_.Evaluate(world_, endpoint->second, direction, p);
    const auto got = image_.Verdict(direction, p);
    EXPECT_TRUE(got.has_value()) << local;
    EXPECT_EQ(want && want->allow, got && got->allow()) << "reference and tables differ";
    EXPECT_EQ(want && want->log, got && got->log())
        << "reference and tables differ in what they log";
    logged_ = got && got->log();
    decided_by_ = want ? want->by.ToString() : "";
    if (want && got) {
      const auto rule = engine_.Rule(got->rule_id());
      EXPECT_TRUE(rule && *rule == want->by)
          << (rule ? rule->ToString() : "") << " is not " << want->by.ToString();
    }
    return got && got->allow();
  }
  // `far`: a pod, or an address, which is asked in its family only. `local` is ns/name.
  void Expect(bool allowed, Direction direction, const std::string& local, const std::string& far,
              uint8_t protocol = kProtocolTcp, uint16_t port = 80) {
    std::vector<std::string> addresses = {far};
    if (const auto pod = low_.find(far); pod != low_.end())
      addresses = {V4(pod->second), V6(pod->second)};
    for (const std::string& address : addresses) {
      EXPECT_EQ(Ask(direction, local, address, protocol, port), allowed)
          << ToString(direction) << " of " << local << ", " << far << " " << address << " protocol "
          << int{protocol} << " port " << port;
    }
  }
  void In(bool allowed, const std::string& local, const std::string& far,
          uint8_t protocol = kProtocolTcp, uint16_t port = 80) {
    Expect(allowed, Direction::kIngress, local, far, protocol, port);
  }
  void Out(bool allowed, const std::string& local, const std::string& far,
           uint8_t protocol = kProtocolTcp, uint16_t port = 80) {
    Expect(allowed, Direction::kEgress, local, far, protocol, port);
  }

  // Of the packets that are asked about.
  uint16_t source_port_ = 40000;
  std::optional<uint8_t> icmp_type_;  // absent: an echo request
  uint8_t icmp_code_ = 0;
  // Of the last answer.
  bool logged_ = false;
  std::string decided_by_;

  std::map<std::string, uint32_t> local_ = {{"shop/web", 10}, {"shop/db", 11}};
  std::map<std::string, int> low_;
  policy::World world_;
  policy::Engine engine_;
  policy::TableImage image_;
  policy::Reference reference_;
};

}  // namespace ripstop::api

#endif  // RIPSTOP_API_SEMANTICS_TESTING_H_
