// SPDX-License-Identifier: Apache-2.0
//
// The agent's verbs against a server that answers as the agent would.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "api/ctl/testing_agent.h"
#include "api/proto/agent.grpc.pb.h"

namespace ripstop::ctl {
namespace {

using agent::v1::AcceptStoreReply;
using agent::v1::PolicyTablesReply;
using agent::v1::RuleHitsReply;
using agent::v1::StagedPoliciesReply;
using agent::v1::StatusReply;
using agent::v1::WhyReply;
using agent::v1::WhyRequest;
using testing::HasSubstr;
using testing::Not;

struct FakeAgent : agent::v1::Agent::Service {
  StatusReply status;
  WhyRequest asked;
  WhyReply why;
  PolicyTablesReply tables;
  RuleHitsReply hits;
  StagedPoliciesReply staged;
  AcceptStoreReply accepted;
  grpc::Status error;

  grpc::Status Status(grpc::ServerContext*, const agent::v1::StatusRequest*,
                      StatusReply* reply) override {
    *reply = status;
    return error;
  }
  grpc::Status Why(grpc::ServerContext*, const WhyRequest* request, WhyReply* reply) override {
    asked = *request;
    *reply = why;
    return error;
  }
  grpc::Status PolicyTables(grpc::ServerContext*, const agent::v1::PolicyTablesRequest*,
                            PolicyTablesReply* reply) override {
    *reply = tables;
    return error;
  }
  grpc::Status RuleHits(grpc::ServerContext*, const agent::v1::RuleHitsRequest*,
                        RuleHitsReply* reply) override {
    *reply = hits;
    return error;
  }
  grpc::Status StagedPolicies(grpc::ServerContext*, const agent::v1::StagedPoliciesRequest*,
                              StagedPoliciesReply* reply) override {
    *reply = staged;
    return error;
  }
  grpc::Status AcceptStore(grpc::ServerContext*, const agent::v1::AcceptStoreRequest*,
                           AcceptStoreReply* reply) override {
    *reply = accepted;
    return error;
  }
};

using AgentCommandsTest = WithAgent<FakeAgent>;

TEST_F(AgentCommandsTest, WhyNamesTheDecidingRuleOfEachDirection) {
  agent_.why.set_verdict("Deny");
  agent_.why.set_source_address("192.0.2.7");
  agent_.why.set_destination_address("198.51.100.9");
  agent_.why.mutable_ingress()->set_present(true);
  agent_.why.mutable_ingress()->set_verdict("Deny");
  agent_.why.mutable_ingress()->set_tier("default");
  agent_.why.mutable_ingress()->set_policy("shop/cart");
  agent_.why.mutable_ingress()->set_policy_kind("NetworkPolicy");
  agent_.why.mutable_ingress()->set_rule("end of tier");
  agent_.why.mutable_ingress()->set_packets(12);
  agent_.why.set_note("shop/web is on node2: ask there for its egress");
  EXPECT_EQ(Ctl({"why", "--from", "shop/web", "--to", "198.51.100.9", "--port", "8080",
                 "--protocol", "UDP", "--source-port", "53"}),
            kExitOk);
  EXPECT_EQ(
      out_,
      "Deny   shop/web (192.0.2.7) -> 198.51.100.9 UDP 8080\n"
      "\n"
      "DIRECTION   VERDICT   TIER      POLICY                    RULE                       "
      "PACKETS\n"
      "egress      -         -         -                         no endpoint of this node   -\n"
      "ingress     Deny      default   NetworkPolicy shop/cart   end of tier                12\n"
      "\n"
      "shop/web is on node2: ask there for its egress\n");
  EXPECT_EQ(agent_.asked.from(), "shop/web");
  EXPECT_EQ(agent_.asked.to(), "198.51.100.9");
  EXPECT_EQ(agent_.asked.port(), 8080u);
  EXPECT_EQ(agent_.asked.source_port(), 53u);
  EXPECT_EQ(agent_.asked.protocol(), "UDP");
  EXPECT_EQ(agent_.asked.icmp_type(), -1);
}

TEST_F(AgentCommandsTest, AProbeShowsEachProgramAndWhatItRead) {
  agent_.why.set_verdict("Deny");
  agent::v1::ProbeStage* stage = agent_.why.add_probe();
  stage->set_hook("from_workload");
  stage->set_interface("cali1");
  stage->set_endpoint("shop/web");
  stage->set_verdict("Drop");
  stage->set_reason("policy-egress");
  agent::v1::ProbeStage::Fact* fact = stage->add_facts();
  fact->set_name("flow");
  fact->set_value("not known");
  const std::vector<std::string> why = {"why",       "--from", "shop/web", "--to",
                                        "192.0.2.9", "--port", "80"};
  EXPECT_EQ(Ctl(why), 0);
  EXPECT_FALSE(agent_.asked.probe());
  EXPECT_THAT(out_, Not(HasSubstr("from_workload")));
  std::vector<std::string> probe = why;
  probe.push_back("--probe");
  EXPECT_EQ(Ctl(probe), 0);
  EXPECT_TRUE(agent_.asked.probe());
  EXPECT_THAT(out_, HasSubstr("from_workload at shop/web (cali1)\n"
                              "  verdict   Drop policy-egress\n"
                              "  flow      not known\n"));
  EXPECT_THAT(out_, HasSubstr("is in the sample of what was dropped lately"));
  agent::v1::DropsReply::Sample* sample = agent_.why.add_recent();
  sample->set_pod("shop/web");
  sample->set_times(3);
  sample->mutable_event()->set_reason("policy-egress");
  sample->mutable_event()->set_egress_rule("NetworkPolicy shop/web egress rule 0");
  EXPECT_EQ(Ctl(probe), 0);
  EXPECT_THAT(out_, HasSubstr("Dropped lately, of such packets and their answers:\n\nLAST (UTC)"));
  EXPECT_THAT(out_, HasSubstr("policy-egress   shop/web"));
  EXPECT_EQ(Ctl(why), 0);
  EXPECT_THAT(out_, Not(HasSubstr("Dropped lately"))) << "is not asked for";
  agent_.why.clear_probe();
  EXPECT_EQ(Ctl(probe), 0);
  EXPECT_THAT(out_, HasSubstr("No program of this node sees such a packet."));
}

TEST_F(AgentCommandsTest, WhyAsJsonHasNumbersAsNumbers) {
  agent_.why.set_verdict("Allow");
  agent_.why.mutable_egress()->set_packets(5'000'000'000);
  ASSERT_EQ(Ctl({"why", "--from", "a/b", "--to", "a/c", "-o", "json"}), kExitOk);
  const auto json = nlohmann::json::parse(out_);
  EXPECT_EQ(json["verdict"], "Allow");
  EXPECT_EQ(json["egress"]["packets"], 5'000'000'000);
  EXPECT_EQ(json["egress"]["policyKind"], "");
}

TEST_F(AgentCommandsTest, AcceptStoreSaysWhatItAcceptsAndThatThereIsNothing) {
  agent_.accepted.set_store("sqlite:///s.db");
  agent_.accepted.set_identity("0123");
  ASSERT_EQ(Ctl({"node", "accept-store"}), kExitOk);
  EXPECT_EQ(out_, "Nothing to accept: store sqlite:///s.db is not doubted.\n");
  agent_.accepted.set_accepted("it lacks 60 of 80 NetworkPolicy");
  ASSERT_EQ(Ctl({"node", "accept-store"}), kExitOk);
  EXPECT_EQ(out_,
            "Accepted what store sqlite:///s.db (identity 0123) holds, although it lacks 60 of 80 "
            "NetworkPolicy.\n");
}

TEST_F(AgentCommandsTest, WhyChecksItsArguments) {
  EXPECT_EQ(Ctl({"why", "--from", "a/b"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("--to"));
  EXPECT_EQ(Ctl({"why", "--from", "a/b", "--to", "a/c", "--port", "70000"}), kExitUsage);
  EXPECT_EQ(Ctl({"why", "--from", "a/b", "--to", "a/c", "-o", "xml"}), kExitUsage);
}

TEST_F(AgentCommandsTest, AgentsOwnErrorKeepsItsMeaning) {
  agent_.error = grpc::Status(grpc::StatusCode::NOT_FOUND, "no endpoint a/x");
  EXPECT_EQ(Ctl({"why", "--from", "a/x", "--to", "a/c"}), kExitNotFound);
  EXPECT_THAT(err_, HasSubstr("no endpoint a/x"));
}

TEST_F(AgentCommandsTest, NodeStatusNamesRulesOfOtherFirewallsAndWhatToType) {
  agent_.status.set_ready(true);
  ASSERT_EQ(Ctl({"node", "status"}), kExitOk);
  EXPECT_THAT(out_, Not(HasSubstr("firewalls"))) << "nothing is said of what does nothing";
  agent::v1::HostFirewall& firewall = *agent_.status.mutable_host_firewall();
  firewall.set_dropped_packets(3);
  ASSERT_EQ(Ctl({"node", "status"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("Other firewalls on this host: they have dropped 3 packets of pods\n"
                              "  by none of the rules that are there now and were read"));
  EXPECT_THAT(out_, Not(HasSubstr("not read")));
  firewall.add_unread("iptables-legacy filter");
  firewall.set_hidden_findings(2);
  ASSERT_EQ(Ctl({"node", "status"}), kExitOk);
  EXPECT_THAT(out_, Not(HasSubstr("by none of the rules"))) << "two may be";
  EXPECT_THAT(out_, HasSubstr("rules that may have dropped some, named while packets are being "
                              "dropped: 2\n"));
  firewall.set_count_problem("no program");
  ASSERT_EQ(Ctl({"node", "status"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("3 packets of pods; whether more is unknown: no program\n"));
  firewall.clear_count_problem();
  firewall.set_dropping(true);
  agent::v1::HostFirewall::Finding& finding = *firewall.add_findings();
  finding.set_what("VXLAN of other nodes, IPv4");
  finding.set_rule("nftables ip filter INPUT: its policy drops");
  finding.set_owner("ufw");
  finding.set_remedy("ufw allow 4789/udp");
  finding.set_certain(true);
  ASSERT_EQ(Ctl({"node", "status"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("3 packets of pods, some of them just now\n"));
  EXPECT_THAT(out_, HasSubstr("INPUT: its policy drops   ufw   yes         ufw allow 4789/udp"));
  EXPECT_THAT(out_, HasSubstr("not read: iptables-legacy filter; `iptables-legacy-save`"));
  firewall.set_dropped_packets(0);
  ASSERT_EQ(Ctl({"node", "status"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("firewalls on this host: they have dropped no packet of pods\n"));
  finding.set_uncounted(true);
  ASSERT_EQ(Ctl({"node", "status"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("they have dropped no packet that is counted; those between nodes "
                              "are not\n"));
  firewall.clear_findings();
  firewall.set_count_problem("no program");
  ASSERT_EQ(Ctl({"node", "status"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("whether they have dropped packets of pods is unknown: no program"));
}

TEST_F(AgentCommandsTest, NodeStatusShowsReadinessAndSessions) {
  agent_.status.set_node("node1");
  agent_.status.set_version("0.1.0");
  agent_.status.add_not_ready_reasons("BGP peer 192.0.2.2: Active");
  agent_.status.add_set_aside("NetworkPolicy shop/broken: bad selector");
  agent::v1::BgpSession* session = agent_.status.add_bgp();
  session->set_peer_address("192.0.2.2");
  session->set_state("Active");
  session->set_peer_as(64512);
  EXPECT_EQ(Ctl({"node", "status"}), kExitError);
  EXPECT_EQ(err_, "") << "what is wrong is in the answer";
  EXPECT_THAT(out_, HasSubstr("Node node1, ripstop-agent 0.1.0: NOT READY\n"
                              "  BGP peer 192.0.2.2: Active\n"));
  EXPECT_THAT(out_, HasSubstr("192.0.2.2      -           64512   Active"));
  EXPECT_THAT(out_, HasSubstr("NetworkPolicy shop/broken: bad selector"));
  EXPECT_EQ(Ctl({"node", "status", "-o", "json"}), kExitError);
  agent_.status.set_ready(true);
  EXPECT_EQ(Ctl({"node", "status"}), kExitOk);
}

TEST_F(AgentCommandsTest, PolicyTablesShortensLongEndpointLists) {
  PolicyTablesReply::Set* set = agent_.tables.add_sets();
  set->set_direction("ingress");
  for (const char* id : {"a/1", "a/2", "a/3", "a/4", "a/5"}) set->add_endpoints(id);
  set->set_representation("dense");
  EXPECT_EQ(Ctl({"policy", "tables"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("a/1,a/2,a/3,+2   -"));
  EXPECT_THAT(out_, HasSubstr("1 policy sets"));
}

TEST_F(AgentCommandsTest, AProfileIsNamedOnce) {
  agent_.why.set_verdict("Allow");
  agent_.why.mutable_egress()->set_present(true);
  agent_.why.mutable_egress()->set_policy_kind("Profile");
  agent_.why.mutable_egress()->set_policy("kns.shop");
  EXPECT_EQ(Ctl({"why", "--from", "a/b", "--to", "a/c"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr(" Profile kns.shop "));
}

TEST_F(AgentCommandsTest, PolicyTablesSaysWhichPoliciesMakeASetLarge) {
  PolicyTablesReply::Set* set = agent_.tables.add_sets();
  set->set_rules(131);
  PolicyTablesReply::PolicyShare* most = set->add_largest_policies();
  most->set_kind("NetworkPolicy");
  most->set_policy("shop/db");
  most->set_tier("default");
  most->set_rules(120);
  PolicyTablesReply::PolicyShare* profile = set->add_largest_policies();
  profile->set_kind("Profile");
  profile->set_policy("kns.shop");
  profile->set_rules(10);
  EXPECT_EQ(Ctl({"policy", "tables"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("NetworkPolicy shop/db (default) 120, Profile kns.shop 10\n"));
  EXPECT_EQ(Ctl({"policy", "tables", "-o", "yaml"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("largestPolicies:"));
  EXPECT_THAT(out_, HasSubstr("policy: shop/db"));
  EXPECT_EQ(Ctl({"policy", "tables", "-o", "json"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("\"rules\": 120"));
}

TEST_F(AgentCommandsTest, PolicyHitsCanShowOnlyTheNeverHit) {
  for (const auto& [name, ago] : {std::pair{"hit", 3000}, {"cold", -1}}) {
    RuleHitsReply::Rule* rule = agent_.hits.add_rules();
    rule->set_policy(name);
    rule->set_packets(ago < 0 ? 0 : 7);
    rule->set_last_hit_ago_ms(ago);
  }
  EXPECT_EQ(Ctl({"policy", "hits"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("3s ago"));
  EXPECT_EQ(Ctl({"policy", "hits", "--never"}), kExitOk);
  EXPECT_THAT(out_, Not(HasSubstr("3s ago")));
  EXPECT_THAT(out_, HasSubstr("never"));
}

TEST_F(AgentCommandsTest, WhySaysBesideWhatStagedPoliciesWouldMakeOfThePacket) {
  agent_.why.set_verdict("Allow");
  agent::v1::WhyStaged* staged = agent_.why.mutable_staged();
  staged->set_present(true);
  staged->set_verdict("Deny");
  staged->mutable_egress()->set_present(true);
  staged->mutable_egress()->set_verdict("Allow");
  staged->mutable_egress()->set_policy_kind("Profile");
  staged->mutable_egress()->set_policy("kns.shop");
  staged->mutable_ingress()->set_present(true);
  staged->mutable_ingress()->set_verdict("Deny");
  staged->mutable_ingress()->set_tier("default");
  staged->mutable_ingress()->set_policy_kind("StagedNetworkPolicy");
  staged->mutable_ingress()->set_policy("shop/db");
  staged->mutable_ingress()->set_rule("ingress rule 0");
  EXPECT_EQ(Ctl({"why", "--from", "a/b", "--to", "a/c"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("\nstaged: Deny by StagedNetworkPolicy shop/db, ingress rule 0 "
                              "(tier default)\n"));
  EXPECT_EQ(Ctl({"why", "--from", "a/b", "--to", "a/c", "-o", "yaml"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("policyKind: StagedNetworkPolicy"));
}

TEST_F(AgentCommandsTest, PolicyStagedListsWhatEachRuleWouldHaveChanged) {
  EXPECT_EQ(Ctl({"policy", "staged"}), kExitOk);
  EXPECT_EQ(out_, "No policy is staged.\n");
  StagedPoliciesReply::Policy* policy = agent_.staged.add_policies();
  policy->set_kind("StagedNetworkPolicy");
  policy->set_policy("shop/db");
  policy->set_tier("default");
  policy->set_action("Set");
  for (const uint64_t denied : {2, 0}) {
    StagedPoliciesReply::Rule* rule = agent_.staged.add_rules();
    rule->set_tier("default");
    rule->set_policy_kind("StagedNetworkPolicy");
    rule->set_policy("shop/db");
    rule->set_rule(denied > 0 ? "ingress rule 0" : "ingress rule 1");
    rule->set_would_deny(denied);
    rule->set_unchanged(7);
    rule->set_last_seen_ago_ms(denied > 0 ? 3000 : -1);
    if (denied == 0) continue;
    rule->set_example("TCP 192.0.2.1:40000 -> 192.0.2.2:80");
    rule->set_instead_of("profile kns.shop ingress rule 0");
  }
  agent_.staged.set_flows_judged(9);
  agent_.staged.set_flows_not_judged(1);
  EXPECT_EQ(Ctl({"policy", "staged"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("default   StagedNetworkPolicy   shop/db   Set\n"));
  EXPECT_THAT(out_, HasSubstr("ingress rule 0   2            0             7           3s ago      "
                              "TCP 192.0.2.1:40000 -> 192.0.2.2:80   profile kns.shop ingress"));
  EXPECT_THAT(out_, HasSubstr("never"));
  EXPECT_THAT(out_, HasSubstr("9 flows judged by the staged policies, 1 not judged.\n"));
  EXPECT_EQ(Ctl({"policy", "staged", "--changed"}), kExitOk);
  EXPECT_THAT(out_, Not(HasSubstr("ingress rule 1")));
  EXPECT_EQ(Ctl({"policy", "staged", "-o", "json"}), kExitOk);
  EXPECT_EQ(nlohmann::json::parse(out_)["rules"][0]["wouldDeny"], 2);
}

TEST_F(AgentCommandsTest, AbsentAgentIsUnreachableAndTheSocketNamed) {
  socket_ = folder_ + "/nobody.sock";
  for (const auto& verb :
       std::vector<std::vector<std::string>>{{"drops"},
                                             {"node", "status"},
                                             {"policy", "tables"},
                                             {"policy", "hits"},
                                             {"policy", "staged"},
                                             {"why", "--from", "a/b", "--to", "a/c"}}) {
    EXPECT_EQ(Ctl(verb), kExitUnreachable);
    EXPECT_THAT(err_, HasSubstr("no agent answers at " + socket_));
    EXPECT_THAT(err_, HasSubstr("is ripstop-agent running"));
  }
}

TEST_F(AgentCommandsTest, WrongVerbIsAUsageError) {
  EXPECT_EQ(Ctl({"policy"}), kExitUsage);
  EXPECT_EQ(Ctl({"explode"}), kExitUsage);
  EXPECT_EQ(Ctl({"--help"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("Exit codes"));
}

}  // namespace
}  // namespace ripstop::ctl
