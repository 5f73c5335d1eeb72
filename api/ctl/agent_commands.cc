// SPDX-License-Identifier: Apache-2.0
//
// The verbs that ask the running agent: why, node status and accept-store, policy tables, staged
// and hits.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "api/codec/writer.h"
#include "api/ctl/agent_client.h"
#include "api/ctl/context.h"
#include "api/ctl/drop_samples.h"
#include "api/ctl/firewall_text.h"
#include "api/ctl/message_text.h"
#include "api/ctl/staged_text.h"
#include "api/ctl/table.h"

namespace ripstop::ctl {
namespace {

// Options of all agent verbs together; each verb reads its own.
struct AgentOptions {
  std::string output = "table";
  agent::v1::WhyRequest why;
  bool never = false;
  bool changed = false;
};

void PrintHostNat(const agent::v1::HostNat& nat, std::ostream& out) {
  if (nat.mode().empty()) return;  // an agent that knows of none
  out << "Host's NAT: " << (nat.on() ? "on" : "off") << " (" << nat.mode() << ")";
  if (nat.found_size() > 0) {
    out << ", by " << absl::StrJoin(nat.found(), ", ");
  } else if (nat.mode() == "Auto") {
    out << (nat.on() ? ", its rules have just gone" : ", there are no rules");
  }
  out << "\n";
  if (nat.on() && nat.mark_users_size() > 0) {
    out << "  Others use bits of the agent's mark, " << absl::StrFormat("0x%x", nat.mark_mask())
        << "; give it others (ripstop-agent --mark-mask):\n";
    for (const std::string& user : nat.mark_users()) out << "    " << user << "\n";
  }
  if (nat.addresses_without_number() > 0) {
    out << "  " << nat.addresses_without_number()
        << " local addresses are more than the mark can name; they pass beside the NAT.\n";
  }
  out << "\n";
}

void PrintStatus(const agent::v1::StatusReply& reply, std::ostream& out) {
  out << "Node " << reply.node() << ", ripstop-agent " << reply.version() << ": "
      << (reply.ready() ? "ready" : "NOT READY") << "\n";
  for (const std::string& reason : reply.not_ready_reasons()) out << "  " << reason << "\n";
  out << "\n";
  Table facts({"STORE REVISION", "LOCAL ENDPOINTS", "POLICIES", "PROGRAMS LOADED", "TABLE WRITES",
               "FLOWS"});
  facts.Add({absl::StrCat(reply.store_revision()), absl::StrCat(reply.local_endpoints()),
             absl::StrCat(reply.policies()), absl::StrCat(reply.programs_loaded()),
             absl::StrCat(reply.table_writes()),
             absl::StrCat(reply.flows().entries(), " of ", reply.flows().capacity())});
  facts.Print(out);
  out << "\n";
  PrintHostNat(reply.host_nat(), out);
  PrintHostFirewall(reply.host_firewall(), out);
  if (reply.bgp_size() == 0) {
    out << "No BGP peers.\n";
  } else {
    Table sessions(
        {"PEER ADDRESS", "PEER TYPE", "AS", "STATE", "SINCE", "IMPORTED", "EXPORTED", "INFO"});
    for (const agent::v1::BgpSession& s : reply.bgp())
      sessions.Add({s.peer_address(), OrDash(s.peer_type()), absl::StrCat(s.peer_as()), s.state(),
                    OrDash(s.since()), absl::StrCat(s.routes_imported()),
                    absl::StrCat(s.routes_exported()), OrDash(s.info())});
    sessions.Print(out);
  }
  if (reply.repairs_size() > 0) {
    out << "\nChanged by somebody else, and put back:\n";
    Table repairs({"KIND", "TIMES", "LAST"});
    for (const agent::v1::Repair& repair : reply.repairs()) {
      repairs.Add({repair.kind(), absl::StrCat(repair.count()), OrDash(repair.last())});
    }
    repairs.Print(out);
  }
  if (reply.set_aside_size() > 0) out << "\nSet aside, not in force:\n";
  for (const std::string& object : reply.set_aside()) out << "  " << object << "\n";
  if (reply.unheeded_size() > 0) out << "\nIn the store, but not all of it acts:\n";
  for (const std::string& object : reply.unheeded()) out << "  " << object << "\n";
}

void PrintAccepted(const agent::v1::AcceptStoreReply& reply, std::ostream& out) {
  if (reply.accepted().empty()) {
    out << "Nothing to accept: store " << reply.store() << " is not doubted.\n";
  } else {
    out << "Accepted what store " << reply.store() << " (identity " << reply.identity()
        << ") holds, although " << reply.accepted() << ".\n";
  }
}

void AddDirection(Table& table, const char* name, const agent::v1::WhyDirection& direction) {
  if (!direction.present()) {
    table.Add({name, "-", "-", "-", "no endpoint of this node", "-"});
    return;
  }
  std::string policy = direction.policy();
  if (!policy.empty() && !direction.policy_kind().empty())
    policy = absl::StrCat(direction.policy_kind(), " ", policy);
  table.Add({name, direction.verdict(), OrDash(direction.tier()), OrDash(policy),
             OrDash(direction.rule()), absl::StrCat(direction.packets())});
}

std::string Party(const std::string& asked, const std::string& address) {
  return address.empty() || address == asked ? asked : absl::StrCat(asked, " (", address, ")");
}

const char* NextText(const std::string& next) {
  if (next == "pod") return "into the pod";
  if (next == "route") return "out as the routing table says (`ip route get`)";
  if (next == "host stack") return "to the host's stack; what that may make of it is judged there";
  return next == "answer" ? "its sender is told" : "";
}

void PrintProbe(const agent::v1::WhyReply& reply, std::ostream& out) {
  if (reply.probe().empty()) {
    out << "\nNo program of this node sees such a packet.\n";
    return;
  }
  out << "\nA packet of it, through the programs over the tables in force:\n";
  for (const agent::v1::ProbeStage& stage : reply.probe()) {
    const std::string interface = !stage.interface().empty()      ? stage.interface()
                                  : stage.hook() == "from_tunnel" ? "the tunnel's device"
                                                                  : "an uplink";
    out << "\n" << stage.hook() << " at "
        << (stage.endpoint().empty() ? interface
                                     : absl::StrCat(stage.endpoint(), " (", interface, ")"))
        << "\n";
    const std::string verdict =
        stage.reason().empty() ? stage.verdict() : stage.verdict() + " " + stage.reason();
    const std::string next = NextText(stage.next());
    Table table({"  verdict", next.empty() ? verdict : absl::StrCat(verdict, ", ", next)});
    for (const auto& fact : stage.facts()) table.Add({"  " + fact.name(), fact.value()});
    table.Print(out);
  }
}

void PrintRecent(const agent::v1::WhyReply& reply, std::ostream& out) {
  if (reply.recent().empty()) {
    out << "\nNo such packet, and no answer to one, is in the sample of what was dropped lately.\n";
    return;
  }
  out << "\nDropped lately, of such packets and their answers:\n\n";
  SamplesTable(reply.recent(), reply.recent_size()).Print(out);
}

void PrintWhy(const agent::v1::WhyRequest& request, const agent::v1::WhyReply& reply,
              std::ostream& out) {
  out << reply.verdict() << "   " << Party(request.from(), reply.source_address()) << " -> "
      << Party(request.to(), reply.destination_address()) << " " << request.protocol();
  if (request.port() != 0) out << " " << request.port();
  out << "\n\n";
  Table table({"DIRECTION", "VERDICT", "TIER", "POLICY", "RULE", "PACKETS"});
  AddDirection(table, "egress", reply.egress());
  AddDirection(table, "ingress", reply.ingress());
  table.Print(out);
  PrintWhyStaged(reply.staged(), out);
  if (!reply.note().empty()) out << "\n" << reply.note() << "\n";
  if (!request.probe()) return;
  PrintProbe(reply, out);
  PrintRecent(reply, out);
}

// "NetworkPolicy shop/db (default) 120, Profile kns.shop 1"
std::string LargestPolicies(const agent::v1::PolicyTablesReply::Set& set) {
  return absl::StrJoin(set.largest_policies(), ", ", [](std::string* text, const auto& share) {
    absl::StrAppend(text, share.kind(), " ", share.policy());
    if (!share.tier().empty()) absl::StrAppend(text, " (", share.tier(), ")");
    absl::StrAppend(text, " ", share.rules());
  });
}

void PrintTables(const agent::v1::PolicyTablesReply& reply, std::ostream& out) {
  Table table({"DIRECTION", "RULES", "ROWS", "COLUMNS", "CELLS", "BYTES", "REPRESENTATION",
               "ENDPOINTS", "MOST RULES"});
  constexpr int kNamesMax = 3;  // a set may serve hundreds of endpoints; -o json has all
  for (const auto& set : reply.sets()) {
    const int named = std::min(set.endpoints_size(), kNamesMax);
    std::string endpoints =
        absl::StrJoin(set.endpoints().begin(), set.endpoints().begin() + named, ",");
    if (set.endpoints_size() > named)
      absl::StrAppend(&endpoints, ",+", set.endpoints_size() - named);
    table.Add({set.direction(), absl::StrCat(set.rules()), absl::StrCat(set.rows()),
               absl::StrCat(set.columns()), absl::StrCat(set.cells()), absl::StrCat(set.bytes()),
               set.representation(), OrDash(endpoints), OrDash(LargestPolicies(set))});
  }
  table.Print(out);
  out << "\n"
      << reply.sets_size() << " policy sets, " << reply.address_classes() << " address classes, "
      << reply.l4_classes() << " L4 classes, " << reply.arena_bytes() << " bytes of arena\n";
}

void PrintHits(const agent::v1::RuleHitsReply& reply, bool never, std::ostream& out) {
  Table table({"TIER", "KIND", "POLICY", "DIRECTION", "RULE", "PACKETS", "BYTES", "LAST HIT"});
  for (const auto& rule : reply.rules()) {
    if (never && rule.packets() != 0) continue;
    table.Add({OrDash(rule.tier()), OrDash(rule.policy_kind()), OrDash(rule.policy()),
               rule.direction(), rule.rule(), absl::StrCat(rule.packets()),
               absl::StrCat(rule.bytes()), Since(rule.last_hit_ago_ms())});
  }
  table.Print(out);
  out << "\nCounted since " << Since(reply.since_ms_ago()) << ".\n";
}

// Runs one call and prints its reply in the form asked for; a failure is already reported.
template <typename Reply>
absl::StatusOr<Reply> Ask(Context& context, const AgentOptions& options,
                          const std::function<absl::StatusOr<Reply>(AgentClient&)>& call,
                          const std::function<void(const Reply&, std::ostream&)>& print) {
  AgentClient client(context.socket);
  absl::StatusOr<Reply> reply = call(client);
  if (!reply.ok()) {
    context.Fail(reply.status());
  } else if (options.output == "json") {
    context.io.out << ToJson(*reply).dump(2) << "\n";
  } else if (options.output == "yaml") {
    context.io.out << api::JsonToYaml(ToJson(*reply));
  } else {
    print(*reply, context.io.out);
  }
  return reply;
}

CLI::App* AddVerb(CLI::App& parent, const char* name, const char* description,
                  const std::shared_ptr<AgentOptions>& options) {
  CLI::App* verb = parent.add_subcommand(name, description);
  verb->add_option("-o,--output", options->output, "table, json or yaml")
      ->check(CLI::IsMember({"table", "wide", "json", "yaml"}));
  return verb;
}

void AddWhy(CLI::App& app, Context& context, const std::shared_ptr<AgentOptions>& options) {
  CLI::App* why =
      AddVerb(app, "why", "Which rule decides for a packet, from the tables in force", options);
  why->add_option_function<std::string>(
         "--from", [options](const std::string& v) { options->why.set_from(v); },
         "namespace/pod or address")
      ->required();
  why->add_option_function<std::string>(
         "--to", [options](const std::string& v) { options->why.set_to(v); },
         "namespace/pod or address")
      ->required();
  options->why.set_protocol("TCP");
  options->why.set_icmp_type(-1);
  options->why.set_icmp_code(-1);
  why->add_option_function<std::string>(
      "--protocol", [options](const std::string& v) { options->why.set_protocol(v); },
      "Name or number (TCP)");
  why->add_option_function<uint32_t>(
         "--port", [options](uint32_t v) { options->why.set_port(v); },
         "Destination port, for a protocol that has ports")
      ->check(CLI::Range(0, 65535));
  why->add_option_function<uint32_t>(
         "--source-port", [options](uint32_t v) { options->why.set_source_port(v); }, "Source port")
      ->check(CLI::Range(0, 65535));
  why->add_option_function<int>(
         "--icmp-type", [options](int v) { options->why.set_icmp_type(v); }, "ICMP type")
      ->check(CLI::Range(0, 255));
  why->add_option_function<int>(
         "--icmp-code", [options](int v) { options->why.set_icmp_code(v); }, "ICMP code")
      ->check(CLI::Range(0, 255));
  why->add_option_function<uint32_t>(
         "--ip-version", [options](uint32_t v) { options->why.set_ip_version(v); }, "4 or 6")
      ->check(CLI::IsMember({4, 6}));
  why->add_flag_callback(
      "--probe", [options] { options->why.set_probe(true); },
      "Also sends such a packet through the programs and says what each read; leaves no trace");
  why->callback([&context, options] {
    (void)Ask<agent::v1::WhyReply>(
        context, *options, [&](AgentClient& client) { return client.Why(options->why); },
        [&](const auto& reply, std::ostream& out) { PrintWhy(options->why, reply, out); });
  });
}

}  // namespace

void AddAgentCommands(CLI::App& app, Context& context) {
  const auto options = std::make_shared<AgentOptions>();
  AddWhy(app, context, options);

  CLI::App* node = app.add_subcommand("node", "This node's agent");
  node->require_subcommand(1);
  AddVerb(*node, "status", "Readiness, BGP sessions, tables; exits 1 when not ready", options)
      ->callback([&context, options] {
        const auto reply = Ask<agent::v1::StatusReply>(
            context, *options, [](AgentClient& client) { return client.Status(); }, &PrintStatus);
        // The answer has said why; scripts read the code.
        if (reply.ok() && !reply->ready()) context.exit_code = kExitError;
      });

  AddVerb(*node, "accept-store",
          "The store is right: this node may put in force what it doubts (see node status)",
          options)
      ->callback([&context, options] {
        (void)Ask<agent::v1::AcceptStoreReply>(
            context, *options, [](AgentClient& client) { return client.AcceptStore(); },
            &PrintAccepted);
      });

  CLI::App* policy = app.add_subcommand("policy", "Policy as this node enforces it");
  policy->require_subcommand(1);
  AddVerb(*policy, "tables", "The policy sets and their tables", options)
      ->callback([&context, options] {
        (void)Ask<agent::v1::PolicyTablesReply>(
            context, *options, [](AgentClient& client) { return client.PolicyTables(); },
            &PrintTables);
      });
  CLI::App* staged = AddVerb(
      *policy, "staged", "What the staged policies would have done to this node's flows", options);
  staged->add_flag("--changed", options->changed, "Only rules that would have changed a verdict");
  staged->callback([&context, options] {
    (void)Ask<agent::v1::StagedPoliciesReply>(
        context, *options, [](AgentClient& client) { return client.StagedPolicies(); },
        [&](const auto& reply, std::ostream& out) { PrintStaged(reply, options->changed, out); });
  });
  CLI::App* hits = AddVerb(*policy, "hits", "What each rule decided so far", options);
  hits->add_flag("--never", options->never, "Only the rules that never decided anything");
  hits->callback([&context, options] {
    (void)Ask<agent::v1::RuleHitsReply>(
        context, *options, [](AgentClient& client) { return client.RuleHits(); },
        [&](const auto& reply, std::ostream& out) { PrintHits(reply, options->never, out); });
  });
}

}  // namespace ripstop::ctl
