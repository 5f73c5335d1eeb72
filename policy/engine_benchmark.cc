// SPDX-License-Identifier: Apache-2.0
//
// What the engine costs by itself, without a kernel: cold start of a large cluster, and
// single events in it. Prints figures; asserts nothing.
//   policy_engine_benchmark [ENDPOINTS POLICIES LOCAL]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "policy/engine.h"
#include "policy/selector.h"

namespace ripstop::policy {
namespace {

// Namespaces of twenty deployments; a pod of one deployment has one label combination.
Endpoint Pod(int i, int deployments, bool local) {
  const int d = i % deployments;
  Endpoint e;
  e.id = absl::StrCat("ns", d / 20, "/pod", i);
  e.labels = {{kNamespaceLabel, absl::StrCat("ns", d / 20)}, {"app", absl::StrCat("app", d)},
              {"tier", d % 3 == 0 ? "front" : "back"}, {"pod-template-hash", absl::StrCat("h", d)}};
  e.profiles = {absl::StrCat("kns.ns", d / 20)};
  e.addresses = {Address::FromV4(0x0a000000 + static_cast<uint32_t>(i))};
  e.ports = {{"http", kProtocolTcp, 8080}};
  if (local) e.local = Attachment{static_cast<uint32_t>(i + 10), {}};
  return e;
}

Policy Allow(int i, int deployments) {
  const int d = i % deployments, from = (d * 7 + i) % deployments;
  Policy p;
  p.key = {PolicyKind::kKubernetesNetworkPolicy, absl::StrCat("ns", d / 20), absl::StrCat("p", i)};
  p.order = 1000;
  p.selector = absl::StrCat(kNamespaceLabel, " == 'ns", d / 20, "' && app == 'app", d, "'");
  p.ingress = true;
  Rule r;
  r.action = Action::kAllow;
  r.protocol = kProtocolTcp;
  r.source.selector = absl::StrCat(kNamespaceLabel, " == 'ns", from / 20, "' && app == 'app", from, "'");
  r.destination.ports = PortMatch{{{static_cast<uint16_t>(8000 + i % 50), static_cast<uint16_t>(8000 + i % 50)}}, {}};
  p.ingress_rules = {r};
  return p;
}

template <typename F>
void Timed(const char* what, F f) {
  const auto start = std::chrono::steady_clock::now();
  const size_t writes = f();
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
  std::printf("%-44s %12.0f us %8zu writes\n", what, took.count(), writes);
}

int Run(int endpoints, int policies, int local) {
  const int deployments = std::max(1, endpoints / 50);
  Engine engine;
  Timed("cold start", [&] {
    for (int n = 0; n <= deployments / 20; ++n) {
      Rule allow;
      allow.action = Action::kAllow;
      engine.PutProfile({absl::StrCat("kns.ns", n), {{"pcns.name", absl::StrCat("ns", n)}}, {allow}, {allow}});
    }
    for (int i = 0; i < policies; ++i) engine.PutPolicy(Allow(i, deployments));
    for (int i = 0; i < endpoints; ++i) engine.PutEndpoint(Pod(i, deployments, i < local));
    return engine.Flush().size();
  });
  Timed("pod elsewhere, known labels", [&] {
    engine.PutEndpoint(Pod(endpoints + 1, deployments, false));
    return engine.Flush().size();
  });
  Timed("policy edited", [&] {
    Policy p = Allow(0, deployments);
    p.ingress_rules.push_back(p.ingress_rules[0]);
    p.ingress_rules[1].source.selector = "tier == 'front'";
    engine.PutPolicy(p);
    return engine.Flush().size();
  });
  Timed("namespace relabelled", [&] {
    engine.PutProfile({"kns.ns0", {{"pcns.name", "ns0"}, {"pcns.env", "prod"}}, {}, {}});
    return engine.Flush().size();
  });
  const EngineTotals t = engine.Totals();
  std::printf("%u address classes, %u L4 classes, %.1f MiB of tables\n", t.address_classes,
              t.l4_classes, static_cast<double>(t.arena_bytes) / (1 << 20));
  return 0;
}

}  // namespace
}  // namespace ripstop::policy

int main(int argc, char** argv) {
  const auto argument = [&](int i, int otherwise) { return argc > i ? std::atoi(argv[i]) : otherwise; };
  return ripstop::policy::Run(argument(1, 100'000), argument(2, 10'000), argument(3, 200));
}
