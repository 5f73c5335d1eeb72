// SPDX-License-Identifier: Apache-2.0
//
// A test on the demo's fabric, or a smaller one with the demo's applications and policies, under a
// name of its own, with every flow that should pass passing before the test begins.
#ifndef RIPSTOP_E2E_SCENARIOS_DEMO_LAB_H_
#define RIPSTOP_E2E_SCENARIOS_DEMO_LAB_H_

#include <string>
#include <vector>

#include "e2e/lab/live_flow.h"
#include "e2e/lab/matrix.h"
#include "e2e/lab/testing.h"

namespace ripstop::lab {

class DemoLab : public LabTest {
 protected:
  static std::string Folder() { return RIPSTOP_DEMO_DIR; }

  void SetUp() override {
    LabTest::SetUp();
    if (IsSkipped()) return;
    const std::string text = TopologyText();
    ASSERT_FALSE(text.empty());
    Raise(text, Folder());
    if (HasFatalFailure()) return;
    absl::StatusOr<Expectation> expectation =
        ReadExpectation(Folder() + "/expected.yaml", lab().topology());
    ASSERT_TRUE(expectation.ok()) << expectation.status();
    expectation_ = *std::move(expectation);
    const absl::Status passing = WaitUntilExpectedFlowsPass(lab(), expectation_, kHang);
    ASSERT_TRUE(passing.ok()) << passing;
  }

  // The demo's, whose own name gives way to the test's; or another with its applications.
  virtual std::string TopologyText() const {
    std::string text = ReadText(Folder() + "/topology.yaml");
    const size_t line = text.find("\nname: demo\n");
    if (line == std::string::npos) return "";
    return text.erase(line, sizeof("\nname: demo") - 1);
  }

  const Expectation& expectation() const { return expectation_; }

  // Every flow of the matrix is as expected. One that should pass has all the time it needs.
  void ExpectMatrix() {
    const auto results = Measure(lab(), AllFlows(lab().topology()));
    ASSERT_TRUE(results.ok()) << results.status();
    for (const FlowResult& wrong : Wrong(expectation_, lab().topology(), *results)) {
      const bool late =
          wrong.result == "timeout" && IsExpected(expectation_, lab().topology(), wrong.flow);
      if (late && Reaches(wrong.flow)) continue;
      ADD_FAILURE() << wrong.flow.ToString() << " (" << PathOf(lab().topology(), wrong.flow)
                    << "): " << wrong.result;
    }
  }

  // Whether a flow gets an answer, however long that takes a busy machine.
  bool Reaches(const Flow& flow) {
    return Eventually([&] { return ResultOf(flow, absl::Seconds(3)) == "ok"; });
  }
  // Whether a flow gets none. A busy machine can only make this true too early: what decides
  // is in the counters of drops.
  bool Silent(const Flow& flow, absl::Duration timeout = absl::Milliseconds(800)) {
    return ResultOf(flow, timeout) == "timeout";
  }

  std::string RoutesOf(const std::string& node) {
    std::string text;
    for (const char* family : {"-4", "-6"}) {
      const auto output = lab().Exec(node, {"ip", family, "route", "show"});
      EXPECT_TRUE(output.ok()) << output.status();
      if (output.ok()) text += output->out;
    }
    return text;
  }

  // Packets dropped on the node, for one reason or for all.
  uint64_t DropsOf(const std::string& node, const std::string& because = "") {
    uint64_t packets = 0;
    const auto drops = lab().AgentDrops(node);
    EXPECT_TRUE(drops.ok()) << drops.status();
    if (drops.ok()) {
      for (const auto& reason : drops->reasons()) {
        if (because.empty() || reason.name() == because) packets += reason.packets();
      }
    }
    return packets;
  }

 private:
  std::string ResultOf(const Flow& flow, absl::Duration timeout) {
    const auto results = Measure(lab(), {flow}, timeout);
    EXPECT_TRUE(results.ok()) << results.status();
    return results.ok() ? (*results)[0].result : "";
  }

  Expectation expectation_;
};

}  // namespace ripstop::lab

#endif  // RIPSTOP_E2E_SCENARIOS_DEMO_LAB_H_
