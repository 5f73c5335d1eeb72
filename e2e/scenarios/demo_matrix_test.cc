// SPDX-License-Identifier: Apache-2.0
//
// The demo's matrix with real packets: both families, TCP and UDP, same node, same
// subnet, across subnets.
#include "e2e/scenarios/demo_lab.h"

namespace ripstop::lab {
namespace {

class DemoMatrix : public DemoLab {};

TEST_F(DemoMatrix, EveryConnectionIsAsExpectedAndDeniedOnesAreCounted) {
  const uint64_t before = DropsOf("node1") + DropsOf("node2") + DropsOf("node3");
  ExpectMatrix();
  const uint64_t after = DropsOf("node1") + DropsOf("node2") + DropsOf("node3");
  size_t denied = 0;
  for (const Flow& flow : AllFlows(lab().topology())) {
    denied += !IsExpected(expectation(), lab().topology(), flow);
  }
  EXPECT_GE(after - before, denied);
}

TEST_F(DemoMatrix, SpoofedSourceNeverArrivesAndIsCounted) {
  // checkout may send UDP 7071 to cart; the frontend lies that it is checkout.
  for (int family : {4, 6}) {
    const std::string lie = lab().AddressOf("shop/checkout-1", family).value();
    const std::string target = lab().AddressOf("shop/cart-2", family).value();
    const std::string log = absl::StrCat(lab().state().dir(), "/receive.", family);
    const auto receiver =
        SpawnProbe("shop/cart-2", {"receive", "--port", "7072", "--for-ms", "600000"}, log);
    ASSERT_TRUE(receiver.ok()) << receiver.status();
    ASSERT_TRUE(WaitForText(log, "listening"));
    const uint64_t before = DropsOf("node1");
    const auto sent = lab().Exec(
        "shop/frontend-1", {lab().Binary("ripstop-probe"), "spoof", "--from", lie, "--to", target,
                            "--port", "7072", "--count", "5", "--payload", "lie"});
    ASSERT_TRUE(sent.ok()) << sent.status();
    EXPECT_EQ(sent->exit_code, 0) << sent->err;
    EXPECT_TRUE(Eventually([&] { return DropsOf("node1") >= before + 5; }))
        << DropsOf("node1") - before << " of 5 counted";
    EXPECT_EQ(ReadText(log).find("lie"), std::string::npos);
    EXPECT_TRUE(Stop(*receiver, SIGKILL, kHang).ok());
  }
}

}  // namespace
}  // namespace ripstop::lab
