// SPDX-License-Identifier: Apache-2.0
//
// Traffic between pods beside the same traffic with plain routing and no policy: by turns, in one
// run, on one CPU. Prints ratios of rates, which there are ratios of CPU time.
//   traffic_bench [--json] [--quick]
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "e2e/bench/report.h"
#include "e2e/bench/traffic_fabric.h"
#include "e2e/bench/traffic_loads.h"
#include "policy/status_macros.h"

namespace ripstop::bench {
namespace {

constexpr uint32_t kUsualPacket = 65'536, kBigPacket = 196'608;

struct Settings {
  bool json = false;
  int turns = 15;
  absl::Duration turn = absl::Milliseconds(300);
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Rates {
  std::vector<double> ours, others;
  double ratio() const {
    std::vector<double> ratios;
    for (size_t i = 0; i < ours.size(); ++i) ratios.push_back(ours[i] / others[i]);
    return Median(ratios);
  }
};

// Each turn has both, now the one first and now the other.
absl::StatusOr<Rates> ByTurns(Load& ours, Load& other, const Settings& settings) {
  Rates rates;
  for (int turn = 0; turn <= settings.turns; ++turn) {
    double rate[2];
    for (int i = 0; i < 2; ++i) {
      const int which = (i + turn) % 2;
      ASSIGN_OR_RETURN(rate[which], (which == 0 ? ours : other).Turn(settings.turn));
    }
    if (turn == 0) continue;  // both warm
    rates.ours.push_back(rate[0]);
    rates.others.push_back(rate[1]);
  }
  return rates;
}

std::string Shown(Work work, double rate) {
  return work == Work::kStream ? absl::StrFormat("%.1f Gbit/s", rate * 8e-9)
                               : absl::StrFormat("%.0f/s", rate);
}

void Report(const std::string& name, Work work, const Rates& rates, double bar, bool at_least,
            bool inverse, const Settings& settings) {
  const double ratio = rates.ratio();
  Print({name, inverse ? 1 / ratio : ratio, "x", bar, at_least,
         absl::StrCat(Shown(work, Median(rates.ours)), " beside ",
                      Shown(work, Median(rates.others)))},
        settings.json);
}

class TrafficBench {
 public:
  explicit TrafficBench(const Settings& settings) : settings_(settings) {}
  absl::Status Run() {
    ASSIGN_OR_RETURN(plain_, TrafficFabric::Raise(true));
    ASSIGN_OR_RETURN(ours_, TrafficFabric::Raise(false));
    RETURN_IF_ERROR(UseOneCpu());
    for (int family : {4, 6}) RETURN_IF_ERROR(BesidePlain(family));
    for (int family : {4, 6}) RETURN_IF_ERROR(BigPackets(family));
    return Masqueraded();
  }

 private:
  struct Row {
    Work work;
    const char* name;
    struct {
      const char *pod, *name;
      double bar;
    } paths[3];
  };
  static constexpr Row kRows[] = {
      {Work::kRequests,
       "TCP request/response",
       {{"bench/same", "same node", 1.08},
        {"bench/native", "across", 1.05},
        {"bench/vxlan", "VXLAN", 1.02}}},
      {Work::kConnections,
       "TCP connect, request, close",
       {{"bench/same", "same node", 1.03},
        {"bench/native", "across", 1.04},
        {"bench/vxlan", "VXLAN", 0.99}}},
      {Work::kNewUdpFlows,
       "UDP, a flow for each request",
       {{"bench/same", "same node", 1.02},
        {"bench/native", "across", 1.0},
        {"bench/vxlan", "VXLAN", 0.98}}},
      {Work::kStream,
       "TCP stream",
       {{"bench/same", "same node", 1.0},
        {"bench/native", "across", 1.0},
        {"bench/vxlan", "VXLAN", 0}}},
  };

  absl::StatusOr<std::unique_ptr<Load>> Make(TrafficFabric& fabric, Work work,
                                             const std::string& to, int family) {
    ASSIGN_OR_RETURN(const int client, fabric.NetnsOf(TrafficFabric::kClient));
    ASSIGN_OR_RETURN(const int server, fabric.NetnsOf(to));
    return MakeLoad(work, {client, server, fabric.AddressOf(to, family), ++port_});
  }
  absl::StatusOr<Rates> Measure(Work work, const std::string& to, int family) {
    ASSIGN_OR_RETURN(const auto ours, Make(*ours_, work, to, family));
    ASSIGN_OR_RETURN(const auto plain, Make(*plain_, work, to, family));
    return ByTurns(*ours, *plain, settings_);
  }

  absl::Status BesidePlain(int family) {
    for (const Row& row : kRows) {
      for (const auto& path : row.paths) {
        ASSIGN_OR_RETURN(const Rates rates, Measure(row.work, path.pod, family));
        Report(absl::StrCat(row.name, " ÷ plain, ", path.name, ", IPv", family), row.work, rates,
               path.bar, true, false, settings_);
      }
    }
    return absl::OkStatus();
  }

  // BIG TCP on all links of both fabrics, and back.
  absl::Status BigPackets(int family) {
    for (const auto& [pod, name] :
         {std::pair("bench/same", "same node"), std::pair("bench/native", "across")}) {
      ASSIGN_OR_RETURN(const Rates usual, Measure(Work::kStream, pod, family));
      for (const auto& fabric : {plain_.get(), ours_.get()})
        RETURN_IF_ERROR(fabric->SetLargestPacket(kBigPacket));
      ASSIGN_OR_RETURN(const Rates big, Measure(Work::kStream, pod, family));
      for (const auto& fabric : {plain_.get(), ours_.get()})
        RETURN_IF_ERROR(fabric->SetLargestPacket(kUsualPacket));
      Report(absl::StrCat("TCP stream with BIG TCP ÷ plain with it, ", name, ", IPv", family),
             Work::kStream, big, 0.98, true, false, settings_);
      Print({absl::StrCat("TCP stream with BIG TCP ÷ without, ", name, ", IPv", family),
             Median(big.ours) / Median(usual.ours), "x", 2.5, true,
             absl::StrFormat("plain: %.2f x", Median(big.others) / Median(usual.others))},
            settings_.json);
    }
    return absl::OkStatus();
  }

  // A flow keeps what was decided at its beginning, so both kinds are there at once.
  absl::Status Masqueraded() {
    for (int family : {4, 6}) {
      for (const auto& [work, name] : {std::pair(Work::kRequests, "TCP request/response"),
                                       std::pair(Work::kStream, "TCP stream")}) {
        RETURN_IF_ERROR(SetMasqueraded(false, family));
        ASSIGN_OR_RETURN(const auto as_it_is, Make(*ours_, work, TrafficFabric::kOutside, family));
        RETURN_IF_ERROR(SetMasqueraded(true, family));
        ASSIGN_OR_RETURN(const auto masqueraded,
                         Make(*ours_, work, TrafficFabric::kOutside, family));
        ASSIGN_OR_RETURN(const Rates rates, ByTurns(*masqueraded, *as_it_is, settings_));
        Report(absl::StrCat("masqueraded, CPU ÷ not masqueraded, ", name, ", IPv", family), work,
               rates, 1.15, false, true, settings_);
      }
    }
    return absl::OkStatus();
  }
  // Once the agent has heard of it, which a flow shows.
  absl::Status SetMasqueraded(bool masqueraded, int family) {
    RETURN_IF_ERROR(ours_->SetMasqueraded(masqueraded));
    const absl::Time deadline = absl::Now() + absl::Minutes(1);
    const std::string own = ours_->AddressOf(TrafficFabric::kClient, family);
    for (;;) {
      ASSIGN_OR_RETURN(const auto probe,
                       Make(*ours_, Work::kRequests, TrafficFabric::kOutside, family));
      if ((probe->ClientSeen() != own) == masqueraded) return absl::OkStatus();
      if (absl::Now() > deadline) return absl::DeadlineExceededError("natOutgoing does not act");
    }
  }

  const Settings settings_;
  uint16_t port_ = 7100;  // another one for each load
  std::unique_ptr<TrafficFabric> plain_, ours_;
};

}  // namespace
}  // namespace ripstop::bench

int main(int argc, char** argv) {
  ripstop::bench::Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--json") {
      settings.json = true;
    } else if (option == "--quick") {
      settings.turns = 1;
      settings.turn = absl::Milliseconds(20);
    } else {
      std::fprintf(stderr, "traffic_bench [--json] [--quick]\n");
      return 2;
    }
  }
  const absl::Status status = ripstop::bench::TrafficBench(settings).Run();
  if (!status.ok()) std::fprintf(stderr, "traffic_bench: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
