// SPDX-License-Identifier: Apache-2.0
//
// ripstop-probe serve|connect|stream|spoof|receive: see probe.h.
#include <CLI/CLI.hpp>
#include <iostream>

#include "e2e/lab/probe/probe.h"

namespace ripstop::lab {
namespace {

int Main(int argc, char** argv) {
  CLI::App app("Traffic for tests and the demo.", "ripstop-probe");
  app.require_subcommand(1);
  int64_t seconds = 0, timeout_ms = 1500, interval_ms = 5, duration_ms = 10000, cut_after_ms = 1000;

  ServeOptions serve;
  CLI::App* serve_command = app.add_subcommand("serve", "answer on many ports with a name");
  serve_command->add_option("--name", serve.name)->required();
  serve_command->add_option("--tcp", serve.tcp, "ports")->delimiter(',');
  serve_command->add_option("--udp", serve.udp, "ports")->delimiter(',');
  serve_command->add_option("--ready-file", serve.ready_file, "made once every port listens");
  serve_command->add_option("--for", seconds, "seconds; 0: until killed");

  CLI::App* connect_command =
      app.add_subcommand("connect", "try the destinations on standard input, JSON lines");
  connect_command->add_option("--timeout-ms", timeout_ms, "for each of them");

  StreamOptions stream;
  CLI::App* stream_command = app.add_subcommand("stream", "one flow, watched");
  stream_command->add_option("--to", stream.address)->required();
  stream_command->add_option("--port", stream.port)->required();
  stream_command->add_option("--protocol", stream.protocol)
      ->check(CLI::IsMember({"TCP", "UDP"}, CLI::ignore_case));
  stream_command->add_option("--interval-ms", interval_ms);
  stream_command->add_option("--for-ms", duration_ms);
  stream_command->add_option("--cut-after-ms", cut_after_ms, "silence that counts as a cut");
  stream_command->add_option("--count", stream.count, "end after so many; 0: no limit");
  stream_command->add_flag("--stop-when-cut", stream.stop_when_cut);

  SpoofOptions spoof;
  CLI::App* spoof_command = app.add_subcommand("spoof", "UDP with any source address");
  spoof_command->add_option("--from", spoof.source)->required();
  spoof_command->add_option("--to", spoof.destination)->required();
  spoof_command->add_option("--from-port", spoof.source_port);
  spoof_command->add_option("--port", spoof.port)->required();
  spoof_command->add_option("--count", spoof.count);
  spoof_command->add_option("--payload", spoof.payload);

  uint16_t receive_port = 0;
  int receive_count = 0;
  CLI::App* receive_command = app.add_subcommand("receive", "print datagrams that come");
  receive_command->add_option("--port", receive_port)->required();
  receive_command->add_option("--count", receive_count, "end after so many; 0: no limit");
  receive_command->add_option("--for-ms", duration_ms);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  absl::Status status;
  if (serve_command->parsed()) {
    if (seconds > 0) serve.duration = absl::Seconds(seconds);
    status = Serve(serve);
  } else if (connect_command->parsed()) {
    status = Connect(absl::Milliseconds(timeout_ms));
  } else if (stream_command->parsed()) {
    stream.interval = absl::Milliseconds(interval_ms);
    stream.duration = absl::Milliseconds(duration_ms);
    stream.cut_after = absl::Milliseconds(cut_after_ms);
    status = Stream(stream);
  } else if (spoof_command->parsed()) {
    status = Spoof(spoof);
  } else {
    status = Receive(receive_port, receive_count, absl::Milliseconds(duration_ms));
  }
  if (status.ok()) return 0;
  std::cerr << "ripstop-probe: " << status.message() << "\n";
  return 1;
}

}  // namespace
}  // namespace ripstop::lab

int main(int argc, char** argv) { return ripstop::lab::Main(argc, argv); }
