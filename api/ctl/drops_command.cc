// SPDX-License-Identifier: Apache-2.0
//
// drops: what this node dropped, why, whose loss it was, and what it was lately.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "api/codec/writer.h"
#include "api/ctl/agent_client.h"
#include "api/ctl/context.h"
#include "api/ctl/drop_samples.h"
#include "api/ctl/flow_words.h"
#include "api/ctl/message_text.h"
#include "api/ctl/table.h"
#include "api/ctl/watching.h"

namespace ripstop::ctl {
namespace {

using agent::v1::DropsReply;
using agent::v1::DropsRequest;

constexpr int kLossesShown = 20;
constexpr int kSamplesShown = 5;
constexpr absl::Duration kLook = absl::Seconds(1);

struct DropsOptions {
  std::string output = "table";
  DropsRequest request;
  bool all = false;
  bool last = false;
  bool watch = false;
  WatchOptions until;
};

std::string LoserOf(const DropsReply::Loss& loss) {
  if (!loss.pod().empty()) return loss.pod();
  return loss.interface().empty() ? "(pods that are gone)"
                                  : absl::StrCat("(interface ", loss.interface(), ")");
}

void PrintHostDrops(const DropsReply& reply, std::ostream& out) {
  Table table({"REASON", "WHERE", "PACKETS", "BYTES", "DESCRIPTION"});
  for (const auto& reason : reply.host_reasons())
    table.Add({reason.name(), reason.where(), absl::StrCat(reason.packets()),
               absl::StrCat(reason.bytes()),
               reason.description().empty() ? "-" : reason.description()});
  if (!table.empty()) {
    out << "\nThe kernel itself dropped, of packets from and to pods of this node:\n";
    table.Print(out);
  }
  if (!reply.host_unavailable().empty())
    out << "\nWhat the kernel itself drops is not counted: " << reply.host_unavailable() << "\n";
}

bool PrintReasons(const DropsReply& reply, bool all, std::ostream& out) {
  Table table({"REASON", "PACKETS", "BYTES", "DESCRIPTION"});
  for (const DropsReply::Reason& reason : reply.reasons()) {
    if (!all && (reason.packets() == 0 || reason.expected())) continue;
    table.Add({reason.name(), absl::StrCat(reason.packets()), absl::StrCat(reason.bytes()),
               reason.description()});
  }
  if (table.empty()) {
    out << (reply.host_reasons().empty() ? "Nothing was dropped.\n"
                                         : "The programs dropped nothing.\n");
    return false;
  }
  table.Print(out);
  return true;
}

// Whoever lost most comes first.
void PrintLosses(const DropsReply& reply, bool all, std::ostream& out) {
  std::vector<const DropsReply::Loss*> losses;
  for (const DropsReply::Loss& loss : reply.losses()) {
    if (all || !loss.expected()) losses.push_back(&loss);
  }
  std::stable_sort(losses.begin(), losses.end(),
                   [](const auto* a, const auto* b) { return a->packets() > b->packets(); });
  if (losses.empty()) return;
  out << "\n";
  Table table({"POD", "REASON", "PACKETS", "BYTES"});
  size_t shown = 0;
  for (const DropsReply::Loss* loss : losses) {
    if (!all && shown == kLossesShown) break;
    ++shown;
    table.Add({LoserOf(*loss), loss->reason(), absl::StrCat(loss->packets()),
               absl::StrCat(loss->bytes())});
  }
  table.Print(out);
  if (shown < losses.size()) {
    out << losses.size() - shown << " more: --all, or --pod NAMESPACE/POD\n";
  }
}

void PrintSamples(const DropsReply& reply, int most, std::ostream& out) {
  const Table table = SamplesTable(reply.last(), most);
  if (table.empty()) return;
  out << "\n";
  table.Print(out);
  if (reply.last_size() > most) {
    out << reply.last_size() - most << " more: --last. ";
  }
  out << "A sample: of a flood some are here, all are counted.\n";
}

void PrintDrops(const DropsReply& reply, const DropsOptions& options, std::ostream& out) {
  if (options.last) {
    if (reply.last_size() == 0) out << "Nothing was dropped since the agent began.\n";
    PrintSamples(reply, reply.last_size(), out);
    return;
  }
  if (PrintReasons(reply, options.all, out)) {
    PrintLosses(reply, options.all, out);
    PrintSamples(reply, kSamplesShown, out);
  }
  PrintHostDrops(reply, out);
}

// A line for each counter that has moved.
class DropsWatch {
 public:
  DropsWatch(const DropsOptions& options, std::ostream& out)
      : options_(options), left_(options.until.count), out_(out) {}

  // Whether to go on. The first reply is what the others are compared with.
  bool Take(const DropsReply& reply) {
    if (options_.output != "json") lines_.Begin(out_);
    for (const DropsReply::Loss& loss : reply.losses()) {
      if (loss.expected() && !options_.all) continue;
      Counts& before = before_[{LoserOf(loss), loss.reason()}];
      const Counts now = {loss.packets(), loss.bytes()};
      // Of a pod that is gone they fall, and rise with those of nobody.
      if (begun_ && now.packets > before.packets && !Line(loss, before, reply)) return false;
      before = now;
    }
    begun_ = true;
    return static_cast<bool>(out_.flush());
  }

 private:
  struct Counts {
    uint64_t packets = 0, bytes = 0;
  };
  bool Line(const DropsReply::Loss& loss, const Counts& before, const DropsReply& reply) {
    const uint64_t packets = loss.packets() - before.packets;
    const uint64_t bytes = loss.bytes() - std::min(before.bytes, loss.bytes());
    const std::string time = absl::FormatTime("%H:%M:%S", absl::Now(), absl::UTCTimeZone());
    if (options_.output == "json") {
      out_ << nlohmann::ordered_json{{"time", absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(),
                                                               absl::UTCTimeZone())},
                                     {"pod", loss.pod()},
                                     {"interface", loss.interface()},
                                     {"reason", loss.reason()},
                                     {"packets", packets},
                                     {"bytes", bytes}}
                  .dump()
           << "\n";
    } else {
      lines_.Print({time, LoserOf(loss), loss.reason(), absl::StrCat("+", packets),
                    absl::StrCat("+", bytes), Explained(loss.reason(), reply)},
                   out_);
    }
    return left_ == 0 || --left_ != 0;
  }
  // What to do about it, the first time.
  std::string Explained(const std::string& reason, const DropsReply& reply) {
    if (!explained_.insert(reason).second) return "";
    for (const DropsReply::Reason& one : reply.reasons()) {
      if (one.name() == reason) return one.description();
    }
    return "";
  }

  const DropsOptions& options_;
  uint64_t left_;  // 0: no end
  std::ostream& out_;
  bool begun_ = false;
  std::map<std::pair<std::string, std::string>, Counts> before_;
  std::set<std::string> explained_;
  LineTable lines_{
      {"TIME (UTC)", "POD             ", "REASON        ", "PACKETS", "BYTES   ", "DESCRIPTION"}};
};

void Watch(Context& context, const DropsOptions& options) {
  if (options.output != "table" && options.output != "json") {
    context.Fail(kExitUsage, "drops --watch: -o table or json, not " + options.output);
    return;
  }
  AgentClient client(context.socket);
  DropsWatch watch(options, context.io.out);
  const absl::Time end = absl::Now() + options.until.length;
  while (true) {
    const auto reply = client.Drops(options.request);
    if (!reply.ok()) {
      context.Fail(reply.status());
      return;
    }
    if (!watch.Take(*reply)) return;
    const absl::Time now = absl::Now();
    if (now >= end) return;
    absl::SleepFor(std::min(kLook, end - now));
  }
}

void Show(Context& context, const DropsOptions& options) {
  AgentClient client(context.socket);
  const auto reply = client.Drops(options.request);
  if (!reply.ok()) {
    context.Fail(reply.status());
  } else if (options.output == "json") {
    context.io.out << ToJson(*reply).dump(2) << "\n";
  } else if (options.output == "yaml") {
    context.io.out << api::JsonToYaml(ToJson(*reply));
  } else {
    PrintDrops(*reply, options, context.io.out);
  }
}

}  // namespace

void AddDropsCommand(CLI::App& app, Context& context) {
  const auto options = std::make_shared<DropsOptions>();
  CLI::App* drops = app.add_subcommand(
      "drops", "Packets dropped on this node: why, what to do, whose loss it was, which lately");
  drops->add_option("-o,--output", options->output, "table, json or yaml")
      ->check(CLI::IsMember({"table", "wide", "json", "yaml"}));
  drops->add_flag("-a,--all", options->all,
                  "Also what a healthy node drops, and the reasons that never occurred");
  drops->add_option_function<std::string>(
      "--pod", [options](const std::string& v) { options->request.set_pod(v); },
      "Only what this one lost: namespace/pod");
  CLI::Option* last = drops->add_flag(
      "-l,--last", options->last, "What was dropped lately, with the rule: a sample, newest first");
  CLI::Option* watch = drops->add_flag("-w,--watch", options->watch,
                                       "A line whenever a counter has moved, until Ctrl-C");
  watch->excludes(last);
  AddWatchOptions(*drops, watch, options->until);
  drops->callback([&context, options] {
    if (options->watch) {
      Watch(context, *options);
    } else {
      Show(context, *options);
    }
  });
}

}  // namespace ripstop::ctl
