// SPDX-License-Identifier: Apache-2.0
//
// conntrack list, show and flush: the flows of this node.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "api/codec/writer.h"
#include "api/ctl/agent_client.h"
#include "api/ctl/context.h"
#include "api/ctl/flow_words.h"
#include "api/ctl/message_text.h"
#include "api/ctl/table.h"

namespace ripstop::ctl {
namespace {

using agent::v1::EndFlowsReply;
using agent::v1::FlowsReply;
using agent::v1::FlowsRequest;

struct ConntrackOptions {
  std::string output = "table";
  FlowsRequest request;
  bool all = false;
};

std::string Idle(uint64_t ms) {
  const uint64_t seconds = ms / 1000;
  if (seconds < 120) return absl::StrCat(seconds, "s");
  if (seconds < 7200) return absl::StrCat(seconds / 60, "m");
  return absl::StrFormat("%dh%02dm", seconds / 3600, seconds / 60 % 60);
}

void PrintTable(const FlowsReply& reply, bool wide, std::ostream& out) {
  if (reply.flows().empty()) {
    out << "No such flow on this node.\n";
    return;
  }
  const bool masquerade = std::any_of(reply.flows().begin(), reply.flows().end(),
                                      [](const auto& flow) { return !flow.leaves_as().empty(); });
  std::vector<std::string> header = {"PROTOCOL", "SOURCE",       "DESTINATION", "STATE",
                                     "IDLE",     "PACKETS SENT", "RECEIVED"};
  if (masquerade) header.insert(header.begin() + 2, "LEAVES AS");
  if (wide) header.insert(header.end(), {"BYTES SENT", "RECEIVED", "ADMITTED BY"});
  Table table(header);
  for (const agent::v1::Flow& flow : reply.flows()) {
    std::vector<std::string> row = {
        flow.protocol(),
        Named(flow.source_name(), WithPort(flow.source(), flow.source_port())),
        Named(flow.destination_name(), WithPort(flow.destination(), flow.destination_port())),
        flow.state(),
        Idle(flow.idle_ms()),
        absl::StrCat(flow.packets_sent()),
        absl::StrCat(flow.packets_received())};
    if (masquerade) {
      const std::string own = "-";
      row.insert(row.begin() + 2, flow.leaves_as().empty()
                                      ? own
                                      : WithPort(flow.leaves_as(), flow.leaves_as_port()));
    }
    if (wide) {
      row.insert(row.end(), {absl::StrCat(flow.bytes_sent()), absl::StrCat(flow.bytes_received()),
                             Rules(flow.egress_rule(), flow.ingress_rule())});
    }
    table.Add(row);
  }
  table.Print(out);
}

void PrintEach(const FlowsReply& reply, std::ostream& out) {
  if (reply.flows().empty()) out << "No such flow on this node.\n";
  for (const agent::v1::Flow& flow : reply.flows()) {
    if (&flow != &reply.flows(0)) out << "\n";
    out << flow.protocol() << " " << WithPort(flow.source(), flow.source_port()) << " -> "
        << WithPort(flow.destination(), flow.destination_port()) << "\n";
    Table table(
        {"  begun by", flow.source_name().empty() ? "no endpoint's address" : flow.source_name()});
    table.Add({"  to", flow.destination_name().empty() ? "no endpoint's address"
                                                       : flow.destination_name()});
    if (!flow.leaves_as().empty())
      table.Add({"  leaves as", WithPort(flow.leaves_as(), flow.leaves_as_port())});
    table.Add({"  state", absl::StrCat(flow.state(), ", idle for ", Idle(flow.idle_ms()))});
    table.Add(
        {"  sent", absl::StrCat(flow.packets_sent(), " packets, ", flow.bytes_sent(), " bytes")});
    table.Add({"  received", absl::StrCat(flow.packets_received(), " packets, ",
                                          flow.bytes_received(), " bytes")});
    const auto rule = [](const std::string& text) {
      return text.empty() ? std::string("no endpoint of this node") : text;
    };
    table.Add({"  egress", rule(flow.egress_rule())});
    table.Add({"  ingress", rule(flow.ingress_rule())});
    for (const std::string& note : flow.notes()) table.Add({"  note", note});
    table.Print(out);
  }
}

// As people look for them: whose, then where to.
void Sort(FlowsReply& reply) {
  const auto place = [](const agent::v1::Flow& flow) {
    return std::make_tuple(std::cref(flow.source_name()), std::cref(flow.source()),
                           std::cref(flow.destination_name()), std::cref(flow.destination()),
                           std::cref(flow.protocol()), flow.destination_port(), flow.source_port());
  };
  std::sort(reply.mutable_flows()->pointer_begin(), reply.mutable_flows()->pointer_end(),
            [&](const auto* a, const auto* b) { return place(*a) < place(*b); });
}

// All parts as one reply, sorted; a failure is already reported.
bool ReadAll(Context& context, FlowsRequest request, FlowsReply& all) {
  AgentClient client(context.socket);
  do {
    absl::StatusOr<FlowsReply> part = client.Flows(request);
    if (!part.ok()) {
      context.Fail(part.status());
      return false;
    }
    request.set_part(part->next());
    all.MergeFrom(*part);
  } while (request.part() != 0);
  all.set_next(0);
  Sort(all);
  return true;
}

void Show(Context& context, const ConntrackOptions& options,
          const std::function<void(const FlowsReply&)>& print) {
  FlowsReply reply;
  if (!ReadAll(context, options.request, reply)) return;
  if (options.output == "json") {
    context.io.out << ToJson(reply).dump(2) << "\n";
  } else if (options.output == "yaml") {
    context.io.out << api::JsonToYaml(ToJson(reply));
  } else {
    print(reply);
  }
}

void Flush(Context& context, const ConntrackOptions& options) {
  FlowsRequest request = options.request;
  if (!options.all && request.filter().ByteSizeLong() == 0) {
    context.Fail(kExitUsage,
                 "conntrack flush: which flows? Say --pod, --from, --to, --protocol, "
                 "--port or --state, or --all for every one");
    return;
  }
  AgentClient client(context.socket);
  uint64_t ended = 0;
  do {
    absl::StatusOr<EndFlowsReply> part = client.EndFlows(request);
    if (!part.ok()) {
      if (ended != 0) context.io.out << ended << " flows ended before this failed.\n";
      context.Fail(part.status());
      return;
    }
    request.set_part(part->next());
    ended += part->ended();
  } while (request.part() != 0);
  context.io.out << ended << (ended == 1 ? " flow ended.\n" : " flows ended.\n");
}

CLI::App* AddVerb(CLI::App& parent, const char* name, const char* description,
                  const std::shared_ptr<ConntrackOptions>& options) {
  CLI::App* verb = parent.add_subcommand(name, description);
  const auto filter = [options] { return options->request.mutable_filter(); };
  AddFlowFilter(*verb, filter);
  AddFlowState(*verb, filter);
  return verb;
}

void List(Context& context, const ConntrackOptions& options) {
  Show(context, options, [&](const FlowsReply& reply) {
    PrintTable(reply, options.output == "wide", context.io.out);
  });
}

}  // namespace

void ListFlows(Context& context, const agent::v1::FlowFilter& filter, const std::string& output) {
  ConntrackOptions options{.output = output};
  *options.request.mutable_filter() = filter;
  List(context, options);
}

void AddConntrackCommands(CLI::App& app, Context& context) {
  const auto options = std::make_shared<ConntrackOptions>();
  CLI::App* conntrack = app.add_subcommand("conntrack", "The flows of this node");
  conntrack->require_subcommand(1);
  const auto with_output = [&](CLI::App* verb) {
    verb->add_option("-o,--output", options->output, "table, wide, json or yaml")
        ->check(CLI::IsMember({"table", "wide", "json", "yaml"}));
    return verb;
  };
  with_output(AddVerb(*conntrack, "list", "One line for each flow", options))
      ->callback([&context, options] { List(context, *options); });
  with_output(AddVerb(*conntrack, "show", "Each flow with the rules that admitted it", options))
      ->callback([&context, options] {
        Show(context, *options, [&](const FlowsReply& reply) { PrintEach(reply, context.io.out); });
      });
  CLI::App* flush = AddVerb(*conntrack, "flush",
                            "Ends flows: connections among them are cut, packets that follow are "
                            "judged as new",
                            options);
  flush->add_flag("--all", options->all, "Every flow of this node");
  flush->callback([&context, options] { Flush(context, *options); });
}

}  // namespace ripstop::ctl
