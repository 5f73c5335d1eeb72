// SPDX-License-Identifier: Apache-2.0
//
// New TCP connections per second from one pod to another on a node, under N rules, each
// for one source address and port, the last of which admits the client:
//
//   sockets     within the client, through its loopback device: no node, no policy; what
//               every other variant has in it too
//   plain       the kernel routes, no policy at all
//   nft rules   a chain of N rules behind `ct state established accept`
//   nft map     the same policy as one verdict map lookup
//   ripstop     the same policy compiled into tables; both pods are endpoints
//
// Variants take turns in short rounds. A rate is the median of its rounds, a ratio the
// median of the ratios within one round, so that what else the machine does is in both.
// The path's own cost is the time of a connection less that of one between sockets alone.
//   connect_bench [--json] [--quick] [--rounds N] [--seconds S] [--max-rules N]
//                 [--svg FOLDER]
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "e2e/bench/nft_rules.h"
#include "e2e/bench/plot.h"
#include "e2e/bench/pod_pair.h"
#include "e2e/bench/report.h"
#include "e2e/bench/rule_sets.h"
#include "policy/status_macros.h"

namespace ripstop::bench {
namespace {

enum Variant { kSockets, kPlain, kNftRules, kNftMap, kRipstop, kVariants };
constexpr const char* kNames[] = {"sockets", "plain", "nft rules", "nft map", "ripstop"};
constexpr int kLoadLimitSeconds = 20;
constexpr int kLongListRules = 20000;  // nft takes seconds to load such a list
constexpr int kLongListRounds = 3;

bool json = false;
int rounds = 11, max_rules = 100000;
double seconds = 0.2;
std::string svg_folder;

using Rates = std::array<std::vector<double>, kVariants>;

// Absent in every round that could not be set up.
double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double MedianRatio(const Rates& rates, Variant over) {
  std::vector<double> ratios;
  for (size_t i = 0; i < std::min(rates[over].size(), rates[kRipstop].size()); ++i) {
    ratios.push_back(rates[kRipstop][i] / rates[over][i]);
  }
  return Median(std::move(ratios));
}

// Microseconds that a variant adds to a connection between sockets alone.
double PathUs(const Rates& rates, Variant variant) {
  std::vector<double> us;
  for (size_t i = 0; i < std::min(rates[variant].size(), rates[kSockets].size()); ++i) {
    us.push_back(1e6 / rates[variant][i] - 1e6 / rates[kSockets][i]);
  }
  return Median(std::move(us));
}

struct Policy {
  std::vector<NftRule> nft;
  std::vector<policy::Rule> rules;
};

Policy PolicyOf(int n) {
  Policy made;
  const policy::World world = HostsLike(n);
  made.rules = world.policies.begin()->second.ingress_rules;
  for (int i = 0; i < n; ++i) made.nft.push_back({{HostAddress(i)}, HostPort(i)});
  // The last one is the client's.
  made.nft.back() = {{kClientAddress}, kServerPort};
  made.rules.back().source.nets = {
      policy::Cidr::Of(policy::Address::Parse(kClientAddress).value(), 128)};
  made.rules.back().destination.ports =
      policy::PortMatch{.ranges = {{kServerPort, kServerPort}}, .names = {}};
  return made;
}

absl::Status SetUp(PodPair& pods, Variant variant, const Policy& policy) {
  if (variant == kSockets || variant == kPlain) return absl::OkStatus();
  if (variant == kRipstop) return pods.Attach();
  const NftForm form = variant == kNftMap ? NftForm::kMap : NftForm::kRules;
  return LoadNft(
      pods.node(),
      NftRuleset(policy.nft, form, "forward", "ct state established,related accept", "tcp"),
      kLoadLimitSeconds);
}

absl::Status TearDown(PodPair& pods, Variant variant) {
  if (variant == kSockets || variant == kPlain) return absl::OkStatus();
  return variant == kRipstop ? pods.Detach() : FlushNft(pods.node());
}

// A variant that cannot be set up is left out from then on, with a note.
absl::StatusOr<Rates> Measure(PodPair& pods, int n, std::string& note) {
  Rates rates;
  const Policy policy = PolicyOf(n);
  std::array<bool, kVariants> left_out = {};
  const auto leave_out = [&](int variant, const absl::Status& why) {
    left_out[static_cast<size_t>(variant)] = true;
    absl::StrAppend(&note, note.empty() ? "" : "; ", kNames[variant], ": ",
                    std::string(why.message()));
  };
  if (const absl::Status made = pods.Compile(policy.rules); !made.ok()) leave_out(kRipstop, made);
  for (int round = 0; round < (n > kLongListRules ? std::min(rounds, kLongListRounds) : rounds);
       ++round) {
    for (int variant = 0; variant < kVariants; ++variant) {
      if (left_out[static_cast<size_t>(variant)]) continue;
      const absl::Status ready = SetUp(pods, static_cast<Variant>(variant), policy);
      if (!ready.ok()) {
        leave_out(variant, ready);
        continue;
      }
      const absl::StatusOr<double> rate =
          pods.ConnectRate(seconds, variant == kSockets ? kOwnAddress : kServerAddress);
      RETURN_IF_ERROR(TearDown(pods, static_cast<Variant>(variant)));
      if (!rate.ok()) {
        return absl::Status(rate.status().code(),
                            absl::StrCat(kNames[variant], ", ", n,
                                         " rules: ", std::string(rate.status().message())));
      }
      rates[static_cast<size_t>(variant)].push_back(*rate);
    }
  }
  return rates;
}

void Report(int n, const Rates& rates, const std::string& note) {
  double median[kVariants], path_us[kVariants];
  for (int i = 0; i < kVariants; ++i) {
    median[i] = Median(rates[static_cast<size_t>(i)]);
    path_us[i] = PathUs(rates, static_cast<Variant>(i));
  }
  const double over_rules = MedianRatio(rates, kNftRules), over_map = MedianRatio(rates, kNftMap),
               over_plain = MedianRatio(rates, kPlain);
  if (json) {
    std::printf(
        "{\"table\":\"connect\",\"rules\":%d,\"sockets\":%.0f,\"plain\":%.0f,"
        "\"nft_rules\":%.0f,\"nft_map\":%.0f,\"ripstop\":%.0f,\"over_plain\":%.3f,"
        "\"over_nft_rules\":%.3f,\"over_nft_map\":%.3f,\"plain_us\":%.2f,"
        "\"nft_rules_us\":%.2f,\"nft_map_us\":%.2f,\"ripstop_us\":%.2f,"
        "\"rounds\":%zu,\"note\":%s}\n",
        n, median[kSockets], median[kPlain], median[kNftRules], median[kNftMap], median[kRipstop],
        over_plain, over_rules, over_map, path_us[kPlain], path_us[kNftRules], path_us[kNftMap],
        path_us[kRipstop], rates[kPlain].size(), Quoted(note).c_str());
  } else {
    std::printf("%8d %8.0f %8.0f %10.0f %8.0f %8.0f %8.2f %12.2f %10.2f %8.2f %8.2f %8.2f  %s\n", n,
                median[kSockets], median[kPlain], median[kNftRules], median[kNftMap],
                median[kRipstop], over_plain, over_rules, over_map, path_us[kPlain],
                path_us[kNftMap], path_us[kRipstop], note.c_str());
  }
  std::fflush(stdout);
}

absl::Status Run() {
  ASSIGN_OR_RETURN(const auto pods, PodPair::Make());
  if (!json) {
    std::printf(
        "connections per second, medians of up to %d rounds of %.2f s\n"
        "%8s %8s %8s %10s %8s %8s %8s %12s %10s %8s %8s %8s\n",
        rounds, seconds, "rules", "sockets", "plain", "nft rules", "nft map", "ripstop", "/ plain",
        "/ nft rules", "/ nft map", "plain us", "map us", "own us");
  }
  std::vector<Series> lines;
  for (const char* name : kNames) lines.push_back({name, {}, std::strcmp(name, "ripstop") != 0});
  std::optional<double> over_map_of_one, over_map_of_many;
  std::string note_of_many;
  for (int n = 1; n <= max_rules; n *= 10) {
    std::string note;
    ASSIGN_OR_RETURN(const Rates rates, Measure(*pods, n, note));
    Report(n, rates, note);
    for (size_t i = 0; i < kVariants; ++i) {
      if (!rates[i].empty()) lines[i].points.emplace_back(n, Median(rates[i]));
    }
    const double over_map = MedianRatio(rates, kNftMap);
    if (n == 1 && over_map > 0) over_map_of_one = over_map;
    if (n == 10000) {
      note_of_many = note;
      if (over_map > 0) over_map_of_many = over_map;
    }
  }
  Print({"connect rate / nftables with a map, one rule", over_map_of_one, "x", 1.0, true, ""},
        json);
  if (max_rules >= 10000) {
    Print({"connect rate / nftables with a map, 10,000 rules", over_map_of_many, "x", 1.3, true,
           note_of_many},
          json);
  }
  if (svg_folder.empty()) return absl::OkStatus();
  const std::string path = absl::StrCat(svg_folder, "/connect-rules.svg");
  std::erase_if(lines, [](const Series& one) { return one.points.empty(); });
  std::ofstream out(path);
  out << SvgPlot("TCP connections per second, pod to pod", "rules", "connections per second",
                 lines);
  return out.good() ? absl::OkStatus() : absl::UnavailableError(absl::StrCat("write ", path));
}

}  // namespace
}  // namespace ripstop::bench

int main(int argc, char** argv) {
  using namespace ripstop::bench;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--json") {
      json = true;
    } else if (option == "--quick") {
      rounds = 1;
      seconds = 0.02;
      max_rules = 10;
    } else if (option == "--rounds" && i + 1 < argc) {
      rounds = std::max(1, std::atoi(argv[++i]));
    } else if (option == "--seconds" && i + 1 < argc) {
      seconds = std::atof(argv[++i]);
    } else if (option == "--max-rules" && i + 1 < argc) {
      max_rules = std::atoi(argv[++i]);
    } else if (option == "--svg" && i + 1 < argc) {
      svg_folder = argv[++i];
    } else {
      std::fprintf(stderr,
                   "connect_bench [--json] [--quick] [--rounds N] [--seconds S] "
                   "[--max-rules N] [--svg FOLDER]\n");
      return 2;
    }
  }
  const absl::Status status = Run();
  if (!status.ok()) std::fprintf(stderr, "connect_bench: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
