// SPDX-License-Identifier: Apache-2.0
//
// The node of testing_node.h with NAT rules of the host's on it, both families, by each of
// the tools that write such rules.
#ifndef RIPSTOP_AGENT_DATAPLANE_TESTING_NAT_H_
#define RIPSTOP_AGENT_DATAPLANE_TESTING_NAT_H_

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "agent/base/testing/conversation.h"
#include "agent/dataplane/testing_node.h"

namespace ripstop::agent::testing {

enum class RuleTool { kNft, kIptablesNft, kIptablesLegacy };

inline const char* NameOf(RuleTool tool) {
  switch (tool) {
    case RuleTool::kNft: return "Nft";
    case RuleTool::kIptablesNft: return "IptablesNft";
    case RuleTool::kIptablesLegacy: return "IptablesLegacy";
  }
  return "";
}

// Addresses of one family.
struct Plan {
  bool v4;
  const char *a, *b, *far, *far_other;  // pods, beyond the uplink: of class 1, of class 0
  const char* node;                     // the node's on its uplink
  const char* service;                  // nobody's
  const char* pods;                     // all pods
};
inline constexpr Plan kV4{true,        kPodA,        kPodB,        kFar,
                          kFarUnknown, "10.255.0.1", "10.96.0.10", "198.51.100.0/24"};
inline constexpr Plan kV6{false,           "2001:db8:a::10", "2001:db8:a::20",
                          "2001:db8:f::5", "2001:db8:e::77", "2001:db8:ff::1",
                          "fd00:96::10",   "2001:db8:a::/64"};

// Families and transports, all of them.
struct Case {
  const Plan& plan;
  Transport transport;
};
inline constexpr Case kCases[] = {
    {kV4, Transport::kTcp}, {kV4, Transport::kUdp}, {kV6, Transport::kTcp}, {kV6, Transport::kUdp}};

class NatNode : public NodeTest {
 protected:
  // What class 0 and class 1 may: the sets below deny one of them or none.
  enum class Policy { kOpen, kOnlyClass1, kOnlyClass0, kClosed };

  void SetUp() override {
    NodeTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    ASSERT_EQ(node_->Shell("sysctl -w net.ipv6.conf.all.forwarding=1 && "
                           "ip addr add 2001:db8:ff::1/64 dev up0 nodad && "
                           "ip addr add 2001:db8:1::1/128 dev lo"),
              0);
    AddPodV6(*a_, "hosta", kV6.a);
    AddPodV6(*b_, "hostb", kV6.b);
    ASSERT_EQ(
        far_->Shell(absl::StrCat("ip addr add 2001:db8:ff::2/64 dev eth0 nodad && "
                                 "ip addr add ",
                                 kV6.far, "/128 dev lo && ip addr add ", kV6.far_other,
                                 "/128 dev lo && ip route add 2001:db8:a::/64 via "
                                 "2001:db8:ff::1 && ip route add 10.96.0.0/16 via 10.255.0.1")),
        0);
    ASSERT_EQ(node_->Shell(absl::StrCat("ip route add ", kV6.far,
                                        "/128 via 2001:db8:ff::2 && ip route add ", kV6.far_other,
                                        "/128 via 2001:db8:ff::2 && ip route add default via "
                                        "10.255.0.2 && ip route add default via 2001:db8:ff::2")),
              0);
    // Known beforehand: nobody's packets wait for its neighbour.
    ASSERT_EQ(far_->Shell("ip link set eth0 address 02:00:00:00:00:0f"), 0);
    for (const char* gateway : {"10.255.0.2", "2001:db8:ff::2"}) {
      ASSERT_EQ(node_->Shell(absl::StrCat("ip neigh replace ", gateway,
                                          " dev up0 nud permanent lladdr 02:00:00:00:00:0f")),
                0);
    }
  }

  void TearDown() override {
    if (HasFailure() && dataplane_ != nullptr) {
      const auto drops = dataplane_->Drops();
      for (const loader::DropCount& drop : *drops) {
        if (drop.packets > 0) std::cerr << drop.name << ": " << drop.packets << "\n";
      }
    }
    NodeTest::TearDown();
  }

  void AddPodV6(const TestNetns& pod, const std::string& host_side, const char* address) {
    ASSERT_EQ(node_->Shell(absl::StrCat("ip route add ", address, "/128 dev ", host_side)), 0);
    ASSERT_EQ(pod.Shell(absl::StrCat(
                  "ip addr add ", address,
                  "/128 dev eth0 nodad && ip route add default via fe80::ecee:eeff:feee:eeee dev "
                  "eth0 && ip neigh replace fe80::ecee:eeff:feee:eeee lladdr ee:ee:ee:ee:ee:ee "
                  "dev eth0 nud permanent")),
              0);
    // As the agent does: nothing is learned of pods.
    for (const char* known : {address, host_side == "hosta" ? kPodA : kPodB}) {
      ASSERT_EQ(node_->Shell(absl::StrCat(
                    "ip neigh replace ", known, " dev ", host_side,
                    " nud permanent lladdr 02:00:00:00:00:", host_side == "hosta" ? "0a" : "0b")),
                0);
    }
  }

  // In the node's namespace, by the family's tool.
  void Rule(const Plan& plan, RuleTool tool, const std::string& rule) {
    const std::string family = plan.v4 ? "" : "6";
    const std::string program = tool == RuleTool::kIptablesNft
                                    ? absl::StrCat("ip", family, "tables-nft")
                                    : absl::StrCat("ip", family, "tables-legacy");
    ASSERT_EQ(node_->Shell(absl::StrCat(program, " ", rule)), 0) << program << " " << rule;
  }
  void Nft(const std::string& text) {
    ASSERT_EQ(node_->Shell(absl::StrCat("nft \"", text, "\"")), 0) << text;
  }
  void NftNatChains(const Plan& plan) {
    const char* family = plan.v4 ? "ip" : "ip6";
    Nft(absl::StrCat("add table ", family, " t"));
    for (const auto& [chain, priority] :
         {std::pair{"prerouting", "-100"}, {"output", "-100"}, {"postrouting", "100"}}) {
      Nft(absl::StrCat("add chain ", family, " t ", chain, " { type nat hook ", chain, " priority ",
                       priority, "; }"));
    }
  }
  static std::string WithPort(const Plan& plan, const std::string& address, uint16_t port) {
    return plan.v4 ? absl::StrCat(address, ":", port) : absl::StrCat("[", address, "]:", port);
  }
  // What kube-proxy and portmap do: `to`:`port` becomes `backend`:`backend_port`, both for
  // what passes by and for what the node itself sends.
  void Dnat(const Plan& plan, RuleTool tool, const std::string& to, uint16_t port,
            const std::string& backend, uint16_t backend_port) {
    if (tool == RuleTool::kNft) NftNatChains(plan);
    for (const char* chain : {"prerouting", "output"}) {
      for (const char* protocol : {"tcp", "udp"}) {
        if (tool == RuleTool::kNft) {
          const char* family = plan.v4 ? "ip" : "ip6";
          Nft(absl::StrCat("add rule ", family, " t ", chain, " ", family, " daddr ", to, " ",
                           protocol, " dport ", port, " dnat to ",
                           WithPort(plan, backend, backend_port)));
        } else {
          Rule(plan, tool,
               absl::StrCat("-t nat -A ", absl::AsciiStrToUpper(chain), " -d ", to, " -p ",
                            protocol, " --dport ", port, " -j DNAT --to-destination ",
                            WithPort(plan, backend, backend_port)));
        }
      }
    }
  }
  // What leaves for none of the pods has the node's address.
  void Masquerade(const Plan& plan, RuleTool tool) {
    if (tool == RuleTool::kNft) {
      const char* family = plan.v4 ? "ip" : "ip6";
      NftNatChains(plan);
      Nft(absl::StrCat("add rule ", family, " t postrouting ", family, " saddr ", plan.pods, " ",
                       family, " daddr != ", plan.pods, " masquerade"));
    } else {
      Rule(plan, tool,
           absl::StrCat("-t nat -A POSTROUTING -s ", plan.pods, " ! -d ", plan.pods,
                        " -j MASQUERADE"));
    }
  }

  // The datapath on all interfaces, host's NAT on, and policies in force.
  void Start(Policy a_egress, Policy b_ingress = Policy::kOpen, bool host_nat = true) {
    Open();
    Attach();
    ConfigureNat(host_nat);
    Write(a_egress, b_ingress);
  }
  void ConfigureNat(bool on) {
    const absl::Status configured = node_->Run([&] {
      return dataplane_->Configure({.events_per_second = 1000000,
                                    .watch_flows = true,
                                    .watch_closed = true,
                                    .host_nat = on});
    });
    ASSERT_TRUE(configured.ok()) << configured;
  }
  // Numbers of the pods' addresses in marks, as Write has them; the mask's lowest bit.
  static constexpr uint32_t kNumberOfB = 2, kMarkUnit = 0x10000, kKindUnit = 0x40000000;

  // A new generation. `far` is class 1, and so is pod B; the service address, `far_other` and
  // the node are class 0.
  void Write(Policy a_egress, Policy b_ingress = Policy::kOpen,
             Policy a_ingress = Policy::kClosed) {
    auto options = dataplane_->BeginGeneration();
    ASSERT_TRUE(options.ok()) << options.status();
    tables_ = std::make_unique<loader::testing::HandmadeTables>(*options);
    loader::testing::HandmadeTables& tables = *tables_;
    uint32_t next = 1;
    const auto set = [&](Policy policy) {
      const uint32_t rule = next * 11;
      return tables.AddSet(next++, [=](uint32_t address_class, uint32_t) -> uint32_t {
        const bool allow = policy == Policy::kOpen ||
                           (policy == Policy::kOnlyClass1 && address_class == 1) ||
                           (policy == Policy::kOnlyClass0 && address_class == 0);
        return allow ? VERDICT_ALLOW | rule : rule;
      });
    };
    const uint32_t egress = set(a_egress), ingress = set(a_ingress);
    const uint32_t b_in = set(b_ingress), b_out = set(Policy::kOpen);
    for (const Plan& plan : {kV4, kV6}) {
      tables.AddPod(plan.a, 1, egress, ingress, Ifindex("hosta"), {2, 0, 0, 0, 0, 0x0a});
      tables.AddPod(plan.b, 1, b_out, b_in, Ifindex("hostb"), {2, 0, 0, 0, 0, 0x0b});
      tables.AddOther(plan.node, ADDRESS_THIS_HOST);
    }
    tables.AddOther("192.0.2.1", ADDRESS_THIS_HOST);
    tables.AddCidr(policy::Cidr::Parse("203.0.113.0/24").value(), 1);
    tables.AddCidr(policy::Cidr::Parse("2001:db8:f::/64").value(), 1);
    const absl::Status applied = dataplane_->Apply(tables.Take());
    ASSERT_TRUE(applied.ok()) << applied;
    const absl::Status committed = PutInForce(tables.l4_table());
    ASSERT_TRUE(committed.ok()) << committed;
  }

  // From pod A to `to`:80, where `server_ns` serves at `server`:8080.
  Conversation FromA(Transport transport, const Plan& plan, const std::string& to,
                     const TestNetns& server_ns, const std::string& server, uint16_t to_port = 80,
                     uint16_t server_port = 8080) {
    return Conversation(transport, {.client_ns = a_->fd(),
                                    .client = plan.a,
                                    .to = to,
                                    .to_port = to_port,
                                    .server_ns = server_ns.fd(),
                                    .server = server,
                                    .server_port = server_port});
  }
  // That a drop for `reason` is counted on account of what `act` does.
  template <typename Act>
  void ExpectDropped(drop_reason reason, Act act) {
    const uint64_t before = Dropped(reason);
    act();
    const absl::Time limit = absl::Now() + absl::Minutes(5);
    while (Dropped(reason) == before) {
      ASSERT_LT(absl::Now(), limit) << "nothing was dropped for reason " << reason;
      absl::SleepFor(absl::Milliseconds(1));
    }
  }
  // A conversation that is denied at its first packet for `reason`.
  void ExpectDenied(Conversation&& talk, drop_reason reason) {
    ASSERT_TRUE(talk.Listen().ok());
    ExpectDropped(reason, [&] {
      ASSERT_TRUE(talk.Begin().ok());
      talk.ClientSays();
    });
    EXPECT_FALSE(talk.ServerHears(0).ok());
  }
};

}  // namespace ripstop::agent::testing

#endif  // RIPSTOP_AGENT_DATAPLANE_TESTING_NAT_H_
