// SPDX-License-Identifier: Apache-2.0
//
// A healthy lab drops nothing that its owner would ask about: what kernels say to each other by
// themselves is let pass, or told apart.
#include <map>

#include "e2e/lab/matrix.h"
#include "e2e/lab/testing.h"

namespace ripstop::lab {
namespace {

constexpr char kTopology[] = R"(
subnets: [{name: rack1, v4: 192.0.2.0/26, v6: "2001:db8:1::/64"}]
nodes:
- {name: node1, subnet: rack1, v4: 192.0.2.11, v6: "2001:db8:1::11"}
- {name: node2, subnet: rack1, v4: 192.0.2.12, v6: "2001:db8:1::12"}
bgp: {asNumber: 64512}
pools:
- {name: pods-v4, cidr: 10.65.0.0/16}
- {name: pods-v6, cidr: "fd00:10:65::/48", vxlanMode: Always}
namespaces: [{name: shop}]
pods:
- {name: a, namespace: shop, node: node1, ports: [{name: http, port: 8080}]}
- {name: b, namespace: shop, node: node1, ports: [{name: http, port: 8080}]}
- {name: c, namespace: shop, node: node2, ports: [{name: http, port: 8080}]}
)";

class HealthyDrops : public LabTest {
 protected:
  // Packets by reason, of those a healthy node has and of the others.
  std::map<std::string, uint64_t> Drops(const std::string& node, bool expected) {
    std::map<std::string, uint64_t> drops;
    const auto reply = lab().AgentDrops(node);
    EXPECT_TRUE(reply.ok()) << reply.status();
    if (!reply.ok()) return drops;
    for (const auto& reason : reply->reasons()) {
      if (reason.packets() > 0 && reason.expected() == expected)
        drops[reason.name()] = reason.packets();
    }
    return drops;
  }
};

TEST_F(HealthyDrops, ShowNoNoiseOfTheirOwn) {
  ASSERT_NO_FATAL_FAILURE(Raise(kTopology));
  for (const char* node : {"node1", "node2"}) {
    // Once they have said which groups they listen to, which takes them a while.
    EXPECT_TRUE(Eventually([&] { return Drops(node, true).count("multicast-listener") > 0; }));
  }
  EXPECT_TRUE(Eventually([&] {
    const auto results = Measure(lab(), AllFlows(lab().topology()), absl::Seconds(3));
    return results.ok() && std::all_of(results->begin(), results->end(),
                                       [](const FlowResult& r) { return r.result == "ok"; });
  }));
  for (const char* node : {"node1", "node2"}) {
    for (const auto& [reason, packets] : Drops(node, false))
      ADD_FAILURE() << node << ": " << packets << " dropped as " << reason;
  }
}

}  // namespace
}  // namespace ripstop::lab
