// SPDX-License-Identifier: Apache-2.0
//
// Streams in packets of more than 64 KiB (BIG TCP), which kernels hand on in one piece.
#include "agent/base/testing/big_tcp.h"

#include <fstream>
#include <sstream>

#include "agent/dataplane/testing_nat.h"

namespace ripstop::agent {
namespace {

using testing::kV4;
using testing::kV6;
using testing::NatNode;
using testing::Plan;

constexpr uint32_t kBig = 196'608;
constexpr size_t kBytes = size_t{64} << 20;

// What has come in by an interface.
struct Arrived {
  uint64_t bytes = 0, packets = 0;
};
Arrived ArrivedAt(const TestNetns& node, const std::string& device) {
  Arrived arrived;
  const absl::Status read = node.Run([&] {
    std::ifstream all("/proc/thread-self/net/dev");
    for (std::string line; std::getline(all, line);) {
      std::istringstream words(line);
      std::string name;
      words >> name;
      if (name == device + ":") words >> arrived.bytes >> arrived.packets;
    }
    return absl::OkStatus();
  });
  EXPECT_TRUE(read.ok()) << read;
  return arrived;
}

class BigTcpTest : public NatNode {
 protected:
  uint64_t BadLengths() {
    uint64_t count = 0;
    const auto drops = dataplane_->Drops();
    EXPECT_TRUE(drops.ok()) << drops.status();
    for (const loader::DropCount& drop : *drops) {
      if (drop.reason == DROP_BAD_LENGTH) count = drop.packets;
    }
    return count;
  }
};

// All of a stream, from the client to the server.
void Stream(const Conversation& talk) {
  std::thread reader([&] {
    std::string data(size_t{1} << 20, 0);
    for (size_t got = 0; got < kBytes;) {
      pollfd wait{.fd = talk.server_fd(), .events = POLLIN, .revents = 0};
      ASSERT_EQ(poll(&wait, 1, Conversation::kPatience), 1) << "the stream stalls after " << got;
      const ssize_t bytes = recv(talk.server_fd(), data.data(), data.size(), 0);
      ASSERT_GT(bytes, 0) << strerror(errno);
      got += static_cast<size_t>(bytes);
    }
  });
  const std::string data(size_t{1} << 20, 'x');
  for (size_t sent = 0; sent < kBytes;) {
    pollfd wait{.fd = talk.client_fd(), .events = POLLOUT, .revents = 0};
    if (poll(&wait, 1, Conversation::kPatience) != 1) break;
    const ssize_t bytes =
        send(talk.client_fd(), data.data(), std::min(data.size(), kBytes - sent), MSG_NOSIGNAL);
    if (bytes > 0) sent += static_cast<size_t>(bytes);
    if (bytes < 0 && errno != EAGAIN) break;
  }
  reader.join();
}

TEST_P(BigTcpTest, AStreamOfLargerPacketsThanAnyLengthFieldPasses) {
  Start(Policy::kOpen, Policy::kOpen, false);
  const absl::Status big = a_->Run([] { return SetLargestPacket("eth0", kBig); });
  ASSERT_TRUE(big.ok()) << big;
  uint16_t port = 8080;
  for (const Plan& plan : {kV4, kV6}) {
    for (const bool outside : {false, true}) {
      const char* const to = outside ? plan.far : plan.b;
      const TestNetns& at = outside ? *far_ : *b_;
      Conversation talk(Transport::kTcp, {.client_ns = a_->fd(),
                                          .client = plan.a,
                                          .to = to,
                                          .to_port = ++port,
                                          .server_ns = at.fd(),
                                          .server = to,
                                          .server_port = port});
      const absl::Status open = talk.Open();
      ASSERT_TRUE(open.ok()) << open;
      const Arrived before = ArrivedAt(*node_, "hosta");
      Stream(talk);
      const Arrived after = ArrivedAt(*node_, "hosta");
      ASSERT_GT(after.packets, before.packets);
      EXPECT_GT((after.bytes - before.bytes) / (after.packets - before.packets), 65'535u)
          << "control: they were larger";
      EXPECT_EQ(BadLengths(), 0u) << to;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Attachment, BigTcpTest, ::testing::Bool(), testing::AttachmentName);

}  // namespace
}  // namespace ripstop::agent
