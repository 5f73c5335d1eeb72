// SPDX-License-Identifier: Apache-2.0
//
// What a pod that floods costs others, with real packets (attack matrix B7). The control lets it
// have the whole table.
#include <gtest/gtest.h>

#include "agent/base/testing/probe.h"
#include "agent/dataplane/testing_node.h"

namespace ripstop::agent {
namespace {

using testing::kFar;
using testing::kPodA;
using testing::kPodB;

constexpr uint32_t kFlows = 4096;
constexpr uint16_t kQuestion = 5300, kLater = 5301;
constexpr uint32_t kNoLimit = 1u << 30;

class FloodTest : public testing::NodeTest {
 protected:
  // A datagram from `from` to `to`.
  static void Send(const UniqueFd& socket, const std::string& to, uint16_t port) {
    socklen_t length = 0;
    const sockaddr_storage address = ProbeAddress(to, port, &length);
    EXPECT_EQ(sendto(socket.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&address), length),
              1);
  }
  static bool Arrives(const UniqueFd& socket) {
    pollfd p{.fd = socket.get(), .events = POLLIN, .revents = 0};
    char data[8];
    return poll(&p, 1, 2000) == 1 && recv(socket.get(), data, sizeof(data), 0) > 0;
  }
  static UniqueFd Socket(const TestNetns& netns, const std::string& address, uint16_t port) {
    UniqueFd made;
    const absl::Status status = ProbeSocket(netns.fd(), address, port, &made);
    EXPECT_TRUE(status.ok()) << status;
    return made;
  }
  // Pod a asks the neighbour at many more ports than there is room for flows; nobody answers.
  void Flood() {
    const UniqueFd flooder = Socket(*a_, kPodA, 0);
    for (uint16_t port = 10000; port < 10000 + 3 * kFlows; ++port) Send(flooder, kFar, port);
  }
  struct Outcome {
    bool old_question = false;  // of pod b, asked before and answered after
    bool new_question = false;
  };
  Outcome FloodBeside(const loader::DatapathSizes& sizes) {
    Open(sizes);
    Attach();
    WriteGeneration(true);
    const UniqueFd asks = Socket(*b_, kPodB, 7000), asked = Socket(*far_, kFar, kQuestion),
                   later = Socket(*far_, kFar, kLater);
    Send(asks, kFar, kQuestion);
    EXPECT_TRUE(Arrives(asked));
    Flood();
    Outcome outcome;
    Send(asked, kPodB, 7000);
    outcome.old_question = Arrives(asks);
    Send(asks, kFar, kLater);
    outcome.new_question = Arrives(later);
    return outcome;
  }
};

TEST_P(FloodTest, NeitherTakesTheAnswersOfOtherPodsNorTheirRoom) {
  const Outcome outcome = FloodBeside({.flows = kFlows});
  EXPECT_TRUE(outcome.old_question);
  EXPECT_TRUE(outcome.new_question);
  EXPECT_LT(dataplane_->SweepFlows(false)->entries, kFlows / 4);
}

TEST_P(FloodTest, ControlWithoutLimitsTheTableIsFull) {
  const Outcome outcome =
      FloodBeside({.flows = kFlows, .account_flows = kNoLimit, .account_half_open = kNoLimit});
  EXPECT_TRUE(outcome.old_question) << "nothing that is known is evicted";
  EXPECT_FALSE(outcome.new_question);
}

INSTANTIATE_TEST_SUITE_P(Attachment, FloodTest, ::testing::Values(false, true),
                         [](const auto& info) { return info.param ? "Clsact" : "Tcx"; });

}  // namespace
}  // namespace ripstop::agent
