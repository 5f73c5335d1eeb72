// SPDX-License-Identifier: Apache-2.0
//
// flows --watch: what becomes of this node's flows, while it does.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "api/ctl/agent_client.h"
#include "api/ctl/context.h"
#include "api/ctl/flow_words.h"
#include "api/ctl/message_text.h"
#include "api/ctl/table.h"
#include "api/ctl/watching.h"

namespace ripstop::ctl {
namespace {

using agent::v1::EventsLost;
using agent::v1::FlowEvent;
using agent::v1::WatchFlowsReply;
using agent::v1::WatchFlowsRequest;

// As wide as two names with their addresses are, mostly.
constexpr char kFlowHeader[] =
    "FLOW                                                                          ";

struct FlowsOptions {
  std::string output = "table";
  bool watch = false;
  WatchOptions until;
  WatchFlowsRequest request;
};

std::string Details(const FlowEvent& event) {
  std::string text = Rules(event.egress_rule(), event.ingress_rule());
  if (!event.reason().empty()) text = absl::StrCat(event.reason(), ": ", text);
  if (!event.closed_by().empty()) text = absl::StrCat(event.closed_by(), "; ", text);
  if (event.packets_sent() + event.packets_received() != 0) {
    absl::StrAppend(&text, "; sent ", event.packets_sent(), " packets, ", event.bytes_sent(),
                    " bytes, received ", event.packets_received(), ", ", event.bytes_received());
  }
  return text;
}

std::string LostText(const EventsLost& lost) {
  std::string text;
  if (lost.by_datapath() != 0) {
    absl::StrAppend(&text, lost.by_datapath(), " of all flows: more than the datapath tells of");
  }
  if (lost.by_watcher() != 0) {
    absl::StrAppend(&text, text.empty() ? "" : "; ", lost.by_watcher(),
                    " of these: read too slowly");
  }
  return text;
}

// As "event" is in every line, so that one who reads them tells them apart by it.
nlohmann::ordered_json LostJson(const EventsLost& lost) {
  return {{"event", "lost"}, {"byDatapath", lost.by_datapath()}, {"byWatcher", lost.by_watcher()}};
}

class EventPrinter {
 public:
  EventPrinter(const FlowsOptions& options, std::ostream& out)
      : json_(options.output == "json"), left_(options.until.count), out_(out) {}

  // Whether to go on.
  bool Take(const WatchFlowsReply& reply) {
    if (!json_) lines_.Begin(out_);
    if (reply.has_lost()) Lost(reply.lost());
    if (reply.has_event()) Event(reply.event());
    // A reader that is gone ends the watch.
    if (!out_.flush()) return false;
    return !reply.has_event() || left_ == 0 || --left_ != 0;
  }

 private:
  void Event(const FlowEvent& event) {
    if (json_) {
      out_ << ToJson(event).dump() << "\n";
      return;
    }
    lines_.Print({TimeOfDay(event.time()), event.event(), event.protocol(), FlowName(event),
                  event.verdict(), Details(event)},
                 out_);
  }
  void Lost(const EventsLost& lost) {
    if (json_) {
      out_ << LostJson(lost).dump() << "\n";
    } else {
      lines_.Print({"", "lost", "", LostText(lost)}, out_);
    }
  }

  const bool json_;
  uint64_t left_;  // 0: no end
  std::ostream& out_;
  LineTable lines_{{"TIME (UTC)  ", "EVENT    ", "PROTOCOL", kFlowHeader, "VERDICT", "BY"}};
};

void Watch(Context& context, const FlowsOptions& options) {
  if (options.output != "table" && options.output != "json") {
    context.Fail(kExitUsage, "flows --watch: -o table or json, not " + options.output);
    return;
  }
  EventPrinter printer(options, context.io.out);
  AgentClient client(context.socket);
  const absl::Status status =
      client.WatchFlows(options.request, options.until.length,
                        [&](const WatchFlowsReply& reply) { return printer.Take(reply); });
  if (!status.ok()) context.Fail(status);
}

}  // namespace

void AddFlowsCommand(CLI::App& app, Context& context) {
  const auto options = std::make_shared<FlowsOptions>();
  CLI::App* flows = app.add_subcommand(
      "flows",
      "This node's flows: those that stand, as `conntrack list` has them, or with --watch what\n"
      "becomes of them: new, denied, changed (judged otherwise), closed, and each minute one\n"
      "heartbeat of what has packets. Who reads too slowly misses some, and is told how many.");
  const auto filter = [options] { return options->request.mutable_filter(); };
  AddFlowFilter(*flows, filter);
  flows
      ->add_option("-o,--output", options->output,
                   "table, wide, json or yaml; watching, json "
                   "is an object on each line")
      ->check(CLI::IsMember({"table", "wide", "json", "yaml"}));
  CLI::Option* watch = flows->add_flag("-w,--watch", options->watch, "Until Ctrl-C");
  AddWatchOptions(*flows, watch, options->until);
  AddFlowState(*flows, filter)->excludes(watch);
  flows
      ->add_option_function<std::string>(
          "--verdict", [options](const std::string& v) { options->request.set_verdict(v); },
          "With --watch: Allow or Deny")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, std::string>{{"allow", "Allow"}, {"deny", "Deny"}},
          CLI::ignore_case))
      ->needs(watch);
  flows
      ->add_option_function<std::string>(
          "--event",
          [options](const std::string& v) {
            for (const auto& event : absl::StrSplit(v, ',')) {
              options->request.add_events(std::string(event));
            }
          },
          "With --watch: some of new,denied,changed,heartbeat,closed")
      ->needs(watch);
  flows->callback([&context, options] {
    if (options->watch) {
      Watch(context, *options);
    } else {
      ListFlows(context, options->request.filter(), options->output);
    }
  });
}

}  // namespace ripstop::ctl
