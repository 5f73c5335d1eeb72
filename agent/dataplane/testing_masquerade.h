// SPDX-License-Identifier: Apache-2.0
//
// A node whose pods are of masqueraded pools, and a neighbour that knows no way back to them.
#ifndef RIPSTOP_AGENT_DATAPLANE_TESTING_MASQUERADE_H_
#define RIPSTOP_AGENT_DATAPLANE_TESTING_MASQUERADE_H_

#include <string>

#include "agent/dataplane/testing_nat.h"

namespace ripstop::agent::testing {

class MasqueradeNodeTest : public NatNode {
 protected:
  void SetUp() override {
    NatNode::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    ASSERT_EQ(far_->Shell("ip route del 198.51.100.0/24; ip -6 route del 2001:db8:a::/64"), 0);
    for (const Plan& plan : {kV4, kV6})
      settings_.pools[policy::Cidr::Parse(plan.pods).value()] = true;
    settings_.exits[Ifindex("up0")] = {.v4 = policy::Address::Parse(kV4.node).value(),
                                       .v6 = policy::Address::Parse(kV6.node).value()};
    settings_.first_port = 20000;
    settings_.last_port = 29999;
  }

  void StartMasquerade(bool host_nat = false) {
    Start(Policy::kOnlyClass1, Policy::kOpen, host_nat);
    Set();
  }
  void Set() {
    const absl::Status set = node_->Run([&] { return dataplane_->SetMasquerade(settings_); });
    ASSERT_TRUE(set.ok()) << set;
  }
  Conversation Out(Transport transport, const Plan& plan, uint16_t client_port = 0,
                   const TestNetns* from = nullptr, uint16_t port = 80) {
    const bool b = from == b_.get();
    return Conversation(transport, {.client_ns = (b ? b_ : a_)->fd(),
                                    .client = b ? plan.b : plan.a,
                                    .to = plan.far,
                                    .to_port = port,
                                    .server_ns = far_->fd(),
                                    .server = plan.far,
                                    .server_port = port,
                                    .client_port = client_port});
  }
  // A socket at an address of a namespace.
  static UniqueFd Socket(const TestNetns& netns, int family, int type, int protocol,
                         const std::string& address, uint16_t port) {
    UniqueFd fd;
    const absl::Status made = netns.Run([&]() -> absl::Status {
      socklen_t length = 0;
      const sockaddr_storage local = ProbeAddress(address, port, &length);
      fd.reset(socket(family, type | SOCK_CLOEXEC, protocol));
      if (!fd.ok()) return absl::ErrnoToStatus(errno, "socket");
      if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&local), length) != 0)
        return absl::ErrnoToStatus(errno, "bind");
      return absl::OkStatus();
    });
    EXPECT_TRUE(made.ok()) << made;
    return fd;
  }

  loader::Masquerade settings_;
};

}  // namespace ripstop::agent::testing

#endif  // RIPSTOP_AGENT_DATAPLANE_TESTING_MASQUERADE_H_
