// SPDX-License-Identifier: Apache-2.0
//
// trace: live packets as they leave the datapath's programs.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "api/ctl/agent_client.h"
#include "api/ctl/context.h"
#include "api/ctl/flow_words.h"
#include "api/ctl/interrupt.h"
#include "api/ctl/message_text.h"
#include "api/ctl/pcapng.h"
#include "api/ctl/trace_text.h"

namespace ripstop::ctl {
namespace {

using agent::v1::TracedPacket;
using agent::v1::TraceReply;
using agent::v1::TraceRequest;

constexpr uint32_t kSnap = 256;
// Some more than is asked for, so that the agent ends it and says what was lost.
constexpr absl::Duration kGrace = absl::Seconds(30);

struct TraceOptions {
  TraceRequest request;
  std::string output = "table";
  std::string file;
  uint64_t count = 0;  // 0: without end
  uint32_t snap = kSnap;
  bool all = false;
};

PcapngWriter::Packet ForFile(const TracedPacket& packet) {
  PcapngWriter::Packet out;
  const std::string interface =
      packet.interface().empty() ? absl::StrCat("#", packet.ifindex()) : packet.interface();
  out.interface = absl::StrCat(interface, " ", packet.hook());
  out.description = packet.endpoint();
  out.link = packet.headless() ? PcapngWriter::LinkType::kRawIp : PcapngWriter::LinkType::kEthernet;
  out.time_ns = packet.time_ns();
  out.inbound = packet.hook().rfind("to_", 0) != 0;
  out.length = packet.length();
  out.data = packet.data();
  out.comment = absl::StrCat(TracedAt(packet), ": ", TracedVerdict(packet));
  if (!packet.next().empty()) absl::StrAppend(&out.comment, ", to ", packet.next());
  if (!packet.source_name().empty()) absl::StrAppend(&out.comment, "; from ", packet.source_name());
  if (!packet.destination_name().empty())
    absl::StrAppend(&out.comment, "; for ", packet.destination_name());
  if (!packet.egress_rule().empty())
    absl::StrAppend(&out.comment, "; egress: ", packet.egress_rule());
  if (!packet.ingress_rule().empty())
    absl::StrAppend(&out.comment, "; ingress: ", packet.ingress_rule());
  return out;
}

// Where packets go, and how many have.
class Sink {
 public:
  Sink(Context& context, const TraceOptions& options)
      : context_(context), options_(options), lines_(context.io.out) {}

  // False: the file cannot be written; that is reported.
  bool Open() {
    if (options_.file.empty()) return true;
    file_.open(options_.file, std::ios::binary | std::ios::trunc);
    if (!file_) {
      context_.Fail(kExitError, absl::StrCat(options_.file, ": cannot be written"));
      return false;
    }
    pcapng_ = std::make_unique<PcapngWriter>(file_, options_.snap, "ripstopctl trace");
    return true;
  }

  // False: that is enough.
  bool Take(const TraceReply& reply) {
    lost_ = reply.lost();
    for (const TracedPacket& packet : reply.packets()) {
      if (pcapng_ != nullptr) {
        pcapng_->Write(ForFile(packet));
      } else if (options_.output == "json") {
        nlohmann::ordered_json json = ToJson(packet);
        json.erase("data");  // for files
        context_.io.out << json.dump() << "\n" << std::flush;
      } else {
        lines_.Print(packet);
      }
      if (++count_ == options_.count) return false;
    }
    return pcapng_ == nullptr || file_.good();
  }

  void Finish() {
    if (pcapng_ != nullptr) {
      pcapng_->WriteLost(lost_, absl::GetCurrentTimeNanos());
      file_.close();
      if (!file_) context_.Fail(kExitError, absl::StrCat(options_.file, ": could not be written"));
    }
    // Beside the packets, which somebody may read by machine.
    context_.io.err << count_ << (count_ == 1 ? " packet" : " packets");
    if (!options_.file.empty())
      context_.io.err << " in " << options_.file << ", of each " << options_.snap
                      << " bytes at most";
    if (lost_ != 0) context_.io.err << "; " << lost_ << " more were lost, there was no room";
    context_.io.err << ".\n";
  }

 private:
  Context& context_;
  const TraceOptions& options_;
  TraceLines lines_;
  std::ofstream file_;
  std::unique_ptr<PcapngWriter> pcapng_;
  uint64_t count_ = 0;
  uint64_t lost_ = 0;
};

bool IsFiltered(const TraceRequest& request) {
  return request.filter().ByteSizeLong() != 0 || !request.verdict().empty() ||
         !request.reason().empty();
}

void Trace(Context& context, TraceOptions& options) {
  if (!options.all && !IsFiltered(options.request)) {
    context.Fail(kExitUsage,
                 "trace: which packets? Say --pod, --from, --to, --protocol, --port, --verdict "
                 "or --reason, or --all for every one");
    return;
  }
  if (!options.file.empty()) options.request.set_snap_bytes(options.snap);
  grpc::ClientContext call;
  if (options.request.for_ms() != 0) {
    call.set_deadline(
        absl::ToChronoTime(absl::Now() + absl::Milliseconds(options.request.for_ms()) + kGrace));
  }
  Sink sink(context, options);
  // Before the client, which begins threads.
  const OnInterrupt interrupt([&call] { call.TryCancel(); });
  AgentClient client(context.socket);
  bool begun = false, refused = false;
  const absl::Status status = client.Trace(call, options.request, [&](const TraceReply& reply) {
    // What the file had is lost only now that there is something to put in its place.
    refused = !begun && !sink.Open();
    if (refused) return false;
    if (!begun) context.io.err << "Tracing; Ctrl-C ends it.\n" << std::flush;
    begun = true;
    return sink.Take(reply);
  });
  if (!status.ok()) context.Fail(status);
  // Ended before anything came: that is what the file has to say.
  if (!begun && !refused && status.ok()) begun = sink.Open();
  if (begun) sink.Finish();
}

}  // namespace

void AddTraceCommand(CLI::App& app, Context& context) {
  const auto options = std::make_shared<TraceOptions>();
  CLI::App* trace = app.add_subcommand(
      "trace",
      "Live packets at each hook, with verdict, rule and reason; both directions of what is asked");
  AddFlowFilter(*trace, [options] { return options->request.mutable_filter(); });
  trace
      ->add_option_function<std::string>(
          "--verdict", [options](const std::string& v) { options->request.set_verdict(v); },
          "allow or drop")
      ->check(CLI::IsMember({"allow", "drop"}));
  trace->add_option_function<std::string>(
      "--reason", [options](const std::string& v) { options->request.set_reason(v); },
      "Of a drop, as `ripstopctl drops --all` lists them");
  trace->add_flag("--all", options->all, "Every packet at every hook");
  trace->add_option_function<std::string>(
      "--for",
      [options](const std::string& text) {
        absl::Duration time;
        if (!absl::ParseDuration(text, &time) || time < absl::Milliseconds(1) ||
            time > absl::Hours(24 * 365))
          throw CLI::ValidationError("--for", "want a time such as 10s or 5m");
        options->request.set_for_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(time)));
      },
      "Ends after that time (10s, 5m); else with Ctrl-C");
  trace->add_option("--count", options->count, "Ends after so many packets")
      ->check(CLI::PositiveNumber);
  trace->add_option("-w,--write", options->file,
                    "Writes them to this file as pcapng, with what was decided as comments");
  trace->add_option("-s,--snap", options->snap, "How much of each packet -w keeps (256 bytes)")
      ->check(CLI::Range(1, 1024));
  trace->add_option("-o,--output", options->output, "table or json, an object a line")
      ->check(CLI::IsMember({"table", "json"}));
  trace->callback([&context, options] { Trace(context, *options); });
}

}  // namespace ripstop::ctl
