// SPDX-License-Identifier: Apache-2.0
//
// What the datapath costs per packet: the first rows of the table of goals.
//   datapath_bench [--json] [--quick]
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "agent/base/testing/test_netns.h"
#include "bpf/loader/packet_trace.h"
#include "e2e/bench/bench_kernel.h"
#include "e2e/bench/report.h"
#include "policy/status_macros.h"

namespace ripstop::bench {
namespace {

bool json = false;

void Report(const std::string& name, const Timing& timing, double bar) {
  Print({name, timing.best, "ns", bar, false,
         absl::StrCat("median ", static_cast<int>(timing.median + 0.5))},
        json);
}

policy::Address Pod(int i, bool v4) {
  char text[32];
  std::snprintf(text, sizeof(text), v4 ? "198.51.100.%d" : "2001:db8::%d", i);
  return policy::Address::Parse(text).value();
}

// Two pods of this node, both under policies of a few rules in both directions.
policy::World TwoPods() {
  policy::World world;
  world.Put(policy::Tier{"default", 1'000'000, policy::Action::kDeny});
  for (int i : {1, 2}) {
    policy::Endpoint endpoint;
    endpoint.id = "bench/pod-" + std::to_string(i);
    endpoint.labels = {{"app", i == 1 ? "client" : "server"}};
    endpoint.addresses = {Pod(i, true), Pod(i, false)};
    endpoint.local = policy::Attachment{1, {2, 0, 0, 0, 0, static_cast<uint8_t>(i)}};
    world.Put(endpoint);
  }
  policy::Policy policy;
  policy.key = {policy::PolicyKind::kGlobalNetworkPolicy, "", "bench"};
  policy.selector = "all()";
  policy.ingress = policy.egress = true;
  policy::Rule web;
  web.action = policy::Action::kAllow;
  web.protocol = policy::kProtocolTcp;
  web.source.selector = "app == 'client'";
  web.destination.ports = policy::PortMatch{.ranges = {{80, 80}, {8080, 8090}}, .names = {}};
  policy::Rule names = web;
  names.protocol = policy::kProtocolUdp;
  names.destination.ports = policy::PortMatch{.ranges = {{53, 53}}, .names = {}};
  policy.ingress_rules = {web, names};
  web.source.selector = names.source.selector = std::nullopt;
  policy.egress_rules = {web, names};
  world.Put(policy);
  return world;
}

// What a flow pays while somebody traces: others' packets, and its own, which a thread takes.
absl::Status RunTraced(BenchKernel& kernel, const loader::FrameSpec& tcp, const Timing& plain) {
  ASSIGN_OR_RETURN(const auto programs, loader::TracedPrograms::Load(kernel.evaluator().object()));
  const int from_workload = programs->Program("from_workload");
  const auto report = [&](const char* name, const Timing& timing) {
    Print({name, timing.best, "ns", 0, false,
           absl::StrFormat("median %.0f; %.1f times one that nobody traces", timing.median,
                           timing.best / plain.best)},
          json);
  };
  trace_filter others = {};
  others.ends[TRACE_POD].count = 1;  // the address ::
  ASSIGN_OR_RETURN(auto trace, programs->Begin(others));
  ASSIGN_OR_RETURN(const Timing beside, kernel.EstablishedFlow(tcp, from_workload));
  report("established TCP flow, IPv4, while others are traced", beside);
  trace.reset();
  ASSIGN_OR_RETURN(trace, programs->Begin({}));
  std::atomic<bool> done = false;
  std::thread reader([&] {
    while (!done && trace->Take(absl::Milliseconds(10)).ok()) {
    }
  });
  const absl::StatusOr<Timing> told = kernel.EstablishedFlow(tcp, from_workload);
  done = true;
  reader.join();
  RETURN_IF_ERROR(told.status());
  report("established TCP flow, IPv4, traced", *told);
  return absl::OkStatus();
}

// A flow to the outside, as it is and as one of this host's: there from_workload translates its
// packets, and to_host at the uplink finds that done.
absl::Status RunMasqueraded(BenchKernel& kernel, bool v4) {
  loader::FrameSpec spec, hidden;
  spec.packet = {Pod(1, v4), policy::Address::Parse(v4 ? "203.0.113.5" : "2001:db8:f::5").value(),
                 policy::kProtocolTcp, 40001, 80};
  hidden = spec;
  hidden.packet.source_port = 40002;
  const auto ours = policy::Address::Parse(v4 ? "192.0.2.1" : "2001:db8:1::1").value();
  ASSIGN_OR_RETURN(const Timing judged, kernel.EstablishedFlow(spec, -1, loader::Hook::kFromHost));
  ASSIGN_OR_RETURN(const auto masqueraded, kernel.MasqueradedFlow(hidden, ours));
  const std::string family = v4 ? "IPv4" : "IPv6";
  Report("established TCP flow to the outside, " + family, judged, 0);
  Report("the same, masqueraded, " + family, masqueraded.sent, 0);
  Report("and at the uplink, " + family, masqueraded.finished, 0);
  Report("masqueraded at the uplink instead, " + family, masqueraded.translated, 0);
  Print({"masqueraded, established ÷ not masqueraded, " + family,
         (masqueraded.sent.best + masqueraded.finished.best) / judged.best, "x", 1.15, false,
         "programs alone; on the wire: traffic_bench"},
        json);
  return absl::OkStatus();
}

// A node with an uplink, so that there is a way to the outside.
absl::StatusOr<agent::TestNetns> NodeWithUplink() {
  ASSIGN_OR_RETURN(agent::TestNetns node, agent::TestNetns::Create());
  const int rc = node.Shell(
      "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 && ip link set lo up && "
      "ip link add up0 type veth peer name up1 && ip link set up1 up && ip link set up0 up && "
      "ip addr add 192.0.2.1/24 dev up0 && ip addr add 2001:db8:1::1/64 dev up0 nodad && "
      "ip neigh add 192.0.2.254 lladdr 02:00:00:00:00:fe dev up0 nud permanent && "
      "ip neigh add 2001:db8:1::fe lladdr 02:00:00:00:00:fe dev up0 nud permanent && "
      "ip route add default via 192.0.2.254 && ip -6 route add default via 2001:db8:1::fe");
  if (rc != 0) return absl::InternalError("a node with an uplink could not be made");
  return node;
}

absl::Status Run() {
  ASSIGN_OR_RETURN(const agent::TestNetns node, NodeWithUplink());
  ASSIGN_OR_RETURN(const auto kernel, BenchKernel::Open());
  policy::Engine engine(kernel->engine_options());
  PutWorld(TwoPods(), engine);
  RETURN_IF_ERROR(kernel->Apply(engine));
  ASSIGN_OR_RETURN(const Timing empty, kernel->Empty());
  Report("empty program (subtracted below)", empty, 0);
  for (const bool v4 : {true, false}) {
    loader::FrameSpec tcp;
    tcp.packet = {Pod(1, v4), Pod(2, v4), policy::kProtocolTcp, 40000, 80};
    loader::FrameSpec udp = tcp;
    udp.packet.protocol = policy::kProtocolUdp;
    udp.packet.destination_port = 53;
    ASSIGN_OR_RETURN(const Timing verdict,
                     kernel->Verdict(tcp.packet, policy::Direction::kIngress));
    Report(v4 ? "one verdict, IPv4" : "one verdict, IPv6", verdict, 45);
    ASSIGN_OR_RETURN(const Timing new_tcp, kernel->NewFlow(loader::Hook::kFromWorkload, tcp));
    Report(v4 ? "new TCP flow, pod to pod, IPv4" : "new TCP flow, pod to pod, IPv6", new_tcp, 220);
    // The difference of two large figures: by turns, so that both have the machine's best.
    Timing plain = new_tcp, watched{1e9, 1e9};
    for (int turn = 0; turn < 3; ++turn) {
      ASSIGN_OR_RETURN(const Timing with, kernel->WatchedFlow(tcp));
      ASSIGN_OR_RETURN(const Timing without, kernel->NewFlow(loader::Hook::kFromWorkload, tcp));
      watched = {std::min(watched.best, with.best), std::min(watched.median, with.median)};
      plain = {std::min(plain.best, without.best), std::min(plain.median, without.median)};
    }
    Report(
        v4 ? "its event while flows are watched, IPv4" : "its event while flows are watched, IPv6",
        {watched.best - plain.best, watched.median - plain.median}, 60);
    ASSIGN_OR_RETURN(const Timing answered, kernel->AnsweredFlow(tcp));
    Report(v4 ? "new TCP flow and its answer, IPv4" : "new TCP flow and its answer, IPv6", answered,
           380);
    ASSIGN_OR_RETURN(const Timing new_udp, kernel->NewFlow(loader::Hook::kFromWorkload, udp));
    Report(v4 ? "new UDP flow, pod to pod, IPv4" : "new UDP flow, pod to pod, IPv6", new_udp, 220);
    ASSIGN_OR_RETURN(const Timing old_tcp, kernel->EstablishedFlow(tcp));
    Report(v4 ? "established TCP flow, IPv4" : "established TCP flow, IPv6", old_tcp, 48);
    if (v4) RETURN_IF_ERROR(RunTraced(*kernel, tcp, old_tcp));
    ASSIGN_OR_RETURN(const Timing old_udp, kernel->EstablishedFlow(udp));
    Report(v4 ? "established UDP flow, IPv4" : "established UDP flow, IPv6", old_udp, 48);
    RETURN_IF_ERROR(node.Run([&] { return RunMasqueraded(*kernel, v4); }));
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace ripstop::bench

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--json") {
      ripstop::bench::json = true;
    } else if (option != "--quick") {  // it is quick anyway
      std::fprintf(stderr, "datapath_bench [--json] [--quick]\n");
      return 2;
    }
  }
  const absl::Status status = ripstop::bench::Run();
  if (!status.ok()) std::fprintf(stderr, "datapath_bench: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
