// SPDX-License-Identifier: Apache-2.0
//
// What a verdict costs against the number of rules, selectors, policies and pods, through
// the real programs: beside a straight-line program that tests rule after rule, and beside
// nftables; and what compiling and holding each set costs.
//   verdict_bench [--json] [--quick] [--family NAME] [--max-rules N] [--max-pods N]
//                 [--svg FOLDER]
// NAME: a family of rules, or "policies", or "pods".
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "e2e/bench/measure.h"
#include "e2e/bench/plot.h"
#include "e2e/bench/report.h"
#include "policy/status_macros.h"

namespace ripstop::bench {
namespace {

bool json = false;
int max_rules = 100000, max_pods = 1000000;
std::string svg_folder, only;

bool Wanted(const std::string& name) { return only.empty() || only == name; }

std::string Number(double value) {
  return value == 0 ? std::string("-") : absl::StrCat(static_cast<int64_t>(value + 0.5));
}

void Report(const std::string& family, const Row& row) {
  if (json) {
    std::printf(
        "{\"table\":\"verdict\",\"family\":%s,\"size\":%d,\"put_ms\":%.2f,\"compile_ms\":%.2f,"
        "\"apply_ms\":%.2f,\"table_mib\":%.3f,\"map_mib\":%.3f,\"agent_mib\":%.3f,"
        "\"address_classes\":%u,\"l4_classes\":%u,\"representation\":%s,\"rule\":%d,"
        "\"verdict_ns\":%.1f,\"verdict_ratio\":%.3f,\"new_flow_ns\":%.1f,\"new_flow_ratio\":%.3f,"
        "\"straight_line_ns\":%.1f,\"nft_rules_ns\":%.1f,\"nft_map_ns\":%.1f,\"note\":%s}\n",
        Quoted(family).c_str(), row.size, row.put_ms, row.compile_ms, row.apply_ms, row.table_mib,
        row.map_mib, row.agent_mib, row.address_classes, row.l4_classes,
        Quoted(row.representation).c_str(), row.rule, row.verdict_ns, row.verdict_ratio(),
        row.new_flow_ns, row.new_flow_ratio(), row.straight_ns, row.nft_rules_ns, row.nft_map_ns,
        Quoted(row.note).c_str());
  } else {
    std::printf(
        "%-13s %7d %9.1f %8.1f %8.2f %8.2f %8.2f %-12s %7s %6.2f %8s %6.2f %9s %9s %7s  %s\n",
        family.c_str(), row.size, row.put_ms + row.compile_ms, row.apply_ms, row.table_mib,
        row.map_mib, row.agent_mib, row.representation, Number(row.verdict_ns).c_str(),
        row.verdict_ratio(), Number(row.new_flow_ns).c_str(), row.new_flow_ratio(),
        Number(row.straight_ns).c_str(), Number(row.nft_rules_ns).c_str(),
        Number(row.nft_map_ns).c_str(), row.note);
  }
  std::fflush(stdout);
}

void Header(const char* size) {
  if (json) return;
  std::printf("%-13s %7s %9s %8s %8s %8s %8s %-12s %7s %6s %8s %6s %9s %9s %7s\n", "family", size,
              "compile", "apply", "tables", "maps", "agent", "form", "verdict", "/one", "new flow",
              "/one", "straight", "nft rules", "nft map");
  std::printf("%-13s %7s %9s %8s %8s %8s %8s %-12s %7s %6s %8s %6s %9s %9s %7s\n", "", "", "ms",
              "ms", "MiB", "MiB", "MiB", "", "ns", "", "ns", "", "ns", "ns", "ns");
}

absl::Status Plot(const std::string& file, const std::string& title, const std::string& x,
                  std::vector<Series> series) {
  std::erase_if(series, [](const Series& one) { return one.points.empty(); });
  if (svg_folder.empty() || series.empty()) return absl::OkStatus();
  const std::string path = absl::StrCat(svg_folder, "/", file);
  std::ofstream out(path);
  out << SvgPlot(title, x, "ns per verdict", series);
  return out.good() ? absl::OkStatus() : absl::UnavailableError(absl::StrCat("write ", path));
}

void Add(int x, double y, Series& series) {
  if (y > 0) series.points.emplace_back(x, y);
}

// The bars of goals.md that speak of 10,000 rules.
void PrintBars(const std::string& family, const Row& row) {
  const std::string in = absl::StrCat(", 10,000 ", family);
  const auto print = [&](const std::string& name, bool known, double value, const char* unit,
                         double bar) {
    Print({name + in, known ? std::optional<double>(value) : std::nullopt, unit, bar, false,
           known ? "" : row.note},
          json);
  };
  const bool timed = row.verdict_ns > 0;
  print("new flow, many rules / one rule", timed, row.new_flow_ratio(), "x", 1.15);
  if (family != "pathological") return;
  print("verdict, many rules / one rule", timed, row.verdict_ratio(), "x", 3);
  print("compile", timed, (row.put_ms + row.compile_ms) / 1000, "s", 2);
  print("tables", timed, row.table_mib, "MiB", 64);
}

absl::Status RunRules(const MeasureOptions& options) {
  std::vector<Series> families, alternatives;
  std::map<std::string, Row> at_ten_thousand;
  if (only != "policies" && only != "pods") Header("rules");
  for (const std::string family : {"kubernetes", "acl", "firewall", "ip-chain", "pathological",
                                   "selectors", "hosts", "cidrs", "cidrs-v6"}) {
    if (!Wanted(family)) continue;
    Series tables{family, {}, false}, straight{family + ", straight line", {}, true},
        nft_rules{family + ", nft rules", {}, true}, nft_map{family + ", nft map", {}, true};
    for (int rules = 1; rules <= max_rules; rules *= 10) {
      const Row row = MeasureRules(family, rules, options);
      Report(family, row);
      Add(rules, row.verdict_ns, tables);
      Add(rules, row.straight_ns, straight);
      Add(rules, row.nft_rules_ns, nft_rules);
      Add(rules, row.nft_map_ns, nft_map);
      if (rules == 10000) at_ten_thousand[family] = row;
    }
    families.push_back(tables);
    if (family == "acl") families.push_back(straight);
    if (family == "hosts" || family == "selectors") {
      tables.name += ", ripstop";
      for (const Series& one : {tables, straight, nft_rules, nft_map}) alternatives.push_back(one);
    }
  }
  for (const auto& [family, row] : at_ten_thousand) PrintBars(family, row);
  RETURN_IF_ERROR(
      Plot("verdict-rules.svg", "One verdict against the number of rules", "rules", families));
  return Plot("verdict-alternatives.svg", "The same policy by other means", "rules", alternatives);
}

absl::Status RunClusters(const MeasureOptions& options) {
  Series policies{"1,000 pods, policies vary", {}, false},
      pods{"1,000 policies, pods vary", {}, false};
  if (Wanted("policies")) Header("policies");
  for (int n = 10; Wanted("policies") && n <= std::min(max_rules, 10000); n *= 10) {
    const Row row = MeasureCluster({.endpoints = 1000, .policies = n}, n, options);
    Report("policies", row);
    Add(n, row.verdict_ns, policies);
  }
  if (Wanted("pods")) Header("pods");
  for (int n = 100; Wanted("pods") && n <= max_pods; n *= 10) {
    const Row row =
        MeasureCluster({.endpoints = n, .policies = 1000, .local_endpoints = 50}, n, options);
    Report("pods", row);
    Add(n, row.verdict_ns, pods);
    if (n != 100000) continue;
    Print({"new flow, 100,000 pods and 1,000 policies / one rule",
           row.verdict_ns > 0 ? std::optional<double>(row.new_flow_ratio()) : std::nullopt, "x",
           1.5, false, row.note},
          json);
  }
  return Plot("verdict-cluster.svg", "One verdict against the size of a Kubernetes-like cluster",
              "policies, or pods known", {policies, pods});
}

absl::Status Run(const MeasureOptions& options) {
  RETURN_IF_ERROR(RunRules(options));
  return RunClusters(options);
}

}  // namespace
}  // namespace ripstop::bench

int main(int argc, char** argv) {
  using namespace ripstop::bench;
  MeasureOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--json") {
      json = true;
    } else if (option == "--quick") {
      max_rules = 10;
      max_pods = 100;
    } else if (option == "--family" && i + 1 < argc) {
      only = argv[++i];
    } else if (option == "--max-rules" && i + 1 < argc) {
      max_rules = std::atoi(argv[++i]);
    } else if (option == "--max-pods" && i + 1 < argc) {
      max_pods = std::atoi(argv[++i]);
    } else if (option == "--svg" && i + 1 < argc) {
      svg_folder = argv[++i];
    } else {
      std::fprintf(
          stderr,
          "verdict_bench [--json] [--quick] [--family NAME] [--max-rules N] [--max-pods N] "
          "[--svg FOLDER]\n");
      return 2;
    }
  }
  const absl::Status status = Run(options);
  if (!status.ok()) std::fprintf(stderr, "verdict_bench: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
