// SPDX-License-Identifier: Apache-2.0
//
// What flows --watch and drops say of real packets.
#include <future>
#include <nlohmann/json.hpp>

#include "e2e/lab/resources.h"
#include "e2e/scenarios/demo_lab.h"

namespace ripstop::lab {
namespace {

using Json = nlohmann::json;

class WatchingFlows : public DemoLab {
 protected:
  // From node2, through policy of shop, which allows it.
  const Flow flow_{"shop/checkout-1", "data/database-2", "TCP", 5432, 4};

  // The first event of this kind of the flow, as a reader on node2 gets it.
  std::future<Json> FirstEvent(const std::string& event) {
    return std::async(std::launch::async, [this, event]() -> Json {
      const auto output = lab::Run(
          {.argv = {lab().Binary("ripstopctl"), "flows", "--watch", "--from", "shop/checkout-1",
                    "--port", "5432", "--event", event, "--count", "1", "-o", "json"},
           .env = {absl::StrCat("RIPSTOP_SOCKET=", lab().state().nodes.at("node2").socket)},
           .timeout = kHang});
      EXPECT_TRUE(output.ok()) << output.status();
      if (!output.ok()) return {};
      EXPECT_EQ(output->exit_code, 0) << output->err;
      return Json::parse(output->out, nullptr, false);
    });
  }
  // Until the event has come; `again` makes one.
  static Json Await(std::future<Json>& event, const std::function<void()>& again) {
    while (event.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready) again();
    return event.get();
  }
  Json Drops(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "drops");
    arguments.insert(arguments.end(), {"-o", "json"});
    const auto output = lab().Ctl(arguments, "", "node2");
    EXPECT_TRUE(output.ok()) << output.status();
    if (!output.ok() || output->exit_code != 0) {
      ADD_FAILURE() << (output.ok() ? output->err : "");
      return {};
    }
    return Json::parse(output->out);
  }
};

TEST_F(WatchingFlows, EventsNameTheEndsTheRulesAndWhatWasCarried) {
  auto begun = FirstEvent("new"), closed = FirstEvent("closed"), denied = FirstEvent("denied");
  const Json first = Await(begun, [&] { EXPECT_TRUE(Reaches(flow_)); });
  EXPECT_EQ(first["protocol"], "TCP") << first;
  EXPECT_EQ(first["sourceName"], "shop/checkout-1");
  EXPECT_EQ(first["source"], lab().AddressOf("shop/checkout-1", 4).value());
  EXPECT_EQ(first["destinationName"], "data/database-2");
  EXPECT_EQ(first["destinationPort"], 5432);
  EXPECT_EQ(first["verdict"], "Allow");
  EXPECT_TRUE(absl::StrContains(first["egressRule"].get<std::string>(), "shop/checkout")) << first;
  const Json last = Await(closed, [&] { EXPECT_TRUE(Reaches(flow_)); });
  EXPECT_GT(last["packetsSent"], 2) << last;
  EXPECT_GT(last["packetsReceived"], 1);
  EXPECT_GT(last["bytesSent"], last["packetsSent"]);
  EXPECT_TRUE(last["closedBy"] == "FIN" || last["closedBy"] == "RST") << last;

  ASSERT_TRUE(lab()
                  .Apply("apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\n"
                         "metadata: {name: checkout-audit, namespace: shop}\n"
                         "spec:\n  selector: app == 'checkout'\n  order: 1\n  types: [Egress]\n"
                         "  egress: [{action: Deny, protocol: TCP, destination: "
                         "{ports: [5432]}}]\n")
                  .ok());
  const Json refused = Await(denied, [&] { (void)Silent(flow_, absl::Milliseconds(300)); });
  EXPECT_EQ(refused["verdict"], "Deny") << refused;
  EXPECT_EQ(refused["reason"], "policy-egress");
  EXPECT_EQ(refused["egressRule"], "NetworkPolicy shop/checkout-audit egress rule 0");
  EXPECT_EQ(refused["ingressRule"], "");

  // Nobody watches any more, and the last drops are known all the same.
  const Json drops = Drops({"--pod", "shop/checkout-1"});
  bool lost = false, seen = false;
  for (const Json& loss : drops["losses"]) {
    EXPECT_EQ(loss["pod"], "shop/checkout-1");
    lost |= loss["reason"] == "policy-egress" && loss["packets"] > 0;
  }
  for (const Json& sample : drops["last"]) {
    seen |= sample["pod"] == "shop/checkout-1" &&
            sample["event"]["destinationName"] == "data/database-2" &&
            sample["event"]["egressRule"] == "NetworkPolicy shop/checkout-audit egress rule 0";
  }
  EXPECT_TRUE(lost) << drops;
  EXPECT_TRUE(seen) << drops;
  uint64_t others = 0;
  for (const Json& loss : Drops({"--pod", "shop/frontend-2"})["losses"]) {
    if (loss["reason"] == "policy-egress") others += loss["packets"].get<uint64_t>();
  }
  EXPECT_EQ(others, 0u) << "control: the loss is one pod's";
}

}  // namespace
}  // namespace ripstop::lab
