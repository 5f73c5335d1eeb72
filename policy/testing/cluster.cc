// SPDX-License-Identifier: Apache-2.0
#include "policy/testing/cluster.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "policy/selector.h"

namespace ripstop::policy {
namespace {

constexpr int kCanaryKinds = 10;
constexpr int kCanaryStride = 499;  // one pod in so many is a canary; prime, so any deployment's
constexpr char kHalfPolicy[] = "half-of-the-local-pods";
constexpr char kPartners[] = "partners";

std::string Namespace(int deployment) { return absl::StrCat("ns", deployment / 20); }

Endpoint Pod(const ClusterShape& shape, int i, int deployment, bool local) {
  Endpoint e;
  const std::string ns = Namespace(deployment);
  e.id = absl::StrCat(ns, "/pod", i);
  e.labels = {{kNamespaceLabel, ns},
              {"app", absl::StrCat("app", deployment)},
              {"tier", deployment % 3 == 0 ? "front" : "back"},
              {"pod-template-hash", absl::StrCat("h", deployment)}};
  e.profiles = {absl::StrCat("kns.", ns)};
  e.addresses = {Address::FromV4(0x0a000000 + static_cast<uint32_t>(i))};
  if (shape.dual_stack) {
    Address v6 = *Address::Parse("2001:db8::");
    for (int byte = 0; byte < 4; ++byte) v6.bytes[15 - byte] = static_cast<uint8_t>(i >> 8 * byte);
    e.addresses.push_back(v6);
  }
  e.ports = {{"http", kProtocolTcp, 8080}};
  if (local) {
    e.local = Attachment{static_cast<uint32_t>(i + 10), {}};
    e.labels["half"] = i % 2 == 0 ? "a" : "b";
  } else if (i % kCanaryStride == 0) {
    e.labels["canary"] = absl::StrCat("c", i / kCanaryStride % kCanaryKinds);
  }
  return e;
}

std::string DeploymentSelector(int deployment) {
  return absl::StrCat(kNamespaceLabel, " == '", Namespace(deployment), "' && app == 'app",
                      deployment, "'");
}

Rule AllowFrom(const std::string& selector, uint16_t port) {
  Rule r;
  r.action = Action::kAllow;
  r.protocol = kProtocolTcp;
  r.source.selector = selector;
  r.destination.ports = PortMatch{{{port, port}}, {}};
  return r;
}

Policy Allow(int i, int deployments) {
  const int d = i % deployments;
  Policy p;
  p.key = {PolicyKind::kKubernetesNetworkPolicy, Namespace(d), absl::StrCat("p", i)};
  p.order = 1000;
  p.selector = DeploymentSelector(d);
  p.ingress = true;
  p.ingress_rules = {AllowFrom(DeploymentSelector((d * 7 + i) % deployments),
                               static_cast<uint16_t>(8000 + i % 50))};
  return p;
}

Policy Half(uint16_t port) {
  Policy p;
  p.key = {PolicyKind::kGlobalNetworkPolicy, "", kHalfPolicy};
  p.order = 2000;
  p.selector = "half == 'a'";
  p.ingress = true;
  p.ingress_rules = {AllowFrom("set == 'partners'", port)};
  return p;
}

NetworkSet Partners(int nets) {
  NetworkSet set;
  set.id = kPartners;
  set.labels = {{"set", "partners"}};
  for (int i = 0; i < nets; ++i) {
    set.nets.push_back(
        Cidr::Of(Address::FromV4(0xc6120000 + (static_cast<uint32_t>(i) << 8)), 120));
  }
  return set;
}

Profile NamespaceProfile(int n, const std::string& environment) {
  Rule allow;
  allow.action = Action::kAllow;
  return {absl::StrCat("kns.ns", n),
          {{"pcns.name", absl::StrCat("ns", n)}, {"pcns.env", environment}},
          {allow},
          {allow}};
}

// A pod of a class of its own: rules tell its deployment from others, and it has one more label
// that rules ask for.
Endpoint Unlike(const ClusterShape& shape, int pod, int i) {
  constexpr int kAskedFor = 200;
  Endpoint e = Pod(shape, pod, 8 * (i % kAskedFor) % shape.deployments(), false);
  const int more = i / kAskedFor;
  if (more == 0) e.labels["set"] = "partners";
  if (more > 0) e.labels["canary"] = absl::StrCat("c", (more - 1) % kCanaryKinds);
  return e;
}

}  // namespace

void PutCluster(const ClusterShape& shape, Engine& engine) {
  const int deployments = shape.deployments();
  for (int n = 0; n <= deployments / 20; ++n) engine.PutProfile(NamespaceProfile(n, "test"));
  engine.PutNetworkSet(Partners(100));
  engine.PutPolicy(Half(9000));
  for (int i = 0; i < shape.policies; ++i) engine.PutPolicy(Allow(i, deployments));
  for (int i = 0; i < shape.endpoints; ++i) {
    engine.PutEndpoint(Pod(shape, i, i % deployments, i < shape.local));
  }
}

std::vector<ClusterEvent> ClusterEvents(const ClusterShape& shape) {
  const int deployments = shape.deployments();
  const int fresh = shape.endpoints + 1000;  // numbers of pods that come
  const int spread = std::max(1, shape.endpoints - shape.local);
  // A pod of another node, not the same twice.
  const auto remote = [=](int i) { return shape.local + (i * 37) % spread; };
  const int few = std::min(20, shape.local);
  return {
      {"pod elsewhere, labels seen before", "1 address", 50,
       [=](Engine& e, int i) { e.PutEndpoint(Pod(shape, fresh + i, i % deployments, false)); }},
      {"the same pods go", "1 address", 50,
       [=](Engine& e, int i) {
         e.RemoveEndpoint(Pod(shape, fresh + i, i % deployments, false).id);
       }},
      {"pod elsewhere, new labels, same answers", "1 address", 20,
       [=](Engine& e, int i) {
         Endpoint pod = Pod(shape, fresh + i, i % deployments, false);
         pod.labels["pod-template-hash"] = absl::StrCat("new", i);
         e.PutEndpoint(pod);
       }},
      {"pod elsewhere, labels of a new class", "1 address, a row key per set", 20,
       [=](Engine& e, int i) {
         Endpoint pod = Pod(shape, fresh + 100 + i, i % deployments, false);
         // Of one deployment's policies by name, of the partners' by label.
         pod.labels["set"] = "partners";
         e.PutEndpoint(pod);
       }},
      {"pod's labels change, to known ones", "1 address", 20,
       [=](Engine& e, int i) {
         const int pod = remote(i);
         Endpoint moved = Pod(shape, pod, pod % deployments, false);
         moved.labels = Pod(shape, 0, (pod + 1) % deployments, false).labels;
         moved.labels.erase("canary");
         moved.profiles = {absl::StrCat("kns.", Namespace((pod + 1) % deployments))};
         e.PutEndpoint(moved);
       }},
      {"selector first used, constant on classes", "rows only", few,
       [=](Engine& e, int i) {
         Policy p = Allow(i, deployments);
         // Another text and another predicate, true of the same pods.
         *p.ingress_rules[0].source.selector += absl::StrCat(" && has(tier) && tier != 'x", i, "'");
         e.PutPolicy(p);
       }},
      {"selector first used, splits classes", "addresses of the split classes",
       std::min(kCanaryKinds, shape.local),
       [=](Engine& e, int i) {
         Policy p = Allow(i + few, deployments);
         p.ingress_rules[0].source.selector = absl::StrCat("canary == 'c", i, "'");
         e.PutPolicy(p);
       }},
      // So many kinds of pod that row tables outgrow their place while they come.
      {kOutgrown, "1 address, a row key per set; a larger copy of sets when they are full", 600,
       [=](Engine& e, int i) { e.PutEndpoint(Unlike(shape, fresh + 2000 + i, i)); }},
      {"the same pods go, one by one", "1 address", 600,
       [=](Engine& e, int i) { e.RemoveEndpoint(Unlike(shape, fresh + 2000 + i, i).id); }},
      {"policy of one local pod edited", "tables of 1 set, 1 address", few,
       [=](Engine& e, int i) {
         Policy p = Allow(i + 2 * few, deployments);
         p.ingress_rules[0].destination.ports =
             PortMatch{{{static_cast<uint16_t>(8000 + (i + 7) % 50),
                         static_cast<uint16_t>(8000 + (i + 7) % 50)}},
                       {}};
         e.PutPolicy(p);
       }},
      {kHalfEdited, "tables of their sets, 1 address each", 10,
       [](Engine& e, int i) { e.PutPolicy(Half(static_cast<uint16_t>(8001 + i))); }},
      {"local pod with a known policy set", "1 address", few,
       [=](Engine& e, int i) {
         Endpoint pod = Pod(shape, fresh + 1000 + 2 * i, i % deployments, true);
         pod.labels["half"] = i % 2 == 0 ? "a" : "b";
         e.PutEndpoint(pod);
       }},
      {"the same local pods go", "1 address", few,
       [=](Engine& e, int i) {
         e.RemoveEndpoint(Pod(shape, fresh + 1000 + 2 * i, i % deployments, true).id);
       }},
      {"network set of 100 gains one net", "its prefixes in the trie", 20,
       [](Engine& e, int i) { e.PutNetworkSet(Partners(101 + i)); }},
      {"network set loses 20 nets", "its prefixes in the trie", 1,
       [](Engine& e, int) { e.PutNetworkSet(Partners(100)); }},
      {"namespace of 1,000 pods relabelled, no answer changes", "0", 5,
       [](Engine& e, int i) { e.PutProfile(NamespaceProfile(i + 1, "production")); }},
  };
}

WriteCount Count(const TableWrites& writes) {
  WriteCount count;
  for (const TableWrite& write : writes) {
    if (std::holds_alternative<SetAddress>(write) || std::holds_alternative<RemoveAddress>(write)) {
      ++count.addresses;
    } else if (const auto* words = std::get_if<WriteWords>(&write)) {
      ++count.stores;
      count.words += words->words.size();
    } else if (std::holds_alternative<Grace>(write)) {
      ++count.graces;
    } else if (std::holds_alternative<BumpEpoch>(write)) {
      ++count.epochs;
    }
  }
  return count;
}

}  // namespace ripstop::policy
