// SPDX-License-Identifier: Apache-2.0
//
// ripstop-agent: one per node.
#include <signal.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <string>

#include "absl/time/time.h"
#include "agent/base/event_loop.h"
#include "agent/base/logging.h"
#include "agent/daemon/agent.h"
#include "spdlog/spdlog.h"

namespace {

using ripstop::agent::Agent;
using ripstop::agent::EventLoop;
using ripstop::agent::HostNatMode;
using ripstop::agent::Options;

// Two descriptors for each pod: the usual soft limit is for programs that call select().
void RaiseDescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

absl::Status Run(const Options& options) {
  auto loop = EventLoop::Create();
  if (!loop.ok()) return loop.status();
  // A planned stop leaves everything in the kernel as it is: traffic does not notice.
  absl::Status signals = (*loop)->HandleSignals({SIGTERM, SIGINT}, [&](int number) {
    spdlog::info("signal {}: stopping; programs, tables and routes stay", number);
    (*loop)->Stop();
  });
  if (!signals.ok()) return signals;
  auto agent = Agent::Create(options, loop->get());
  if (!agent.ok()) return agent.status();
  return (*loop)->RunUntilStopped();
}

// For CLI11: empty where it is one.
std::string IsDuration(const std::string& text) {
  absl::Duration duration;
  const bool good = absl::ParseDuration(text, &duration) && duration >= absl::ZeroDuration() &&
                    duration < absl::InfiniteDuration();
  return good ? "" : "\"" + text + "\" is no duration; write 30s, 5m or 1h";
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  std::string block_idle = absl::FormatDuration(options.block_idle);
  CLI::App app("The Ripstop agent: policy, routes and BGP of one node");
  app.set_version_flag("--version", RIPSTOP_VERSION);
  app.add_option("--node", options.node, "name of this node's Node resource")
      ->envname("RIPSTOP_NODE")
      ->required();
  app.add_option("--store", options.store, "where the resources are")->envname("RIPSTOP_STORE");
  app.add_option("--socket", options.socket, "unix socket for ripstopctl")
      ->envname("RIPSTOP_SOCKET");
  app.add_option("--cni-socket", options.cni_socket,
                 "unix socket for the CNI plugin; empty: cni.sock beside --socket");
  app.add_option("--bpffs", options.bpffs, "folder on a bpffs for maps, programs and links");
  app.add_option("--run-dir", options.run_dir, "BIRD's configuration, socket and pid");
  app.add_option("--state-dir", options.state_dir, "endpoints; must survive restarts");
  app.add_option("--secrets-dir", options.secrets_dir,
                 "what a secretKeyRef names, as files NAME/KEY of mode 0600");
  app.add_option("--bird", options.bird, "path of BIRD 2; empty: no BGP on this node");
  app.add_option("--log-file", options.log_file, "append logs here instead of standard error");
  app.add_option("--log-level", options.log_level,
                 "trace, debug, info, warn, error, off; absent: logSeverityScreen of the "
                 "FelixConfigurations, else info")
      ->envname("RIPSTOP_LOG_LEVEL");
  app.add_option("--ipam-block-idle", block_idle,
                 "how long a node keeps a block of addresses of which none is in use: 30s, 5m")
      ->envname("RIPSTOP_IPAM_BLOCK_IDLE")
      ->check(IsDuration);
  app.add_option("--flow-log", options.flow_log.file,
                 "one JSON line per flow that a Log rule marks; empty: the agent's own log");
  app.add_option("--flow-log-bytes", options.flow_log.file_bytes,
                 "size at which the file becomes the old one, which it replaces")
      ->check(CLI::Range(uint64_t{4096}, uint64_t{1} << 40));
  app.add_option("--flow-log-rate", options.flow_log.lines_per_second,
                 "lines per second at most, the others are counted; absent: logActionRateLimit of "
                 "the FelixConfigurations, else 100");
  app.add_option("--flow-table-entries", options.flow_table_entries,
                 "connections known at a time; 0: by the machine's memory. Live ones are kept when "
                 "this changes")
      ->check(CLI::Range(uint32_t{0}, uint32_t{1} << 24));
  const std::map<std::string, ripstop::agent::TcpMidStream> mid_stream = {
      {"Reset", ripstop::agent::TcpMidStream::kReset},
      {"Drop", ripstop::agent::TcpMidStream::kDrop}};
  app.add_option(
         "--tcp-mid-stream", options.tcp_mid_stream,
         "segments of TCP connections that this node does not know are dropped: Reset (who may "
         "begin such a connection is told), Drop (in silence)")
      ->envname("RIPSTOP_TCP_MID_STREAM")
      ->transform(CLI::CheckedTransformer(mid_stream, CLI::ignore_case));
  const std::map<std::string, HostNatMode> modes = {{"Auto", HostNatMode::kAuto},
                                                    {"Always", HostNatMode::kAlways},
                                                    {"Never", HostNatMode::kNever}};
  app.add_option(
         "--host-nat", options.host_nat,
         "whether pods' flows to others than pods and nodes pass this host's NAT (kube-proxy, "
         "hostPort, masquerade): Auto (while there are NAT rules), Always, Never")
      ->transform(CLI::CheckedTransformer(modes, CLI::ignore_case));
  app.add_option(
      "--mark-mask", options.mark_mask,
      "bits of packets' marks that are the agent's, while pods pass host's NAT: at least "
      "10 adjacent ones that no rule of this host uses; default 0xffff0000");
  app.option_defaults()->always_capture_default();
  CLI11_PARSE(app, argc, argv);
  absl::ParseDuration(block_idle, &options.block_idle);

  if (!options.log_file.empty() && freopen(options.log_file.c_str(), "a", stderr) == nullptr) {
    perror(options.log_file.c_str());
    return 1;
  }
  if (absl::Status status = ripstop::agent::InitLogging(
          "ripstop-agent",
          options.log_level.empty() ? ripstop::agent::kUsualLogLevel : options.log_level);
      !status.ok()) {
    fprintf(stderr, "ripstop-agent: %s\n", std::string(status.message()).c_str());
    return 2;
  }
  RaiseDescriptorLimit();
  if (absl::Status status = Run(options); !status.ok()) {
    spdlog::critical("{}", std::string(status.message()));
    return 1;
  }
  return 0;
}
